"""What synthesizers share: a voice that keeps one WebSocket warm for a call, and the finding of words in a chunk's sound.

Each chunk is a context of its own on the wire, so that two can be under way and a cancelled one can be told from its successor:
whatever comes for a context that nobody waits for is dropped. A connection lost while idle is opened again once, unasked; one lost
while speaking is an error, because what to do then is a rule's decision.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeVar

from engine.adapters.base import Headers, Options, SpeechRequest, Voice
from engine.adapters.websocket import Dial, SharedNothing, Socket
from engine.core.events import TTSWords, Word
from engine.core.units import LIMITS, SECOND
from engine.errors import AdapterError, FailureKind

PIECES_MAX = 8_192
"""Pieces of one chunk read from the wire and not yet taken. A chunk of 30 s comes in some hundreds."""
STALL_NS = 3 * SECOND
"""Between two pieces of a chunk that has begun: services send faster than real time, so by then the caller hears silence."""
T = TypeVar("T")
Own = TypeVar("Own", bound=Options)
FOREIGN = (b"RIFF", b"ID3", b"OggS", b"fLaC", b"\xff\xfb", b"\xff\xf3", b"\xff\xf1", b"\x1aE\xdf\xa3", b"{", b"<")
"""How other formats begin. As PCM they would be heard as a burst of noise."""

SURE_LETTERS = 8
"""A run of letters this long that lies further on in the text is no chance match."""


class Sound:
    """Holds a stream of PCM16 to its promise: whole samples only, and nothing that is plainly another format."""

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._rest = b""
        self._begun = False
        self.size_bytes = 0
        """Taken in so far."""

    def take(self, data: bytes) -> bytes:
        """Some more of it; returns the whole samples. Raises AdapterError (PROTOCOL)."""
        if not self._begun and data:
            self._begun = True
            if data.startswith(FOREIGN):
                raise AdapterError(self._provider, FailureKind.PROTOCOL, "its sound is not the PCM that was asked for")
        self.size_bytes += len(data)
        if not self._rest and not len(data) & 1:
            return data
        data = self._rest + data
        whole = len(data) & ~1
        self._rest = data[whole:]
        return data[:whole]


async def flowing(provider: str, piece: Awaitable[T]) -> T:
    """The next piece of a chunk that has begun. Raises AdapterError (TIMEOUT) when it does not come."""
    try:
        async with asyncio.timeout(STALL_NS / SECOND):
            return await piece
    except TimeoutError:
        raise AdapterError(provider, FailureKind.TIMEOUT, "the sound stopped coming") from None


class WordFinder:
    """Lays what a provider says of words or letters over the text that was sent, which it may have spelled otherwise."""

    def __init__(self, request: SpeechRequest) -> None:
        self._request = request
        self._text = request.text
        self._at = 0
        """Everything before this is placed."""
        self._letter_at = 0
        self.end_ns = 0
        """Where the last of the words ends in the sound."""
        self._count = 0

    def words(self, words: Sequence[str], ends_ns: Sequence[int]) -> TTSWords | None:
        """Words as the provider writes them, with where each ends in the sound."""
        placed = [self._place(word, end_ns) for word, end_ns in zip(words, ends_ns, strict=False)]
        self.end_ns = ends_ns[-1] if ends_ns else self.end_ns
        return self._fact([word for word in placed if word is not None])

    def letters(self, letters: Sequence[str], ends_ns: Sequence[int]) -> TTSWords | None:
        """Letters in order, which go on where the last ones stopped; a second pass over the same text is ignored."""
        written = "".join(letters)
        begun = written.lstrip()
        rest = self._text[self._letter_at :]
        start = len(self._text) - len(rest.lstrip())
        if not begun or not rest.lstrip().startswith(begun.rstrip()):
            start = self._text.find(begun.rstrip(), self._letter_at) if len(begun) >= SURE_LETTERS else -1
        if start < 0:
            return None
        at = start - (len(written) - len(begun))
        found: list[Word] = []
        for letter, end_ns in zip(letters, ends_ns, strict=False):
            at += len(letter)
            if letter.strip() and at <= len(self._text):
                self._letter_at, self.end_ns = at, end_ns
                if self._text[at : at + 1].strip() == "":
                    found.append(Word(at, end_ns))
        return self._fact(found)

    def _place(self, word: str, end_ns: int) -> Word | None:
        word = word.strip()
        start = self._text.find(word, self._at) if word else -1
        if start < 0 or len(self._text[self._at : start].split()) > 2:
            # Spoken otherwise than written ("5" as "five"): the next written word stands for it.
            rest = self._text[self._at :].lstrip()
            if not rest:
                return None
            start, word = len(self._text) - len(rest), rest.split(None, 1)[0]
        end = start + len(word)
        while end < len(self._text) and not self._text[end].isspace() and not self._text[end].isalnum():
            end += 1
        self._at = end
        return Word(end, end_ns)

    def _fact(self, words: list[Word]) -> TTSWords | None:
        words = words[: LIMITS.words - self._count]
        self._count += len(words)
        return TTSWords(run=self._request.run, chunk=self._request.chunk, words=tuple(words)) if words else None


class Context:
    """One chunk on its way."""

    def __init__(self, provider: str, request: SpeechRequest) -> None:
        self._provider = provider
        self.sound = Sound(provider)
        self.words = WordFinder(request)
        self.coming: asyncio.Queue[bytes | TTSWords | AdapterError | None] = asyncio.Queue(PIECES_MAX)

    def put_sound(self, data: bytes) -> None:
        """Some more sound. Raises AdapterError (PROTOCOL) where it is none."""
        if whole := self.sound.take(data):
            self.put(whole)

    def put_words(self, words: TTSWords | None) -> None:
        if words is not None:
            self.put(words)

    def put(self, item: bytes | TTSWords | AdapterError | None) -> None:
        if self.coming.full():
            self.coming.get_nowait()
            item = AdapterError(self._provider, FailureKind.PROTOCOL, "more pieces than a chunk has")
        self.coming.put_nowait(item)


class ContextVoice(ABC, Generic[Own]):
    """A voice for one call over one WebSocket that tells chunks apart by a name. Subclasses speak the provider's words."""

    name: ClassVar[str]
    contexts_max: ClassVar[int] = 0
    """Contexts the provider allows at once. 0: as many as come."""
    slot_ns: ClassVar[int] = 2 * SECOND
    """For a context to become free, where the provider allows only so many: it lets go of a closed one in milliseconds."""
    keepalive: ClassVar[str] = ""
    """What is sent when nothing was for so long. Empty: pings hold the connection."""
    keepalive_ns: ClassVar[int] = 10 * SECOND
    farewell: ClassVar[str] = ""
    kinds: ClassVar[Mapping[int, FailureKind]] = {}
    reasons: ClassVar[Mapping[str, FailureKind]] = {}

    def __init__(self, options: Own, rate_hz: int, headers: Headers = ()) -> None:
        """headers: of the call. They go with the upgrade, because this connection is the call's own."""
        self._options = options
        self._rate_hz = rate_hz
        self._headers = dict(headers)
        self._socket: Socket | None = None
        self._opening = asyncio.Lock()
        self._contexts: dict[str, Context] = {}
        self._named = 0
        self._slots = asyncio.Semaphore(self.contexts_max or 1 << 16)
        self._taken: set[str] = set()
        """Contexts that hold a slot: those in use, and those the provider has not let go of yet."""
        self._trouble: AdapterError | None = None
        """What ended the last connection."""
        self._warmed = False
        self._warming: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    # What a provider's voice says of itself.

    @abstractmethod
    def dial(self) -> Dial:
        """Where to connect."""

    @abstractmethod
    def ask(self, context: str, text: str) -> Iterable[str]:
        """The messages that ask for a chunk's sound."""

    @abstractmethod
    def cancel(self, context: str) -> Iterable[str]:
        """The messages that stop it."""

    @abstractmethod
    def translate(self, message: str | bytes) -> None:
        """Say what a message means with `sound`, `placed`, `ended` and `failed`. Raises AdapterError for trouble of the whole line."""

    # What `translate` calls.

    def context(self, name: str) -> Context | None:
        """The chunk of that name, if somebody still waits for it."""
        return self._contexts.get(name)

    def ended(self, name: str) -> None:
        """Everything of this context has come."""
        self._free(name)
        if context := self._contexts.get(name):
            context.put(None)

    def failed(self, name: str, error: AdapterError) -> None:
        """This context alone is in trouble; a context nobody waits for is not."""
        self._free(name)
        if context := self._contexts.get(name):
            context.put(error)

    def send(self, message: str) -> None:
        """Say something that is no answer to `ask` or `cancel`."""
        if self._socket is not None:
            self._socket.send(message)

    # Voice.

    @property
    def rate_hz(self) -> int:
        """See base."""
        return self._rate_hz

    async def open(self) -> None:
        """See base."""
        await self._connected()

    async def speak(self, request: SpeechRequest) -> AsyncIterator[bytes | TTSWords]:
        """See base."""
        self._warmed = False
        socket = await self._connected()
        self._named += 1
        name = f"r{request.run}c{request.chunk}n{self._named}"
        await self._take_slot(name)
        context = self._contexts[name] = Context(self.name, request)
        whole = False
        try:
            for message in self.ask(name, request.text):
                socket.send(message)
            if not socket.open:
                raise self._trouble or AdapterError(self.name, FailureKind.CLOSED, "the connection broke")
            item = await context.coming.get()
            while item is not None:
                if isinstance(item, AdapterError):
                    raise item
                yield item
                item = await flowing(self.name, context.coming.get())
            whole = True
        finally:
            del self._contexts[name]
            if not whole and name in self._taken:
                for message in self.cancel(name):
                    socket.send(message)

    async def close(self) -> None:
        """See base."""
        if self._warming is not None:
            self._warming.cancel()
        if self._timer is not None:
            self._timer.cancel()
        if self._socket is not None:
            if self.farewell:
                self._socket.send(self.farewell)
            self._socket.close()

    # How it works inside.

    async def _connected(self) -> Socket:
        async with self._opening:
            if self._socket is not None and self._socket.open:
                return self._socket
            for name in list(self._taken):
                self._free(name)
            self._trouble = None
            socket = Socket(self.name, receive=self.translate, lost=self._lost, kinds=self.kinds, reasons=self.reasons)
            dial = self.dial()
            await socket.connect(dial.url, headers={**dial.headers, **self._headers}, subprotocols=dial.subprotocols)
            self._socket = socket
            if self.keepalive and self._timer is None:
                self._timer = asyncio.get_running_loop().call_later(self.keepalive_ns / SECOND, self._keep_alive)
            return socket

    def _lost(self, error: AdapterError) -> None:
        self._trouble = error
        for context in self._contexts.values():
            context.put(error)
        if not self._contexts and not self._warmed:
            self._warmed = True
            self._warming = asyncio.get_running_loop().create_task(self._warm())

    async def _warm(self) -> None:
        try:
            await self._connected()
        except AdapterError:
            # Nobody waits: the next chunk will try again, and meet the error if it lasts.
            return

    def _keep_alive(self) -> None:
        if self._socket is not None:
            self._socket.send(self.keepalive)
        self._timer = asyncio.get_running_loop().call_later(self.keepalive_ns / SECOND, self._keep_alive)

    async def _take_slot(self, name: str) -> None:
        try:
            async with asyncio.timeout(self.slot_ns / SECOND):
                await self._slots.acquire()
        except TimeoutError:
            raise AdapterError(self.name, FailureKind.RATE_LIMITED, "no context is free") from None
        self._taken.add(name)

    def _free(self, name: str) -> None:
        if name in self._taken:
            self._taken.discard(name)
            self._slots.release()


class SocketSynthesizer(SharedNothing):
    """A synthesizer whose voices are connections of their own."""

    voices: Callable[[Any, Headers], Voice]
    """What a voice of this provider is made by, from its options and the call's headers."""

    def __init__(self, options: Any) -> None:
        self._options = options

    def voice(self, headers: Headers = ()) -> Voice:
        """See base."""
        return self.voices(self._options, headers)

    async def ready(self) -> None:
        """See base."""
        voice = self.voice()
        try:
            await voice.open()
        finally:
            await voice.close()
