"""Where a journal is written to: a file that never keeps the call waiting.

A `Sheet` gathers lines; `flush` writes them. A `Scribe` flushes all sheets of a process from one thread, twenty times a second: a
write to a busy or broken disk may hang for seconds, and asyncio has no files. A full disk tears the recording and nothing else.
"""

import atexit
import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from engine.replay.journal import Torn, encode

PENDING_BYTES_MAX = 8 * 1024 * 1024
"""Lines waiting for one file: an hour of a usual call. More means that the disk has hung."""
FLUSH_BYTES = 64 * 1024
"""Without a scribe, lines are written in pieces of this size."""
FLUSH_S = 0.05
"""How often a scribe writes. A page that follows the call reads at the same pace: 0.1 s behind at worst, and then the network."""

LOCK_TRIES = 100
CHORE_ROUNDS = 6_000
"""Five minutes."""


class Sheet:
    """One journal being written. The file is held under an advisory lock while it is open: that is how a reader knows it lives.

    The call's side and the scribe's thread share a queue and two counts, each written by one of them only.
    """

    def __init__(self, path: Path, *, scribe: "Scribe | None" = None) -> None:
        """Raises OSError if the file cannot be made; an existing one is never overwritten."""
        self.path = path
        self.failure = ""
        """Why the recording is torn. Empty while it is whole."""
        self._lines: deque[bytes] = deque()
        self._last: bytes | None = None
        self._taken = 0
        self._refused = 0
        self._given = 0
        self._lost = 0
        self._size = 0
        self._broken = False
        self._scribe = scribe
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        _lock(self._file)
        if scribe:
            scribe.take(self)

    # The call's side.

    def write(self, line: bytes) -> bool:
        """Gather a line. False once the recording is torn."""
        if not self.failure and self._taken - self._given + len(line) > PENDING_BYTES_MAX:
            self.tear("the disk is too slow")
        if self.failure:
            return False
        self._taken += len(line)
        self._lines.append(line)
        if self._scribe is None and self._taken - self._given >= FLUSH_BYTES:
            self.flush()
        return True

    def tear(self, reason: str) -> None:
        """Keep nothing more, and say why. The first reason stands."""
        self.failure = self.failure or reason

    def close(self, last: bytes, lost: int = 0) -> None:
        """Write what is left, then `last`, or a torn mark. With a scribe this happens in its thread, soon."""
        self._refused = lost
        self._last = last
        if self._scribe is None:
            self.flush()

    # The scribe's side.

    def flush(self) -> bool:
        """Write what has been gathered. Returns whether the file stays open."""
        ending = self._last
        lines = [self._lines.popleft() for _ in range(len(self._lines))]
        if ending and not self.failure:
            lines.append(ending)
        if lines:
            self._put(lines)
        if ending is None:
            return True
        if self.failure:
            self._mark()
        os.close(self._file)
        if not self._size and not self.failure:
            self.path.unlink(missing_ok=True)
        return False

    def _put(self, lines: list[bytes]) -> None:
        if self._broken:
            self._lost += len(lines)
            return
        data, done = b"".join(lines), 0
        try:
            while done < len(data):
                done += os.write(self._file, data[done:])
        except OSError as error:
            self._broken = True
            self.tear(error.strerror or "a write failed")
            self._lost += len(lines) - data.count(b"\n", 0, done)
        self._size += data.rfind(b"\n", 0, done) + 1
        self._given += len(data)

    def _mark(self) -> None:
        """Cut a half line off and say that the recording is torn. Where even that fails, the missing footer says it."""
        mark = encode(Torn(reason=self.failure, lost=self._lost + self._refused)) + b"\n"
        with contextlib.suppress(OSError):
            os.ftruncate(self._file, self._size)
            os.pwrite(self._file, mark, self._size)


class Flushed(Protocol):
    """What a scribe writes."""

    def flush(self) -> bool:
        """Write what was gathered. False: it is closed."""


class Scribe:
    """One thread that writes the files of all calls, and now and then does a chore on the disk."""

    def __init__(self, chore: Callable[[], None] | None = None) -> None:
        """chore: done at the start and every CHORE_ROUNDS rounds; may raise OSError, which waits for the next time."""
        self._sheets: deque[Flushed] = deque()
        self._chore = chore
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._write, name="journal", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def take(self, sheet: Flushed) -> None:
        """Write this one too, until it is closed."""
        self._sheets.append(sheet)

    def close(self) -> None:
        """Write everything that has been gathered and stop. Blocks until it is written."""
        atexit.unregister(self.close)
        self._stop.set()
        self._thread.join()
        self._round()

    def _write(self) -> None:
        rounds = 0
        while not self._stop.wait(FLUSH_S):
            self._round()
            if self._chore and rounds % CHORE_ROUNDS == 0:
                with contextlib.suppress(OSError):
                    self._chore()
            rounds += 1

    def _round(self) -> None:
        for _ in range(len(self._sheets)):
            sheet = self._sheets.popleft()
            if sheet.flush():
                self._sheets.append(sheet)


def _lock(file: int) -> None:
    try:
        import fcntl
    except ImportError:  # Windows has none; there a reader goes by the missing footer alone.
        return
    for _ in range(LOCK_TRIES):
        with contextlib.suppress(OSError):  # Some network filesystems refuse; a reader may be looking this very moment.
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
