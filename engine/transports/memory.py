"""A call between two objects of one process: no wire, no clock. For tests, and for embedding without a server.

The far end is `Peer`: it speaks, hears, plays what it is sent in the time it is told has passed, and hangs up. It behaves like a real
peer: it may keep a buffer, echo marks (all at once after a clear), report positions, or do none of it.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeVar

from engine.core.units import ENGINE_FORMAT, SECOND
from engine.errors import TransportClosed
from engine.transports.base import Capabilities, Line

Awaited = TypeVar("Awaited")

SCREEN = Capabilities(name="memory", inbound=ENGINE_FORMAT, outbound=ENGINE_FORMAT, screen=True)
"""The engine's own format both ways, and captions: `Peer.ask` reads them."""
LAST_STATES = ("done", "interrupted", "failed")
"""A caption of an agent's run in one of these is its last (runtime/captions.py)."""


class Sent(NamedTuple):
    """A piece of sound that arrived at the peer."""

    run: int
    start_sample: int
    sound: bytes


class MemoryTransport:
    """The engine's end."""

    def __init__(self, capabilities: Capabilities = SCREEN) -> None:
        """Inside a running event loop."""
        self._capabilities = capabilities
        loop = asyncio.get_running_loop()
        self.carried: asyncio.Future[Line] = loop.create_future()
        """The engine's side, as soon as it is there."""
        self.ended: asyncio.Future[str] = loop.create_future()
        """Why the call is over, as soon as it is."""
        self.peer = Peer(self)

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    async def carry(self, line: Line) -> str:
        """Raises TransportClosed when the peer drops the line."""
        self.peer.line = line
        self.carried.set_result(line)
        return await self.ended

    def send_audio(self, run: int, start_sample: int, sound: bytes) -> None:
        if not self.ended.done():
            self.peer.take_audio(Sent(run, start_sample, sound))

    def send_mark(self, name: str) -> None:
        if not self.ended.done():
            self.peer.take_mark(name)

    def clear(self, run: int) -> None:
        if not self.ended.done():
            self.peer.take_clear(run)

    def send_message(self, message: Mapping[str, object]) -> None:
        if not self.ended.done():
            self.peer.take_message(message)

    async def transfer(self, target: str) -> None:
        """Raises TransportClosed: there is nobody to hand over to."""
        raise TransportClosed(f"a call in memory cannot be transferred to {target}")

    async def hang_up(self, reason: str) -> None:
        self.close(reason)

    def close(self, reason: str) -> None:
        """The line ends in the usual way. Idempotent."""
        if not self.ended.done():
            self.ended.set_result(reason)

    def drop(self, reason: str) -> None:
        """The line breaks; the caller may come back on another transport."""
        if not self.ended.done():
            self.ended.set_exception(TransportClosed(reason))


