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


class Chunk:
    """One piece of text under way."""

    def __init__(self, command: Synthesize, voice: Voice, headers: tuple[tuple[str, str], ...] = ()) -> None:
        self.request = SpeechRequest(run=command.run, chunk=command.chunk, text=command.text, headers=headers)
        self.provider = command.provider
        self.first_ns = command.first_ns
        self.whole_ns = command.whole_ns
        self.voice = voice
        self.begun = False
        self.sounded = False
        self.owns_ring = False
        self.limit: asyncio.Timeout | None = None
        self.turn_at = 0.0
        """When its turn began, on the loop's clock."""
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
        self._loop = asyncio.get_running_loop()
        self._order: deque[Chunk] = deque()

    def ask(self, chunk: Chunk) -> None:
        """Speak this after what was asked before."""
        self._order.append(chunk)
        if len(self._order) == 1:
            chunk.start_sample = self._outbound.written(self.run)
            self._give_turn(chunk)
        self._begin_ahead()

    def forget(self) -> list[Chunk]:
        """Nothing more of what was asked. Returns what was under way."""
        begun = [chunk for chunk in self._order if chunk.begun]
        self._order.clear()
        return begun

    @property
    def busy(self) -> bool:
        """Whether anything that was asked for is not done."""
        return bool(self._order)

    async def speak(self, chunk: Chunk) -> None:
        """Make a chunk's sound and bring it into the ring when it is its turn. Raises AdapterError, in its turn."""
        converter = self._outbound.converter(chunk.voice.rate_hz)
        try:
            await self._make(chunk, converter)
        except Exception as error:
            # The provider failed or was silent too long; what it has made is in hand all the same.
            await self._finish(chunk, converter)
            if isinstance(error, TimeoutError):
                raise AdapterError(chunk.provider, FailureKind.TIMEOUT, "the voice is silent") from error
            raise
        await self._finish(chunk, converter)
        if chunk in self._order:
            self._post(TTSChunkDone(run=self.run, chunk=chunk.request.chunk, duration_ns=chunk.duration_ns))
            await self._pass_on(chunk)

    async def _make(self, chunk: Chunk, converter: Resampler) -> None:
        """Read the voice to its end, within the time that the order gives it. Raises AdapterError, TimeoutError."""
        try:
            async with asyncio.timeout(None) as chunk.limit:
                self._set_limit(chunk)
                async for piece in chunk.voice.speak(chunk.request):
                    if chunk not in self._order:
                        continue
                    if isinstance(piece, TTSWords):
                        self._post(piece)
                        continue
                    if not chunk.sounded:
                        chunk.sounded = True
                        self._set_limit(chunk)
                        self._post(TTSStarted(run=self.run, chunk=chunk.request.chunk))
                    await self._gather(chunk, converter.push(piece))
        finally:
            chunk.limit = None

    async def _gather(self, chunk: Chunk, pcm: bytes) -> None:
        if not chunk.owns_ring:
            chunk.gathered += pcm
            if len(chunk.gathered) > GATHERED_NS_MAX * 2 * self._outbound.rate_hz // SECOND:
                await chunk.turn.wait()
        elif self._outbound.has_room(pcm):
            await self._outbound.write(self.run, pcm)
        else:
            # Time in which we make the voice wait is not held against it.
            assert chunk.limit is not None
            chunk.limit.reschedule(None)
            began = self._loop.time()
            await self._outbound.write(self.run, pcm)
            chunk.turn_at += self._loop.time() - began
            self._set_limit(chunk)

    async def _finish(self, chunk: Chunk, converter: Resampler) -> None:
        """All its sound into the ring, when it is its turn. Not if it was cancelled."""
        if chunk in self._order:
            await chunk.turn.wait()
            await self._outbound.write(self.run, converter.flush())
            chunk.duration_ns = self._outbound.end_chunk(self.run, chunk.start_sample)

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
        self._give_turn(follower)

    def _give_turn(self, chunk: Chunk) -> None:
        chunk.owns_ring = True
        chunk.turn_at = self._loop.time()
        chunk.turn.set()
        self._set_limit(chunk)

    def _set_limit(self, chunk: Chunk) -> None:
        """How long the voice may now be silent: counted from its turn, so none before."""
        wait_ns = chunk.whole_ns if chunk.sounded else chunk.first_ns
        if chunk.limit is not None and chunk.owns_ring and wait_ns:
            chunk.limit.reschedule(chunk.turn_at + wait_ns / SECOND)

    def _begin_ahead(self) -> None:
        for chunk in list(self._order)[:AHEAD]:
            if not chunk.begun:
                chunk.begun = True
                self._begin(chunk)
