"""What happens when a language model fails."""

import pytest
from msgspec.structs import replace

from engine.core.commands import Commands
from engine.core.events import AdapterFailed, Event
from engine.core.policy import Policy, Setup, ToolSpec
from engine.core.state import Cause, RunEnd, State
from engine.core.units import MS, SECOND
from tests.script import check, play

GIVEN = Setup(llm=("model", "spare"), tts=("voice",), policy=Policy(llm_hedge_ns=600 * MS))
CALLED = Setup(asr=("ear",), llm=("model", "spare"), tts=("voice",))
RESTED = Setup(llm=("model", "spare"), tts=("voice",), policy=Policy(idle_ns=0))
THREE = Setup(llm=("model", "spare", "third"), tts=("voice",), policy=Policy(idle_ns=0))
MADE = Setup(asr=("ear",), llm=("model",), tts=("voice",))


def test_a_failed_model_is_asked_once_more_and_then_the_next() -> None:
    state = check(
        """
        500   typed "hello"                           -> open r1, llm r1 "hello"  [Generating]
        600   llm r1 failed unavailable
        785   timer                                   -> llm r1 "hello"
        1000
        1010  llm r1 failed unavailable               -> llm r1 "hello" by=spare
        1200  llm r1 "Hi."
        """,
        CALLED,
    )
    assert state.response.run is not None
    assert state.response.run.provider == 1


def test_a_model_that_refuses_is_not_asked_again() -> None:
    state = check(
        """
        500   typed "hello"                           -> open r1, llm r1 "hello"  [Generating]
        600   llm r1 failed rejected                  -> llm r1 "hello" by=spare
        """,
        CALLED,
    )
    assert state.response.run is not None
    assert state.response.run.provider == 1


def test_a_wait_that_is_too_long_is_not_waited() -> None:
    state = check(
        """
        500   typed "hello"                           -> open r1, llm r1 "hello"  [Generating]
        600   llm r1 failed rate_limited retry=60000  -> llm r1 "hello" by=spare
        """,
        CALLED,
    )
    assert state.response.run is not None
    assert state.response.run.provider == 1


def test_a_silent_model_has_failed() -> None:
    state = check(
        """
        500   typed "hello"                           -> open r1, llm r1 "hello"  [Generating]
        5000  timer                                   -> stop asr
        5200  timer                                   -> asr e2
        5500  timer                                   -> cancel llm r1, llm r1 "hello" by=spare
        6000
        """,
        replace(CALLED, policy=Policy(llm_hedge_ns=0, llm_filler_ns=0)),
    )
    assert state.response.run is not None
    assert state.response.run.provider == 1


def test_a_model_that_stalls_in_the_middle_is_continued_by_the_next_from_the_text_at_hand() -> None:
    state = check(
        """
        500   typed "hello"                           -> open r1, llm r1 "hello"  [Generating]
        600   llm r1 "It is noon. And"                -> tts r1 "It is noon."
        700   llm r1 failed rejected                  -> llm r1 system "Your last answer broke off where it ends above. Go on from exactly there; do not repeat what was said." by=spare
        """,
        CALLED,
    )
    assert state.response.run is not None


def test_when_no_model_is_left_the_agent_apologises_and_the_call_goes_on() -> None:
    state = check(
        """
        500   typed "hello"                           -> open r1, llm r1 "hello"  [Generating]
        600   llm r1 failed rejected                  -> llm r1 "hello" by=spare
        700   llm r1 failed rejected by=spare         -> tts r1 "I'm sorry, I had a problem there.", tts r1 "Could you say that again?"
        800   tts r1 c1 done 900
        805   tts r1 c2 done 900
        810   playing r1                               [Speaking]
        2610  played r1 1800                           [Idle]
        """,
        CALLED,
    )
    assert state.response.failures == 1
    assert state.response.past[-1].end is RunEnd.FAILED
    assert state.conversation.messages[-1].text == state.setup.policy.apology


