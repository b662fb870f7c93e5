"""THE TABLE: what each fact changes and what it asks for.

Rule 1. A row for every event, or the engine does not import.
Rule 2. A stale fact (of a dead run, request, chunk, call or ear) changes nothing but a counter.
Rule 3. After the fact's own row the SETTLE steps run until nothing changes. They look at the state alone, never at the event, so that
        no flag can be missed: whatever is due, is done, whoever wakes us.
Rule 4. The phase moves only along PHASES. The diagram in the documentation is drawn from it.
Rule 5. Every wait has a deadline here, and the earliest one on each clock is a SetTimer.
"""

from collections.abc import Callable
from typing import TypeVar, get_args

from msgspec.structs import replace

from engine.core import (
    conversation,
    ear,
    generation,
    idle,
    interruption,
    playout,
    recovery,
    response,
    speech,
    tools,
    turn,
)
from engine.core.commands import NOTHING, Commands, SetTimer
from engine.core.events import (
    AdapterFailed,
    ASREagerEndOfTurn,
    ASREndOfTurn,
    ASRFinal,
    ASROpened,
    ASRPartial,
    ASRStartOfTurn,
    ASRTurnResumed,
    CallAnswered,
    Clock,
    DTMFPressed,
    EndRequested,
    Event,
    Fact,
    InputRejected,
    InterruptRequested,
    LLMDone,
    LLMToken,
    LLMToolCall,
    OutagesChanged,
    PlayoutAdvanced,
    PlayoutCleared,
    PlayoutDone,
    PlayoutPaused,
    PlayoutStarted,
    RunCancelled,
    SayRequested,
    SessionEnded,
    SessionStarted,
    Stage,
    TimerFired,
    ToolResult,
    TransferFailed,
    TransferRequested,
    TransportLost,
    TransportResumed,
    TTSChunkDone,
    TTSStarted,
    TTSWords,
    TurnPredicted,
    UserSpeechStarted,
    UserSpeechStopped,
    UserTextReceived,
)
from engine.core.floor import floor_run, has_sounded, ledger_of
from engine.core.state import NEVER, Deadlines, Phase, RunEnd, State
from engine.core.turn import words_of

RULES_VERSION = 2
"""Raised when the same facts lead elsewhere on purpose; journals carry it."""

F = TypeVar("F", bound=Fact)
Step = Callable[[State, F], tuple[State, Commands]]
Row = tuple[Callable[..., tuple[State, Commands]], ...]


def on(event: type[F], *steps: Step[F]) -> tuple[type[Fact], Row]:
    """One row: the type checker proves that each step takes this event."""
    return event, steps


# Facts that concern the session as a whole.


def begin_session(state: State, event: SessionStarted) -> tuple[State, Commands]:
    return replace(state, started=True, setup=event.setup, seed=event.seed, outages=event.outages), NOTHING


def note_answer(state: State, event: CallAnswered) -> tuple[State, Commands]:
    return replace(state, answered_by=event.by), NOTHING


def note_outages(state: State, event: OutagesChanged) -> tuple[State, Commands]:
    return replace(state, outages=event.outages), NOTHING


def count_rejected(state: State, event: InputRejected) -> tuple[State, Commands]:
    return replace(state, counters=replace(state.counters, rejected=state.counters.rejected + 1)), NOTHING


def only_time(state: State, event: RunCancelled | TTSStarted) -> tuple[State, Commands]:
    """Nothing but the clock: what is due is found by the SETTLE steps."""
    return state, NOTHING


