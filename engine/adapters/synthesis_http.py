"""What synthesizers over HTTP share: one pool of connections for all calls, a request for each chunk, its sound as it comes.

Cancelling closes the response, which is how such a server learns of it.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, aclosing
from typing import ClassVar

import httpx

from engine.adapters.base import Headers, Options, SpeechRequest, Voice
from engine.adapters.http import answers, body_of, check, failures
from engine.adapters.synthesis import Sound, flowing
from engine.core.events import TTSWords
from engine.errors import AdapterError, FailureKind

FOREIGN_KINDS = ("audio/mpeg", "audio/ogg", "audio/aac", "audio/flac", "audio/opus", "text/html")
"""Content types that are certainly no PCM."""


class HttpSynthesizer(ABC):
    """A synthesizer over HTTP. Subclasses put the request, and read the sound where it is wrapped."""

    name: ClassVar[str]
    options: ClassVar[type[Options]]
    key_env: ClassVar[str] = ""
    warm_path: ClassVar[str] = ""
    """A path that costs nothing to ask. Any answer opens a connection."""

    def __init__(self, client: httpx.AsyncClient, path: str, rate_hz: int) -> None:
        self.client = client
        self.address = client.base_url.join(path.lstrip("/"))
        """Of every request: taken apart once, which is half the work of putting one together."""
        self.rate_hz = rate_hz

    @abstractmethod
    def ask(self, text: str, headers: Mapping[str, str]) -> AbstractAsyncContextManager[httpx.Response]:
        """The request for one chunk. headers: to be sent beside the client's own."""

    async def unwrap(self, response: httpx.Response) -> AsyncGenerator[bytes, None]:
        """The PCM in a good answer. Raises AdapterError."""
        kind = response.headers.get("content-type", "").partition(";")[0].strip()
        if kind in FOREIGN_KINDS:
            raise AdapterError(self.name, FailureKind.PROTOCOL, f"{kind} instead of PCM")
        async for piece in body_of(response):
            yield piece

    async def start(self) -> None:
        """Open a connection. Raises AdapterError, where the server cannot be reached; it may be used all the same, and must be
        stopped."""
        with failures(self.name):
            await self.client.get(self.warm_path)

    async def ready(self) -> None:
        """See base."""
        await answers(self.name, self.client, self.warm_path)

    async def stop(self) -> None:
        """Close all connections."""
        await self.client.aclose()

    def voice(self, headers: Headers = ()) -> Voice:
        """See base. Each chunk brings headers of its own."""
        return HttpVoice(self)


class HttpVoice:
    """A voice that asks for each chunk by itself, over its synthesizer's connections."""

    def __init__(self, synthesizer: HttpSynthesizer) -> None:
        self._synthesizer = synthesizer

    @property
    def rate_hz(self) -> int:
        """See base."""
        return self._synthesizer.rate_hz

    async def open(self) -> None:
        """See base. An idle connection may have been closed since the last call."""
        await self._synthesizer.ready()

    async def close(self) -> None:
        """See base."""

    async def speak(self, request: SpeechRequest) -> AsyncIterator[bytes | TTSWords]:
        """See base."""
        maker = self._synthesizer
        sound = Sound(maker.name)
        with failures(maker.name):
            async with maker.ask(request.text, dict(request.headers)) as response:
                await check(maker.name, response)
                async with aclosing(maker.unwrap(response)) as pieces:
                    piece = await anext(pieces, None)
                    while piece is not None:
                        if whole := sound.take(piece):
                            yield whole
                        piece = await flowing(maker.name, anext(pieces, None))
