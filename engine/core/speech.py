"""Text to the synthesizer, piece by piece, and what to do when a synthesizer fails.

Writes `state.playout` alone: what was asked for is the first line of the ledger.
"""

from msgspec.structs import replace

from engine.core.chunking import split_speakable
from engine.core.commands import NOTHING, CancelTTS, Commands, Synthesize
from engine.core.events import AdapterFailed, Stage
from engine.core.floor import ledger_of
from engine.core.playout import chars_heard, chunk_of, write, write_chunk
from engine.core.state import NEVER, Chunk, Deadlines, Ledger, Playout, Run, State
from engine.core.units import LIMITS
from engine.errors import FailureKind


def speak(state: State) -> tuple[State, Commands]:
    """Hand over every piece of the answer that is ready to be spoken."""
    run = state.response.run
    ledger = ledger_of(state, run.number) if run is not None else None
    if run is None or ledger is None or ledger.mute or ledger.cut >= len(run.text):
        return state, NOTHING
    if not state.setup.tts:
        return write(state, replace(ledger, cut=len(run.text))), NOTHING
    commands: list[Synthesize] = []
    # A round that ended in tool calls says what it has: nothing will follow until the tools have answered.
    whole = run.written or (bool(run.calls) and not run.requests)
    while len(ledger.chunks) < LIMITS.chunks:
        pending = run.text[ledger.cut :]
        policy = state.setup.policy
        size = split_speakable(pending, first=not ledger.chunks, written=whole, policy=policy)
        if not size:
            break
        ledger, command = _cut(state, run, ledger, size)
        if command is not None:
            commands.append(command)
    changed = ledger is not ledger_of(state, run.number)
    return (write(state, ledger) if changed else state), tuple(commands)


def _cut(state: State, run: Run, ledger: Ledger, size: int) -> tuple[Ledger, Synthesize | None]:
    piece = run.text[ledger.cut : ledger.cut + size]
    text = piece.strip()
    cut = ledger.cut + size
    if not any(letter.isalnum() for letter in text):
        return replace(ledger, cut=cut), None
    start = ledger.cut + len(piece) - len(piece.lstrip())
    return _asked(state, replace(ledger, cut=cut), start, text)


def _asked(state: State, ledger: Ledger, start_char: int, text: str) -> tuple[Ledger, Synthesize]:
    number = len(ledger.chunks) + 1
    chunk = Chunk(number=number, start_char=start_char, text=text, asked_at=state.at)
    provider = state.setup.tts[state.playout.voice]
    command = Synthesize(run=ledger.run, chunk=number, provider=provider, text=text)
    return replace(ledger, chunks=(*ledger.chunks, chunk)), command


# Trouble.


def change_voice(state: State, event: AdapterFailed) -> tuple[State, Commands]:
    """A synthesizer failed: go on from the word it reached, with itself once more or with the next one."""
    if event.stage is not Stage.TTS:
        return state, NOTHING
    return _go_on_elsewhere(state, event.run, event.chunk, event.kind, event.duration_ns)


def give_up_waiting(state: State) -> tuple[State, Commands]:
    """A synthesizer that does not answer has failed too."""
    run = state.response.run
    ledger = ledger_of(state, run.number) if run is not None else None
    late = _late_chunk(state, ledger)
    if ledger is None or late is None or state.at < _due(state, late):
        return state, NOTHING
    return _go_on_elsewhere(state, ledger.run, late.number, FailureKind.TIMEOUT, 0)


def _go_on_elsewhere(
    state: State, run: int, number: int, kind: FailureKind, duration_ns: int
) -> tuple[State, Commands]:
    """Whatever of the run has no sound yet is asked for again; nothing that has sound is repeated."""
    ledger = ledger_of(state, run)
    assert ledger is not None
    failed = chunk_of(ledger, number)
    policy = state.setup.policy
    reached = chars_heard(failed, duration_ns, policy.speech_chars_per_s) if duration_ns else 0
    rest = failed.text[reached:]
    done = replace(failed, text=failed.text[:reached].rstrip(), duration_ns=duration_ns)
    missing = [(failed.start_char + reached + len(rest) - len(rest.lstrip()), rest.strip())]
    state = write_chunk(state, ledger, done)
    for chunk in ledger.chunks:
        if chunk.number > number and chunk.duration_ns is None:
            missing.append((chunk.start_char, chunk.text))
            state = write_chunk(state, _again(state, run), replace(chunk, text="", duration_ns=0))
    playout = _next_voice(state, kind)
    if playout is None:
        state = replace(state, playout=replace(state.playout, voice=0, tries=0))
        return write(state, replace(_again(state, run), mute=True)), (CancelTTS(run=run),)
    state = replace(state, playout=playout)
    ledger, commands = _again(state, run), []
    for start, text in missing:
        if text:
            ledger, command = _asked(state, ledger, start, text)
            commands.append(command)
    return write(state, ledger), (CancelTTS(run=run), *commands)


def _again(state: State, run: int) -> Ledger:
    ledger = ledger_of(state, run)
    assert ledger is not None
    return ledger


def _next_voice(state: State, kind: FailureKind) -> Playout | None:
    """The same synthesizer for a few tries, unless it refused; then the next; None when all have failed."""
    playout = state.playout
    if kind is not FailureKind.REJECTED and playout.tries < state.setup.policy.retries:
        return replace(playout, tries=playout.tries + 1)
    if playout.voice + 1 < len(state.setup.tts):
        return replace(playout, voice=playout.voice + 1, tries=0)
    return None


def trust_voice(state: State, event: object) -> tuple[State, Commands]:
    """A synthesizer that has finished a chunk works."""
    if not state.playout.tries:
        return state, NOTHING
    return replace(state, playout=replace(state.playout, tries=0)), NOTHING


# Time.


def _late_chunk(state: State, ledger: Ledger | None) -> Chunk | None:
    """The chunk that is awaited: the first without all its sound."""
    if ledger is None or ledger.cleared or state.lost_at is not None:
        return None
    return next((chunk for chunk in ledger.chunks if chunk.duration_ns is None), None)


def _due(state: State, chunk: Chunk) -> int:
    policy, ledger = state.setup.policy, state.playout.ledgers[-1]
    # A chunk's wait begins when the one before it was done, not when it was asked for.
    since = max(chunk.asked_at, ledger.served_at)
    return since + (policy.tts_chunk_ns if chunk.started else policy.tts_first_ns)


def deadlines(state: State) -> Deadlines:
    run = state.response.run
    late = _late_chunk(state, ledger_of(state, run.number)) if run is not None else None
    return Deadlines(_due(state, late)) if late is not None else NEVER
