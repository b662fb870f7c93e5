"""A folder of journals: a new file for each call, old ones deleted by age and by size."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from engine.replay.activity import ActivityLog
from engine.replay.journal import Recorder
from engine.replay.reader import is_live, journals
from engine.replay.sheet import Scribe, Sheet
from engine.replay.tape import Converter, SoundRecorder, Tape

DAY_NS = 24 * 3_600 * 1_000_000_000
NAME_CHARS = 64
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")


class Call(Protocol):
    """What a keeper asks of a call."""

    @property
    def call_id(self) -> str: ...

    @property
    def began_ns(self) -> int:
        """Wall clock at the call's first moment: nanoseconds since 1970."""

    @property
    def traceparent(self) -> str:
        """The trace it hangs under, from outside. Empty: none."""


class Keeper:
    """Makes a recorder for each call: an observer factory. One for a process; `close` it at the end."""

    def __init__(self, folder: Path, clock: Callable[[], int], *, days: float = 0, bytes_max: int = 0) -> None:
        """clock: nanoseconds since 1970. days, bytes_max: what is older or more is deleted; 0 keeps all. Raises OSError."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder = folder
        self._clock = clock
        self._days = days
        self._bytes_max = bytes_max
        self._scribe = Scribe(self.prune if days or bytes_max else None)

    def __call__(self, call: Call) -> Recorder:
        """A recorder that writes to a file of this call's own. Raises OSError."""
        path = self.folder / file_name(call.began_ns, call.call_id)
        sheet = Sheet(path, scribe=self._scribe)
        return Recorder(
            sheet,
            session=call.call_id,
            started_ns=call.began_ns,
            traceparent=call.traceparent,
            log=ActivityLog(),
        )

    def sound(self, call: Call, converter: Callable[[int], Converter]) -> SoundRecorder:
        """What writes a call's sound beside its journal. converter: see SoundRecorder. Raises OSError."""
        path = sound_of(self.folder / file_name(call.began_ns, call.call_id))
        return SoundRecorder(Tape(path, self._scribe), converter)

    def prune(self) -> None:
        """Delete what is too old or too much."""
        prune(self.folder, self._clock(), days=self._days, bytes_max=self._bytes_max)

    def close(self) -> None:
        """Write everything that is still in memory. Blocks until it is written."""
        self._scribe.close()


def file_name(started_ns: int, session: str) -> str:
    """When the call began, then its name: sorted by name is sorted by time."""
    started = datetime.fromtimestamp(started_ns / 1e9, UTC).strftime("%Y%m%dT%H%M%S.%f")[:-3]
    return f"{started}Z-{_UNSAFE.sub('-', session)[:NAME_CHARS] or 'call'}.jsonl"


def prune(folder: Path, now_ns: int, *, days: float = 0, bytes_max: int = 0) -> list[Path]:
    """Delete journals, and the sound recorded beside them, that are older than `days`; then the oldest while the rest is too big.

    A live call is never deleted. 0 means no limit. Returns the journals deleted.
    """
    kept: list[tuple[int, int, Path]] = []
    gone: list[Path] = []
    for path in journals(folder):
        try:
            stat = path.stat()
            if days and now_ns - stat.st_mtime_ns > days * DAY_NS and not is_live(path):
                gone.append(path)
            else:
                kept.append((stat.st_mtime_ns, stat.st_size + _size(sound_of(path)), path))
        except OSError:  # Another process was quicker.
            continue
    total = sum(size for _, size, _ in kept)
    for _, size, path in sorted(kept):
        if not bytes_max or total <= bytes_max:
            break
        if not is_live(path):
            total -= size
            gone.append(path)
    for path in gone:
        sound_of(path).unlink(missing_ok=True)
        path.unlink(missing_ok=True)
    return gone


def sound_of(journal: Path) -> Path:
    """Where the sound of a call is, if it was recorded."""
    return journal.with_suffix(".wav")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
