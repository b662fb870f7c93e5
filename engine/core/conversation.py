"""The history: who said what, cut back to what was heard.

A run's part of it is written when the run ends, from its text and its ledger, and written again when a later fact says that more
of it was heard or a tool it called has answered. Writes `state.conversation` alone.
"""

from msgspec.structs import replace

from engine.core.commands import NOTHING, CallMade, Commands, Message, Role
from engine.core.events import PlayoutAdvanced, PlayoutCleared, PlayoutDone, PlayoutPaused, ToolResult
from engine.core.floor import floor_run, known_ledger
from engine.core.playout import heard_chars
from engine.core.state import CallState, Run, RunEnd, State, ToolCall, TurnEnd
from engine.core.tools import call_of
from engine.core.units import LIMITS

RUNNING = '{"status":"still running"}'
"""What the model is told of a tool that has not answered yet."""


def keep_caller(state: State) -> tuple[State, Commands]:
    """Write down the caller's turn. One that follows another directly is the rest of it.

    What the agent is saying meanwhile, and nobody may cut, stands before it: it is what the caller spoke into.
    """
    turn, conversation = state.turn, state.conversation
    if turn.taken == conversation.turns:
        return state, NOTHING
    conversation = replace(conversation, turns=turn.taken)
    if turn.last_end is not TurnEnd.UNHEARD:
        messages, run = conversation.messages, floor_run(state)
        if run is not None and not _is_written(state, run):
            messages = (*messages, *said_by(state, run))
        conversation = replace(conversation, messages=_with_caller(messages, turn.last_text))
    return replace(state, conversation=conversation), NOTHING


def _is_written(state: State, run: Run) -> bool:
    return any(message.run == run.number for message in state.conversation.messages)


def _with_caller(messages: tuple[Message, ...], text: str) -> tuple[Message, ...]:
    if messages and messages[-1].role is Role.USER and not messages[-1].backchannel:
        joined = replace(messages[-1], text=f"{messages[-1].text} {text}"[: LIMITS.transcript_chars])
        return (*messages[:-1], joined)
    return bounded((*messages, Message(role=Role.USER, text=text)))


def bounded(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """Forget the oldest, but never begin with the answer to a forgotten call."""
    kept = messages[-LIMITS.messages :]
    while kept and kept[0].role is Role.TOOL:
        kept = kept[1:]
    return kept


def keep_ended(state: State) -> tuple[State, Commands]:
    """Write down the runs that have just ended."""
    newest = state.response.past[-1].number if state.response.past else 0
    if newest <= state.conversation.kept:
        return state, NOTHING
    for run in state.response.past:
        if run.number <= state.conversation.kept or not run.committed:
            continue
        if _is_written(state, run):
            state = _rewritten(state, run.number)
        else:
            messages = bounded((*state.conversation.messages, *said_by(state, run)))
            state = replace(state, conversation=replace(state.conversation, messages=messages))
    return replace(state, conversation=replace(state.conversation, kept=newest)), NOTHING


def rewrite_heard(
    state: State, event: PlayoutAdvanced | PlayoutPaused | PlayoutCleared | PlayoutDone
) -> tuple[State, Commands]:
    """It turns out that more of a run that has ended was heard."""
    return _rewritten(state, event.run), NOTHING


def rewrite_result(state: State, event: ToolResult) -> tuple[State, Commands]:
    """A tool has answered whose run has ended."""
    call = call_of(state, event.call)
    assert call is not None
    return _rewritten(state, call.run), NOTHING


def _rewritten(state: State, number: int) -> State:
    run = next((run for run in state.response.past if run.number == number), None)
    if run is None:
        return state
    messages, said = state.conversation.messages, said_by(state, run)
    old = tuple(message for message in messages if message.run == number)
    if not old or said == old:
        return state
    first = messages.index(old[0])
    messages = (*messages[:first], *said, *(message for message in messages[first:] if message.run != number))
    return replace(state, conversation=replace(state.conversation, messages=messages))


def said_by(state: State, run: Run) -> tuple[Message, ...]:
    """What a run contributed to the conversation: text as far as it was heard, its tool calls, one result for each."""
    limit = _limit(state, run)
    messages: list[Message] = []
    begins = 0
    for ends, numbers in (*((one.end_char, one.calls) for one in run.rounds), (len(run.text), run.calls)):
        text = run.text[begins : min(ends, limit)].strip()
        calls = tuple(call for number in numbers for call in state.tools.calls if call.number == number)
        cut = run.end is not None and ends > limit
        if text or calls:
            made = tuple(CallMade(call.call_id, call.name, call.arguments) for call in calls)
            messages.append(
                Message(role=Role.ASSISTANT, text=text, calls=made, run=run.number, interrupted=cut and bool(text))
            )
        messages.extend(_result(call, run.number) for call in calls)
        begins = ends
    return tuple(messages)


def _limit(state: State, run: Run) -> int:
    """How far the run's text counts: all of it while it lives or was heard out, what was heard otherwise."""
    if run.end is None or run.end is RunEnd.FINISHED or not state.setup.tts:
        return len(run.text)
    return heard_chars(known_ledger(state, run.number), state.setup.policy.speech_chars_per_s)


def _result(call: ToolCall, run: int) -> Message:
    pending = call.state in (CallState.RUNNING, CallState.HELD)
    return Message(role=Role.TOOL, text=RUNNING if pending else call.output, call_id=call.call_id, run=run)


def prompt_of(state: State, run: Run, *, tentative: str) -> tuple[Message, ...]:
    """What a language model is asked: instructions, history, a turn not yet certain, and the answer so far."""
    system = (Message(role=Role.SYSTEM, text=state.setup.instructions),) if state.setup.instructions else ()
    past = (message for message in state.conversation.messages if message.run != run.number)
    messages = tuple(message for message in past if message.text or message.calls)
    if tentative:
        messages = _with_caller(messages, tentative)
    return (*system, *messages, *said_by(state, run))
