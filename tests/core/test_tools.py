"""Tool calls: each has exactly one result."""

from engine.core.commands import Role
from engine.core.policy import OnInterrupt, Setup, ToolSpec
from engine.core.state import CallState, Cause
from engine.core.units import MS
from tests.script import check

CALLED = Setup(
    asr=("ear",),
    llm=("model",),
    tts=("voice",),
    tools=(
        ToolSpec("look_up"),
        ToolSpec("search", on_interrupt=OnInterrupt.DETACH),
        ToolSpec("slow", timeout_ns=2_000 * MS, filler="Let me see."),
    ),
)


def test_a_tool_that_does_not_exist_has_failed_at_once() -> None:
    state = check(
        """
        500   typed "hello"                           -> open r1, llm r1 "hello"  [Generating]
        810   llm r1 calls no_such_tool {}
        820   llm r1 done tool_calls                  -> llm r1 tool "error: there is no tool named 'no_such_tool'"
        """,
        CALLED,
    )
    assert state.tools.calls[0].state is CallState.FAILED


def test_a_tool_that_never_answers_is_given_up_and_the_filler_is_said_meanwhile() -> None:
    state = check(
        """
        500   typed "hello"                           -> open r1, llm r1 "hello"  [Generating]
        810   llm r1 calls slow {}                    -> tool r1 t1 slow {} timeout=2000
        820   llm r1 done tool_calls
        2310  timer                                   -> tts r1 "Let me see."
        2810  timer                                   -> cancel tool t1, llm r1 tool "error: the tool did not answer in time"
        3000
        """,
        CALLED,
    )
    assert state.tools.calls[0].state is CallState.TIMED_OUT


def test_a_second_result_is_stale() -> None:
    state = check(
        """
        500   typed "hello"                           -> open r1, llm r1 "hello"  [Generating]
        810   llm r1 calls look_up {}                 -> tool r1 t1 look_up {} timeout=20000
        820   llm r1 done tool_calls
        900   tool t1 {}                              -> llm r1 tool "{}"
        910   tool t1 {}
        """,
        CALLED,
    )
    assert state.counters.stale == 1


def test_a_broken_tool_is_a_result_for_the_model() -> None:
    state = check(
        """
        500   typed "hello"                           -> open r1, llm r1 "hello"  [Generating]
        810   llm r1 calls look_up {}                 -> tool r1 t1 look_up {} timeout=20000
        820   llm r1 done tool_calls
        900   tool q1 failed protocol by=look_up      -> llm r1 tool "error: the tool failed (protocol)"
        """,
        CALLED,
    )
    assert state.tools.calls[0].state is CallState.FAILED


def test_a_detached_tool_tells_its_result_when_the_floor_is_free() -> None:
    state = check(
        """
        0     asr open                                 [Idle]
        500   typed "find a hotel"                    -> open r1, llm r1 "find a hotel"  [Generating]
        810   llm r1 calls search {}                  -> tool r1 t1 search {} timeout=20000
        820   llm r1 done tool_calls
        1000  caller speaks
        1120  timer                                   -> pause r1
        1300  asr final "never mind, what time is it?" -> clear r1, cancel tts r1  [Cancelled]
        1400  caller quiet                             [Transcribing]
        1520  timer                                   -> llm r2 "never mind, what time is it?"
        1750  timer                                   -> open r2  [Generating]
        1900  llm r2 "Noon."
        1910  llm r2 done                             -> tts r2 "Noon."
        2000  tts r2 c1 done 400
        2010  playing r2                               [Speaking]
        2100  tool t1 {"hotel":"Ritz"}
        2500  played r2 400                           -> open r3, llm r3 system "A tool that was still running when the conversation went on has answered now. Tell the caller what it found, briefly."  [Generating]
        """,
        CALLED,
    )
    assert state.response.run is not None
    assert state.response.run.cause is Cause.TOOL
    assert any(m.role is Role.TOOL and "Ritz" in m.text for m in state.conversation.messages)


def test_a_speculative_run_calls_no_tool_until_its_turn_is_taken() -> None:
    state = check(
        """
        0     asr open                                 [Idle]
        500   caller speaks                            [Listening]
        1400  asr final "is Monday free?"              [Transcribing]
        1500  caller quiet
        1620  timer                                   -> llm r1 "is Monday free?"
        1700  llm r1 calls look_up {}
        1710  llm r1 done tool_calls
        1850  timer                                   -> open r1, tool r1 t1 look_up {} timeout=20000  [Generating]
        2000
        """,
        CALLED,
    )
    assert state.tools.calls[0].state is CallState.RUNNING
