"""When a run begins and how it ends."""

from engine.core.state import Phase
from tests.core.calls import SPEAKING
from tests.script import check


def test_the_greeting_is_said_first() -> None:
    state = check(
        """
        0     session setup={"greeting":"Hello.","tts":["voice"]} -> open r1, tts r1 "Hello."  [Generating]
        100   tts r1 c1 done 500
        110   playing r1                               [Speaking]
        620   played r1 500                            [Idle]
        """
    )
    assert state.conversation.messages[-1].text == "Hello."
    assert state.phase is Phase.IDLE


def test_a_guess_is_superseded_when_the_final_differs_and_nothing_of_it_was_heard() -> None:
    state = check(
        """
        0     asr open                                 [Idle]
        500   caller speaks                            [Listening]
        1400  asr partial "book it for ten."           [Transcribing]
        1500  caller quiet
        1620  timer                                   -> llm r1 "book it for ten."
        1650  timer                                   -> finalize
        1700  llm r1 "Booked for ten."
        1750  asr final "book it for ten thirty."     -> clear r1, cancel r1, llm r2 "book it for ten thirty."
        1850  timer                                   -> open r2  [Generating]
        2000
        """
    )
    assert 1 not in [m.run for m in state.conversation.messages]


def test_an_answer_waits_for_what_is_being_said_and_says_follow_one_another() -> None:
    state = check(
        """
        100   say "One."                              -> open r1, tts r1 "One."  [Generating]
        110   say "Two."
        200   tts r1 c1 done 300
        210   playing r1                               [Speaking]
        520   played r1 300                           -> open r2, tts r2 "Two."  [Generating]
        """
    )
    assert state.response.run is not None
    assert state.response.run.text == "Two."


def test_hanging_up_waits_for_the_last_words_which_cannot_be_cut() -> None:
    state = check(
        """
        0     asr open                                 [Idle]
        100   end done text="Goodbye!"                -> open r1, tts r1 "Goodbye!"  [Generating]
        200   tts r1 c1 done 500
        210   playing r1                               [Speaking]
        300   caller speaks
        500   asr partial "wait"
        720   played r1 500                           -> hang up done  [Transcribing]
        """
    )
    assert state.response.ending == "done"


def test_a_transfer_follows_what_is_being_said() -> None:
    check(
        """
        100   say "I will connect you."               -> open r1, tts r1 "I will connect you."  [Generating]
        110   transfer "+15550001111"
        200   tts r1 c1 done 300
        210   playing r1                               [Speaking]
        520   played r1 300                           -> transfer "+15550001111"  [Idle]
        """
    )


def test_an_empty_answer_ends_the_run() -> None:
    state = check(
        """
        500   typed "hello"                           -> open r1, llm r1 "hello"  [Generating]
        600   llm r1 done                              [Idle]
        """
    )
    assert state.phase is Phase.IDLE


def test_a_call_that_ends_stops_everything() -> None:
    state = check(
        SPEAKING
        + """
        2200  session ended hang-up                   -> clear r1, cancel r1, stop asr  [Idle]
        2210  llm r1 "more"
        """
    )
    assert state.ended == "hang-up"
    assert state.counters.stale == 1
