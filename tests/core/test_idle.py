"""Silence on both sides."""

from engine.core.policy import Policy, Setup
from engine.core.state import Deadlines
from engine.core.units import SECOND
from tests.script import check

CALLED = Setup(llm=("model",), tts=("voice",))
HASTY = Setup(llm=("model",), tts=("voice",), policy=Policy(idle_ns=1 * SECOND))
HEARING = Setup(asr=("ear",), llm=("model",), tts=("voice",))


def test_silence_is_asked_about_twice_and_then_the_agent_says_goodbye() -> None:
    state = check(
        """
        12000 timer                                   -> open r1, tts r1 "Are you still there?"  [Generating]
        12100 tts r1 c1 done 500
        12110 playing r1                               [Speaking]
        12700 played r1 500                            [Idle]
        24700 timer                                   -> open r2, tts r2 "Are you still there?"  [Generating]
        24800 tts r2 c1 done 500
        24810 playing r2                               [Speaking]
        25400 played r2 500                            [Idle]
        37400 timer                                   -> open r3, tts r3 "I'll let you go now.", tts r3 "Goodbye."  [Generating]
        37500 tts r3 c1 done 500
        37505 tts r3 c2 done 500
        37510 playing r3                               [Speaking]
        38600 played r3 1000                          -> hang up "nobody there"  [Idle]
        """,
        CALLED,
    )
    assert state.response.ending == "nobody there"
    assert state.idle.prompts == 2
    assert state.deadlines == Deadlines()


def test_a_caller_who_does_anything_begins_the_prompts_anew() -> None:
    state = check(
        """
        12000 timer                                   -> open r1, tts r1 "Are you still there?"  [Generating]
        12100 tts r1 c1 done 500
        12110 playing r1                               [Speaking]
        12700 played r1 500                            [Idle]
        13000 key 1                                    [Transcribing]
        """,
        CALLED,
    )
    assert state.idle.row == 0


def test_the_silence_begins_when_the_agent_falls_quiet() -> None:
    check(
        """
        10000 say "Your taxi is here."                -> open r1, tts r1 "Your taxi is here."  [Generating]
        10100 tts r1 c1 done 500
        10110 playing r1                               [Speaking]
        10700 played r1 500                            [Idle]
        22700 timer                                   -> open r2, tts r2 "Are you still there?"
        """,
        CALLED,
    )


def test_something_else_to_say_at_that_very_moment_is_said_instead() -> None:
    state = check(
        """
        12000 say "Your taxi is here."                -> open r1, tts r1 "Your taxi is here."  [Generating]
        """,
        CALLED,
    )
    assert state.idle.prompts == 0


def test_a_recogniser_that_hears_a_turn_begin_ends_the_silence() -> None:
    check(
        """
        0     asr open                                 [Idle]
        5000  asr start
        17000 timer                                   -> open r1, tts r1 "Are you still there?"  [Generating]
        """,
        HEARING,
    )


def test_keys_that_may_go_on_are_no_silence() -> None:
    state = check(
        """
        500   key 4                                    [Transcribing]
        2500  timer                                   -> open r1, llm r1 "4"  [Generating]
        """,
        HASTY,
    )
    assert state.idle.prompts == 0


def test_words_that_may_go_on_are_no_silence() -> None:
    state = check(
        """
        0     asr open                                 [Idle]
        500   asr final "on Monday and"                [Transcribing]
        2300  timer                                   -> open r1, llm r1 "on Monday and"  [Generating]
        """,
        Setup(asr=("ear",), llm=("model",), tts=("voice",), policy=HASTY.policy),
    )
    assert state.idle.prompts == 0


def test_nobody_is_asked_while_the_line_is_lost() -> None:
    check(
        """
        1000  line lost
        20000 line back
        32000 timer                                   -> open r1, tts r1 "Are you still there?"
        """,
        CALLED,
    )


def test_nobody_is_asked_while_the_call_is_being_hung_up() -> None:
    state = check(
        """
        1000  end "bye"                               -> hang up "bye"  [Idle]
        30000
        """,
        CALLED,
    )
    assert state.idle.prompts == 0


def test_the_longest_call_ends_with_a_goodbye_and_without_a_prompt_where_there_are_none() -> None:
    check(
        """
        60000 timer                                   -> open r1, tts r1 "I'll let you go now.", tts r1 "Goodbye."  [Generating]
        60100 tts r1 c1 done 500
        60105 tts r1 c2 done 500
        60110 playing r1                               [Speaking]
        61200 played r1 1000                          -> hang up "nobody there"  [Idle]
        """,
        Setup(llm=("model",), tts=("voice",), policy=Policy(idle_ns=0, call_ns_max=60 * SECOND)),
    )
