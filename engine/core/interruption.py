"""Barge-in: may the caller take the floor?

Two stages. *Yield*: a short stretch of voice pauses the agent at once. *Decide*: words that are no backchannel, a stop word, long
speech, or the recogniser's own start of turn take the floor (models, synthesis and tools stop in the same step, and the history is
cut back to what was heard); quiet without any of these gives it back, from the very sample last heard.

Taking the floor touches every slice, so this is the one file that may write several.
"""

from msgspec.structs import replace

from engine.core.commands import (
    NOTHING,
    CancelTool,
    Commands,
    Message,
    PausePlayout,
    ResumePlayout,
    Role,
)
from engine.core.conversation import bounded
from engine.core.events import ASRStartOfTurn, CallAnswered, InterruptRequested, TransportLost, TransportResumed
from engine.core.floor import (
    MACHINES,
    caller_speaks,
    floor_run,
    has_sounded,
    is_synthesised,
    known_ledger,
    ledger_of,
    sound_ns,
)
from engine.core.playout import write
from engine.core.policy import OnInterrupt, Policy
from engine.core.recovery import stop_run
from engine.core.state import NEVER, CallState, Cause, Contest, Deadlines, Run, RunEnd, Say, State, ToolCall, Turn
from engine.core.tools import OPEN, spec_of
from engine.core.turn import begun_anew, final_due, may_grow, words_of
from engine.core.units import MS
from engine.core.words import is_backchannel, may_become_backchannel, opens_with_stop_word, word_count

FAR_AGAIN_NS = 100 * MS
"""A voice that was too quiet is looked at again after this: the caller may have begun to speak into it."""

# Facts.


def believe_start(state: State, event: ASRStartOfTurn) -> tuple[State, Commands]:
    """The recogniser says that the caller takes a turn: as good as words. What cannot be cut is not, and nor is what follows it."""
    run = floor_run(state)
    if run is None or not run.interruptible:
        return state, NOTHING
    return replace(state, contest=replace(state.contest, heard=True)), NOTHING


def obey(state: State, event: InterruptRequested) -> tuple[State, Commands]:
    """The embedder wants silence."""
    run = floor_run(state)
    return (state, NOTHING) if run is None else take_floor(state, run)


def hold_line(state: State, event: TransportLost) -> tuple[State, Commands]:
    """Nobody hears us: keep the rest for when they do."""
    run = floor_run(state)
    state = replace(state, lost_at=state.at)
    return state, (PausePlayout(run=run.number),) if run is not None else NOTHING


def take_line(state: State, event: TransportResumed) -> tuple[State, Commands]:
    """The caller is back: go on where they last heard us."""
    run = floor_run(state)
    state = replace(state, lost_at=None)
    if run is None:
        return state, NOTHING
    state = replace(_moved(state, run.number), contest=replace(state.contest, run=0))
    return state, (ResumePlayout(run=run.number),)


def leave_message(state: State, event: CallAnswered) -> tuple[State, Commands]:
    """A machine took the call: what was being said to it was for a human. Leave a message, where there is one, and go."""
    text = state.setup.policy.voicemail
    if event.by not in MACHINES or not text or state.response.ending:
        return state, NOTHING
    run = floor_run(state)
    state, commands = take_floor(state, run) if run is not None else (state, NOTHING)
    message = Say(text, Cause.GOODBYE, interruptible=False, then_end="answering machine")
    return replace(state, response=replace(state.response, says=(message,))), commands


# The decision.


