"""What the workers of one service must know of each other: which tokens were used, where callers want to go, and who holds which call.

Each note is a file in a folder of this service's own: making a file that must not exist is atomic between processes, and a worker
that crashes takes nothing with it. A note is written once or twice a call, so what it costs does not matter.
"""

import hashlib
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

KEPT_SECONDS = 300.0
"""Longer than any note matters: a ticket lives a minute, a transfer is asked for within a second."""
SWEEP_SECONDS = 60.0


class Shared:
    """Notes between processes."""

    def __init__(self, folder: Path, worker: str = "", clock: Callable[[], float] = time.time) -> None:
        """worker: this process's name among them."""
        self.worker = worker
        self._folder = folder
        self._clock = clock
        self._swept_at = clock()

    def once(self, name: str) -> bool:
        """Whether nobody has said this name here before."""
        self._sweep()
        try:
            os.close(os.open(self._path("once", name), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except FileExistsError:
            return False
        return True

    def put(self, name: str, text: str) -> None:
        """Leave a text under a name, for whichever process takes it."""
        self._sweep()
        path = self._path("text", name)
        draft = path.with_suffix(f".{os.getpid()}")
        draft.write_text(text)
        draft.replace(path)

    def take(self, name: str) -> str:
        """The text under that name, once. Empty: there is none."""
        path = self._path("text", name)
        mine = path.with_suffix(f".{os.getpid()}")
        try:
            path.replace(mine)  # so that no two processes read it
        except FileNotFoundError:
            return ""
        text = mine.read_text()
        mine.unlink()
        return text

    def hold(self, name: str) -> None:
        """Say that this worker has what is named so, whoever had it before."""
        self._sweep()
        path = self._path("held", name)
        draft = path.with_suffix(f".{os.getpid()}")
        draft.symlink_to(self.worker)
        draft.replace(path)

    def leave(self, name: str) -> None:
        """Say that this worker has it no more."""
        if self.holder(name) == self.worker:
            self._path("held", name).unlink(missing_ok=True)

    def holder(self, name: str) -> str:
        """The worker that has it. Empty: none that lives."""
        try:
            worker = os.readlink(self._path("held", name))
        except OSError:
            return ""
        return worker if self.socket_of(worker).exists() else ""

    def socket_of(self, worker: str) -> Path:
        """Where a worker answers the others. Removed when it has ended."""
        return self._folder / f"{worker}.sock"

    def _path(self, kind: str, name: str) -> Path:
        return self._folder / f"{kind}-{hashlib.sha256(name.encode(errors='replace')).hexdigest()[:40]}"

    def _sweep(self) -> None:
        now = self._clock()
        if now - self._swept_at < SWEEP_SECONDS:
            return
        self._swept_at = now
        for path in list(self._folder.iterdir()):
            with suppress(FileNotFoundError):  # another process was quicker
                if path.is_symlink():
                    over = not self.socket_of(os.readlink(path)).exists()
                else:
                    over = path.suffix != ".sock" and now - path.stat().st_mtime > KEPT_SECONDS
                if over:
                    path.unlink()
