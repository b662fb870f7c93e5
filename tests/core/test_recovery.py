"""What happens when a language model fails."""

from engine.core.policy import Setup
from engine.core.state import RunEnd
from tests.script import check

CALLED = Setup(asr=("ear",), llm=("model", "spare"), tts=("voice",))
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
