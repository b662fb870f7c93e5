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
UNDECLARED = ToolSpec("")


def spec_of(state: State, name: str) -> ToolSpec:
    """The tool of that name. One that nobody has declared has nothing special about it; `take_call` refuses it."""
    return next((spec for spec in state.setup.tools if spec.name == name), UNDECLARED)


def call_of(state: State, number: int) -> ToolCall | None:
    return next((call for call in state.tools.calls if call.number == number), None)


def known_call(state: State, number: int) -> ToolCall:
    """The same, of a live run's call or one that waits: these are not forgotten."""
    call = call_of(state, number)
    assert call is not None
    return call


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
    return replace(
        state, tools=replace(state.tools, calls=(*_remembered(state, event.run), call), made=number)
    ), NOTHING


def _refusal(state: State, event: LLMToolCall) -> str:
    """Why a call cannot be made, in words for the model."""
    if all(spec.name != event.name for spec in state.setup.tools):
        return f"error: there is no tool named {event.name[:64]!r}"
    if len(event.arguments) > LIMITS.tool_arguments_chars:
        return "error: the arguments are too long"
    if sum(call.state in OPEN for call in state.tools.calls) >= LIMITS.tool_calls:
        return "error: too many tool calls at once"
    return ""


def _remembered(state: State, live: int) -> tuple[ToolCall, ...]:
    """Forget finished calls of runs that are forgotten too: the history has them."""
    known = {live, *(past.number for past in state.response.past)}
    return tuple(call for call in state.tools.calls if call.run in known or call.state in OPEN)


def start_held(state: State) -> tuple[State, Commands]:
    """A run that is certain may act. What a guess that came to nothing would have called was never called."""
    run = state.response.run
    calls: list[ToolCall] = []
    commands: list[RunTool] = []
    for call in state.tools.calls:
        if call.state is CallState.HELD:
            if run is None or call.run != run.number:
                continue
            if run.committed:
                call, command = _started(state, call)
                commands.append(command)
        calls.append(call)
    if tuple(calls) == state.tools.calls:
        return state, NOTHING
    return replace(state, tools=replace(state.tools, calls=tuple(calls))), tuple(commands)


def _started(state: State, call: ToolCall) -> tuple[ToolCall, RunTool]:
    timeout = spec_of(state, call.name).timeout_ns or state.setup.policy.tool_timeout_ns
    order = RunTool(run=call.run, call=call.number, name=call.name, arguments=call.arguments, timeout_ns=timeout)
    return replace(call, state=CallState.RUNNING, due=state.at + timeout), order


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
    call = known_call(state, number)
    settled = replace(call, state=outcome, output=output)
    calls = tuple(settled if old.number == number else old for old in state.tools.calls)
    detached = state.tools.detached + call.detached
    return replace(state, tools=replace(state.tools, calls=calls, detached=detached))


def deadlines(state: State) -> Deadlines:
    due = [call.due for call in state.tools.calls if call.state is CallState.RUNNING]
    return Deadlines(min(due)) if due else NEVER
