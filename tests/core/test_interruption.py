"""Barge-in: who keeps the floor?"""

import pytest

from engine.core.commands import Message, Role
from engine.core.policy import OnInterrupt, Policy, Setup, ToolSpec
from engine.core.state import CallState, Cause
from engine.core.units import MS
from tests.core.calls import ASKED, SPEAKING
from tests.script import check

PAUSED = (
    SPEAKING
    + """\
        2400  caller speaks
        2520  timer                                   -> pause r1
        2521  paused r1 400
"""
)
"""The agent has fallen silent for a voice."""

QUESTION = (
    ASKED
    + """\
        1900  llm r1 "Shall I book it? "              -> tts r1 "Shall I book it?"
        1910  llm r1 done
        2000  tts r1 c1 done 2000
        2010  playing r1                               [Speaking]
"""
)

CALLED = Setup(
    asr=("ear",),
    llm=("model",),
    tts=("voice",),
    tools=(ToolSpec("look_up"), ToolSpec("pay", on_interrupt=OnInterrupt.FINISH)),
)


def test_a_short_voice_pauses_the_agent_and_a_backchannel_lets_it_go_on() -> None:
    state = check(
        SPEAKING
        + """
        2400  caller speaks
        2520  timer                                   -> pause r1
        2521  paused r1 400
        2600  asr partial "mm hmm"
        2700  caller quiet
        2850  timer                                   -> finalize
        3050  timer                                   -> resume r1
        3100
        """
    )
    assert state.conversation.messages[-1] == Message(role=Role.USER, text="mm hmm", backchannel=True)
    assert (state.contest.onset_at, state.contest.yielded_at) == (2_400 * MS, 2_520 * MS)
    assert state.turn.onset_at is None
    assert (state.contest.resumed, state.contest.interrupted) == (1, 0)


def test_a_cough_lets_the_agent_go_on() -> None:
    state = check(
        SPEAKING
        + """
        2400  caller speaks
        2520  timer                                   -> pause r1
        2521  paused r1 400
        2700  caller quiet
        2850  timer                                   -> finalize
        3050  timer                                   -> resume r1
        3100
        """
    )
    assert state.contest.resumed == 1
    assert len(state.conversation.messages) == 1


def test_words_of_any_script_take_the_floor() -> None:
    state = check(
        SPEAKING
        + """
        2400  caller speaks
        2520  timer                                   -> pause r1
        2521  paused r1 400
        2600  asr partial "нет, подождите"            -> clear r1, cancel r1  [Interrupted]
        """
    )
    assert state.contest.interrupted == 1


def test_a_click_does_not_even_pause_it() -> None:
    state = check(
        SPEAKING
        + """
        2400  caller speaks
        2480  caller quiet
        2630  timer                                   -> finalize
        2900
        """
    )
    assert state.contest.resumed == 0


def test_words_take_the_floor_and_everything_stops_in_that_step() -> None:
    state = check(
        SPEAKING
        + """
        2400  caller speaks
        2520  timer                                   -> pause r1
        2521  paused r1 400
        2600  asr partial "actually"                  -> clear r1, cancel r1  [Interrupted]
        2601  cleared r1 400                           [Transcribing]
        2610  llm r1 " also"
        2620  stopped r1
        """
    )
    assert state.counters.stale == 1
    assert (state.contest.onset_at, state.contest.silenced_at) == (2_400 * MS, 2_520 * MS)
    assert not state.contest.wordless
    assert state.conversation.messages[-1] == Message(role=Role.ASSISTANT, text="It is", run=1, interrupted=True)


def test_a_stop_word_takes_the_floor_at_any_length() -> None:
    state = check(
        SPEAKING
        + """
        2400  asr partial "stop"                      -> clear r1, cancel r1  [Interrupted]
        """
    )
    assert state.contest.interrupted == 1
    assert state.contest.silenced_at == 2_400 * MS


def test_a_long_voice_takes_the_floor_without_a_word() -> None:
    state = check(
        SPEAKING
        + """
        2400  caller speaks
        2520  timer                                   -> pause r1
        3260  timer                                   -> clear r1, cancel r1  [Interrupted]
        3400
        """
    )
    assert state.contest.wordless


