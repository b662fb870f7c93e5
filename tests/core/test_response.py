"""When a run begins and how it ends."""

from msgspec.structs import replace

from engine.core.policy import Policy, Setup
from engine.core.state import Cause, Phase, RunEnd
from tests.core.calls import SPEAKING
from tests.script import SETUP, check


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


def test_a_guess_in_any_script_is_superseded_when_the_final_differs() -> None:
    state = check(
        """
        0     asr open                                 [Idle]
        500   caller speaks                            [Listening]
        1400  asr partial "на десять."                 [Transcribing]
        1500  caller quiet
        1620  timer                                   -> llm r1 "на десять."
        1650  timer                                   -> finalize
        1750  asr final "на десять тридцать."         -> clear r1, cancel r1, llm r2 "на десять тридцать."
        1850  timer                                   -> open r2  [Generating]
        2000
        """
    )
    assert state.turn.last_text == "на десять тридцать."


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


def test_after_a_transfer_that_failed_the_agent_says_so_and_the_call_goes_on() -> None:
    state = check(
        """
        0     asr open                                 [Idle]
        500   transfer +15550003333                   -> transfer +15550003333  [Idle]
        700   transfer failed +15550003333 refused    -> open r1, tts r1 "I'm sorry, I couldn't put you through.", tts r1 "Is there anything else I can do for you?"  [Generating]
        800   tts r1 c1 done 400
        801   tts r1 c2 done 400
        810   playing r1                               [Speaking]
        1620  played r1 800                            [Idle]
        2000  typed "no"                              -> open r2, llm r2 "no"  [Generating]
        """,
        SETUP,
    )
    assert state.response.ending == ""


def test_a_caller_who_comes_back_from_a_transfer_is_told_that_nobody_answered() -> None:
    check(
        """
        0     asr open                                 [Idle]
        500   transfer +15550003333                   -> transfer +15550003333
        700   line lost
        4000  transfer failed +15550003333 busy
        4300  line back                               -> open r1, tts r1 "I'm sorry, I couldn't put you through.", tts r1 "Is there anything else I can do for you?"  [Generating]
        """,
        SETUP,
    )


MACHINE = replace(SETUP, greeting="Hello, how are you?", policy=Policy(voicemail="Please call us back."))


def test_an_answering_machine_is_left_a_message() -> None:
    state = check(
        """
        0     asr open                                 [Generating]
        100   tts r1 c1 done 900
        110   playing r1                               [Speaking]
        300   answered machine                        -> clear r1, cancel tts r1, open r2, tts r2 "Please call us back."  [Interrupted]
        320   asr final "leave a message"
        400   tts r2 c1 done 900
        410   playing r2                               [Speaking]
        1400  played r2 900                           -> hang up "answering machine"  [Idle]
        """,
        MACHINE,
    )
    assert state.answered_by == "machine"


def test_what_a_machine_says_is_not_answered_before_the_message() -> None:
    check(
        """
        0     asr open                                 [Generating]
        100   tts r1 c1 done 900
        110   playing r1                               [Speaking]
        1010  played r1 900                            [Idle]
        1100  caller speaks
        1300  asr final "nobody is home."
        1400  answered machine
        1500  caller quiet
        1850  timer                                   -> open r2, tts r2 "Please call us back."  [Generating]
        """,
        MACHINE,
    )


def test_a_human_is_talked_to_and_a_machine_too_where_there_is_no_message() -> None:
    human = check("0 asr open\n100 answered human\n", MACHINE)
    machine = check("0 asr open\n100 answered machine\n", SETUP)
    assert (human.answered_by, human.response.says) == ("human", ())
    assert (machine.answered_by, machine.response.says) == ("machine", ())


def test_an_end_without_words_follows_what_is_being_said() -> None:
    check(
        """
        100   say "One."                              -> open r1, tts r1 "One."
        110   end done
        200   tts r1 c1 done 300
        210   playing r1
        520   played r1 300                           -> hang up done
        """
    )


def test_an_end_without_words_or_reason_and_with_nothing_to_wait_for_is_now() -> None:
    state = check('0 end "" -> hang up ended', SETUP)
    assert state.response.run is None


def test_an_end_comes_behind_everything_that_waits_to_be_said() -> None:
    check(
        """
        100   say "One."                              -> open r1, tts r1 "One."
        110   say "Two."
        120   end done
        200   tts r1 c1 done 300
        210   playing r1
        520   played r1 300                           -> open r2, tts r2 "Two."
        600   tts r2 c1 done 300
        610   playing r2
        920   played r2 300                           -> hang up done
        """
    )


def test_an_end_that_was_asked_for_during_a_guess_outlives_the_guess() -> None:
    check(
        """
        0     asr open
        500   caller speaks
        1400  asr partial "book it for ten."
        1500  caller quiet
        1620  timer                                   -> llm r1 "book it for ten."
        1630  end done
        1640  asr final "book it for two."                      -> clear r1, cancel r1
        2200  timer                                   -> open r2, llm r2 "book it for two."
        2300  llm r2 done                             -> hang up done
        """
    )


def test_a_transfer_that_was_asked_for_stands_though_an_end_is_asked_for_behind_it() -> None:
    check(
        """
        100   say "One."                              -> open r1, tts r1 "One."
        110   transfer +15550001111
        120   end done
        200   tts r1 c1 done 300
        210   playing r1
        520   played r1 300                           -> transfer +15550001111
        """
    )


def test_a_goodbye_that_cannot_be_spoken_still_ends_the_call() -> None:
    state = check(
        """
        0     asr open
        100   end done text="Goodbye!"                -> open r1, tts r1 "Goodbye!"
        200   tts r1 c1 failed rejected               -> cancel tts r1, clear r1, cancel tts r1, hang up done
        """
    )
    assert state.response.past[-1].cause is Cause.GOODBYE
    assert state.response.past[-1].end is RunEnd.FAILED
    assert state.response.failures == 1


def test_a_session_without_a_recogniser_has_none_to_stop() -> None:
    state = check('50\n100 session ended ""', Setup(llm=("model",)))
    assert state.ended == "ended"


def test_a_run_that_the_end_of_the_call_stopped_was_closed() -> None:
    state = check(SPEAKING + "\n2200 session ended gone -> clear r1, cancel r1, stop asr")
    assert state.response.past[-1].end is RunEnd.CLOSED
