"""Reading a journal, whole or as it grows, one line at a time: a gigantic file is a long one, not a big one."""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Self

import msgspec
from msgspec import Struct

from engine.errors import JournalCorrupt, JournalTooNew
from engine.replay.journal import FORMAT, LINE_BYTES_MAX, Activity, Chain, Entry, Footer, Header, Step, Torn

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What a decoder raises for bytes that are not what they should be."""

_decode = msgspec.json.Decoder(Entry).decode
_decode_head = msgspec.json.Decoder(Header).decode


class _Format(Struct):
    """As much of a header as any version will have."""

    format: int
    engine: str = "?"


_decode_format = msgspec.json.Decoder(_Format).decode


class Line(Struct, frozen=True):
    """One line of the file as it is, and what it says."""

    offset: int
    raw: bytes
    entry: Entry


class Journal:
    """A journal being read. Iterate it once; then `footer` or `tear` says how it ended."""

    def __init__(self, path: Path) -> None:
        """Open a journal and read its header. Raises OSError, JournalCorrupt, JournalTooNew."""
        self.path = path
        self.footer: Footer | None = None
        self.tear = ""
        """Why the recording is not whole. Known when it has been read to its end; empty when it is whole."""
        self.changed = ""
        """The first place where the file is not what was written, as far as it has been read. Empty: nowhere."""
        self.chain = Chain()
        """The seals, as far as it has been read."""
        self.offset = 0
        """Bytes read so far, whole lines only."""
        self.events = 0
        """Events read so far."""
        self._file: BinaryIO = path.open("rb")
        try:
            raw = self._file.readline(LINE_BYTES_MAX)
            self.header = _header(raw)
        except BaseException:
            self._file.close()
            raise
        if not self.chain.check(raw):
            self.changed = "the header is not what was written"
        self.first = Line(0, raw, self.header)
        self.offset = len(raw)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()

    @property
    def size_bytes(self) -> int:
        """Of the file now."""
        return self.path.stat().st_size

    def lines(self) -> Iterator[Line]:
        """Every line after the header, up to the tear if there is one. Raises JournalCorrupt for nonsense before the end."""
        for raw in self._raw():
            entry = self._entry(raw)
            if entry is None:
                return
            if not isinstance(entry, Torn) and not self.chain.check(raw) and not self.changed:
                self.changed = f"{self._name(raw, entry)} is not what was written, or what stood before it is missing"
            yield Line(self.offset, raw, entry)
            self.offset += len(raw)
            if isinstance(entry, Step):
                self.events += 1
            elif isinstance(entry, Footer):
                self.footer = entry
            elif isinstance(entry, Torn):
                self.tear = f"{entry.reason}; {entry.lost} lines were lost"
        if not self.footer and not self.tear:
            self.tear = "it ends without a footer"

    def steps(self) -> Iterator[Step]:
        """Every event."""
        return (line.entry for line in self.lines() if isinstance(line.entry, Step))

    def activities(self) -> Iterator[Activity]:
        """Everything beside the events."""
        return (line.entry for line in self.lines() if isinstance(line.entry, Activity))

    def _raw(self) -> Iterator[bytes]:
        while raw := self._file.readline(LINE_BYTES_MAX):
            yield raw

    def _entry(self, raw: bytes) -> Entry | None:
        """What a line says; None where the file is torn off inside it."""
        if not raw.endswith(b"\n"):
            if len(raw) == LINE_BYTES_MAX:
                raise JournalCorrupt(self.offset, "a line without end")
            self.tear = f"the last line is torn off after {len(raw)} bytes"
            return None
        if self.footer or self.tear:
            raise JournalCorrupt(self.offset, "something follows the end")
        try:
            entry: Entry = _decode(raw)
        except UNREADABLE as error:
            raise JournalCorrupt(self.offset, f"{self._name(raw)} cannot be read: {error}") from None
        if isinstance(entry, Header):
            raise JournalCorrupt(self.offset, "a second header")
        return entry

    def _name(self, raw: bytes, entry: Entry | None = None) -> str:
        """A line in words."""
        if isinstance(entry, Step):
            return f"step {entry.seq} ({type(entry.event).__name__})"
        return f"step {self.events}" if raw.startswith(b'{"kind":"event"') else f"what follows step {self.events - 1}"


def _header(raw: bytes) -> Header:
    """Raises JournalCorrupt, JournalTooNew."""
    try:
        found = _decode_format(raw)
    except UNREADABLE:
        raise JournalCorrupt(0, "it does not begin with a journal's header") from None
    if found.format > FORMAT:
        raise JournalTooNew(
            f"the journal has format {found.format}, written by engine {found.engine}; this engine reads up to {FORMAT}"
        )
    try:
        return _decode_head(raw)
    except UNREADABLE as error:
        raise JournalCorrupt(0, f"its header is wrong: {error}") from None


def is_live(path: Path) -> bool:
    """Whether a journal is being written now: its writer holds a lock on it."""
    try:
        import fcntl
    except ImportError:
        return False
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
    return False


def journals(folder: Path) -> list[Path]:
    """Every journal of a folder and those below it, oldest first by name. Raises OSError."""
    return sorted(path for path in folder.rglob("*.jsonl") if path.is_file())
