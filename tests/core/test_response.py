"""When a run begins and how it ends."""

import pytest
from msgspec.structs import replace

from engine.core.policy import Policy, Setup
from engine.core.response import SAYS_MAX
from engine.core.state import Cause, Phase, RunEnd
from engine.core.units import LIMITS, MS
from tests.core.calls import ASKED, SPEAKING
from tests.script import SETUP, check, play


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
    assert state.response.past[0].end is RunEnd.SUPERSEDED
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


def test_one_who_answers_is_talked_to_where_there_is_a_message_and_a_machine_where_there_is_none() -> None:
    script = """
        0     asr open
        100   answered {who}
        500   typed "hello"                           -> open r1, llm r1 "hello"
    """
    check(script.format(who="human"), replace(MACHINE, greeting=""))
    check(script.format(who="machine"), SETUP)


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
    closed = state.response.past[-1]
    assert (closed.end, closed.ended_at, closed.requests) == (RunEnd.CLOSED, 2_200 * MS, ())


def test_a_detector_that_sticks_holds_back_a_text_for_a_while_only() -> None:
    check(
        """
        0     asr open
        500   caller speaks
        1000  say "Hello."
        8500  timer                                   -> open r1, tts r1 "Hello."
        8600  tts r1 c1 done 3000
        8610  playing r1
        11610 played r1 3000
        12000
        """
    )


def test_a_voice_that_went_on_through_its_turn_holds_back_a_text_from_then() -> None:
    check(
        """
        0     asr open
        500   caller speaks
        1400  asr end "what time is it?"              -> open r1, llm r1 "what time is it?"
        1500  say "By the way."
        1600  llm r1 "Noon."
        1610  llm r1 done                             -> tts r1 "Noon."
        1700  tts r1 c1 done 200
        1710  playing r1
        1910  played r1 200                            [Listening]
        9400  timer                                   -> open r2, tts r2 "By the way."
        """
    )


@pytest.mark.parametrize("text", ["", "  "])
def test_a_text_without_words_is_not_said(text: str) -> None:
    state = check(f'100 say "{text}"')
    assert state.response.runs == 0


def test_texts_are_said_without_markup_and_no_longer_than_an_answer_may_be() -> None:
    check('100 say "**Hello** there." -> open r1, tts r1 "Hello there."')
    state = play(f'100 say "{"x" * (LIMITS.response_chars + 1)}"', Setup()).state
    assert len(state.response.past[-1].text) == LIMITS.response_chars


def test_of_too_many_texts_the_oldest_are_dropped() -> None:
    says = "".join(f'{200 + number} say "{number}"\n' for number in range(SAYS_MAX + 1))
    state = play(f'100 say "Now."\n{says}').state
    assert [say.text for say in state.response.says] == [str(number) for number in range(1, SAYS_MAX + 1)]


def test_so_many_guesses_are_made_for_one_turn_and_the_next_turn_has_its_own() -> None:
    check(
        """
        0     asr open
        500   caller speaks
        1400  asr partial "book it."
        1500  caller quiet
        1620  timer                                   -> llm r1 "book it."
        1630  asr partial "book it now."              -> clear r1, cancel r1, llm r2 "book it now."
        1640  asr partial "book it today."            -> clear r2, cancel r2, llm r3 "book it today."
        1645  asr partial "book it tonight."          -> clear r3, cancel r3
        1650  timer                                   -> finalize
        1700  asr final "book it here."
        1850  timer                                   -> open r4, llm r4 "book it here."
        1900  llm r4 done
        2500  caller speaks
        3400  asr partial "and thanks."
        3500  caller quiet
        3620  timer                                   -> llm r5 "book it here. and thanks."
        3640  asr partial "and thank you."            -> clear r5, cancel r5, llm r6 "book it here. and thank you."
        3650  timer                                   -> finalize
        3700  asr final "and thank you."
        3850  timer                                   -> open r6
        """,
        replace(SETUP, policy=Policy(guesses=3)),
    )


def test_without_speculation_nothing_is_guessed() -> None:
    check(
        """
        0     asr open
        500   caller speaks
        1400  asr final "book it."
        1500  caller quiet
        1850  timer                                   -> open r1, llm r1 "book it."
        """,
        replace(SETUP, policy=Policy(speculate=False)),
    )


