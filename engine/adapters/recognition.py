"""What every recogniser on a WebSocket shares: sound out in the frame's own callback, facts in as messages come.

A subclass says where to connect, what to send first and what the answers mean. Sound that comes before the connection is ready is
kept, bounded; a backlog goes out no faster than the provider takes it. Reconnecting is a rule's decision, so a stream lives once.
"""

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping
from contextlib import aclosing
from typing import Any, ClassVar, Generic, TypeVar, cast

from engine.adapters.base import ASRFact, Headers, Options, Recognizer
from engine.adapters.websocket import Dial, SharedNothing, Socket
from engine.core.events import ASRFinal, ASROpened, ASRPartial
from engine.core.units import FRAME_BYTES, FRAME_NS, LIMITS, SECOND
from engine.errors import AdapterError, FailureKind

HELLO_NS = 5 * SECOND
"""For the provider's first word after the upgrade, where it greets."""
FACTS_MAX = 2_000
"""Facts read from the wire and not yet taken by the session; over that the session has stopped reading."""

SILENCE = bytes(FRAME_BYTES)
UNPACED = 1 << 30
"""Messages: as many as there are."""
Own = TypeVar("Own", bound=Options)


class SocketStream(ABC, Generic[Own]):
    """One recognition stream over one WebSocket: a RecognizerStream for `base.Recognizer.stream`."""

    name: ClassVar[str]
    greets: ClassVar[bool] = False
    """The provider sends a hello: `translate` yields ASROpened for it. Otherwise the upgrade is the hello."""
    message_frames: ClassVar[int] = 1
    """Frames of 20 ms in one message."""
    whole_messages: ClassVar[bool] = False
    """The last message of a stretch is filled up with silence, where the provider refuses short ones."""
    catch_up: ClassVar[int] = 0
    """A backlog is sent at this many times real time. 0: at once."""
    keepalive: ClassVar[str | bytes] = ""
    """What is sent when no sound was for so long. Empty: pings hold the connection."""
    keepalive_ns: ClassVar[int] = 4 * SECOND
    farewell: ClassVar[str] = ""
    """Said before leaving, so that the provider stops counting time. Empty: nothing is."""
    kinds: ClassVar[Mapping[int, FailureKind]] = {}
    """The provider's own close codes."""

    def __init__(self, ear: int, options: Own, headers: Headers = ()) -> None:
        """headers: of the call. They go with the upgrade, because this connection is the call's own."""
        self.ear = ear
        self._options = options
        self._headers = dict(headers)
        self._socket: Socket | None = None
        self._ready = False
        self._frames: deque[bytes] = deque(maxlen=LIMITS.inlet_ns // FRAME_NS)
        self._facts: asyncio.Queue[ASRFact | AdapterError] = asyncio.Queue(FACTS_MAX)
        self._partial = ""
        self._sent_sound = False
        self._finish_due = False
        self._timer: asyncio.TimerHandle | None = None

    # What a provider's stream says of itself.

    @abstractmethod
    async def dial(self) -> Dial:
        """Where to connect. May ask the provider first. Raises AdapterError."""

    def greeting(self) -> Iterable[str | bytes]:
        """Sent as soon as the connection is open."""
        return ()

    def encode(self, frames: tuple[bytes, ...]) -> tuple[str | bytes, ...]:
        """Frames of PCM16 at 16 kHz as the parts of the message that carries them; `Socket.send` puts them together."""
        return frames

    @abstractmethod
    def translate(self, message: str | bytes) -> Iterable[ASRFact]:
        """The facts in one message. Raises AdapterError for one that tells of trouble; msgspec's errors for one that is no such."""

    def finish(self) -> Iterable[str | bytes]:
        """What asks the provider to finish the words it has."""
        return ()

    def goodbye(self) -> Iterable[str]:
        """The farewell, for those that must count in it."""
        return (self.farewell,) if self.farewell else ()

    def partial(self, text: str) -> Iterable[ASRFact]:
        """The belief about the words after the last final, if it changed."""
        if text == self._partial:
            return ()
        self._partial = text
        return (ASRPartial(ear=self.ear, text=text),)

    def final(self, text: str, confidence: float = 1.0) -> ASRFinal:
        """Words that stay. No words: the provider has finished and there was nothing more."""
        self._partial = ""
        return ASRFinal(ear=self.ear, text=text, confidence=confidence)

    # RecognizerStream.

    def hear(self, frame: bytes) -> None:
        """See base."""
        self._frames.append(frame)
        if self._ready:
            self._pour(max(1, self.catch_up // self.message_frames) if self.catch_up else UNPACED)

    def finalize(self) -> None:
        """See base."""
        self._finish_due = True
        if self._ready:
            self._finish()

    async def facts(self) -> AsyncIterator[ASRFact]:
        """See base."""
        assert self._socket is None, "a stream lives once"
        dial = await self.dial()
        self._socket = Socket(self.name, receive=self._take, lost=self._put, kinds=self.kinds)
        await self._socket.connect(dial.url, headers={**dial.headers, **self._headers}, subprotocols=dial.subprotocols)
        try:
            for message in self.greeting():
                self._socket.send(message)
            if not self.greets:
                self._put(ASROpened(ear=self.ear))
            fact = await self._first_fact()
            while True:
                if isinstance(fact, AdapterError):
                    raise fact
                yield fact
                fact = await self._facts.get()
        finally:
            self._leave(self._socket)

    # How it works inside.

    async def _first_fact(self) -> ASRFact | AdapterError:
        try:
            async with asyncio.timeout(HELLO_NS / SECOND):
                return await self._facts.get()
        except TimeoutError:
            return AdapterError(self.name, FailureKind.TIMEOUT, "it did not say hello")

    def _take(self, message: str | bytes) -> None:
        for fact in self.translate(message):
            self._put(fact)

    def _put(self, fact: ASRFact | AdapterError) -> None:
        if isinstance(fact, ASROpened):
            self._begin()
        if self._facts.full():
            # Nobody has read thousands of facts: what is newest is all that still matters.
            self._facts.get_nowait()
        self._facts.put_nowait(fact)

    def _begin(self) -> None:
        self._ready = True
        self._pour(1 if self.catch_up else UNPACED)
        if self._finish_due:
            self._finish()
        if self.keepalive:
            self._keep_alive()

    def _pour(self, messages: int, *, rest: bool = False) -> None:
        """Send at most so many messages of the sound in hand. rest: the last may be short."""
        assert self._socket is not None
        frames, size = self._frames, self.message_frames
        while messages and (len(frames) >= size or (rest and frames)):
            messages -= 1
            taken = [frames.popleft() for _ in range(min(size, len(frames)))]
            if self.whole_messages:
                taken += [SILENCE] * (size - len(taken))
            self._socket.send(*self.encode(tuple(taken)))
            self._sent_sound = True

    def _finish(self) -> None:
        assert self._socket is not None
        self._finish_due = False
        self._pour(UNPACED, rest=True)
        for message in self.finish():
            self._socket.send(message)

    def _keep_alive(self) -> None:
        """Hold an idle connection: called again and again until the stream is left."""
        assert self._socket is not None
        if not self._sent_sound and self._timer is not None:
            self._socket.send(self.keepalive)
        self._sent_sound = False
        self._timer = asyncio.get_running_loop().call_later(self.keepalive_ns / SECOND, self._keep_alive)

    def _leave(self, socket: Socket) -> None:
        self._ready = False
        if self._timer is not None:
            self._timer.cancel()
        for message in self.goodbye():
            socket.send(message)
        socket.close()


class SocketRecognizer(SharedNothing):
    """A recogniser whose streams are connections of their own."""

    streams: Callable[[int, Any, Headers], SocketStream[Any]]
    """What a stream of this provider is made by, from its ear, its options and the call's headers."""

    def __init__(self, options: Any) -> None:
        self._options = options

    def stream(self, ear: int, headers: Headers = ()) -> SocketStream[Any]:
        """See base."""
        return self.streams(ear, self._options, headers)

    async def ready(self) -> None:
        """See base."""
        await open_once(self)


async def open_once(recognizer: Recognizer) -> None:
    """Open a stream, and leave as soon as the recogniser says that it listens. Raises AdapterError."""
    facts = cast("AsyncGenerator[ASRFact, None]", recognizer.stream(0).facts())
    async with aclosing(facts):
        async for fact in facts:
            if isinstance(fact, ASROpened):
                return
