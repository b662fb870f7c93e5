"""Log lines: which facts get one, and what it says. The journal has everything; the lines are for search."""

from engine.core.commands import Commands, SetTimer
from engine.core.events import (
    AdapterFailed,
    ASRPartial,
    Event,
    LLMToken,
    PlayoutAdvanced,
    TimerFired,
    TTSChunkDone,
    TTSStarted,
    TTSWords,
)
from engine.core.state import State
from engine.telemetry import names
from engine.telemetry.records import Attributes, Call, Line

QUIET = frozenset({LLMToken, ASRPartial, TTSStarted, TTSWords, TTSChunkDone, PlayoutAdvanced})
"""Facts that come in numbers and are in a span anyway: a line only where the phase moved."""


def titles(commands: Commands) -> tuple[str, ...]:
    """Orders by name, but for timers that were set: those are read off the state."""
    return tuple(type(command).__name__ for command in commands if not isinstance(command, SetTimer))


def worth_a_line(event: Event, before: State, after: State, commands: Commands) -> bool:
    """Whether a step decided something, or is rare."""
    if after.phase is not before.phase:
        return True
    kind = type(event)
    return kind not in QUIET and (kind is not TimerFired or bool(titles(commands)))


def line_of(
    event: Event, after: State, commands: Commands, call: Call, trace_id: int, span_id: int, *, run: int, seq: int
) -> Line:
    """A step in one line. run: the one that lived; 0: none."""
    attributes: Attributes = {
        names.CONVERSATION_ID: call.session,
        names.SEQ: seq,
        names.PHASE: after.phase.value,
    }
    if orders := titles(commands):
        attributes[names.COMMANDS] = orders
    if run:
        attributes[names.RUN_ID] = run
    if isinstance(event, AdapterFailed):
        attributes |= {
            names.STAGE: event.stage.value,
            names.PROVIDER: event.provider,
            names.ERROR_TYPE: event.kind.value,
        }
    return Line(
        at_ns=call.began_ns + after.at,
        trace_id=trace_id,
        span_id=span_id,
        severity="WARN" if isinstance(event, AdapterFailed) else "INFO",
        body=type(event).__name__,
        attributes=attributes,
    )
