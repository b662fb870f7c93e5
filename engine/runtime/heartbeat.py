"""Is the event loop on time? Everything that a call waits for inside the process waits for it."""

import asyncio
from collections.abc import Callable

from engine.core.units import MS, SECOND

BEAT_NS = 250 * MS
"""Often enough to see a stall of a second, and a ten-thousandth of a core."""


class Heartbeat:
    """Asks to be woken every so often and tells by how much that came too late."""

    def __init__(self, tell: Callable[[int], None], loop: asyncio.AbstractEventLoop) -> None:
        self._tell = tell
        self._loop = loop
        self._timer = loop.call_later(BEAT_NS / SECOND, self._beat, loop.time() + BEAT_NS / SECOND)

    def stop(self) -> None:
        self._timer.cancel()

    def _beat(self, due: float) -> None:
        now = self._loop.time()
        self._tell(max(0, int((now - due) * SECOND)))
        self._timer = self._loop.call_later(BEAT_NS / SECOND, self._beat, now + BEAT_NS / SECOND)
