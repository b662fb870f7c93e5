"""What each command does, and what becomes of work that is cancelled, fails or never ends."""

import asyncio
from typing import get_args

import pytest

from engine.core.commands import CancelLLM, CancelTool, ClearPlayout, FinalizeASR, Order, RunTool, StartLLM, StopASR
from engine.core.events import AdapterFailed, LLMToken, RunCancelled, Stage, ToolResult
from engine.core.policy import OnInterrupt
from engine.errors import FailureKind
from engine.runtime.effects import TABLE
from tests.fakes import Call, fails, tool, virtually


def test_every_command_has_an_effect() -> None:
    assert TABLE.keys() == set(get_args(Order))


@virtually
async def test_a_cancelled_request_says_nothing_more() -> None:
    async with Call() as call:
        call.brain.scripts = [[(100, "never"), (100, "heard")]]
        call.session._effects.do((StartLLM(run=9, request=5, provider="brain", messages=()),))
        await asyncio.sleep(0.05)
        assert call.session.waiting
        call.session._effects.do((CancelLLM(run=9, request=5),))
        assert not call.session.waiting
        await asyncio.sleep(1)
        assert call.brain.cancelled == [9]
        assert call.facts(LLMToken) == []


@virtually
async def test_a_run_is_cancelled_when_its_last_task_has_ended() -> None:
    async with Call() as call:
        call.brain.scripts = [[(5_000, "late")], [(5_000, "later")]]
        call.brain.letting_go_ms = 300
        effects = call.session._effects
        effects.do(tuple(StartLLM(run=9, request=number, provider="brain", messages=()) for number in (5, 6)))
        await asyncio.sleep(0.05)
        effects.do((ClearPlayout(run=9), CancelLLM(run=9, request=5), CancelLLM(run=9, request=6)))
        await asyncio.sleep(0.2)
        assert call.facts(RunCancelled) == []
        await asyncio.sleep(0.2)
        assert [fact.run for fact in call.facts(RunCancelled)] == [9]


@virtually
async def test_a_run_with_nothing_under_way_is_cancelled_at_once() -> None:
    async with Call() as call:
        call.session._effects.do((ClearPlayout(run=9),))
        assert [fact.run for fact in call.facts(RunCancelled)] == [9]


@virtually
async def test_a_tool_that_may_finish_does_not_keep_its_run_from_ending() -> None:
    async with Call(tools=(tool("pay", on_interrupt=OnInterrupt.FINISH),)) as call:
        call.tools.delay_ms = 1_000
        effects = call.session._effects
        effects.do((RunTool(run=9, call=3, name="pay", arguments="{}", timeout_ns=0), ClearPlayout(run=9)))
        assert [fact.run for fact in call.facts(RunCancelled)] == [9]
        await asyncio.sleep(1.1)
        assert [(fact.call, fact.output) for fact in call.facts(ToolResult)] == [(3, "done")]


@virtually
async def test_a_cancelled_tool_has_no_result() -> None:
    async with Call(tools=(tool("look"),)) as call:
        call.tools.delay_ms = 1_000
        effects = call.session._effects
        effects.do((RunTool(run=9, call=3, name="look", arguments="{}", timeout_ns=0),))
        await asyncio.sleep(0.1)
        effects.do((CancelTool(call=3),))
        await asyncio.sleep(2)
        assert call.facts(ToolResult) == []


@virtually
async def test_a_toolbox_that_breaks_its_word_is_a_failed_result(caplog: pytest.LogCaptureFixture) -> None:
    async with Call(tools=(tool("look"),)) as call:

        async def broken(name: str, arguments: str) -> tuple[str, bool]:
            raise ZeroDivisionError("a bug, with the caller's words in it")

        call.tools.call = broken  # type: ignore[method-assign]
        call.session._effects.do((RunTool(run=9, call=3, name="look", arguments="{}", timeout_ns=0),))
        await asyncio.sleep(0.1)
        assert [(fact.failed, fact.output) for fact in call.facts(ToolResult)] == [(True, "look failed.")]


@virtually
async def test_how_long_a_provider_wants_to_be_left_alone_is_told() -> None:
    async with Call() as call:
        call.brain.scripts = [[(10, fails(FailureKind.RATE_LIMITED, retry_ns=7))]]
        call.session._effects.do((StartLLM(run=9, request=5, provider="brain", messages=()),))
        await asyncio.sleep(0.1)
        (failed,) = call.facts(AdapterFailed)
        assert (failed.stage, failed.provider, failed.kind) == (Stage.LLM, "brain", FailureKind.RATE_LIMITED)
        assert (failed.run, failed.request, failed.retry_ns) == (9, 5, 7)


@virtually
async def test_a_recogniser_is_finalized_and_stopped_by_its_number() -> None:
    async with Call() as call:
        await call.pass_ms(100)
        effects = call.session._effects
        effects.do((FinalizeASR(ear=7), FinalizeASR(ear=1)))
        assert call.stream.finalized == 1
        effects.do((StopASR(ear=7), StopASR(ear=1), FinalizeASR(ear=1)))
        await call.pass_ms(100)
        assert call.stream.closed
        assert call.stream.finalized == 1


class Tracer:
    """An observer that knows the trace of everything."""

    def __call__(self, *step: object) -> None:
        """Watches nothing."""

    def headers(self, stage: Stage, run: int, number: int) -> tuple[tuple[str, str], ...]:
        return (("traceparent", f"{stage.value} r{run} {number}"),)


@virtually
async def test_a_model_and_a_voice_are_told_the_trace_of_what_they_are_asked() -> None:
    async with Call(observers=[Tracer()]) as call:
        await call.say("what is free?")
        await call.pass_ms(2_000)
    assert [request.headers for request in call.brain.asked] == [(("traceparent", "llm r1 1"),)]
    assert [request.headers for request in call.mouth.asked] == [(("traceparent", "tts r1 1"),)]


@virtually
async def test_what_is_connected_for_the_whole_call_is_told_the_calls_own_trace() -> None:
    async with Call(observers=[Tracer()]) as call:
        await call.say("what is free?")
        await call.pass_ms(2_000)
    assert call.ears.headers == [(("traceparent", "asr r0 1"),)]
    assert call.mouth.headers == [(("traceparent", "tts r0 0"),)]