def contest(state: State) -> tuple[State, Commands]:
    """Two voices at once: yield, decide, or go on."""
    run = floor_run(state)
    if state.contest.run and (run is None or run.number != state.contest.run):
        # The run this was about is over, and the question with it.
        return replace(state, contest=replace(state.contest, run=0)), NOTHING
    if run is None:
        return state, NOTHING
    if not run.interruptible and not state.turn.typed:
        return state, NOTHING
    if _caller_takes_floor(state, run):
        return take_floor(state, run)
    if state.contest.run:
        return _go_on(state, run) if _may_go_on(state) else (state, NOTHING)
    if _voiced_ns(state, run) >= state.setup.policy.yield_ns and state.lost_at is None:
        yielded = replace(state.contest, run=run.number, yielded_at=state.at, onset_at=state.turn.onset_at)
        return replace(state, contest=yielded), (PausePlayout(run=run.number),)
    if _backchannel_is_over(state):
        return _keep_backchannel(state), NOTHING
    return state, NOTHING


def _voiced_ns(state: State, run: Run) -> int:
    """How long the caller has been speaking into this run, in the caller's sound. 0 when quiet, or not since the last turn."""
    turn = state.turn
    if not caller_speaks(state) or turn.speech_ns is None or _is_far(state):
        return 0
    return state.audio_ns - max(turn.speech_ns, run.began_audio_ns)


def _long_voice_ns(policy: Policy) -> int:
    """When a voice is known to have lasted `interrupt_ns`: only after the hangover is it certain that it has not ended before."""
    return policy.interrupt_ns + policy.voice_hangover_ns


def _is_far(state: State) -> bool:
    """Whether the voice is somebody else's in the room, by its loudness against the caller's own turns."""
    turn, policy = state.turn, state.setup.policy
    own_db = turn.own_level_db or policy.own_level_db
    return bool(turn.level_db) and turn.level_db < own_db - policy.near_db


def _caller_takes_floor(state: State, run: Run) -> bool:
    policy, turn = state.setup.policy, state.turn
    if turn.typed or turn.keys or turn.over or state.contest.heard:
        return True
    words = words_of(turn)
    if words:
        if opens_with_stop_word(words, policy.stop_words):
            return True
        if is_backchannel(words, policy.backchannels):
            return _answers_question(state, run) and not turn.speaking
        if not _may_be_listening(state):
            return word_count(words) >= policy.interrupt_words
    return _voiced_ns(state, run) >= _long_voice_ns(policy)


def _may_be_listening(state: State) -> bool:
    """Whether the words are none yet, but may be how a sign of listening begins: what follows is waited for ("i", then "i see")."""
    words, backchannels = words_of(state.turn), state.setup.policy.backchannels
    begun = may_become_backchannel(words, backchannels) and not is_backchannel(words, backchannels)
    return begun and may_grow(state)


def _answers_question(state: State, run: Run) -> bool:
    """Whether a "yeah" is a reply: the agent has asked, and all but the tail of the question was heard."""
    if not run.written or not run.text.rstrip().endswith("?"):
        return False
    ledger = known_ledger(state, run.number)
    unheard = sound_ns(ledger) - ledger.heard_ns
    return is_synthesised(ledger) and unheard <= state.setup.policy.answer_margin_ns


def _may_go_on(state: State) -> bool:
    """Quiet long enough without evidence, or undecided for too long."""
    turn, policy = state.turn, state.setup.policy
    if state.at >= state.contest.yielded_at + policy.contest_cap_ns:
        return True
    if turn.quiet_ns is None or _may_be_listening(state):
        return False
    return state.audio_ns >= turn.quiet_ns + policy.resume_ns


def _go_on(state: State, run: Run) -> tuple[State, Commands]:
    """A cough, a "mm-hmm", somebody else: the agent takes the floor back, and loses no sample."""
    state = _moved(_keep_backchannel(state), run.number)
    contest = replace(state.contest, run=0, resumed=state.contest.resumed + 1)
    commands: Commands = (ResumePlayout(run=run.number),) if state.lost_at is None else NOTHING
    return replace(state, contest=contest), commands


def _backchannel_is_over(state: State) -> bool:
    """A sign of listening too short to make the agent yield."""
    turn, policy = state.turn, state.setup.policy
    words = words_of(turn)
    if turn.speaking or not is_backchannel(words, policy.backchannels):
        return False
    if turn.quiet_ns is None:
        return state.at >= turn.changed_at + policy.resume_ns
    return state.audio_ns >= turn.quiet_ns + policy.resume_ns


