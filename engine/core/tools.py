"""Tool calls: each has a life of its own and exactly one result - real, failed, cancelled or timed out.

Writes `state.tools` alone; what an interruption does to calls is in `interruption.py`.
"""

from msgspec.structs import replace

from engine.core.commands import NOTHING, CancelTool, Commands, RunTool
from engine.core.events import AdapterFailed, LLMToolCall, Stage, ToolResult
from engine.core.policy import ToolSpec
from engine.core.state import NEVER, CallState, Deadlines, State, ToolCall
from engine.core.units import LIMITS

OPEN = (CallState.HELD, CallState.RUNNING)


def spec_of(state: State, name: str) -> ToolSpec | None:
    return next((spec for spec in state.setup.tools if spec.name == name), None)


def call_of(state: State, number: int) -> ToolCall | None:
    return next((call for call in state.tools.calls if call.number == number), None)


def is_open(state: State, number: int) -> bool:
    """Whether this call still waits for its result."""
    call = call_of(state, number)
    return call is not None and call.state in OPEN


def take_call(state: State, event: LLMToolCall) -> tuple[State, Commands]:
    """Write the call down. It starts in `start_held`, once its run is certain; one that cannot start has failed."""
    number = state.tools.made + 1
    refusal = _refusal(state, event)
    call = ToolCall(
        number=number,
        run=event.run,
        call_id=event.call_id,
        name=event.name,
        arguments=event.arguments[: LIMITS.tool_arguments_chars],
        state=CallState.FAILED if refusal else CallState.HELD,
        output=refusal,
    )
    return replace(state, tools=replace(state.tools, calls=(*_remembered(state), call), made=number)), NOTHING


def _refusal(state: State, event: LLMToolCall) -> str:
    """Why a call cannot be made, in words for the model."""
    if spec_of(state, event.name) is None:
        return f"error: there is no tool named {event.name[:64]!r}"
    if len(event.arguments) > LIMITS.tool_arguments_chars:
        return "error: the arguments are too long"
    if sum(call.state in OPEN for call in state.tools.calls) >= LIMITS.tool_calls:
        return "error: too many tool calls at once"
    return ""


def _remembered(state: State) -> tuple[ToolCall, ...]:
    """Forget finished calls of runs that are forgotten too: the history has them."""
    run = state.response.run
    known = {past.number for past in state.response.past} | ({run.number} if run is not None else set())
    return tuple(call for call in state.tools.calls if call.run in known or call.state in OPEN)


def start_held(state: State) -> tuple[State, Commands]:
    """A run that is certain may act."""
    run = state.response.run
    if run is None or not run.committed or not run.calls:
        return state, NOTHING
    calls: list[ToolCall] = []
    commands: list[RunTool] = []
    for call in state.tools.calls:
        if call.run == run.number and call.state is CallState.HELD:
            spec = spec_of(state, call.name)
            timeout = (spec.timeout_ns if spec is not None else 0) or state.setup.policy.tool_timeout_ns
            commands.append(
                RunTool(run=run.number, call=call.number, name=call.name, arguments=call.arguments, timeout_ns=timeout)
            )
            call = replace(call, state=CallState.RUNNING, due=state.at + timeout)
        calls.append(call)
    if not commands:
        return state, NOTHING
    return replace(state, tools=replace(state.tools, calls=tuple(calls))), tuple(commands)


def keep_result(state: State, event: ToolResult) -> tuple[State, Commands]:
    """The one result. A second one is stale and does not come here."""
    outcome = CallState.FAILED if event.failed else CallState.DONE
    return _settle(state, event.call, outcome, event.output[: LIMITS.tool_output_chars]), NOTHING


def fail_call(state: State, event: AdapterFailed) -> tuple[State, Commands]:
    """The tool broke, which is a result too. `request` carries the call's number."""
    if event.stage is not Stage.TOOL:
        return state, NOTHING
    return _settle(state, event.request, CallState.FAILED, f"error: the tool failed ({event.kind.value})"), NOTHING


def time_out(state: State) -> tuple[State, Commands]:
    """No call is waited for without end."""
    late = [call for call in state.tools.calls if call.state is CallState.RUNNING and state.at >= call.due]
    for call in late:
        state = _settle(state, call.number, CallState.TIMED_OUT, "error: the tool did not answer in time")
    return state, tuple(CancelTool(call=call.number) for call in late)


def _settle(state: State, number: int, outcome: CallState, output: str) -> State:
    call = call_of(state, number)
    assert call is not None
    settled = replace(call, state=outcome, output=output)
    calls = tuple(settled if old.number == number else old for old in state.tools.calls)
    detached = state.tools.detached + call.detached
    return replace(state, tools=replace(state.tools, calls=calls, detached=detached))


def deadlines(state: State) -> Deadlines:
    due = [call.due for call in state.tools.calls if call.state is CallState.RUNNING]
    return Deadlines(min(due)) if due else NEVER