def test_the_beginning_of_a_backchannel_is_not_taken_for_words() -> None:
    state = check(
        SPEAKING
        + """
        2400  caller speaks
        2520  timer                                   -> pause r1
        2521  paused r1 400
        2600  asr partial "i"
        2800  asr partial "i see"
        2900  caller quiet
        3050  timer                                   -> finalize
        3250  timer                                   -> resume r1
        3400
        """
    )
    assert state.contest.resumed == 1


def test_a_sign_of_listening_is_waited_for_until_the_recogniser_has_finished_it() -> None:
    state = check(
        PAUSED
        + """
        2600  asr partial "i"
        2700  caller quiet
        2850  timer                                   -> finalize
        3100  asr final "i see"                       -> resume r1
        """
    )
    assert state.contest.interrupted == 0
    assert state.conversation.messages[-1] == Message(role=Role.USER, text="i see", backchannel=True)


def test_a_final_of_its_first_word_does_not_end_a_sign_of_listening() -> None:
    state = check(
        PAUSED
        + """
        2600  asr final "i"
        2700  caller quiet
        2800  asr partial "see"
        2850  timer                                   -> finalize
        3050  timer                                   -> resume r1
        """
    )
    assert state.conversation.messages[-1].text == "i see"


def test_a_beginning_that_stays_one_takes_the_floor_with_its_final() -> None:
    state = check(
        PAUSED
        + """
        2600  asr partial "all"
        2700  caller quiet
        2850  timer                                   -> finalize
        3100  asr final "all"                         -> clear r1, cancel r1, llm r2 "all"  [Interrupted]
        """
    )
    assert state.turn.text == "all"


def test_a_beginning_whose_final_never_comes_takes_the_floor_when_the_wait_is_over() -> None:
    check(
        PAUSED
        + """
        2600  asr partial "all"
        2700  caller quiet
        2850  timer                                   -> finalize
        3650  timer                                   -> clear r1, cancel r1  [Interrupted]
        """
    )


def test_a_beginning_that_becomes_something_else_takes_the_floor_at_once() -> None:
    check(
        PAUSED
        + """
        2600  asr partial "i"
        2700  caller quiet
        2750  asr partial "i meant tomorrow"          -> clear r1, cancel r1  [Interrupted]
        """
    )


def test_without_a_detector_the_beginning_of_a_backchannel_is_waited_for_a_while() -> None:
    script = SPEAKING + '        2400  asr partial "i"\n'
    state = check(script + '        2500  asr partial "i see"\n 2850 timer')
    assert state.conversation.messages[-1].backchannel
    check(script + "        2750  timer                                   -> clear r1, cancel r1  [Interrupted]")


def test_somebody_far_away_does_not_pause_the_agent() -> None:
    state = check(
        SPEAKING
        + """
        2400  caller speaks level_db=-50
        3300  caller quiet level_db=-48
        3450  timer                                   -> finalize
        3800
        """
    )
    assert state.contest.resumed == state.contest.interrupted == 0


def test_a_quiet_caller_is_known_by_their_own_turns() -> None:
    state = check(
        """
        0     asr open                                 [Idle]
        500   caller speaks level_db=-48               [Listening]
        1400  asr final "what time is it?"             [Transcribing]
        1500  caller quiet
        1620  timer                                   -> llm r1 "what time is it?"
        1850  timer                                   -> open r1  [Generating]
        1900  llm r1 "It is noon. And then some more." -> tts r1 "It is noon."
        2000  tts r1 c1 done 800
        2010  playing r1                               [Speaking]
        2400  caller speaks level_db=-50
        2520  timer                                   -> pause r1
        2600
        """
    )
    assert state.contest.run == 1


def test_the_recognisers_start_of_turn_takes_the_floor() -> None:
    state = check(
        SPEAKING
        + """
        2400  caller speaks
        2450  asr start                               -> clear r1, cancel r1  [Interrupted]
        """
    )
    assert state.contest.interrupted == 1


