"""The recognition stream: which recogniser listens, and what happens when it is lost.

While no recogniser listens the runtime keeps the caller's sound, and gives it to the next one: no word is lost. Writes `state.ear` alone.
"""

from msgspec.structs import replace

from engine.core.commands import NOTHING, Commands, StartASR, StopASR
from engine.core.events import (
    AdapterFailed,
    ASREndOfTurn,
    ASRFinal,
    ASROpened,
    ASRPartial,
    OutagesChanged,
    SessionStarted,
    Stage,
)
from engine.core.retry import choose, is_worth_retrying, keep_or_leave
from engine.core.state import NEVER, Deadlines, State
from engine.core.turn import final_due, heard_again_at
from engine.core.units import MS
from engine.errors import FailureKind

DEAF_VOICES = 2
"""Long voices in a row without a word, after which the recogniser is taken for deaf: sockets can be half open. A guess."""
WORDLESS_NS = 1_500 * MS
"""A voice that goes on this long has words in it: English has about three a second."""
BROKEN_OFF_NS = 900 * MS
"""A voice that goes on this long after its last new word, and then has no final either: partials come about once a second."""


def begin_listening(state: State, event: SessionStarted) -> tuple[State, Commands]:
    """Listen from the first moment: the caller may speak before the greeting is over."""
    return _listen(state, _first(state)) if state.setup.asr else (state, NOTHING)


def note_open(state: State, event: ASROpened) -> tuple[State, Commands]:
    return replace(state, ear=replace(state.ear, open=True, opened_at=state.at, down_at=None)), NOTHING


def trust(state: State, event: ASRPartial | ASRFinal | ASREndOfTurn) -> tuple[State, Commands]:
    """A recogniser that hears words is not deaf; one that finishes them works.

    A partial is no proof of that: one that dies after a few words, each time it is tried, would be tried for ever.
    """
    ear = state.ear
    tries, tried = (ear.tries, ear.tried) if type(event) is ASRPartial else (0, ())
    if (tries, tried, 0, True) == (ear.tries, ear.tried, ear.unheard, ear.proved):
        return state, NOTHING
    return replace(state, ear=replace(ear, tries=tries, tried=tried, unheard=0, proved=True)), NOTHING


def change_ear(state: State, event: AdapterFailed) -> tuple[State, Commands]:
    """A recogniser failed: again, or the next one."""
    return _recover(state, event.kind, event.retry_ns) if event.stage is Stage.ASR else (state, NOTHING)


def heed_outage(state: State, event: OutagesChanged) -> tuple[State, Commands]:
    """Other calls know by now that the recogniser we wait for does not answer. One that hears us is kept."""
    ear, names, out = state.ear, state.setup.asr, state.outages.asr
    if not ear.number or ear.open or state.response.ending:
        return state, NOTHING
    other = keep_or_leave(ear.provider, names, out, ear.tried)
    if other == ear.provider:
        return state, NOTHING
    down = replace(ear, tries=0, tried=(*ear.tried, ear.provider))
    connecting = ear.retry_at is None
    state, commands = _listen(replace(state, ear=down), other)
    return state, (StopASR(ear=ear.number), *commands) if connecting else commands


def tend(state: State) -> tuple[State, Commands]:
    """Reconnect when it is time; give up on one that does not open, or hears nothing; tell the caller when it lasts."""
    ear, policy = state.ear, state.setup.policy
    if not ear.number or state.response.ending:
        return state, NOTHING
    if ear.retry_at is not None and state.at >= ear.retry_at:
        return _listen(state, ear.provider)
    if not ear.open and ear.retry_at is None and state.at >= ear.asked_at + policy.asr_open_ns:
        return _recover(state, FailureKind.TIMEOUT)
    if ear.down_at is not None:
        down = state.at - ear.down_at
        if down >= policy.asr_farewell_ns and not ear.lost:
            return replace(state, ear=replace(ear, lost=True)), NOTHING
        if down >= policy.asr_apology_ns and not ear.apologies:
            return replace(state, ear=replace(ear, apologies=ear.apologies + 1)), NOTHING
    if _is_deaf(state):
        return _recover(state, FailureKind.TIMEOUT)
    return _judge(state)


