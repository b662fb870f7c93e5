"""Bounded exhaustive exploration: every order, repetition and loss of a small alphabet of facts, to a depth.

The alphabet is one caller's turn, one barge-in, one tool call and two providers of each kind. A state is visited once: states are equal
when all but their times and counters are. Facts are made to fit the state (the token of the live request, the chunk that is awaited),
and also not to fit it (of the run before), so that late ones are explored too.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from msgspec.structs import replace

from engine.core.commands import Commands, Role, StartLLM
from engine.core.events import (
    AdapterFailed,
    ASRFinal,
    ASROpened,
    ASRPartial,
    Clock,
    Event,
    LLMDone,
    LLMToken,
    LLMToolCall,
    Outages,
    OutagesChanged,
    PlayoutDone,
    PlayoutStarted,
    SessionEnded,
    SessionStarted,
    Stage,
    TimerFired,
    ToolResult,
    TTSChunkDone,
    UserSpeechStarted,
    UserSpeechStopped,
)
from engine.core.floor import floor_run, ledger_of, sound_ns
from engine.core.policy import Policy, Setup, ToolSpec
from engine.core.reduce import begin, reduce
from engine.core.state import Deadlines, Phase, Run, State
from engine.core.tools import OPEN
from engine.core.units import MS
from engine.errors import FailureKind

SETUP = Setup(
    policy=Policy(idle_ns=0),
    tools=(ToolSpec("look_up"),),
    asr=("ear", "spare ear"),
    llm=("model", "spare model"),
    tts=("voice", "spare voice"),
)
STEP_NS = 10 * MS
"""Every fact comes this long after the one before it; a timer comes when it is due."""
RUNS_MAX, TURNS_MAX = 3, 2
"""Beyond these a path is cut: the alphabet holds one turn and one barge-in."""


@dataclass
class Found:
    """What an exploration came to."""

    depth: int
    states: int = 0
    transitions: int = 0
    moves: set[tuple[Phase, Phase]] = field(default_factory=set)
    broken: list[tuple[tuple[str, ...], str]] = field(default_factory=list)

    @property
    def phases(self) -> int:
        return len(self.moves)


def explore(depth: int) -> Found:
    """Visit every state that `depth` facts can lead to."""
    found = Found(depth)
    start, _ = reduce(begin(), SessionStarted(setup=SETUP))
    seen = {_key(start)}
    edge: deque[tuple[State, tuple[str, ...]]] = deque([(start, ())])
    while edge:
        state, path = edge.popleft()
        if len(path) == depth or state.ended:
            continue
        for event in possible(state):
            found.transitions += 1
            name = _name(event)
            after = _taken(state, event, (*path, name), found)
            if after is None:
                continue
            key = _key(after)
            if key not in seen:
                seen.add(key)
                edge.append((after, (*path, name)))
    found.states = len(seen)
    return found


def _taken(state: State, event: Event, path: tuple[str, ...], found: Found) -> State | None:
    """One transition, with the laws that can be seen in the state alone."""
    try:
        after, commands = reduce(state, event)
    except AssertionError as error:
        found.broken.append((path, f"assertion: {error}"))
        return None
    if after.phase is not state.phase:
        found.moves.add((state.phase, after.phase))
    found.broken += [(path, what) for what in _broken_by(state, after, commands)]
    return None if after.counters.stale > state.counters.stale or _is_beyond(after) else after


def _broken_by(before: State, after: State, commands: Commands) -> Iterator[str]:
    """Laws that this step broke."""
    if after.counters.stale > before.counters.stale and (commands or after != replace(before, counters=after.counters)):
        yield "a stale fact changed something"
    waits = not after.ended and (after.response.run is not None or after.contest.run)
    if waits and after.deadlines == Deadlines():
        yield "something waits without a deadline"
    made = sum(len(message.calls) for message in after.conversation.messages)
    if made != sum(message.role is Role.TOOL for message in after.conversation.messages):
        yield "a tool call without exactly one result"
    old, new = floor_run(before), floor_run(after)
    lost = old is not None and (new is None or new.number != old.number)
    if lost and old is not None and all(run.number != old.number for run in after.response.past):
        yield "a run lost the floor without an end"
    asked = [order for order in commands if isinstance(order, StartLLM) and order.run > before.response.runs]
    if new is not None and new.turn and any(order.messages[-1].role is not Role.USER for order in asked):
        yield "a question does not end with the caller's words"


def _is_beyond(state: State) -> bool:
    return (
        state.response.runs > RUNS_MAX or state.turn.taken > TURNS_MAX or state.tools.made > 1 or state.ear.number > 3
    )


def _key(state: State) -> State:
    """The state without its clocks: what the rules can still tell apart at the next fact, times aside."""
    turn = replace(
        state.turn, changed_at=0, last_taken_at=0, last_quiet_at=None, last_onset_at=None, keyed_at=0, pause_ns=0
    )
    turn = replace(
        turn,
        onset_at=_set(turn.onset_at),
        quiet_at=_set(turn.quiet_at),
        speech_ns=_set(turn.speech_ns),
        quiet_ns=_set(turn.quiet_ns),
        asked_final_at=_set(turn.asked_final_at),
        final_speech_ns=_set(turn.final_speech_ns),
    )
    resting_until = int(state.at < state.response.resting_until)
    response = replace(state.response, past=(), run=_run_key(state), resting_until=resting_until)
    ledgers = tuple(
        replace(
            ledger,
            opened_at=_set(ledger.opened_at),
            started_at=_set(ledger.started_at),
            moved_at=0,
            served_at=0,
            chunks=tuple(replace(chunk, asked_at=0) for chunk in ledger.chunks),
        )
        for ledger in state.playout.ledgers[-1:]
    )
    late = state.turn.quiet_at is not None and state.ear.opened_at > state.turn.quiet_at
    ear = replace(state.ear, asked_at=0, opened_at=int(late), retry_at=_set(state.ear.retry_at))
    ear = replace(ear, down_at=_set(ear.down_at))
    return replace(
        state,
        at=0,
        audio_ns=0,
        turn=turn,
        contest=replace(state.contest, yielded_at=0, silenced_at=0, onset_at=None, resumed=0, interrupted=0),
        response=response,
        playout=replace(state.playout, ledgers=ledgers, starved=0),
        tools=replace(state.tools, calls=tuple(replace(call, due=0) for call in state.tools.calls)),
        ear=ear,
        counters=begin().counters,
        deadlines=Deadlines(_set(state.deadlines.wall_ns), _set(state.deadlines.audio_ns)),
    )


def _run_key(state: State) -> Run | None:
    run = state.response.run
    if run is None:
        return None
    requests = tuple(replace(request, asked_at=0, token_at=_set(request.token_at)) for request in run.requests)
    return replace(
        run,
        began_at=0,
        began_audio_ns=0,
        requests=requests,
        retry_at=_set(run.retry_at),
        called_at=0,
        first_token_at=_set(run.first_token_at),
    )


def _set(moment: int | None) -> int | None:
    return None if moment is None else 0


def _name(event: Event) -> str:
    text = getattr(event, "text", "")
    return f"{type(event).__name__}{f' {text!r}' if text else ''}"


def possible(state: State) -> Iterator[Event]:
    """The alphabet, made to fit this state."""
    at = state.at + STEP_NS
    yield from _timers(state)
    yield from _of_caller(state, at)
    yield from _of_services(state, at)
    yield SessionEnded(at=at, reason="hang-up")


def _timers(state: State) -> Iterator[Event]:
    due = state.deadlines
    if due.wall_ns is not None:
        yield TimerFired(at=max(due.wall_ns, state.at), clock=Clock.WALL)
    if due.audio_ns is not None:
        yield TimerFired(at=state.at + max(0, due.audio_ns - state.audio_ns), clock=Clock.AUDIO, audio_ns=due.audio_ns)


def _of_caller(state: State, at: int) -> Iterator[Event]:
    heard = state.audio_ns + STEP_NS
    if state.turn.speaking:
        yield UserSpeechStopped(at=at, audio_ns=heard, heard_ns=heard)
    else:
        yield UserSpeechStarted(at=at, audio_ns=heard, heard_ns=heard)
    ear = state.ear.number
    if not state.ear.open:
        yield ASROpened(at=at, ear=ear)
    for text in ("what time is it?", "mm hmm"):
        yield ASRPartial(at=at, ear=ear, text=text)
        yield ASRFinal(at=at, ear=ear, text=text)
    yield AdapterFailed(at=at, stage=Stage.ASR, provider="ear", kind=FailureKind.CLOSED, ear=ear)


def _of_services(state: State, at: int) -> Iterator[Event]:
    out = Outages(asr=("ear",), llm=("model",), tts=("voice",))
    yield OutagesChanged(at=at, outages=Outages() if state.outages == out else out)
    run = state.response.run
    if run is None:
        if state.response.runs:
            yield LLMToken(at=at, run=state.response.runs, request=state.response.requests, text="late ")
        return
    for request in run.requests[-1:]:
        number, asked = run.number, request.number
        yield LLMToken(at=at, run=number, request=asked, text="It is noon. ")
        yield LLMDone(at=at, run=number, request=asked)
        yield LLMToolCall(at=at, run=number, request=asked, call_id="c1", name="look_up", arguments="{}")
        yield AdapterFailed(
            at=at, stage=Stage.LLM, provider="model", kind=FailureKind.CLOSED, run=number, request=asked
        )
    ledger = ledger_of(state, run.number)
    if ledger is not None:
        for chunk in [chunk for chunk in ledger.chunks if chunk.duration_ns is None][:1]:
            yield TTSChunkDone(at=at, run=run.number, chunk=chunk.number, duration_ns=600 * MS)
            yield AdapterFailed(
                at=at, stage=Stage.TTS, provider="voice", kind=FailureKind.CLOSED, run=run.number, chunk=chunk.number
            )
        if run.committed and sound_ns(ledger):
            yield PlayoutStarted(at=at, run=run.number)
            yield PlayoutDone(at=at, run=run.number, heard_ns=sound_ns(ledger))
    for call in state.tools.calls:
        if call.state in OPEN:
            yield ToolResult(at=at, call=call.number, output="{}")