RULES: dict[type[Fact], Row] = dict(
    [
        on(SessionStarted, begin_session, ear.begin_listening, speech.choose_voice, response.greet),
        on(SessionEnded, response.close),
        on(TransportLost, interruption.hold_line),
        on(TransportResumed, interruption.take_line),
        on(CallAnswered, note_answer, interruption.leave_message),
        on(UserSpeechStarted, turn.follow_voice, idle.notice),
        on(UserSpeechStopped, turn.follow_silence),
        on(DTMFPressed, turn.keep_key, idle.notice),
        on(UserTextReceived, turn.keep_typed, idle.notice),
        on(InputRejected, count_rejected),
        on(ASROpened, ear.note_open),
        on(ASRPartial, turn.keep_partial, ear.trust, idle.notice),
        on(ASRFinal, turn.keep_final, ear.trust, idle.notice),
        on(ASRStartOfTurn, interruption.believe_start, idle.notice),
        on(ASREagerEndOfTurn, turn.expect_end),
        on(ASRTurnResumed, turn.expect_more),
        on(ASREndOfTurn, turn.believe_end, ear.trust),
        on(TurnPredicted, turn.keep_prediction),
        on(LLMToken, generation.keep_token),
        on(LLMToolCall, tools.take_call, generation.await_call),
        on(LLMDone, generation.close_round),
        on(TTSStarted, only_time),
        on(TTSWords, playout.keep_words),
        on(TTSChunkDone, playout.keep_duration, speech.trust_voice),
        on(PlayoutStarted, playout.note_start),
        on(PlayoutAdvanced, playout.note_heard, conversation.rewrite_heard),
        on(PlayoutPaused, playout.note_heard, conversation.rewrite_heard),
        on(PlayoutCleared, playout.note_heard, conversation.rewrite_heard),
        on(PlayoutDone, playout.note_heard, playout.note_drained, conversation.rewrite_heard),
        on(ToolResult, tools.keep_result, conversation.rewrite_result),
        on(TimerFired, turn.follow_level),
        on(RunCancelled, only_time),
        on(AdapterFailed, ear.change_ear, recovery.change_model, speech.change_voice, tools.fail_call),
        on(OutagesChanged, note_outages, ear.heed_outage, recovery.heed_outage),
        on(SayRequested, response.queue_text),
        on(InterruptRequested, interruption.obey),
        on(EndRequested, response.queue_end),
        on(TransferRequested, response.queue_transfer),
        on(TransferFailed, response.regret_transfer),
    ]
)
assert RULES.keys() == set(get_args(Event)), "an event without a row, or a row without an event"

SETTLE: tuple[Callable[[State], tuple[State, Commands]], ...] = (
    interruption.contest,
    ear.tend,
    turn.end_turn,
    tools.time_out,
    recovery.watch_model,
    speech.give_up_waiting,
    playout.keep_books,
    tools.start_held,
    generation.go_on,
    generation.fill,
    speech.speak,
    response.finish,
    conversation.keep_ended,
    conversation.keep_caller,
    response.answer,
    response.guess,
    idle.watch,
    response.say_next,
)
"""In this order: first who has the floor and who hears, then whose turn it is, then what is owed, then what is begun."""

SETTLE_PASSES = 12
"""A chain of consequences is a handful of passes long; a dozen is two rules that undo each other."""

I, L, T, G, S, X, C = (  # noqa: E741
    Phase.IDLE,
    Phase.LISTENING,
    Phase.TRANSCRIBING,
    Phase.GENERATING,
    Phase.SPEAKING,
    Phase.INTERRUPTED,
    Phase.CANCELLED,
)
PHASES: dict[Phase, tuple[Phase, ...]] = {
    # The caller speaks; or words come without a voice (typed, or no detector); or the agent begins.
    I: (L, T, G, S),
    # Words come; or it was noise; or the turn's words and its end came in one fact.
    L: (T, I, G),
    # The turn is taken; or it was a backchannel, or words that were taken back.
    T: (G, I, L),
    # First sound; or the caller goes on; or there was nothing to say; or it failed before a sound and another run begins.
    G: (S, C, I, L, T),
    # Heard out; or the caller takes the floor; or the next run begins at once; or the caller already speaks when it ends.
    S: (I, X, G, L, T),
    # One fact later the caller has the floor - or typed, and is being answered; or it was a wish of the embedder's.
    # Typed words are answered in the step that cuts, and that answer may be cut before its first sound.
    X: (L, T, I, G, S, C),
    C: (L, T, I, G, S),
}
"""The legal moves. A missing pair is the illegal one."""


def begin() -> State:
    """A session before its first fact."""
    return State()


def reduce(state: State, event: Event) -> tuple[State, Commands]:
    """What this fact changes and what it asks for. Pure; total; time runs forward."""
    before = state
    state = _timed(state, event)
    if _is_stale(state, event):
        return replace(before, counters=replace(before.counters, stale=before.counters.stale + 1)), NOTHING
    commands: list[object] = []
    for step in RULES[type(event)]:
        state, orders = step(state, event)
        if orders:
            commands.extend(orders)
    if not state.ended:
        state = _settled(state, commands)
    state = replace(state, phase=_phase(before, state))
    assert state.phase is before.phase or state.phase in PHASES[before.phase], (before.phase, state.phase, event)
    due = deadlines(state)
    if due != state.deadlines:
        state = replace(state, deadlines=due)
        commands.append(SetTimer(wall_ns=due.wall_ns, audio_ns=due.audio_ns))
    return state, tuple(commands)  # type: ignore[arg-type]


