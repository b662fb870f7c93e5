"""Is a journal what was written, and do today's rules still decide so?

Two questions, two answers. The seals say whether the file was changed. Folding its facts again says whether the rules give the same
orders, phases and states. Nothing here can reach a provider: the only code that runs is the reducer.
"""

from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path

from msgspec import Struct

from engine.core.commands import Commands
from engine.core.reduce import RULES_VERSION, begin, reduce
from engine.core.state import State
from engine.errors import JournalCorrupt, ReplayDiverged
from engine.replay.delta import state_digest
from engine.replay.journal import Footer, Step, Written, sealed, shown
from engine.replay.notation import Context, write_commands
from engine.replay.reader import Journal, is_live

Progress = Callable[[int, int], None]
"""Bytes read, and bytes in all."""


class Verdict(StrEnum):
    """What is known of a journal that holds nothing wrong."""

    GOOD = "good"
    TORN = "torn"
    """Good up to where it ends too early."""
    LIVE = "live"
    """Good so far: it is still being written."""
    REDACTED = "redacted"
    """Unchanged since it was redacted; its decisions can no longer be checked."""
    OLDER = "older"
    """Written under other rules, which decide alike in this call; digests of the state are not comparable."""


class Report(Struct, frozen=True):
    """The answer."""

    path: Path
    verdict: Verdict
    events: int
    digest: str
    """Of the last line that was read."""
    detail: str = ""


class Replayed(Struct, frozen=True):
    """One step as it was written and as the rules take it today."""

    step: Step
    before: State
    after: State
    orders: Commands
    """What the rules ask for, whole."""

    @property
    def commands(self) -> tuple[Written, ...]:
        """The same as a journal has it."""
        return sealed(self.orders)


def verify(path: Path, progress: Progress | None = None) -> Report:
    """Check one journal to its end, or to its tear.

    Raises OSError, JournalCorrupt (the file was changed: names the step), JournalTooNew, ReplayDiverged (the rules were).
    """
    with Journal(path) as journal:
        if journal.changed:
            raise JournalCorrupt(0, journal.changed)
        size = journal.size_bytes
        strict = journal.header.rules == RULES_VERSION
        state, events = begin(), 0
        for count, line in enumerate(journal.lines(), 1):
            if journal.changed:
                raise JournalCorrupt(line.offset, journal.changed)
            if isinstance(line.entry, Footer) and (line.entry.events, line.entry.lines) != (events, count):
                raise JournalCorrupt(
                    line.offset, f"the footer counts {line.entry.events} events, the journal has {events}"
                )
            if isinstance(line.entry, Step):
                if line.entry.seq != events:
                    raise JournalCorrupt(line.offset, f"step {line.entry.seq} stands where step {events} should")
                if not journal.header.redacted:
                    state = _repeat(state, line.entry, strict=strict)
                events += 1
            if progress and count % 512 == 0:
                progress(line.offset, size)
        if progress:
            progress(size, size)
        return _report(journal, events)


def _report(journal: Journal, events: int) -> Report:
    if journal.tear and is_live(journal.path):
        verdict, detail = Verdict.LIVE, "it is still being written"
    elif journal.tear:
        verdict, detail = Verdict.TORN, journal.tear
    elif journal.header.redacted:
        verdict, detail = (
            Verdict.REDACTED,
            "unchanged since the words were taken out; the rules cannot be asked again without them",
        )
    elif journal.header.rules != RULES_VERSION:
        verdict = Verdict.OLDER
        detail = f"written under rules {journal.header.rules}; rules {RULES_VERSION} decide alike"
    else:
        verdict, detail = Verdict.GOOD, ""
    return Report(journal.path, verdict, events, journal.chain.last.hex(), detail)


def _repeat(state: State, step: Step, *, strict: bool) -> State:
    """Take one step again and compare. Raises ReplayDiverged."""
    after, commands = reduce(state, step.event)
    if difference := differs(Replayed(step, state, after, commands), strict=strict):
        raise ReplayDiverged(step.seq, type(step.event).__name__, *difference)
    return after


def differs(replayed: Replayed, *, strict: bool = True) -> tuple[str, str] | None:
    """What the journal has and what the rules give, in words, where they differ. `strict`: down to the state."""
    step, after = replayed.step, replayed.after
    commands = replayed.commands
    if step.commands != commands:
        had, gives = _orders(step.commands), _orders(commands)
        return (had, gives) if had != gives else ("other messages or limits in the same orders", gives)
    if step.before is not replayed.before.phase or step.after is not after.phase:
        return f"{step.before} → {step.after}", f"{replayed.before.phase} → {after.phase}"
    if strict and step.state != (digest := state_digest(replayed.before, after)):
        return f"state {step.state}", f"state {digest}"
    return None


def _orders(commands: tuple[Written, ...]) -> str:
    return write_commands(shown(commands), Context(), silent=True) or "no orders"


def replay(journal: Journal) -> Iterator[Replayed]:
    """Fold a journal's facts under today's rules, whatever it says came of them."""
    state = begin()
    for step in journal.steps():
        after, commands = reduce(state, step.event)
        yield Replayed(step, state, after, commands)
        state = after
