"""Text to the synthesizer, piece by piece, and what to do when a synthesizer fails.

Writes `state.playout` alone: what was asked for is the first line of the ledger.
"""

from msgspec.structs import replace

from engine.core.chunking import split_speakable
from engine.core.commands import NOTHING, CancelTTS, Commands, Synthesize
from engine.core.events import AdapterFailed, SessionStarted, Stage
from engine.core.floor import known_ledger, ledger_of
from engine.core.playout import chars_heard, chunk_of, keep_sound, write
from engine.core.retry import choose, is_worth_retrying, keep_or_leave
from engine.core.state import NEVER, Chunk, Deadlines, Ledger, Playout, Run, State
from engine.core.units import LIMITS, SECOND
from engine.errors import FailureKind

GRACE_NS = 2 * SECOND
"""After the runtime should have reported a chunk as timed out."""


def choose_voice(state: State, event: SessionStarted) -> tuple[State, Commands]:
    """The call's first voice: it is connected before there is anything to say."""
    return _with_voice(state), NOTHING


def _with_voice(state: State) -> State:
    """A run begins: in the voice of the last one, unless other calls know that it fails."""
    playout, names = state.playout, state.setup.tts
    if not names:
        return state
    voice = keep_or_leave(playout.voice, names, state.outages.tts)
    return state if voice == playout.voice else replace(state, playout=replace(playout, voice=voice, tries=0))


def speak(state: State) -> tuple[State, Commands]:
    """Hand over every piece of the answer that is ready to be spoken."""
    run = state.response.run
    if run is None:
        return state, NOTHING
    ledger = known_ledger(state, run.number)
    if ledger.mute or ledger.cut >= len(run.text):
        return state, NOTHING
    if not state.setup.tts:
        return write(state, replace(ledger, cut=len(run.text))), NOTHING
    if not ledger.chunks:
        state = _with_voice(state)
    commands: list[Synthesize] = []
    while size := _ready_chars(state, run, ledger):
        ledger, command = _cut(state, run, ledger, size)
        if command is not None:
            commands.append(command)
    changed = ledger is not known_ledger(state, run.number)
    return (write(state, ledger) if changed else state), tuple(commands)


def _ready_chars(state: State, run: Run, ledger: Ledger) -> int:
    """How much of the text that is left may be handed over now; 0 when it is better to wait."""
    pending = run.text[ledger.cut :]
    # A round that calls tools says what it has: nothing will follow until they have answered.
    whole = run.written or bool(run.calls)
    # Three pieces cut at their full length hold one full length at least, so the second half is enough for the longest answer.
    if len(ledger.chunks) >= LIMITS.chunks // 2 and len(pending) < LIMITS.chunk_chars and not whole:
        return 0
    return split_speakable(pending, first=not ledger.chunks, written=whole, policy=state.setup.policy)


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
    policy = state.setup.policy
    command = Synthesize(
        run=ledger.run,
        chunk=number,
        provider=provider,
        text=text,
        first_ns=policy.tts_first_ns,
        whole_ns=policy.tts_chunk_ns,
    )
    return replace(ledger, chunks=(*ledger.chunks, chunk)), command


# Trouble.


def change_voice(state: State, event: AdapterFailed) -> tuple[State, Commands]:
    """A synthesizer failed: go on from the word it reached, with itself once more or with the next one."""
    if event.stage is not Stage.TTS:
        return state, NOTHING
    return _go_on_elsewhere(state, event)


def give_up_waiting(state: State) -> tuple[State, Commands]:
    """The runtime answers for every chunk within its time; should it ever not, the run is silent, but never stuck."""
    awaited = _awaited(state)
    if awaited is None or state.at < awaited[1]:
        return state, NOTHING
    ledger = awaited[0]
    return write(state, replace(ledger, mute=True)), (CancelTTS(run=ledger.run),)


def _go_on_elsewhere(state: State, event: AdapterFailed) -> tuple[State, Commands]:
    """Whatever of the run has no sound yet is asked for again; nothing that has sound is repeated."""
    ledger = known_ledger(state, event.run)
    failed, made_ns = chunk_of(ledger, event.chunk), max(0, event.duration_ns)
    reached = chars_heard(failed, made_ns, state.setup.policy.speech_chars_per_s)
    missing: list[tuple[int, str]] = []
    for chunk in ledger.chunks:
        if chunk.duration_ns is not None:
            continue
        made, sound_ns = (reached, made_ns) if chunk is failed else (0, 0)
        rest = chunk.text[made:]
        missing.append((chunk.start_char + made + len(rest) - len(rest.lstrip()), rest.strip()))
        spoken = replace(chunk, text=chunk.text[:made].rstrip())
        state = keep_sound(state, known_ledger(state, event.run), spoken, sound_ns)
    # Each failure asks for the rest once more: one behind the other they would grow without end.
    spent = len(ledger.chunks) + len(missing) > LIMITS.chunks
    playout = None if spent else _next_voice(state, event.kind)
    if playout is None:
        first = choose(state.setup.tts, state.outages.tts) or 0
        state = replace(state, playout=replace(state.playout, voice=first, tries=0, tried=()))
        return write(state, replace(known_ledger(state, event.run), mute=True)), (CancelTTS(run=event.run),)
    state = replace(state, playout=playout)
    ledger, commands = known_ledger(state, event.run), []
    for start, text in missing:
        if text:
            ledger, command = _asked(state, ledger, start, text)
            commands.append(command)
    return write(state, ledger), (CancelTTS(run=event.run), *commands)


def _next_voice(state: State, kind: FailureKind) -> Playout | None:
    """The same synthesizer for a few tries, unless it refused; then the next; None when all have failed."""
    playout, names, out = state.playout, state.setup.tts, state.outages.tts
    tries, tried = playout.tries + 1, (*playout.tried, playout.voice)
    other, is_out = choose(names, out, tried), names[playout.voice] in out
    if is_worth_retrying(state.setup.policy, kind, failures=tries, others=other is not None, out=is_out):
        return replace(playout, tries=tries)
    return replace(playout, voice=other, tries=0, tried=tried) if other is not None else None


def trust_voice(state: State, event: object) -> tuple[State, Commands]:
    """A synthesizer that has finished a chunk works."""
    if not state.playout.tries and not state.playout.tried:
        return state, NOTHING
    return replace(state, playout=replace(state.playout, tries=0, tried=())), NOTHING


# Time.


def _awaited(state: State) -> tuple[Ledger, int] | None:
    """The live run's ledger while it lacks sound that was asked for, and the moment at which that is given up."""
    run = state.response.run
    ledger = ledger_of(state, run.number) if run is not None else None
    if ledger is None or ledger.mute or state.lost_at is not None:
        return None
    late = next((chunk for chunk in ledger.chunks if chunk.duration_ns is None), None)
    if late is None:
        return None
    # A chunk's wait begins when the one before it was done, not when it was asked for.
    return ledger, max(late.asked_at, ledger.served_at) + state.setup.policy.tts_chunk_ns + GRACE_NS


def deadlines(state: State) -> Deadlines:
    awaited = _awaited(state)
    return NEVER if awaited is None else Deadlines(awaited[1])
