"""Tool calls: each has exactly one result."""

from msgspec.structs import replace

from engine.core.commands import Role
from engine.core.policy import OnInterrupt, Policy, Setup, ToolSpec
from engine.core.state import CallState, Cause
from engine.core.units import LIMITS, MS
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
        2600  llm r3 "The Ritz."
        2610  llm r3 done                             -> tts r3 "The Ritz."
        2700  tts r3 c1 done 400
        2710  playing r3                               [Speaking]
        3110  played r3 400                            [Idle]
        """,
        CALLED,
    )
    told = state.response.past[-1]
    assert (told.cause, told.turn, told.prompt) == (Cause.TOOL, 0, "")
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


def test_a_call_of_a_guess_that_came_to_nothing_was_never_made() -> None:
    """It waited for its turn to be certain; nothing may wait for it."""
    state = check(
        """
        0     asr open
        500   caller speaks
        1400  asr partial "book it for ten."
        1500  caller quiet
        1620  timer                                   -> llm r1 "book it for ten."
        1630  llm r1 calls look_up {}
        1650  timer                                   -> finalize
        1750  asr final "book it for ten thirty."     -> clear r1, cancel r1, llm r2 "book it for ten thirty."
        1850  timer                                   -> open r2
        1900  llm r2 "Done."
        1910  llm r2 done                             -> tts r2 "Done."
        2000  tts r2 c1 done 400
        2010  playing r2
        2410  played r2 400                            [Idle]
        14410 timer                                   -> open r3, tts r3 "Are you still there?"
        """,
        CALLED,
    )
    assert state.tools.calls == ()


def test_what_cannot_be_called_is_refused_in_words_for_the_model() -> None:
    name = "x" * 65
    state = check(
        f"""
        500   typed "hello"                           -> open r1, llm r1 "hello"
        600   llm r1 calls {name} {{}}
        610   llm r1 calls look_up "{"y" * LIMITS.tool_arguments_chars}" -> tool r1 t2 look_up
        620   llm r1 calls look_up "{"y" * (LIMITS.tool_arguments_chars + 1)}"
        """,
        CALLED,
    )
    assert [call.output for call in state.tools.calls] == [
        f"error: there is no tool named {name[:64]!r}",
        "",
        "error: the arguments are too long",
    ]
    assert [call.state for call in state.tools.calls] == [CallState.FAILED, CallState.RUNNING, CallState.FAILED]
    assert {len(call.arguments) for call in state.tools.calls[1:]} == {LIMITS.tool_arguments_chars}


def test_no_more_than_so_many_calls_run_at_once_and_those_that_ended_do_not_count() -> None:
    def call(number: int) -> str:
        return f"{600 + number} llm r1 calls look_up {{}} -> tool r1 t{number} look_up {{}}\n"

    state = check(
        '500 typed "hello" -> open r1, llm r1 "hello"\n'
        + "".join(call(number) for number in range(1, LIMITS.tool_calls + 1))
        + "700 llm r1 calls look_up {}\n"
        + "710 tool t1 {}\n"
        + "720 llm r1 calls look_up {} -> tool r1 t18 look_up {}\n",
        CALLED,
    )
    assert state.tools.calls[LIMITS.tool_calls].output == "error: too many tool calls at once"
    assert state.tools.calls[-1].state is CallState.RUNNING


def test_calls_are_forgotten_with_their_runs_unless_they_still_wait() -> None:
    def turn(run: int, tool: str) -> str:
        at = 1_000 * run
        return f"""
        {at}   typed "go"                             -> open r{run}, llm r{run}
        {at + 100} llm r{run} calls {tool} {{}}       -> tool r{run} t{run} {tool} {{}}
        {at + 110} llm r{run} done tool_calls
        """

    def answered(run: int) -> str:
        at = 1_000 * run + 200
        return f"""
        {at}   tool t{run} {{}}                       -> llm r{run}
        {at + 100} llm r{run} done
        """

    script = turn(1, "search") + "1500 interrupt -> clear r1, cancel tts r1\n"
    for run in range(2, 8):
        script += turn(run, "look_up") + answered(run)
    state = check(script, replace(CALLED, asr=(), tts=()))
    assert [call.number for call in state.tools.calls] == [1, *range(3, 8)]
    assert state.tools.calls[0].detached
    assert [run.number for run in state.response.past] == [4, 5, 6, 7]


def test_a_tool_without_a_time_of_its_own_has_the_policys() -> None:
    check(
        """
        500   typed "hello"                           -> open r1, llm r1 "hello"
        600   llm r1 calls look_up {}                 -> tool r1 t1 look_up {} timeout=3000
        610   llm r1 calls slow {}                    -> tool r1 t2 slow {} timeout=2000
        620   llm r1 done tool_calls
        2610  timer                                   -> cancel tool t2
        3600  timer                                   -> cancel tool t1, llm r1
        """,
        replace(CALLED, asr=(), policy=Policy(tool_timeout_ns=3_000 * MS, filler_ns=0)),
    )


def test_a_result_is_kept_to_its_limit_and_belongs_to_its_call_alone() -> None:
    state = check(
        f"""
        500   typed "hello"                           -> open r1, llm r1 "hello"
        600   llm r1 calls look_up {{}}               -> tool r1 t1 look_up {{}}
        610   llm r1 calls look_up {{}}               -> tool r1 t2 look_up {{}}
        700   tool t2 "{"z" * (LIMITS.tool_output_chars + 1)}"
        710   tool t1 error "nobody"
        """,
        CALLED,
    )
    assert [(call.output[:6], len(call.output), call.state) for call in state.tools.calls] == [
        ("nobody", 6, CallState.FAILED),
        ("zzzzzz", LIMITS.tool_output_chars, CallState.DONE),
    ]


def test_the_failure_of_a_model_is_no_result_of_a_tool() -> None:
    state = check(
        """
        500   typed "hello"                           -> open r1, llm r1 "hello"
        600   llm r1 calls look_up {}                 -> tool r1 t1 look_up {}
        700   llm r1 failed unavailable
        """,
        CALLED,
    )
    assert state.tools.calls[0].state is CallState.RUNNING