def test_three_failed_runs_in_a_row_end_the_call_with_a_farewell() -> None:
    state = check(
        """
        500   typed "one"                             -> open r1, llm r1 "one"  [Generating]
        600   llm r1 failed rejected                  -> tts r1 "I'm sorry, I had a problem there.", tts r1 "Could you say that again?"
        610   tts r1 c1 done 100
        611   tts r1 c2 done 100
        620   playing r1                               [Speaking]
        830   played r1 200                            [Idle]
        900   typed "two"                             -> open r2, llm r2 "two"  [Generating]
        910   llm r2 failed rejected                  -> tts r2 "I'm sorry, I had a problem there.", tts r2 "Could you say that again?"
        920   tts r2 c1 done 100
        921   tts r2 c2 done 100
        930   playing r2                               [Speaking]
        1140  played r2 200                            [Idle]
        1200  typed "three"                           -> open r3, llm r3 "three"  [Generating]
        1210  llm r3 failed rejected                  -> tts r3 "I'm sorry, I had a problem there.", tts r3 "Could you say that again?"
        1220  tts r3 c1 done 100
        1221  tts r3 c2 done 100
        1230  playing r3                               [Speaking]
        1440  played r3 200                           -> open r4, tts r4 "I'm sorry, I'm having technical trouble.", tts r4 "Please call again later.", tts r4 "Goodbye."  [Generating]
        1500  tts r4 c1 done 100
        1501  tts r4 c2 done 100
        1502  tts r4 c3 done 100
        1510  playing r4                               [Speaking]
        1550  caller speaks
        1600  asr partial "hello?"
        1820  played r4 300                           -> hang up "technical trouble"  [Transcribing]
        """,
        MADE,
    )
    assert state.response.past[-1].cause is Cause.FAREWELL
    assert state.response.ending == "technical trouble"


def test_a_model_with_a_known_outage_is_not_asked_while_another_is_left() -> None:
    state = check(
        """
        100   outages {"llm":["model"]}
        500   typed "hello"                           -> open r1, llm r1 "hello" by=spare  [Generating]
        600   llm r1 failed unavailable by=spare
        785   timer                                   -> llm r1 "hello" by=spare
        900   llm r1 failed unavailable by=spare      -> llm r1 "hello"
        """,
        GIVEN,
    )
    assert state.response.run is not None
    assert state.response.run.provider == 0, "when nobody else is left, it is asked all the same"


def test_where_all_models_are_out_the_first_is_asked_and_the_call_goes_on() -> None:
    state = check(
        """
        100   outages {"llm":["model","spare"]}
        500   typed "hello"                           -> open r1, llm r1 "hello"  [Generating]
        600   llm r1 failed unavailable               -> llm r1 "hello" by=spare
        700   llm r1 "Hi."
        """,
        GIVEN,
    )
    assert state.response.run is not None
    assert state.response.run.provider == 1


def test_a_single_model_is_asked_whatever_is_known_of_it() -> None:
    check(
        """
        100   outages {"llm":["model"]}
        500   typed "hello"                           -> open r1, llm r1 "hello"  [Generating]
        600   llm r1 failed unavailable
        785   timer                                   -> llm r1 "hello"
        """,
        MADE,
    )


def test_a_model_found_out_while_it_is_awaited_is_not_waited_for() -> None:
    state = check(
        """
        500   typed "hello"                           -> open r1, llm r1 "hello"  [Generating]
        700   outages {"llm":["model"]}       -> llm r1 "hello" by=spare
        750   outages {"llm":["model","x"]}
        900   llm r1 q2 "Hi."                         -> cancel llm r1 q1
        """,
        GIVEN,
    )
    assert state.response.resting == (0,)


def test_a_retry_of_a_model_found_out_meanwhile_is_not_made() -> None:
    state = check(
        """
        500   typed "hello"                           -> open r1, llm r1 "hello"  [Generating]
        600   llm r1 failed unavailable
        650   outages {"llm":["spare"]}
        700   outages {"llm":["model"]}       -> llm r1 "hello" by=spare
        900   llm r1 "Hi."
        """,
        GIVEN,
    )
    assert state.response.run is not None
    assert state.response.run.tried == (0,)


def test_a_model_that_is_speaking_is_heard_out_whatever_is_known_of_it() -> None:
    check(
        """
        500   typed "hello"                           -> open r1, llm r1 "hello"  [Generating]
        600   llm r1 "It is"
        700   outages {"llm":["model"]}
        800   llm r1 " noon. And"                     -> tts r1 "It is noon."
        """,
        GIVEN,
    )


def test_a_model_given_up_in_a_call_is_asked_after_the_others_for_a_while() -> None:
    state = check(
        """
        500   typed "hello"                           -> open r1, llm r1 "hello"  [Generating]
        600   llm r1 failed rejected                  -> llm r1 "hello" by=spare
        700   llm r1 "Hi."
        710   llm r1 done                             -> tts r1 "Hi."
        800   tts r1 c1 done 500
        810   playing r1                               [Speaking]
        1310  played r1 500                            [Idle]
        2000  typed "again"                           -> open r2, llm r2 "again" by=spare  [Generating]
        2100  llm r2 "Hi."
        2110  llm r2 done                             -> tts r2 "Hi."
        2200  tts r2 c1 done 500
        2210  playing r2                               [Speaking]
        2710  played r2 500                            [Idle]
        30600 typed "and now"                         -> open r3, llm r3 "and now"  [Generating]
        """,
        RESTED,
    )
    assert state.response.run is not None
    assert state.response.run.provider == 0


