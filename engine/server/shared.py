"""What the workers of one service must know of each other: which tokens were used, and where callers want to go.

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

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
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

    def _path(self, kind: str, name: str) -> Path:
        return self._folder / f"{kind}-{hashlib.sha256(name.encode(errors='replace')).hexdigest()[:40]}"

    def _sweep(self) -> None:
        now = self._clock()
        if now - self._swept_at < SWEEP_SECONDS:
            return
        self._swept_at = now
        for path in list(self._folder.iterdir()):
            with suppress(FileNotFoundError):  # another process was quicker
                if now - path.stat().st_mtime > KEPT_SECONDS:
                    path.unlink()
