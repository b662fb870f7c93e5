"""One timer for all callers: each is due every 20 ms, at its own moment within them."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from engine.core.units import FRAME_NS, MS, SECOND

SLOTS = FRAME_NS // MS
"""Moments within a frame. Calls do not begin in step, so neither do their frames."""
LEFT_BEHIND_NS = SECOND
"""A machine that stood still longer than this is not caught up with."""


class Caller(Protocol):
    def tick(self, now_ns: int) -> None:
        """20 ms of the call."""


class Wheel:
    """Ticks its callers until it is stopped."""

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Callable[[], int], late: Callable[[int], None]) -> None:
        """late: told by how many nanoseconds each turn came too late."""
        self._loop = loop
        self._clock = clock
        self._late = late
        self._slots: list[dict[Caller, None]] = [{} for _ in range(SLOTS)]
        self._due_ns = clock()
        self._slot = 0
        self._timer: asyncio.TimerHandle | None = loop.call_soon(self._turn)  # type: ignore[assignment]

    def add(self, caller: Caller) -> None:
        """Tick this caller from now on, in the emptiest slot."""
        min(self._slots, key=len)[caller] = None

    def remove(self, caller: Caller) -> None:
        for slot in self._slots:
            slot.pop(caller, None)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _turn(self) -> None:
        now = self._clock()
        self._late(now - self._due_ns)
        if now - self._due_ns > LEFT_BEHIND_NS:
            self._due_ns = now
        while self._due_ns <= now:
            for caller in tuple(self._slots[self._slot]):
                caller.tick(self._clock())
            self._slot = (self._slot + 1) % SLOTS
            self._due_ns += MS
        # Whole milliseconds: uvloop knows no others, and would come back early, many times over.
        wait_ms = max(1, -(-(self._due_ns - self._clock()) // MS))
        self._timer = self._loop.call_later(wait_ms / 1000, self._turn)