def test_two_models_given_up_are_both_asked_after_the_third() -> None:
    check(
        """
        500   typed "hello"                           -> open r1, llm r1 "hello"
        600   llm r1 failed rejected                  -> llm r1 "hello" by=spare
        700   llm r1 failed rejected by=spare         -> llm r1 "hello" by=third
        800   llm r1 "Hi."
        900   llm r1 done                             -> tts r1 "Hi."
        1000  tts r1 c1 done 500
        1010  playing r1
        1510  played r1 500
        2000  typed "again"                           -> open r2, llm r2 "again" by=third
        """,
        THREE,
    )


def test_a_rest_that_is_over_is_not_begun_again_with_the_next_one() -> None:
    state = check(
        """
        500   typed "hello"                           -> open r1, llm r1 "hello"
        600   llm r1 failed rejected                  -> llm r1 "hello" by=spare
        700   llm r1 "Hi."
        710   llm r1 done                             -> tts r1 "Hi."
        800   tts r1 c1 done 500
        810   playing r1
        1310  played r1 500
        30600 outages {"llm":["model"]}
        30600 typed "again"                           -> open r2, llm r2 "again" by=spare
        30600 llm r2 failed rejected by=spare         -> llm r2 "again" by=third
        """,
        THREE,
    )
    assert state.response.resting == (1,)


def test_of_two_models_asked_in_one_moment_neither_is_outrun() -> None:
    state = check(
        """
        500   typed "hello"                           -> open r1, llm r1 "hello"
        500   outages {"llm":["model"]}               -> llm r1 "hello" by=spare
        900   llm r1 q2 "Hi."                         -> cancel llm r1 q1
        """,
        GIVEN,
    )
    assert state.response.resting == ()


def test_no_third_model_is_asked_for_an_outage_while_two_are_awaited() -> None:
    check(
        """
        500   typed "hello"                           -> open r1, llm r1 "hello"
        700   outages {"llm":["model"]}               -> llm r1 "hello" by=spare
        750   outages {"llm":["model","spare"]}
        """,
        THREE,
    )


def test_an_outage_of_another_model_is_nothing_to_the_one_that_is_awaited() -> None:
    check(
        """
        500   typed "hello"                           -> open r1, llm r1 "hello"
        700   outages {"llm":["third"]}
        """,
        THREE,
    )


def test_a_model_chosen_for_an_outage_has_all_its_tries() -> None:
    check(
        """
        500   typed "hello"                           -> open r1, llm r1 "hello"
        600   llm r1 failed unavailable
        700   outages {"llm":["model"]}               -> llm r1 "hello" by=spare
        800   llm r1 failed unavailable by=spare
        961.6 timer                                   -> llm r1 "hello" by=spare
        """,
        GIVEN,
    )


def test_a_run_whose_model_is_out_by_its_next_round_goes_on_with_one_it_has_not_given_up() -> None:
    check(
        """
        500   typed "hello"                           -> open r1, llm r1 "hello"
        600   llm r1 failed rejected                  -> llm r1 "hello" by=spare
        700   llm r1 calls look_up {}                 -> tool r1 t1 look_up {}
        710   llm r1 done tool_calls
        800   outages {"llm":["spare"]}
        1500  tool t1 {}                              -> llm r1 tool "{}" by=third
        """,
        replace(THREE, tools=(ToolSpec("look_up"),)),
    )


def test_a_model_that_a_hedge_outran_is_asked_after_the_others_for_a_while() -> None:
    state = check(
        """
        500   typed "hello"                           -> open r1, llm r1 "hello"  [Generating]
        1100  timer                                   -> llm r1 "hello" by=spare
        1400  llm r1 calls look_up {}                 -> cancel llm r1 q1, tool r1 t1 look_up {} timeout=20000
        1450  llm r1 q2 done tool_calls
        1500  tool t1 {}                              -> llm r1 tool "{}" by=spare
        """,
        replace(GIVEN, tools=(ToolSpec("look_up"),)),
    )
    assert state.response.resting == (0,)