class Peer:
    """The caller's end."""

    def __init__(self, transport: MemoryTransport) -> None:
        self._transport = transport
        self._capabilities = transport.capabilities
        self.line: Line | None = None
        """None until the engine carries the call."""
        self.messages: list[Mapping[str, object]] = []
        """What was shown on the screen."""
        self.sent: list[Sent] = []
        """All sound that ever arrived, dropped or not, in order."""
        self.played: list[Sent] = []
        """All sound that reached the ear, in order."""
        self._run = 0
        """The newest run of the agent that was shown."""
        self._asked: tuple[int, asyncio.Future[str]] | None = None
        """The newest run when a question was asked, and its answer."""
        self._queue: deque[Sent | str] = deque()
        self._room_ns = 0
        self._clock: Callable[[], int] | None = None
        self._last_ns = 0

    # What the caller does.

    def speak(self, sound: bytes) -> None:
        """Send sound in the inbound format. The caller has to be carried."""
        assert self.line is not None
        self.line.hear(sound)

    def hang_up(self, reason: str = "the caller hung up") -> None:
        self._transport.close(reason)

    def drop(self, reason: str = "the connection broke") -> None:
        """Vanish without a word."""
        self._transport.drop(reason)

    async def ask(self, text: str) -> str:
        """Type a whole turn, and wait for what the agent says to it: as much of it as was heard. One question at a time.

        Only on a transport with a screen. Raises TransportClosed when the call ends first.
        """
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        line = await self._unless_ended(self._transport.carried)
        self._asked = self._run, answer
        line.typed(text)
        try:
            return await self._unless_ended(answer)
        finally:
            self._asked = None

    async def _unless_ended(self, awaited: "asyncio.Future[Awaited]") -> Awaited:
        await asyncio.wait((awaited, self._transport.ended), return_when=asyncio.FIRST_COMPLETED)
        if not awaited.done():
            raise TransportClosed("the call ended before there was an answer")
        return awaited.result()

    # What the engine sends.

    def take_message(self, message: Mapping[str, object]) -> None:
        self.messages.append(message)
        run, state, text = message.get("run"), message.get("state"), message.get("text")
        if message["type"] != "agent" or not isinstance(run, int):
            return
        self._run = max(self._run, run)
        if self._asked is not None and run > self._asked[0] and state in LAST_STATES and not self._asked[1].done():
            self._asked[1].set_result(str(text))

    def take_audio(self, sent: Sent) -> None:
        self._catch_up()
        self.sent.append(sent)
        self._queue.append(sent)

    def take_mark(self, name: str) -> None:
        self._catch_up()
        self._queue.append(name)
        self._echo()

    def take_clear(self, run: int) -> None:
        """Drop what waits, echo the marks that waited, as a telephone peer does."""
        self._catch_up()
        self._room_ns = 0
        marks = [item for item in self._queue if isinstance(item, str)]
        self._queue.clear()
        for name in marks:
            self._tell_marked(name)

    # What the ear gets.

    def follow(self, clock: Callable[[], int]) -> None:
        """Play in step with a clock, which is read whenever something arrives or `catch_up` is called."""
        self._clock, self._last_ns = clock, clock()

    def catch_up(self) -> None:
        """Play what was due by now, and report it where the peer does."""
        self._catch_up()
        if self._capabilities.reports and self.played:
            last = self.played[-1]
            self._report(last.run, last.start_sample + len(last.sound) // self._sample_bytes)

    def _catch_up(self) -> None:
        if self._clock is not None:
            passed, self._last_ns = self._clock() - self._last_ns, self._clock()
            self.pass_time(passed)

    def pass_time(self, duration_ns: int) -> None:
        """Let this much time pass at the ear: sound that waits is played, marks between are echoed."""
        self._room_ns += duration_ns
        self._echo()
        while self._queue and self._room_ns > 0:
            item = self._queue[0]
            assert isinstance(item, Sent)
            if not self._play(item):
                break
            self._echo()
        if not self._queue:
            self._room_ns = 0

    @property
    def waiting_ns(self) -> int:
        """Sound that has arrived and not been played."""
        sound = self._capabilities.outbound
        return sum(sound.duration_ns(len(item.sound)) for item in self._queue if isinstance(item, Sent))

    @property
    def _sample_bytes(self) -> int:
        return self._capabilities.outbound.encoding.sample_bytes

    def _play(self, item: Sent) -> bool:
        """Play as much of the first piece as there is time for. False: not a sample."""
        sound = self._capabilities.outbound
        whole = len(item.sound) // self._sample_bytes
        samples = min(whole, self._room_ns * sound.rate_hz // SECOND)
        if not samples:
            return False
        size = samples * self._sample_bytes
        self._room_ns -= samples * SECOND // sound.rate_hz
        self.played.append(Sent(item.run, item.start_sample, item.sound[:size]))
        if samples == whole:
            self._queue.popleft()
        else:
            self._queue[0] = Sent(item.run, item.start_sample + samples, item.sound[size:])
        return True

    def _echo(self) -> None:
        while self._queue and isinstance(self._queue[0], str):
            self._tell_marked(str(self._queue.popleft()))

    def _tell_marked(self, name: str) -> None:
        if self.line is not None:
            asyncio.get_running_loop().call_soon(self.line.marked, name)

    def _report(self, run: int, samples: int) -> None:
        if self.line is not None:
            self.line.played(run, samples)