@pytest.mark.parametrize(
    "instead",
    ['say "Just a second."', "key 4", "end done text=Bye"],
)
def test_nothing_is_guessed_while_something_else_is_due(instead: str) -> None:
    state = play(
        f"""
        0     asr open
        500   caller speaks
        1400  asr final "book it."
        1500  caller quiet
        1510  {instead}
        1800
        """
    ).state
    assert state.response.runs == 0


def test_without_a_model_nothing_is_guessed_or_answered() -> None:
    state = play(
        '0 asr open\n500 caller speaks\n1400 asr final "book it."\n1500 caller quiet\n4000', replace(SETUP, llm=())
    ).state
    assert (state.turn.taken, state.response.answered, state.response.runs) == (1, 1, 0)


def test_a_line_that_stays_away_ends_the_call_also_while_something_is_said() -> None:
    state = check(
        SPEAKING
        + """
        2100  line lost                               -> pause r1
        62100 timer                                   -> hang up "line lost"
        70000
        """,
        replace(SETUP, policy=Policy(llm_stall_ns=100_000 * MS)),
    )
    assert state.response.ending == "line lost"


def test_nothing_is_begun_while_nobody_is_on_the_line_or_after_the_end() -> None:
    check(
        """
        100   line lost
        200   say "Hello."
        300   line back                               -> open r1, tts r1 "Hello."
        400   tts r1 c1 done 100
        410   playing r1
        420   end done
        510   played r1 100                           -> hang up done
        600   say "More."
        700   typed "hello?"
        """
    )


def test_lost_recognition_is_apologised_for_once_and_an_idle_prompt_is_a_prompt() -> None:
    state = play("0 asr open\n12000", SETUP).state
    assert state.response.run is not None
    assert (state.response.run.cause, state.response.prompted) == (Cause.IDLE, 1)
    state = play("0 asr open\n100 asr failed unavailable\n300 asr failed unavailable\n6000", SETUP).state
    assert state.response.run is not None
    assert (state.response.run.cause, state.response.apologised) == (Cause.SAY, 1)
    assert state.response.run.text == state.setup.policy.apology


def test_keys_are_answered_before_a_text_that_waits() -> None:
    check(
        """
        100   key 4
        200   say "By the way."
        2100  timer                                   -> open r1, llm r1 "4"
        """
    )


def test_a_run_tells_what_it_answers() -> None:
    answer = play('500 typed "what time is it?"').state.response.run
    assert answer is not None
    assert (answer.cause, answer.turn, answer.prompt) == (Cause.TURN, 1, "what time is it?")
    again = play("0 asr open\n500 caller speaks\n1800 caller quiet\n3100").state.response.run
    assert again is not None
    assert (again.cause, again.turn) == (Cause.UNHEARD, 0)


def test_a_goodbye_waits_for_the_caller_who_speaks_as_the_longest_call_ends() -> None:
    state = check(
        """
        0     asr open
        4000  caller speaks
        4500  asr partial "and"
        6000
        """,
        replace(SETUP, policy=Policy(call_ns_max=5_000 * MS)),
    )
    assert [say.then_end for say in state.response.says] == ["nobody there"]


def test_a_goodbye_is_said_once_and_cannot_be_cut() -> None:
    state = play("0 asr open\n3600000\n", SETUP).state
    goodbyes = [run for run in (*state.response.past, state.response.run) if run and run.cause is Cause.GOODBYE]
    assert len(goodbyes) == 1
    assert not goodbyes[0].interruptible
    assert goodbyes[0].then_end == "nobody there"


def test_a_greeting_that_must_be_heard_cannot_be_cut() -> None:
    check(
        """
        0     asr open
        100   tts r1 c1 done 900
        110   playing r1
        300   caller speaks
        700   asr partial "wait"
        """,
        replace(SETUP, greeting="This call is recorded.", greeting_interruptible=False),
    )