def test_the_first_model_is_not_outrun_by_answering_before_its_hedge() -> None:
    state = check(
        """
        500   typed "hello"                           -> open r1, llm r1 "hello"  [Generating]
        1100  timer                                   -> llm r1 "hello" by=spare
        1200  llm r1 q1 "Hi."                         -> cancel llm r1 q2
        """,
        GIVEN,
    )
    assert state.response.resting == ()


def test_a_model_is_asked_once_more_although_its_hedge_has_failed() -> None:
    state = check(
        """
        500   typed "hello"                           -> open r1, llm r1 "hello"  [Generating]
        1100  timer                                   -> llm r1 "hello" by=spare
        1200  llm r1 q2 failed unavailable by=spare
        1300  llm r1 q1 failed unavailable
        1485  timer                                   -> llm r1 "hello" by=model
        """,
        GIVEN,
    )
    assert state.response.run is not None
    assert state.response.run.tried == (1,)


def test_one_good_answer_makes_the_failures_before_it_forgotten() -> None:
    state = check(
        """
        500   typed "one"                             -> open r1, llm r1 "one"
        600   llm r1 failed rejected
        700   typed "two"                             -> open r2, llm r2 "two"
        710   llm r2 failed rejected
        800   typed "three"                           -> open r3, llm r3 "three"
        810   llm r3 "Yes."
        820   llm r3 done                              [Idle]
        900   typed "four"                            -> open r4, llm r4 "four"
        910   llm r4 failed rejected                   [Idle]
        """,
        Setup(llm=("model",)),
    )
    assert state.response.failures == 1


def test_a_guess_that_failed_is_not_made_again_and_the_turn_itself_asks() -> None:
    state = check(
        """
        0     asr open
        500   caller speaks
        1400  asr final "what time is it?"
        1500  caller quiet
        1620  timer                                   -> llm r1 "what time is it?"
        1700  llm r1 failed unavailable               -> clear r1, cancel tts r1  [Transcribing]
        1850  timer                                   -> open r2, llm r2 "what time is it?"  [Generating]
        1900  llm r2 "Noon."
        1910  llm r2 done                             -> tts r2 "Noon."
        2000  tts r2 c1 done 400
        2010  playing r2
        2410  played r2 400                            [Idle]
        """,
        CALLED,
    )
    assert [(run.number, run.end) for run in state.response.past] == [(1, RunEnd.SUPERSEDED), (2, RunEnd.FINISHED)]
    assert state.response.failures == 0


def test_the_voice_of_a_guess_stops_with_its_model() -> None:
    check(
        """
        0     asr open
        500   caller speaks
        1400  asr final "what time is it?"
        1500  caller quiet
        1620  timer                                   -> llm r1 "what time is it?"
        1650  llm r1 "It is noon. "                   -> tts r1 "It is noon."
        1700  llm r1 failed unavailable               -> clear r1, cancel tts r1
        """
    )


def test_a_slow_model_is_waited_for_where_the_next_one_is_out() -> None:
    check(
        """
        100   outages {"llm":["spare"]}
        500   typed "hello"                           -> open r1, llm r1 "hello" by=model
        2000
        """,
        GIVEN,
    )


def test_a_model_is_asked_again_at_once_where_no_wait_is_wanted() -> None:
    check(
        """
        500   typed "hello"                           -> open r1, llm r1 "hello"
        5500  timer                                   -> cancel llm r1, llm r1 "hello"
        """,
        Setup(llm=("model",), tts=("voice",), policy=Policy(retry_ns=0, llm_filler_ns=0)),
    )


def test_when_one_of_two_hedged_models_fails_the_other_goes_on() -> None:
    check(
        """
        500   typed "hello"                           -> open r1, llm r1 "hello"
        1100  timer                                   -> llm r1 "hello" by=spare
        1200  llm r1 q1 failed rejected
        1300  llm r1 q2 "Hi."
        1400  llm r1 q2 done                          -> tts r1 "Hi."
        """,
        GIVEN,
    )


def test_when_both_of_two_hedged_models_fail_the_agent_apologises() -> None:
    check(
        """
        500   typed "hello"                           -> open r1, llm r1 "hello"
        1100  timer                                   -> llm r1 "hello" by=spare
        1200  llm r1 q1 failed rejected
        1300  llm r1 q2 failed rejected               -> tts r1 "I'm sorry, I had a problem there.", tts r1 "Could you say that again?"
        """,
        GIVEN,
    )