def _keep_backchannel(state: State) -> State:
    """It stays in the transcript, marked; the turn begins anew."""
    turn, words = state.turn, words_of(state.turn)
    # The stretch of voice has been judged: only words, or another stretch, may contest the floor again.
    blank = replace(begun_anew(turn), onset_at=turn.onset_at if turn.speaking else None)
    if words:
        blank = replace(blank, last_text=words, last_taken_at=state.at)
    state = replace(state, turn=blank)
    if not words:
        return state
    said = Message(role=Role.USER, text=words, backchannel=True)
    messages = bounded((*state.conversation.messages, said))
    return replace(state, conversation=replace(state.conversation, messages=messages))


def _moved(state: State, run: int) -> State:
    """The wait for playout to advance begins anew."""
    return write(state, replace(known_ledger(state, run), moved_at=state.at))


def take_floor(state: State, run: Run) -> tuple[State, Commands]:
    """The caller has the floor: everything of this run stops, in this step."""
    sounded = has_sounded(state, run.number)
    calls, cancels = _released(state, run)
    ledger = ledger_of(state, run.number)
    if ledger is not None:
        state = write(state, replace(ledger, cleared=True))
    turn = state.turn
    state, stops = stop_run(state, run, RunEnd.INTERRUPTED if sounded else RunEnd.CANCELLED)
    state = replace(
        state,
        contest=Contest(
            resumed=state.contest.resumed,
            interrupted=state.contest.interrupted + 1,
            onset_at=turn.onset_at,
            silenced_at=state.contest.yielded_at if state.contest.run else state.at,
            wordless=not words_of(turn) and not turn.keys,
        ),
        response=replace(state.response, failures=0),
        tools=replace(state.tools, calls=calls),
    )
    return state, (*stops, *cancels)


def _released(state: State, run: Run) -> tuple[tuple[ToolCall, ...], tuple[CancelTool, ...]]:
    """What becomes of the run's tool calls, each by its own rule."""
    kept: list[ToolCall] = []
    cancels: list[CancelTool] = []
    for call in state.tools.calls:
        if call.run != run.number or call.state not in OPEN:
            kept.append(call)
            continue
        if spec_of(state, call.name).on_interrupt is not OnInterrupt.CANCEL and call.state is CallState.RUNNING:
            kept.append(replace(call, detached=True))
            continue
        if call.state is CallState.RUNNING:
            cancels.append(CancelTool(call=call.number))
        kept.append(replace(call, state=CallState.CANCELLED, output="cancelled: the caller interrupted"))
    return tuple(kept), tuple(cancels)


# Time.


def deadlines(state: State) -> Deadlines:
    """When the floor must be looked at again."""
    run, turn, policy = floor_run(state), state.turn, state.setup.policy
    if run is None or not run.interruptible:
        return NEVER
    final_at = final_due(state)
    wall = [] if final_at is None else [final_at]
    if state.contest.run:
        wall.append(state.contest.yielded_at + policy.contest_cap_ns)
    elif turn.quiet_ns is None and not turn.speaking and words_of(turn):
        wall.append(turn.changed_at + policy.resume_ns)
    ahead = [at for at in wall if at > state.at]
    return Deadlines(min(ahead, default=None), _audio_deadline(state, run, turn, policy))


def _audio_deadline(state: State, run: Run, turn: Turn, policy: Policy) -> int | None:
    if turn.speaking and turn.speech_ns is not None:
        if _is_far(state):
            return state.audio_ns + FAR_AGAIN_NS
        wait = _long_voice_ns(policy) if state.contest.run else policy.yield_ns
        return max(turn.speech_ns, run.began_audio_ns) + wait
    if turn.quiet_ns is not None and (state.contest.run or words_of(turn)):
        return turn.quiet_ns + policy.resume_ns
    return None
