"""An event loop whose clock stretches: waiting takes as long as it must and no longer.

`engine call --fast` runs on it, and tests do. Where nothing real is waited for, the clock jumps to the next timer at once; where a
provider is at work in another process, it runs as fast as `speed` says, so that the work takes the time it would take in a call.
All of asyncio's timers follow this clock: pacing, deadlines, timeouts.

What runs on the loop itself takes no time at all by this clock. It is not for sockets whose peer keeps a clock of its own.
"""

import asyncio
import math
import selectors
import time
from collections.abc import Callable

from engine.core.state import State
from engine.core.units import SECOND

JUMP = math.inf
"""Nothing real is waited for."""
REAL_TIME = 1.0
LISTENING = 4.0
"""While the caller speaks and nothing hangs on the very moment of a partial: a recogniser of the embedded kind decodes several
times faster than real time, and is never further behind than this makes it."""


def speed_of(state: State, waiting: bool) -> float:
    """How fast the clock may run at this point of a call.

    waiting: something asked of a model, a synthesizer or a tool is under way.
    """
    if waiting or (state.ear.number and not state.ear.open):
        return REAL_TIME
    turn = state.turn
    if turn.speaking:
        run = state.response.run
        return REAL_TIME if run is not None and run.committed else LISTENING
    owed = turn.quiet_ns is not None and (turn.partial or not turn.text)
    return REAL_TIME if state.ear.number and owed else JUMP


class _Selector(selectors.DefaultSelector):
    """Waits for as much real time as the loop's clock wants."""

    def __init__(self) -> None:
        super().__init__()
        self.now_ns = 0
        self.speed: Callable[[], float] = lambda: REAL_TIME

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        speed = self.speed()
        if timeout is None:
            assert speed != JUMP or len(self.get_map()) > 1, "nothing will ever happen: no timer, no socket, no process"
            return self._wait(None, REAL_TIME)
        if speed == JUMP:
            self.now_ns += max(1, round(timeout * SECOND))
            return ready
        return self._wait(timeout, speed)

    def _wait(self, timeout: float | None, speed: float) -> list[tuple[selectors.SelectorKey, int]]:
        began = time.monotonic_ns()
        ready = super().select(None if timeout is None else timeout / speed)
        passed = int((time.monotonic_ns() - began) * speed)
        self.now_ns += passed if ready or timeout is None else max(passed, round(timeout * SECOND))
        return ready


class ElasticLoop(asyncio.SelectorEventLoop):
    """An asyncio event loop on the stretching clock, which begins at 0."""

    def __init__(self) -> None:
        self._elastic = _Selector()
        super().__init__(self._elastic)

    def follow(self, speed: Callable[[], float]) -> None:
        """Ask this, before each wait, how fast the clock may run. Until then it keeps real time."""
        self._elastic.speed = speed

    def time(self) -> float:
        return self._elastic.now_ns / SECOND

    def time_ns(self) -> int:
        """The clock for sessions on this loop."""
        return self._elastic.now_ns
