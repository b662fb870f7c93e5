"""The script runner itself: it agrees with a call that went as written, and shows a whole call that did not."""

import pytest

from engine.core.state import Phase
from tests.script import check

ANSWERED = """
    0     caller speaks
    1000  asr final "what time is it?"
    1020  caller quiet
    1140  timer                         -> llm r1 "what time is it?"
    1370  timer                         -> open r1
    1900  llm r1 "It is noon. And"      -> tts r1 "It is noon."   [Generating]
    2100  playing r1                    [Speaking]
    2400  caller speaks
    2520  timer                         -> pause r1
"""


def test_a_call_that_goes_as_written_gives_its_last_state() -> None:
    state = check(ANSWERED)
    assert state.phase is Phase.SPEAKING
    assert state.contest.run == 1


def test_a_timer_that_leads_to_an_order_needs_a_line() -> None:
    script = ANSWERED.replace("    1370  timer                         -> open r1\n", "")
    with pytest.raises(AssertionError, match=r"\+ 1370  timer +-> open r1"):
        check(script)


def test_a_timer_that_is_not_due_is_said_so() -> None:
    with pytest.raises(AssertionError, match="no timer at 50: the next at"):
        check("50 timer")


def test_an_order_that_differs_is_shown_beside_the_script() -> None:
    with pytest.raises(AssertionError) as failure:
        check(ANSWERED.replace('-> tts r1 "It is noon."', '-> tts r1 "It is one."'))
    shown = str(failure.value)
    assert '- 1900  llm r1 "It is noon. And"      -> tts r1 "It is one."' in shown
    assert '+ 1900  llm r1 "It is noon. And"' in shown
    assert '-> tts r1 "It is noon."' in shown
    assert "  0     caller speaks" in shown


def test_a_phase_that_differs_fails() -> None:
    with pytest.raises(AssertionError, match=r"\[Listening\]"):
        check("0 caller speaks [Idle]")


def test_held_sound_holds_the_timers_of_the_sound() -> None:
    check("""
        0     caller speaks
        1000  asr final "what time is it?"
        1020  caller quiet
        1050  audio stops
        3000  audio runs
        3090  timer                         -> llm r1
        3320  timer                         -> open r1
    """)


def test_a_recording_is_fed_as_it_stands() -> None:
    check("""
        recorded by engine 0.1.0
        0     session setup={"asr":["ear"],"llm":["model"],"tts":["voice"]}  -> asr e1
        0.5   caller speaks @20.25
        1000  asr final "what time is it?"
        1020  caller quiet @1000
        1143  timer audio @1121         -> llm r1 "what time is it?"
        1371  timer audio @1351         -> open r1
    """)


def test_a_session_line_replaces_the_silent_beginning() -> None:
    check('0 session setup={"greeting":"Hello.","tts":["voice"]} -> open r1, tts r1 "Hello."')
