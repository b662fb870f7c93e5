"""One run's pieces of text on their way to sound: asked for ahead, gathered in order.

Rule 1. Two chunks are under way at once, so that the next is there when one ends. Only the first may write into the ring.
Rule 2. What the second has made meanwhile is poured in the moment the first is done, not when its next piece arrives.
Rule 3. A chunk's end, good or bad, is told when it is its turn: facts about chunks come in the order of their sound.
"""

import asyncio
from collections import deque
from collections.abc import Callable

from engine._codec import Resampler
from engine.adapters.base import SpeechRequest, Voice
from engine.core.commands import Synthesize
from engine.core.events import Fact, TTSChunkDone, TTSStarted, TTSWords
from engine.core.units import SECOND
from engine.errors import AdapterError, FailureKind
from engine.runtime.outbound import Outbound

AHEAD = 2
"""Chunks under way at once. Precedent: providers' own examples pipeline one sentence ahead."""
GATHERED_NS_MAX = 15 * SECOND
"""Sound that a chunk may make before its turn: more than one sentence. Then it waits."""


def _after(began: float, wait_ns: int) -> float | None:
    """The loop's time at which a wait is over. None: it has no end."""
    return began + wait_ns / SECOND if wait_ns else None


class Chunk:
    """One piece of text under way."""

    def __init__(self, command: Synthesize, voice: Voice) -> None:
        self.request = SpeechRequest(run=command.run, chunk=command.chunk, text=command.text)
        self.provider = command.provider
        self.first_ns = command.first_ns
        self.whole_ns = command.whole_ns
        self.voice = voice
        self.begun = False
        self.owns_ring = False
        self.gathered = bytearray()
        self.turn = asyncio.Event()
        self.start_sample = 0
        self.duration_ns = 0
        """Known when its sound is in the ring."""


class Chunks:
    """The chunks of one run, in order."""

    def __init__(
        self, run: int, outbound: Outbound, post: Callable[[Fact], None], begin: Callable[[Chunk], None]
    ) -> None:
        """begin: starts a task that runs `speak` for this chunk."""
        self.run = run
        self._outbound = outbound
        self._post = post
        self._begin = begin
        self._order: deque[Chunk] = deque()

    def ask(self, chunk: Chunk) -> None:
        """Speak this after what was asked before."""
        self._order.append(chunk)
        if len(self._order) == 1:
            self._give_ring(chunk)
        self._begin_ahead()

    def forget(self) -> list[Chunk]:
        """Nothing more of what was asked. Returns what was under way."""
        begun = [chunk for chunk in self._order if chunk.begun]
        self._order.clear()
        return begun

    async def speak(self, chunk: Chunk) -> None:
        """Make a chunk's sound and bring it into the ring when it is its turn. Raises AdapterError, in its turn."""
        converter = self._outbound.converter(chunk.voice.rate_hz)
        try:
            await self._make(chunk, converter)
        except TimeoutError as error:
            raise AdapterError(chunk.provider, FailureKind.TIMEOUT, "the voice is silent") from error
        finally:
            # Also when the provider failed: what it made is in hand. Not when the chunk was cancelled.
            if chunk in self._order:
                await chunk.turn.wait()
                await self._outbound.write(self.run, converter.flush())
                chunk.duration_ns = self._outbound.end_chunk(self.run, chunk.start_sample)
        if chunk in self._order:
            self._post(TTSChunkDone(run=self.run, chunk=chunk.request.chunk, duration_ns=chunk.duration_ns))
            await self._pass_on(chunk)

    async def _make(self, chunk: Chunk, converter: Resampler) -> None:
        """Read the voice to its end, within the time that the order gives it. Raises AdapterError, TimeoutError."""
        began = asyncio.get_running_loop().time()
        async with asyncio.timeout_at(_after(began, chunk.first_ns)) as limit:
            started = False
            async for piece in chunk.voice.speak(chunk.request):
                if chunk not in self._order:
                    continue
                if isinstance(piece, TTSWords):
                    self._post(piece)
                    continue
                if not started:
                    started = True
                    limit.reschedule(_after(began, chunk.whole_ns))
                    self._post(TTSStarted(run=self.run, chunk=chunk.request.chunk))
                await self._gather(chunk, converter.push(piece))

    async def _gather(self, chunk: Chunk, pcm: bytes) -> None:
        if chunk.owns_ring:
            await self._outbound.write(self.run, pcm)
            return
        chunk.gathered += pcm
        if len(chunk.gathered) > GATHERED_NS_MAX * 2 * self._outbound.rate_hz // SECOND:
            await chunk.turn.wait()

    async def _pass_on(self, done: Chunk) -> None:
        """The next chunk's turn: pour in what it has, then let it write itself."""
        if not self._order or self._order[0] is not done:
            return
        self._order.popleft()
        self._begin_ahead()
        if not self._order:
            return
        follower = self._order[0]
        follower.start_sample = self._outbound.written(self.run)
        while follower.gathered:
            pcm = bytes(follower.gathered)
            follower.gathered.clear()
            await self._outbound.write(self.run, pcm)
        follower.owns_ring = True
        follower.turn.set()

    def _give_ring(self, chunk: Chunk) -> None:
        chunk.start_sample = self._outbound.written(self.run)
        chunk.owns_ring = True
        chunk.turn.set()

    def _begin_ahead(self) -> None:
        for chunk in list(self._order)[:AHEAD]:
            if not chunk.begun:
                chunk.begun = True
                self._begin(chunk)
