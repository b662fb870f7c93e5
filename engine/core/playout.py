"""What was queued, sent and heard: a ledger for each run, in nanoseconds of its sound.

`runtime/outbound` does the playing; here is only what is known of it. Facts about playout never go stale: what was heard stays
true, of dead runs too. Writes `state.playout` alone, as `speech.py` does for what is asked of the synthesizer.
"""

from msgspec.structs import replace

from engine.core.commands import NOTHING, Commands
from engine.core.events import (
    PlayoutAdvanced,
    PlayoutCleared,
    PlayoutDone,
    PlayoutPaused,
    PlayoutStarted,
    TTSChunkDone,
    TTSWords,
    Word,
)
from engine.core.floor import is_synthesised, known_ledger, ledger_of, sound_ns
from engine.core.state import NEVER, Chunk, Deadlines, Ledger, State
from engine.core.units import LIMITS, MS, SECOND

ROUNDING_NS = 40 * MS
"""A chunk this near its end counts as heard in text: two frames, for resamplers' delay and positions that come in frames."""


def write(state: State, ledger: Ledger) -> State:
    ledgers = tuple(ledger if old.run == ledger.run else old for old in state.playout.ledgers)
    return replace(state, playout=replace(state.playout, ledgers=ledgers))


def write_chunk(state: State, ledger: Ledger, chunk: Chunk) -> State:
    chunks = tuple(chunk if old.number == chunk.number else old for old in ledger.chunks)
    return write(state, replace(ledger, chunks=chunks))


def chunk_of(ledger: Ledger, number: int) -> Chunk:
    return next(chunk for chunk in ledger.chunks if chunk.number == number)


# Synthesis. The gate in `reduce` has made sure that run and chunk are live.


def keep_words(state: State, event: TTSWords) -> tuple[State, Commands]:
    """Word times of a chunk, in order; anything that runs backwards or past the text is dropped."""
    ledger = known_ledger(state, event.run)
    chunk = chunk_of(ledger, event.chunk)
    words = list(chunk.words)
    for word in event.words:
        last = words[-1] if words else Word(0, 0)
        # Each word ends further on in the text, so that there are no more of them than characters.
        if last.end_char < word.end_char <= len(chunk.text) and word.end_ns >= last.end_ns:
            words.append(word)
    return write_chunk(state, ledger, replace(chunk, words=tuple(words))), NOTHING


def keep_duration(state: State, event: TTSChunkDone) -> tuple[State, Commands]:
    """All sound of a chunk is in hand."""
    ledger = known_ledger(state, event.run)
    return keep_sound(state, ledger, chunk_of(ledger, event.chunk), event.duration_ns), NOTHING


def keep_sound(state: State, ledger: Ledger, chunk: Chunk, duration_ns: int) -> State:
    """Write down how much sound there is of a chunk. Where the ear had heard all before, it can go on from now."""
    drained = ledger.heard_ns >= sound_ns(ledger) - ROUNDING_NS
    ledger = replace(ledger, served_at=state.at, moved_at=state.at if drained else ledger.moved_at)
    return write_chunk(state, ledger, replace(chunk, duration_ns=max(0, duration_ns)))


# Playout.


def note_start(state: State, event: PlayoutStarted) -> tuple[State, Commands]:
    ledger = known_ledger(state, event.run)
    if ledger.started_at is not None:
        return state, NOTHING
    return write(state, replace(ledger, started_at=state.at, moved_at=state.at)), NOTHING


def note_heard(
    state: State, event: PlayoutAdvanced | PlayoutPaused | PlayoutCleared | PlayoutDone
) -> tuple[State, Commands]:
    """More was heard. Positions only grow: an older estimate than the one at hand adds nothing."""
    ledger = known_ledger(state, event.run)
    heard = max(ledger.heard_ns, event.heard_ns)
    if is_synthesised(ledger):
        heard = min(heard, sound_ns(ledger))
    if heard > ledger.heard_ns:
        state = write(state, replace(ledger, heard_ns=heard, moved_at=state.at))
    return state, NOTHING


def note_drained(state: State, event: PlayoutDone) -> tuple[State, Commands]:
    """The ear has caught up: the end of the run, or a gap in the sound."""
    ledger = known_ledger(state, event.run)
    if is_synthesised(ledger):
        if ledger.cleared:
            return state, NOTHING
        return write(state, replace(ledger, heard_ns=max(ledger.heard_ns, sound_ns(ledger)))), NOTHING
    return replace(state, playout=replace(state.playout, starved=state.playout.starved + 1)), NOTHING


# Book-keeping that follows the runs.


def keep_books(state: State) -> tuple[State, Commands]:
    """A ledger for a run that has none; the opening of one that was committed."""
    run = state.response.run
    if run is None:
        return state, NOTHING
    ledger = ledger_of(state, run.number)
    if ledger is None:
        ledgers = (*state.playout.ledgers, Ledger(run=run.number))[-(LIMITS.runs_remembered + 1) :]
        return replace(state, playout=replace(state.playout, ledgers=ledgers)), NOTHING
    if run.committed and ledger.opened_at is None:
        return write(state, replace(ledger, opened_at=state.at, moved_at=state.at)), NOTHING
    return state, NOTHING


# What was heard, in text.


def heard_chars(ledger: Ledger, chars_per_s: int) -> int:
    """How much of the run's text has been heard: a position in it that ends at a word.

    By the synthesizer's word times where there are any; otherwise in proportion within the chunk.
    """
    position, begins = 0, 0
    for chunk in ledger.chunks:
        heard = ledger.heard_ns - begins
        if heard <= 0:
            break
        if chunk.duration_ns is not None and heard >= chunk.duration_ns - ROUNDING_NS:
            position = chunk.start_char + len(chunk.text)
        else:
            within = chars_heard(chunk, heard, chars_per_s)
            return chunk.start_char + within if within else position
        begins += chunk.duration_ns
    return position


def chars_heard(chunk: Chunk, heard_ns: int, chars_per_s: int) -> int:
    if chunk.words:
        ended = [word.end_char for word in chunk.words if word.end_ns <= heard_ns]
        return ended[-1] if ended else 0
    chars = len(chunk.text) * heard_ns // chunk.duration_ns if chunk.duration_ns else heard_ns * chars_per_s // SECOND
    if chars >= len(chunk.text):
        return len(chunk.text)
    # Cut back to the end of the last whole word.
    return len(chunk.text[: chars + 1].rpartition(" ")[0].rstrip())


def is_heard_out(ledger: Ledger) -> bool:
    """Whether everything asked for has been heard."""
    return is_synthesised(ledger) and ledger.heard_ns >= sound_ns(ledger)


def is_stalled(state: State, ledger: Ledger) -> bool:
    """Whether sound that should be moving has stood still too long: a mark that never came, a socket that is half open."""
    at = stall_at(state, ledger)
    return at is not None and state.at >= at


def stall_at(state: State, ledger: Ledger) -> int | None:
    """When a standstill of this run becomes a loss. None while nothing should move."""
    waits = state.contest.run == ledger.run or state.lost_at is not None or ledger.opened_at is None
    if waits or ledger.heard_ns >= sound_ns(ledger):
        return None
    return ledger.moved_at + state.setup.policy.playout_stall_ns


def deadlines(state: State) -> Deadlines:
    run = state.response.run
    ledger = ledger_of(state, run.number) if run is not None else None
    return Deadlines(stall_at(state, ledger)) if ledger is not None else NEVER