def _is_deaf(state: State) -> bool:
    """Whether words stopped in the middle of a voice, or a new stream heard none in one: services stall, and sockets are half open.

    Looked at when the turn would be taken without them: the next recogniser hears the voice again, from the sound that was kept. Where
    there is no other, words that stopped are heard again by the same one, once: what it then does not hear is no word.
    """
    ear, turn, policy = state.ear, state.turn, state.setup.policy
    if not ear.open or turn.quiet_ns is None or turn.speech_ns is None:
        return False
    others = choose(state.setup.asr, state.outages.asr, (*ear.tried, ear.provider)) is not None
    if turn.over or (not others and (ear.tries or ear.tried or not turn.partial)):
        return False
    voice_ns = turn.quiet_ns - turn.speech_ns
    if turn.partial:
        assert turn.quiet_at is not None
        due, unheard_ns = final_due(state), min(voice_ns, turn.quiet_at - turn.changed_at)
        return due is not None and state.at >= due and unheard_ns >= BROKEN_OFF_NS
    if ear.proved or turn.text or voice_ns < WORDLESS_NS:
        return False
    return state.audio_ns >= turn.quiet_ns + policy.endpoint_unheard_ns and state.at >= heard_again_at(state)


def _judge(state: State) -> tuple[State, Commands]:
    """Doubt a recogniser that hears no words in voices: once, for when the next one hears none either, there are none."""
    ear, voices = state.ear, state.turn.unheard
    if voices == ear.judged:
        return state, NOTHING
    state = replace(state, ear=replace(ear, judged=voices, unheard=ear.unheard + 1))
    return _recover(state, FailureKind.TIMEOUT) if state.ear.unheard == DEAF_VOICES else (state, NOTHING)


def _first(state: State) -> int:
    place = choose(state.setup.asr, state.outages.asr)
    assert place is not None
    return place


def _listen(state: State, provider: int) -> tuple[State, Commands]:
    number = state.ear.number + 1
    ear = replace(state.ear, number=number, provider=provider, retry_at=None, asked_at=state.at, proved=False)
    return replace(state, ear=ear), (StartASR(ear=number, provider=state.setup.asr[provider]),)


def _recover(state: State, kind: FailureKind, retry_ns: int = 0) -> tuple[State, Commands]:
    """A few tries of the same one, unless it refused; then the next; after the last, the first again, for as long as we may."""
    ear, policy = state.ear, state.setup.policy
    down_at = state.at if ear.down_at is None else ear.down_at
    down = replace(ear, open=False, tries=ear.tries + 1, down_at=down_at)
    stop = StopASR(ear=ear.number)
    names, out, tried = state.setup.asr, state.outages.asr, (*ear.tried, ear.provider)
    other, is_out = choose(names, out, tried), names[ear.provider] in out
    if is_worth_retrying(policy, kind, failures=down.tries, retry_ns=retry_ns, others=other is not None, out=is_out):
        wait = max(retry_ns, policy.retry_ns * 2 ** (down.tries - 1))
        return replace(state, ear=replace(down, retry_at=state.at + wait)), (stop,)
    if other is not None:
        state, commands = _listen(replace(state, ear=replace(down, tries=0, tried=tried)), other)
        return state, (stop, *commands)
    top = replace(down, provider=_first(state), tries=0, tried=(), retry_at=state.at + policy.retry_ns_max)
    return replace(state, ear=top), (stop,)


def deadlines(state: State) -> Deadlines:
    ear, policy = state.ear, state.setup.policy
    if not ear.number or state.response.ending:
        return NEVER
    wall: list[int] = []
    if ear.retry_at is not None:
        wall.append(ear.retry_at)
    elif not ear.open:
        wall.append(ear.asked_at + policy.asr_open_ns)
    if ear.down_at is not None:
        if not ear.apologies:
            wall.append(ear.down_at + policy.asr_apology_ns)
        if not ear.lost:
            wall.append(ear.down_at + policy.asr_farewell_ns)
    return Deadlines(min(wall, default=None))
