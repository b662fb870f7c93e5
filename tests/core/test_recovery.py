"""What happens when a language model fails."""

from msgspec.structs import replace

from engine.core.policy import Policy, Setup, ToolSpec
from engine.core.state import RunEnd
from engine.core.units import MS
from tests.script import check

CALLED = Setup(asr=("ear",), llm=("model", "spare"), tts=("voice",))
GIVEN = Setup(llm=("model", "spare"), tts=("voice",), policy=Policy(llm_hedge_ns=600 * MS))
RESTED = Setup(llm=("model", "spare"), tts=("voice",), policy=Policy(idle_ns=0))
MADE = Setup(llm=("model",), tts=("voice",))


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
        CALLED,
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
        1820  played r4 300                           -> hang up "technical trouble"  [Idle]
        """,
        MADE,
    )
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
        30700 typed "and now"                         -> open r3, llm r3 "and now"  [Generating]
        """,
        RESTED,
    )
    assert state.response.run is not None
    assert state.response.run.provider == 0


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
        1485  timer                                   -> llm r1 "hello"
        """,
        GIVEN,
    )
    assert state.response.run is not None
    assert state.response.run.tried == (1,)