def test_a_model_that_fails_after_it_called_a_tool_is_not_asked_before_the_tool_has_answered() -> None:
    check(
        """
        500   typed "hello"                           -> open r1, llm r1 "hello"
        600   llm r1 calls look_up {}                 -> tool r1 t1 look_up {}
        700   llm r1 failed unavailable
        2000  tool t1 {}                              -> llm r1 tool "{}"
        """,
        replace(MADE, asr=(), tools=(ToolSpec("look_up"),)),
    )


def test_each_further_try_waits_twice_as_long_and_the_next_model_has_tries_of_its_own() -> None:
    waits = retries(
        """
        500   typed "hello"
        1000  llm r1 failed unavailable
        3000  llm r1 failed unavailable
        5000  llm r1 failed unavailable
        7000  llm r1 failed unavailable
        9000  llm r1 failed unavailable
        11000 llm r1 failed unavailable
        13000 llm r1 failed unavailable
        15000 llm r1 failed unavailable
        """,
        replace(CALLED, asr=(), policy=Policy(retries=3, llm_first_ns=60 * SECOND)),
    )
    assert [provider for provider, _ in waits] == [0, 0, 0, 1, 1, 1]
    for (_, wait), expected in zip(waits, (200, 400, 800, 200, 400, 800), strict=True):
        assert 0.8 * expected * MS <= wait <= 1.2 * expected * MS


def test_calls_that_failed_together_do_not_come_back_together() -> None:
    script = """
        500   typed "hello"
        1000  llm r1 failed unavailable
        3000
    """
    waits = [retries(script, replace(MADE, asr=()), seed=seed)[0][1] for seed in range(100)]
    assert min(waits) >= 160 * MS
    assert max(waits) <= 240 * MS
    assert min(waits) < 165 * MS
    assert max(waits) > 235 * MS
    assert len(set(waits)) > 75


def retries(script: str, setup: Setup, *, seed: int = 0) -> list[tuple[int, int]]:
    """The waits before the same model was asked again: (provider, nanoseconds)."""
    waits: list[tuple[int, int]] = []

    def watch(event: Event, before: State, after: State, commands: Commands) -> None:
        run = after.response.run
        if isinstance(event, AdapterFailed) and run is not None and run.retry_at is not None:
            waits.append((run.provider, run.retry_at - after.at))

    play(script, setup, seed=seed, observer=watch)
    return waits


def test_a_wait_that_the_model_asked_for_is_kept() -> None:
    check(
        """
        500   typed "hello"                           -> open r1, llm r1 "hello"
        600   llm r1 failed rate_limited retry=1500
        2100  timer                                   -> llm r1 "hello"
        """,
        replace(CALLED, asr=()),
    )


def test_the_next_model_may_be_hedged_as_the_first_was() -> None:
    check(
        """
        500   typed "hello"                           -> open r1, llm r1 "hello"
        1100  timer                                   -> llm r1 "hello" by=second
        1200  llm r1 q1 failed rejected
        1300  llm r1 q2 failed rejected               -> llm r1 "hello" by=third
        1900  timer                                   -> llm r1 "hello" by=fourth
        2900
        """,
        replace(GIVEN, llm=("first", "second", "third", "fourth")),
    )


def test_an_apology_is_whole_however_the_answer_began() -> None:
    """Some models begin with empty lines; the ledger counts every character of them."""
    state = check(
        r"""
        500   typed "hello"                           -> open r1, llm r1 "hello"
        600   llm r1 "\n\nIt is noon. And"              -> tts r1 "It is noon."
        700   llm r1 failed rejected                  -> tts r1 "I'm sorry, I had a problem there.", tts r1 "Could you say that again?"
        """,
        MADE,
    )
    assert state.response.run is not None
    assert state.response.run.text == f"\n\nIt is noon. {state.setup.policy.apology}"


def test_an_apology_without_markup_stands_alone_where_nothing_was_said() -> None:
    state = check(
        """
        500   typed "hello"                           -> open r1, llm r1 "hello"
        700   llm r1 failed rejected                  -> tts r1 "Oh dear."
        """,
        replace(MADE, policy=Policy(apology="**Oh dear.**")),
    )
    assert state.response.run is not None
    assert state.response.run.text == "Oh dear."


@pytest.mark.parametrize("llm", [("model",), ("model", "spare")])
def test_a_model_that_is_given_no_time_at_all_has_failed_at_once(llm: tuple[str, ...]) -> None:
    state = play('500 typed "hello"', Setup(llm=llm, policy=Policy(llm_first_ns=0, retries=0))).state
    assert state.response.past[-1].text == state.setup.policy.apology