def _settled(state: State, commands: list[object]) -> State:
    for _ in range(SETTLE_PASSES):
        before = state
        for step in SETTLE:
            state, orders = step(state)
            if orders:
                commands.extend(orders)
        if state is before:
            return state
    raise AssertionError("two rules undo each other")


def _timed(state: State, event: Fact) -> State:
    """Both clocks run forward. A fact from the past is taken as of now, and counted."""
    audio = state.audio_ns
    if isinstance(event, UserSpeechStarted | UserSpeechStopped):
        audio = max(audio, event.audio_ns, event.heard_ns)
    elif isinstance(event, TimerFired) and event.clock is Clock.AUDIO:
        audio = max(audio, event.audio_ns)
    if event.at < state.at:
        counters = replace(state.counters, backwards=state.counters.backwards + 1)
        return replace(state, audio_ns=audio, counters=counters)
    return replace(state, at=event.at, audio_ns=audio)


def _is_stale(state: State, event: Event) -> bool:
    """Whether nobody waits for this any more. The one gate; no step has to look again."""
    if state.ended or isinstance(event, SessionStarted) is state.started:
        return True
    match event:
        case LLMToken() | LLMToolCall() | LLMDone():
            return not _asks(state, event.run, event.request)
        case TTSStarted() | TTSWords() | TTSChunkDone():
            return not _makes(state, event.run, event.chunk)
        case PlayoutStarted() | PlayoutAdvanced() | PlayoutPaused() | PlayoutDone():
            ledger = ledger_of(state, event.run)
            return ledger is None or ledger.opened_at is None  # Nobody could hear it yet.
        case PlayoutCleared():
            return ledger_of(state, event.run) is None
        case (
            ASROpened()
            | ASRPartial()
            | ASRFinal()
            | ASRStartOfTurn()
            | ASREagerEndOfTurn()
            | ASRTurnResumed()
            | ASREndOfTurn()
        ):
            return event.ear != state.ear.number or state.ear.retry_at is not None
        case ToolResult():
            return not tools.is_open(state, event.call)
        case AdapterFailed():
            return _is_stale_failure(state, event)
    return False


def _is_stale_failure(state: State, event: AdapterFailed) -> bool:
    match event.stage:
        case Stage.ASR:
            return event.ear != state.ear.number or state.ear.retry_at is not None
        case Stage.LLM:
            return not _asks(state, event.run, event.request)
        case Stage.TTS:
            return not _makes(state, event.run, event.chunk)
        case Stage.TOOL:
            return not tools.is_open(state, event.request)


def _asks(state: State, run: int, request: int) -> bool:
    live = state.response.run
    return live is not None and live.number == run and any(asked.number == request for asked in live.requests)


def _makes(state: State, run: int, chunk: int) -> bool:
    live, ledger = state.response.run, ledger_of(state, run)
    if live is None or live.number != run or ledger is None:
        return False
    return any(asked.number == chunk and asked.duration_ns is None for asked in ledger.chunks)


def _phase(before: State, after: State) -> Phase:
    """Whose turn it is, and how far."""
    cut, held = after.response.past[-1:], floor_run(before)
    # A run that was begun and cut within one fact was nothing anybody could notice.
    if after.contest.interrupted != before.contest.interrupted and held is not None and cut[0].number == held.number:
        return Phase.INTERRUPTED if cut[0].end is RunEnd.INTERRUPTED else Phase.CANCELLED
    if after.ended:
        return Phase.IDLE
    run = floor_run(after)
    if run is not None:
        return Phase.SPEAKING if has_sounded(after, run.number) else Phase.GENERATING
    if words_of(after.turn) or after.turn.keys:
        return Phase.TRANSCRIBING
    return Phase.LISTENING if after.turn.speaking else Phase.IDLE


def deadlines(state: State) -> Deadlines:
    """The next moment at which anything must happen, one on each clock. Only moments to come: what is due has been done."""
    if state.ended or not state.started:
        return NEVER
    wall: int | None = None
    audio: int | None = None
    for part in (turn, interruption, ear, tools, recovery, speech, playout, generation, response, idle):
        due = part.deadlines(state)
        if due is NEVER:
            continue
        if due.wall_ns is not None and due.wall_ns > state.at and (wall is None or due.wall_ns < wall):
            wall = due.wall_ns
        if due.audio_ns is not None and due.audio_ns > state.audio_ns and (audio is None or due.audio_ns < audio):
            audio = due.audio_ns
    return Deadlines(wall, audio)
