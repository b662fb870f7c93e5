"""Barge-in: who keeps the floor?"""

from engine.core.commands import Message, Role
from engine.core.policy import OnInterrupt, Setup, ToolSpec
from engine.core.state import CallState
from tests.core.calls import ASKED, SPEAKING
from tests.script import check

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
    assert state.conversation.messages[-1] == Message(role=Role.ASSISTANT, text="It is", run=1, interrupted=True)


def test_a_stop_word_takes_the_floor_at_any_length() -> None:
    state = check(
        SPEAKING
        + """
        2400  asr partial "stop"                      -> clear r1, cancel r1  [Interrupted]
        """
    )
    assert state.contest.interrupted == 1


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
        3700  timer                                   -> open r2, llm r2 "what time is it? in London"  [Generating]
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
        2000  timer                                   -> open r2, llm r2 "I need some help"  [Generating]
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
