"""All callers of a run: let in one after the other, kept at the number that is wanted, and sent home at the end."""

import asyncio
import functools
import time
from collections.abc import Callable
from random import Random

from msgspec import Struct

from engine.load.browser import BrowserCaller
from engine.load.caller import Caller, Manner
from engine.load.doors import Door, Way
from engine.load.figures import Figures
from engine.load.twilio import TwilioCaller
from engine.load.voice import Voice
from engine.load.wheel import Wheel
from engine.load.wire import Refused, dial

LOOK_SECONDS = 0.1
LEAVE_SECONDS = 10.0
AT_ONCE_MAX = 32
"""Callers on their way in at once."""


class Crowd:
    """The callers. Made inside a running event loop."""

    def __init__(
        self, door: Door, voice: Voice, manner: Manner, seed: int, clock: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self.figures = Figures()
        self._door = door
        self._voice = voice
        self._manner = manner
        self._random = Random(seed)  # noqa: S311 - callers that can be had again
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._wheel = Wheel(self._loop, clock, self.figures.note_late)
        self._callers: set[Caller] = set()
        self._entering = asyncio.Semaphore(AT_ONCE_MAX)
        self._changed = asyncio.Event()
        self.left: Callable[[Caller], None] = lambda caller: None
        """Told of each caller that has gone."""

    @property
    def callers(self) -> set[Caller]:
        return self._callers

    async def enter(self) -> Caller | None:
        """One call more. None: it was not let in, which has been counted."""
        figures = self.figures
        figures.begun += 1
        async with self._entering:
            began = self._clock()
            try:
                way = await self._door.knock()
                caller = self._make(way)
                caller.began_ns = began
                caller.wire = await dial(way.url, way.headers, caller.take, functools.partial(self._closed, caller))
            except (Refused, OSError, TimeoutError) as error:
                figures.refused += 1
                figures.blame(f"{type(error).__name__}: {error}" if not isinstance(error, Refused) else str(error))
                return None
        self._callers.add(caller)
        caller.open()
        self._wheel.add(caller)
        return caller

    async def until_answered(self, seconds: float) -> None:
        """Wait until everybody has heard the greeting, or so long."""
        for _ in range(int(seconds / LOOK_SECONDS)):
            if all(caller.answered for caller in self._callers):
                return
            await asyncio.sleep(LOOK_SECONDS)

    async def leave(self) -> None:
        """Everybody hangs up."""
        for caller in list(self._callers):
            if not caller.leaving:
                caller.hang_up()
        give_up = self._loop.time() + LEAVE_SECONDS
        while self._callers and self._loop.time() < give_up:
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), give_up - self._loop.time())
            except TimeoutError:
                break
        for caller in list(self._callers):
            caller.wire.abort()

    def stop(self) -> None:
        self._wheel.stop()

    def _make(self, way: Way) -> Caller:
        given = (self._voice, self._manner, self.figures, self._clock, Random(self._random.random()), self._gone)  # noqa: S311
        if not way.call_sid:
            return BrowserCaller(*given)
        return TwilioCaller(*given, call_sid=way.call_sid, parameters=way.parameters)

    def _closed(self, caller: Caller, reason: str) -> None:
        if caller in self._callers:
            caller.lost(reason)

    def _gone(self, caller: Caller) -> None:
        self._wheel.remove(caller)
        self._callers.discard(caller)
        self._changed.set()
        self.left(caller)


class Ramp(Struct, frozen=True):
    """How the calls begin."""

    per_second: float = 25.0

    async def __call__(self, crowd: Crowd, calls: int) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        async with asyncio.TaskGroup() as entering:
            for _ in range(calls):
                entering.create_task(crowd.enter())
                due += 1 / self.per_second
                await asyncio.sleep(max(0.0, due - loop.time()))