def test_a_caller_who_goes_on_before_the_first_sound_cancels_the_answer() -> None:
    state = check(
        ASKED
        + """
        2000  caller speaks
        2120  timer                                   -> pause r1
        2300  asr partial "in London"                 -> clear r1, cancel r1  [Cancelled]
        2900  asr final "in London"                    [Transcribing]
        3000  caller quiet
        3120  timer                                   -> llm r2 "what time is it? in London"
        3700  timer                                   -> open r2  [Generating]
        4000
        """
    )
    assert [m.text for m in state.conversation.messages] == ["what time is it? in London"]


def test_uninterruptible_speech_hears_the_caller_and_answers_afterwards() -> None:
    state = check(
        """
        0     asr open                                 [Idle]
        100   say "This call is recorded." interruptible=no -> open r1, tts r1 "This call is recorded."  [Generating]
        200   tts r1 c1 done 1500
        210   playing r1                               [Speaking]
        600   caller speaks
        1200  asr final "I need some help"
        1300  caller quiet
        1710  played r1 1500                           [Transcribing]
        1710  timer                                   -> llm r2 "I need some help"
        2000  timer                                   -> open r2  [Generating]
        2400
        """
    )
    assert state.contest.interrupted == 0
    assert state.conversation.messages[-1].text == "I need some help"


def test_a_yeah_at_the_end_of_a_question_answers_it() -> None:
    state = check(
        ASKED
        + """
        1900  llm r1 "Shall I book it?"
        1910  llm r1 done                             -> tts r1 "Shall I book it?"
        2000  tts r1 c1 done 800
        2010  playing r1                               [Speaking]
        2600  caller speaks
        2720  timer                                   -> pause r1
        2721  paused r1 700
        2760  asr final "yeah"
        2800  caller quiet                            -> clear r1, cancel tts r1  [Interrupted]
        2920  timer                                   -> llm r2 "yeah"  [Transcribing]
        3150  timer                                   -> open r2  [Generating]
        3300
        """
    )
    assert state.conversation.messages[-1].text == "yeah"
    assert not state.conversation.messages[-1].backchannel


def test_an_undecided_floor_goes_back_at_the_cap() -> None:
    state = check(
        SPEAKING
        + """
        2400  caller speaks
        2520  timer                                   -> pause r1
        2521  paused r1 400
        2530 audio stops
        7900  timer                                   -> cancel llm r1
        8085  timer                                   -> llm r1 system "Your last answer broke off where it ends above. Go on from exactly there; do not repeat what was said."
        8520  timer                                   -> resume r1
        9000
        """
    )
    assert state.contest.resumed == 1
    assert state.turn.onset_at == 2_400 * MS


def test_the_embedders_wish_stops_the_agent() -> None:
    state = check(
        SPEAKING
        + """
        2400  interrupt                               -> clear r1, cancel r1  [Interrupted]
        """
    )
    assert state.contest.interrupted == 1


def test_a_lost_line_pauses_the_agent_and_a_regained_one_lets_it_go_on() -> None:
    state = check(
        SPEAKING
        + """
        2200  line lost                               -> pause r1
        2201  paused r1 150
        4000  line back                               -> resume r1
        """
    )
    assert state.lost_at is None


def test_a_line_that_stays_lost_ends_the_call() -> None:
    state = check(
        SPEAKING
        + """
        2200  line lost                               -> pause r1
        2201  paused r1 150
        7900  timer                                   -> cancel llm r1
        8085  timer                                   -> llm r1 system "Your last answer broke off where it ends above. Go on from exactly there; do not repeat what was said."
        13085 timer                                   -> cancel llm r1, tts r1 "I'm sorry, I had a problem there.", tts r1 "Could you say that again?"
        62200 timer                                   -> hang up "line lost"
        63000
        """
    )
    assert state.response.ending == "line lost"


