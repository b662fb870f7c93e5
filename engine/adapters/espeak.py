"""Speech without a service: espeak-ng in a worker process of its own.

The library is GPL-3. Nothing of it is loaded here: this side knows where its files lie, and speaks to `espeak_worker` over a
socket. All calls share the one worker.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import ClassVar

import espeakng_loader
from msgspec import json

from engine.adapters.base import Headers, Options, SpeechRequest
from engine.adapters.embedded import Embedded
from engine.adapters.espeak_worker import Settings
from engine.adapters.workers import Crew, Kind
from engine.core.events import TTSWords, Word
from engine.errors import AdapterError, FailureKind

NAME = "espeak"
WORKER = "engine.adapters.espeak_worker"
RATE_HZ = 22_050
"""Of every voice in the package."""
TEXT_CHARS = 1_000
"""The longest text taken, and so the bound of the sound that waits for a slow reader: a minute or so, 3 MB."""


class EspeakOptions(Options, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The embedded voice's settings."""

    voice: str = "en-us"
    """One of espeak-ng's, with a variant after "+" if wanted: "en-us", "en-gb+f3"."""
    rate: int = 165
    """Words a minute."""
    pitch: int = 45
    """0 to 100."""
    pitch_range: int = 55
    """How lively the melody is, 0 to 100."""
    volume: int = 100
    """0 to 200. 100 peaks at about two thirds of full scale."""


class Reading:
    """One text being spoken: what the worker has sent and nobody has taken."""

    def __init__(self, request: SpeechRequest) -> None:
        self._request = request
        self._pieces: deque[bytes | TTSWords] = deque()
        self._news = asyncio.Event()
        self._done = False
        self._error: AdapterError | None = None

    async def pieces(self) -> AsyncIterator[bytes | TTSWords]:
        while True:
            while self._pieces:
                yield self._pieces.popleft()
            if self._error is not None:
                raise self._error
            if self._done:
                return
            await self._news.wait()
            self._news.clear()

    # workers.Client

    def take(self, kind: Kind, body: bytes) -> None:
        if kind is Kind.SOUND:
            self._pieces.append(body)
        elif kind is Kind.WORDS:
            words = json.decode(body, type=tuple[Word, ...])
            self._pieces.append(TTSWords(run=self._request.run, chunk=self._request.chunk, words=words))
        elif kind is Kind.DONE:
            self._done = True
        else:
            self.fail(AdapterError(NAME, FailureKind.PROTOCOL, f"espeak-ng failed with {body.decode()}"))
        self._news.set()

    def fail(self, error: AdapterError) -> None:
        self._error = error
        self._news.set()


class EspeakVoice:
    """A synthesizer for one call."""

    rate_hz = RATE_HZ

    def __init__(self, crew: Crew) -> None:
        self._crew = crew

    async def open(self) -> None:
        """Nothing to do: the worker is warm."""

    async def speak(self, request: SpeechRequest) -> AsyncIterator[bytes | TTSWords]:
        if len(request.text) > TEXT_CHARS:
            raise AdapterError(NAME, FailureKind.REJECTED, f"a text of {len(request.text)} characters")
        reading = Reading(request)
        seat = await self._crew.sit(reading)
        try:
            seat.send(Kind.SPEAK, request.text.encode())
            async for piece in reading.pieces():
                yield piece
        finally:
            seat.leave()

    async def close(self) -> None:
        """Nothing to do: a text that is being spoken ends with its reader."""


class Espeak(Embedded[EspeakOptions]):
    """The embedded voice."""

    name: ClassVar[str] = NAME
    options: ClassVar[type[Options]] = EspeakOptions

    def hire(self) -> Crew:
        """See workers."""
        options = self._options
        settings = Settings(
            library=espeakng_loader.get_library_path(),
            data=espeakng_loader.get_data_path(),
            voice=options.voice,
            rate=options.rate,
            pitch=options.pitch,
            pitch_range=options.pitch_range,
            volume=options.volume,
        )
        return Crew(NAME, WORKER, json.encode(settings), 1)

    def voice(self, headers: Headers = ()) -> EspeakVoice:
        """See base."""
        return EspeakVoice(self.crew)
