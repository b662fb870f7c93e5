"""The calls that can be looked at: one journal, or a folder of them. Nothing of a stranger's is ever a path.

A call is known by a short name made from its path; what is on the shelf is read from the disk each time, so that a call that has
just begun is there.
"""

import asyncio
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
from msgspec import Struct

from engine.core.units import MS
from engine.errors import JournalError
from engine.inspector.fold import Fold
from engine.replay.explain import latencies, problems
from engine.replay.journal import Header
from engine.replay.keeper import sound_of
from engine.replay.reader import UNREADABLE, Journal, is_live, journals

TAIL_BYTES = 64 * 1024
"""Read from the end of a journal to learn how it ended."""
FOLDS_MAX = 8
"""Calls whose states are held at once."""
LISTED_MAX = 2_000
SUMMED_BYTES_MAX = 4 * 1024 * 1024
"""Longer calls are summed up when somebody opens them."""
LIVING_MAX = 64
"""Calls under way that are summed up."""
SEARCH_BYTES = 1024 * 1024


class _End(Struct):
    """As much of a last line as the list shows."""

    kind: str = ""
    at: int = 0
    seq: int = 0
    events: int = 0
    reason: str = ""


class Figures(Struct, frozen=True):
    """What a call comes to."""

    turns: int
    median_ms: float | None
    worst_ms: float | None
    interruptions: int
    problems: int
    broken: bool
    """The file is not what was written."""


class Entry(Struct, kw_only=True):
    """One call in the list."""

    name: str
    file: str
    session: str
    started: str
    transport: str
    providers: str
    size: int
    seconds: float
    events: int
    live: bool
    redacted: bool
    sound: bool
    problem: str = ""
    figures: Figures | None = None


_end = msgspec.json.Decoder(_End).decode


class Shelf:
    """A journal or a folder of them."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self._folds: dict[str, Fold] = {}
        self._figures: dict[tuple[str, int], Figures] = {}
        self._living: dict[str, Fold] = {}
        """Calls under way, as far as they were summed up at the last look."""

    def paths(self) -> list[Path]:
        """Newest first."""
        return [self.place] if self.place.is_file() else journals(self.place)[::-1]

    def path(self, name: str) -> Path | None:
        """The journal of that name."""
        return next((path for path in self.paths() if self.name(path) == name), None)

    def name(self, path: Path) -> str:
        return blake2b(str(path).encode(), digest_size=8).hexdigest()

    async def entries(self, search: str = "") -> list[Entry]:
        """The list, as far as it answers to the search: in names and providers, then in what was said."""
        found = []
        for path in self.paths()[:LISTED_MAX]:
            try:
                entry = self._entry(path)
            except OSError:  # Deleted a moment ago.
                continue
            if not search or _answers(entry, search) or await _holds(path, search):
                found.append(entry)
            await asyncio.sleep(0)
        return found

    def _entry(self, path: Path) -> Entry:
        stat = path.stat()
        name, file = self.name(path), str(path.relative_to(self.place)) if self.place.is_dir() else path.name
        try:
            with Journal(path) as journal:
                header, size = journal.header, stat.st_size
        except JournalError as error:
            return Entry(
                name=name, file=file, session="", started="", transport="", providers="", size=stat.st_size, seconds=0,
                events=0, live=False, redacted=False, sound=False, problem=str(error),
            )  # fmt: skip
        events, at, whole = _ending(path, size)
        live = not whole and is_live(path)
        return Entry(
            name=name,
            file=file,
            session=header.session,
            started=header.started,
            transport=header.transport,
            providers=", ".join((*header.asr, *header.llm, *header.tts)),
            size=size,
            seconds=at / 1e9,
            events=events,
            live=live,
            redacted=header.redacted,
            sound=sound_of(path).exists(),
            problem="" if whole or live else "torn: it ends without a footer",
            figures=self._figures.get((name, size)),
        )

    def fold(self, path: Path, header: Header) -> Fold:
        """The fold of a journal; the one not used for longest is let go."""
        name = self.name(path)
        fold = self._folds.pop(name, None) or Fold(path, faithful=not header.redacted)
        self._folds[name] = fold
        while len(self._folds) > FOLDS_MAX:
            del self._folds[next(iter(self._folds))]
        return fold

    async def sum_up(self, entries: list[Entry], budget_s: float) -> None:
        """Fill in the figures, newest call first, as many as there is time for: of a call that has ended once, of a live one each time."""
        loop = asyncio.get_running_loop()
        until = loop.time() + budget_s
        living = {entry.name for entry in [entry for entry in entries if entry.live][:LIVING_MAX]}
        for entry in entries:
            held = self._living.get(entry.name)
            long = entry.size > SUMMED_BYTES_MAX and not held
            many = entry.live and entry.name not in living
            if entry.figures or entry.problem or entry.redacted or long or many:
                continue
            if loop.time() >= until or (path := self.path(entry.name)) is None:
                break
            fold = held or Fold(path, faithful=True)
            await fold.advance()
            entry.figures = figures(fold)
            if entry.live:
                self._living[entry.name] = fold
            else:
                self._figures[entry.name, entry.size] = entry.figures
        self._living = {name: fold for name, fold in self._living.items() if name in living}


def figures(fold: Fold) -> Figures:
    """What a folded call comes to."""
    waits = latencies(fold.story)
    return Figures(
        turns=sum(1 for answer in fold.story.answers if answer.turn),
        median_ms=median(waits) / MS if waits else None,
        worst_ms=max(waits) / MS if waits else None,
        interruptions=sum(1 for each in fold.story.interruptions if each.outcome in ("interrupted", "cancelled")),
        problems=len(problems(fold.story)),
        broken=bool(fold.broken),
    )


def _answers(entry: Entry, search: str) -> bool:
    words = f"{entry.file} {entry.session} {entry.started} {entry.transport} {entry.providers} {entry.problem}"
    return search.lower() in words.lower()


async def _holds(path: Path, search: str) -> bool:
    """Whether a journal's text holds these words, in any case. Read in pieces that overlap."""
    wanted = search.lower().encode()
    last = b""
    with path.open("rb") as file:
        while piece := file.read(SEARCH_BYTES):
            if wanted in last + piece.lower():
                return True
            last = piece[-len(wanted) :].lower()
            await asyncio.sleep(0)
    return False


def _ending(path: Path, size: int) -> tuple[int, int, bool]:
    """Events, nanoseconds, and whether the journal has its end, from its last lines."""
    events, at, whole = 0, 0, False
    for line in _last_lines(path, size):
        try:
            end = _end(line)
        except UNREADABLE:
            continue
        if end.kind == "footer":
            events, whole = end.events, True
        elif end.kind in ("event", "activity"):
            at = end.at
            if end.kind == "event":
                return (events or end.seq + 1), at, whole
    return events, at, whole


def _last_lines(path: Path, size: int) -> Iterator[bytes]:
    """From the end backwards, whole lines only."""
    with path.open("rb") as file:
        file.seek(max(0, size - TAIL_BYTES))
        tail: list[Any] = file.read(TAIL_BYTES).split(b"\n")
    yield from reversed(tail[1:] if size > TAIL_BYTES else tail)