def test_a_noise_that_begins_with_a_tool_cancels_neither_it_nor_the_answer() -> None:
    state = check(
        """
        500   typed "find me a slot"                  -> open r1, llm r1 "find me a slot"  [Generating]
        800   llm r1 calls look_up {}                 -> tool r1 t1 look_up {} timeout=20000
        810   llm r1 done tool_calls
        820   asr open
        830   caller speaks
        950   timer                                   -> pause r1
        1130  caller quiet
        1280  timer                                   -> finalize
        1480  timer                                   -> resume r1
        1500  tool t1 "ten"                           -> llm r1 tool "ten"
        """,
        CALLED,
    )
    assert [call.state for call in state.tools.calls] == [CallState.DONE]


def test_words_during_a_pause_of_the_tool_cancel_the_tool_by_its_rule() -> None:
    state = check(
        """
        500   typed "find me a slot"                  -> open r1, llm r1 "find me a slot"  [Generating]
        800   llm r1 calls look_up {}                 -> tool r1 t1 look_up {} timeout=20000
        810   llm r1 calls pay {}                     -> tool r1 t2 pay {} timeout=20000
        820   llm r1 done tool_calls
        900   asr open
        1000  caller speaks
        1120  timer                                   -> pause r1
        1300  asr partial "wait"                      -> clear r1, cancel tts r1, cancel tool t1  [Cancelled]
        1400  tool t2 {"paid":true}                    [Transcribing]
        1500  tool t1 {"late":true}
        """,
        CALLED,
    )
    assert [call.state for call in state.tools.calls] == [CallState.CANCELLED, CallState.DONE]
    assert [call.output for call in state.tools.calls] == ["cancelled: the caller interrupted", '{"paid":true}']
    assert state.counters.stale == 1


def test_a_long_noise_that_took_the_floor_is_asked_about_so_that_the_agent_is_not_mute() -> None:
    state = check(
        SPEAKING
        + """
        2400  caller speaks
        2520  timer                                   -> pause r1
        3260  timer                                   -> clear r1, cancel r1  [Interrupted]
        3500  caller quiet                             [Idle]
        3650  timer                                   -> finalize
        4700  timer                                   -> open r2, tts r2 "Sorry, I didn't catch that."  [Generating]
        5000
        """
    )
    assert state.response.run is not None


def test_a_typed_answer_may_be_cut_in_its_turn() -> None:
    check(
        SPEAKING
        + """
        2400  typed "stop"                            -> clear r1, cancel r1, open r2, llm r2 "what time is it? stop"  [Interrupted]
        2410  typed "go on"                           -> clear r2, cancel r2, open r3, llm r3 "what time is it? stop go on"  [Cancelled]
        """
    )


# Whose voice, and how long.


@pytest.mark.parametrize(("level_db", "yields"), [(-44, True), (-45, False)])
def test_a_voice_more_than_near_db_below_the_callers_own_is_somebody_elses(level_db: int, yields: bool) -> None:
    check(f"{SPEAKING}\n 2400 caller speaks level_db={level_db}\n 2520 {'timer -> pause r1' if yields else ''}")


def test_a_voice_that_was_too_quiet_is_looked_at_again() -> None:
    state = check(SPEAKING + "        2400  caller speaks level_db=-50")
    assert state.deadlines.audio_ns == 2_500 * MS


def test_the_beginning_of_a_backchannel_that_goes_on_for_long_takes_the_floor() -> None:
    check(
        PAUSED
        + """
        2600  asr partial "i"
        3260  timer                                   -> clear r1, cancel r1  [Interrupted]
        """
    )


def test_a_key_takes_the_floor() -> None:
    state = check(
        SPEAKING
        + """
        2400  key 1                                   -> clear r1, cancel r1  [Interrupted]
        """
    )
    assert not state.contest.wordless


def test_a_wish_for_silence_while_nobody_speaks_is_fulfilled_already() -> None:
    check("1000 interrupt [Idle]")


# Signs of listening.


def test_a_backchannel_too_short_to_make_the_agent_yield_is_kept_when_it_is_over() -> None:
    script = (
        SPEAKING
        + """
        2400  caller speaks
        2480  caller quiet
        2500  asr partial "mm hmm"
        2630  timer                                   -> finalize
        2829
        """
    )
    assert check(script).turn.partial == "mm hmm"
    state = check(f"{script}\n 2830")
    assert state.conversation.messages[-1] == Message(role=Role.USER, text="mm hmm", backchannel=True)
    assert (state.turn.partial, state.contest.resumed) == ("", 0)