@pytest.mark.parametrize("pending", ["caller speaks", 'asr partial "and also"', "key 4"])
def test_a_turn_that_waited_for_the_floor_waits_for_what_the_caller_adds(pending: str) -> None:
    state = check(
        f"""
        0     asr open
        100   say "This call is recorded." interruptible=no -> open r1, tts r1
        200   tts r1 c1 done 2000
        210   playing r1
        500   caller speaks
        900   asr final "what time is it?"
        1000  caller quiet
        1600
        1900  {pending}
        2000  played r1 2000
        """
    )
    assert (state.turn.taken, state.response.answered) == (1, 0)


def test_a_turn_that_waited_for_a_detector_that_sticks_is_answered_after_a_while() -> None:
    check(
        """
        0     asr open
        100   say "This call is recorded." interruptible=no -> open r1, tts r1
        200   tts r1 c1 done 2000
        210   playing r1
        500   caller speaks
        900   asr final "what time is it?"
        1000  caller quiet
        1900  caller speaks
        2210  played r1 2000
        9900  timer                                   -> open r2, llm r2 "what time is it?"
        """
    )


def test_a_voice_counts_against_an_answer_from_where_the_answer_began() -> None:
    """A detector tells of a voice a little after its onset."""
    check(
        """
        0     asr open
        500   caller speaks
        1400  asr final "I need some help"
        1500  caller quiet
        1620  timer                                   -> llm r1 "I need some help"
        2200  timer                                   -> open r1
        2240  caller speaks @2150
        2320  timer                                   -> pause r1
        """
    )
    check(
        """
        0     asr open
        500   caller speaks
        1400  asr final "I need some help"
        1500  caller quiet
        2200  timer                                   -> open r1, llm r1 "I need some help"
        2240  caller speaks @2150
        2320  timer                                   -> pause r1
        """,
        replace(SETUP, policy=Policy(speculate=False)),
    )
    check(
        """
        0     asr open
        500   caller speaks
        1800  caller quiet
        1950  timer                                   -> finalize
        3000  timer                                   -> open r1, tts r1 "Sorry, I didn't catch that."
        3040  caller speaks @2950
        3120  timer                                   -> pause r1
        """
    )


def test_final_words_that_could_go_on_are_guessed_while_their_wait_runs() -> None:
    check(
        """
        0     asr open
        500   caller speaks
        1400  asr partial "I need some help"
        1500  caller quiet
        1650  timer                                   -> finalize
        1900  asr final "I need some help"            -> llm r1 "I need some help"
        2200  timer                                   -> open r1
        """
    )


def test_words_without_a_final_that_could_go_on_are_not_guessed() -> None:
    check(
        """
        0     asr open
        500   caller speaks
        1400  asr partial "I need some help"
        1500  caller quiet
        1650  timer                                   -> finalize
        2450  timer                                   -> open r1, llm r1 "I need some help"
        """
    )


def test_a_final_of_the_voice_before_is_no_reason_to_guess() -> None:
    check(
        """
        0     asr open
        500   caller speaks
        900   asr final "I need"
        1000  caller quiet
        1120  timer                                   -> llm r1 "I need"
        1300  caller speaks
        1400  asr partial "help"                      -> clear r1, cancel r1
        1500  caller quiet
        1600  asr partial ""
        1650  timer                                   -> finalize
        1700
        """
    )


def test_final_words_that_plainly_go_on_are_not_guessed() -> None:
    check(
        """
        0     asr open
        500   caller speaks
        1400  asr final "I need help and"
        1500  caller quiet
        3300  timer                                   -> open r1, llm r1 "I need help and"
        """
    )


def test_a_guess_that_holds_is_the_answer_to_its_turn() -> None:
    state = check(ASKED)
    assert state.response.run is not None
    assert (state.response.run.committed, state.response.run.turn) == (True, 1)


def test_a_guess_of_other_words_than_the_recogniser_ends_the_turn_with_is_superseded() -> None:
    state = check(
        """
        0     asr open
        500   caller speaks
        1400  asr partial "book it for ten."
        1500  caller quiet
        1620  timer                                   -> llm r1 "book it for ten."
        1640  asr end "book it for ten thirty."       -> clear r1, cancel r1, open r2, llm r2 "book it for ten thirty."
        """
    )
    assert state.response.past[-1].end is RunEnd.SUPERSEDED