def test_without_a_detector_a_backchannel_is_over_when_its_words_have_stood_still() -> None:
    script = (
        SPEAKING
        + """
        2400  asr partial "mm hmm"
        {at}  heard r1 300
        """
    )
    assert check(script.format(at=2749)).turn.partial == "mm hmm"
    state = check(script.format(at=2750))
    assert state.conversation.messages[-1] == Message(role=Role.USER, text="mm hmm", backchannel=True)


def test_a_backchannel_is_not_over_while_its_voice_goes_on() -> None:
    script = (
        SPEAKING
        + """
        2300  caller speaks level_db=-50
        2400  asr partial "mm hmm"
        {at}  heard r1 300
        """
    )
    assert check(script.format(at=2790)).turn.partial == "mm hmm"


def test_the_final_of_a_backchannel_that_was_kept_adds_nothing() -> None:
    state = check(
        SPEAKING.replace("done 800", "done 8000")
        + """
        5000  caller speaks
        5080  caller quiet
        5100  asr partial "mm hmm"
        5230  timer                                   -> finalize
        5430
        6000  asr final "mm hmm"
        """
    )
    assert state.turn.text == ""


def test_floors_taken_back_and_floors_lost_are_counted_apart() -> None:
    state = check(
        PAUSED
        + """
        2700  caller quiet
        2850  timer                                   -> finalize
        3050  timer                                   -> resume r1
        3060  asr partial "stop"                      -> clear r1, cancel r1  [Interrupted]
        """
    )
    assert (state.contest.resumed, state.contest.interrupted) == (1, 1)


# Answers to a question.


def test_a_yeah_answers_when_no_more_than_the_margin_of_the_question_is_unheard() -> None:
    heard = (
        QUESTION
        + """
        2400  caller speaks
        2520  timer                                   -> pause r1
        2521  paused r1 {}
        2560  asr final "yeah"
        2600  caller quiet                            {}
        """
    )
    check(heard.format(1000, "-> clear r1, cancel tts r1  [Interrupted]"))
    check(heard.format(999, ""))


def test_a_yeah_in_the_middle_of_an_answer_that_goes_on_after_a_question_is_a_backchannel() -> None:
    check(
        QUESTION.replace("1910  llm r1 done", "1910")
        + """
        2400  caller speaks
        2520  timer                                   -> pause r1
        2521  paused r1 1900
        2560  asr final "yeah"
        2600  caller quiet
        2950  timer                                   -> resume r1
        """
    )


def test_a_yeah_to_a_question_that_is_not_yet_made_into_sound_is_a_backchannel() -> None:
    check(
        ASKED
        + """
        1900  llm r1 "It is free. Shall I book it?"   -> tts r1 "It is free."
        1910  llm r1 done                             -> tts r1 "Shall I book it?"
        2000  tts r1 c1 done 400
        2010  playing r1                               [Speaking]
        2400  caller speaks
        2520  timer                                   -> pause r1
        2521  paused r1 400
        2560  asr final "yeah"
        2600  caller quiet
        2950  timer                                   -> resume r1
        """
    )


# The contest ends with its run.


def test_a_contested_run_that_fails_leaves_nothing_to_decide() -> None:
    check(
        PAUSED
        + """
        2530  llm r1 done                             -> tts r1 "And then some more."
        2600  caller quiet
        2610  say "Noon."
        2620  tts r1 c2 failed rejected               -> cancel tts r1, clear r1, cancel tts r1, open r2, tts r2 "Noon."  [Generating]
        2700  caller speaks
        2820  timer                                   -> pause r2
        """
    )


def test_a_turn_that_began_during_speech_that_cannot_be_cut_does_not_cut_its_own_answer() -> None:
    state = check(
        """
        0     asr open                                 [Idle]
        100   say "This call is recorded." interruptible=no -> open r1, tts r1 "This call is recorded."  [Generating]
        200   tts r1 c1 done 1500
        210   playing r1                               [Speaking]
        600   asr start
        1200  asr end "I need some help"
        1710  played r1 1500                          -> open r2, llm r2  [Generating]
        """
    )
    assert state.contest.interrupted == 0


def test_an_answer_cut_by_the_caller_ends_a_row_of_failures() -> None:
    state = check(
        """
        500   typed "hello"                           -> open r1, llm r1 "hello"  [Generating]
        600   llm r1 failed rejected                  -> tts r1 "I'm sorry, I had a problem there.", tts r1 "Could you say that again?"
        610   tts r1 c1 done 100
        620   tts r1 c2 done 100
        630   playing r1                               [Speaking]
        840   played r1 200                            [Idle]
        900   say "Noon."                             -> open r2, tts r2 "Noon."  [Generating]
        """,
        CALLED,
    )
    assert state.response.failures == 1
    state = check(
        """
        500   typed "hello"                           -> open r1, llm r1 "hello"  [Generating]
        600   llm r1 failed rejected                  -> tts r1 "I'm sorry, I had a problem there.", tts r1 "Could you say that again?"
        610   tts r1 c1 done 100
        620   tts r1 c2 done 100
        630   playing r1                               [Speaking]
        840   played r1 200                            [Idle]
        900   say "Noon."                             -> open r2, tts r2 "Noon."  [Generating]
        910   interrupt                               -> clear r2, cancel tts r2  [Cancelled]
        """,
        CALLED,
    )
    assert state.response.failures == 0


# The line.


def test_an_undecided_floor_goes_back_silently_while_the_line_is_lost() -> None:
    check(
        PAUSED
        + """
        2530  llm r1 done                             -> tts r1 "And then some more."
        2600  line lost                               -> pause r1
        8520  timer
        8600  line back                               -> resume r1
        """
    )


def test_a_floor_that_was_undecided_when_the_line_was_lost_is_taken_back_with_it() -> None:
    state = check(
        PAUSED
        + """
        2530  llm r1 done                             -> tts r1 "And then some more."
        2540  tts r1 c2 done 1000
        2600  caller quiet
        2700  line lost                               -> pause r1
        4000  line back                               -> resume r1
        4050  timer                                   -> finalize
        5000
        """
    )
    assert state.contest.resumed == 0


# Tools, machines.


def test_each_tool_of_the_run_is_released_by_its_own_rule() -> None:
    state = check(
        """
        500   typed "find me a slot"                  -> open r1, llm r1 "find me a slot"  [Generating]
        800   llm r1 calls pay {}                     -> tool r1 t1 pay {} timeout=20000
        810   llm r1 calls look_up {}                 -> tool r1 t2 look_up {} timeout=20000
        900   typed "wait"                            -> clear r1, cancel r1, cancel tool t2, open r2, llm r2 "wait"  [Cancelled]
        """,
        CALLED,
    )
    assert [(call.state, call.detached) for call in state.tools.calls] == [
        (CallState.RUNNING, True),
        (CallState.CANCELLED, False),
    ]


def test_the_message_for_a_machine_is_a_goodbye_that_its_voice_cannot_cut() -> None:
    state = check(
        """
        0     asr open                                 [Idle]
        500   answered machine                        -> open r1, tts r1 "Please call us back."  [Generating]
        600   tts r1 c1 done 2000
        610   playing r1                               [Speaking]
        700   caller speaks
        1000  asr partial "leave a message after the tone"
        2000
        """,
        Setup(asr=("ear",), llm=("model",), tts=("voice",), policy=Policy(voicemail="Please call us back.")),
    )
    run = state.response.run
    assert run is not None
    assert (run.cause, run.interruptible) == (Cause.GOODBYE, False)


def test_a_floor_whose_last_words_and_whose_sound_do_not_come_goes_back_in_the_end() -> None:
    check(
        SPEAKING
        + """
        2200  caller speaks
        2320  timer                                   -> pause r1
        2400  asr partial "mm hmm"
        2450  caller quiet
        2600  timer                                   -> finalize
        2610  audio stops
        8320  timer                                   -> resume r1
        """,
        Setup(asr=("ear",), llm=("model",), tts=("voice",), policy=Policy(llm_stall_ns=60_000 * MS)),
    )
