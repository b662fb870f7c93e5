"""Any server with OpenAI's /v1/audio/transcriptions (whisper.cpp, speaches, vLLM, OpenAI): a request for each stretch of speech.

Our own detector cuts: `finalize` sends what was said since the last cut. There are no partials. A stretch without sound is not sent,
because such models invent words for silence. Source: openai/openai-openapi (2026-08-21) and the named servers' code.
"""

import asyncio
import struct
from collections import deque
from collections.abc import AsyncIterator, Collection, Mapping
from secrets import token_hex
from typing import Any, ClassVar

import httpx
import msgspec
from msgspec import Struct, field

from engine.adapters.base import ASRFact, Headers, Options
from engine.adapters.http import answers, check, failures, make_client, stream_failure
from engine.adapters.openai_account import OpenAIOptions
from engine.audio import level
from engine.core.events import ASRFinal, ASROpened
from engine.core.units import ENGINE_HZ, FRAME_NS, LIMITS, MS
from engine.errors import AdapterError, FailureKind

QUIET_RMS = 100
"""A frame below it is silence: -50 dBFS, far under a voice on any line."""
MARGIN = 200 * MS // FRAME_NS
"""Frames kept before the first sound."""
DISPOSITION = "Content-Disposition: form-data; name="
CUTS_MAX = 16
"""Stretches waiting for an answer. A server this far behind is of no use to a caller."""


class OpenAITranscribeOptions(OpenAIOptions, frozen=True, kw_only=True):
    """Fields of the form. Empty: not sent."""

    base_url: str = "https://api.openai.com/v1"
    path: str = "audio/transcriptions"
    """whisper.cpp's own is "inference"."""
    model: str = "gpt-4o-mini-transcribe"
    language: str = ""
    prompt: str = ""
    temperature: float | None = None
    extra: dict[str, str] = field(default_factory=dict)
    """Any other field, as it is."""


class Transcript(Struct, frozen=True):
    text: str | None = None
    error: Any = None
    """whisper.cpp tells of its errors with status 200, in a sentence."""


def wav_head(size: int) -> bytes:
    """What stands before so many bytes of PCM16 at 16 kHz in a file."""
    rate = ENGINE_HZ
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16)
    return struct.pack("<4sI4s", b"RIFF", 36 + size, b"WAVE") + form + struct.pack("<4sI", b"data", size)


def form_of(fields: Mapping[str, str], frames: Collection[bytes]) -> tuple[bytes, str]:
    """A form with the sound as its file, put together once and sent at once, and its content type. Source: RFC 7578, section 4."""
    boundary = token_hex(16)
    texts = "".join(f"--{boundary}\r\n{DISPOSITION}{quoted(name)}\r\n\r\n{fields[name]}\r\n" for name in fields)
    # The name's ending matters to some servers.
    file = f'--{boundary}\r\n{DISPOSITION}"file"; filename="audio.wav"\r\nContent-Type: audio/wav\r\n\r\n'
    head = (texts + file).encode() + wav_head(sum(map(len, frames)))
    return b"".join((head, *frames, f"\r\n--{boundary}--\r\n".encode())), f"multipart/form-data; boundary={boundary}"


def quoted(name: str) -> str:
    """A field's name, which may come from the configuration. Source: WHATWG HTML, section 4.10.21.8."""
    return '"' + name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A") + '"'


class OpenAITranscribeStream:
    """One call's stretches of speech, asked about one after the other."""

    def __init__(self, ear: int, ask: "OpenAITranscribe", headers: Headers) -> None:
        self._ear = ear
        self._headers = headers
        self._ask = ask
        self._frames: deque[bytes] = deque(maxlen=LIMITS.inlet_ns // FRAME_NS)
        self._loud = False
        self._behind = False
        self._cuts: asyncio.Queue[tuple[bytes, ...]] = asyncio.Queue(CUTS_MAX)

    def hear(self, frame: bytes) -> None:
        """See base."""
        self._loud = self._loud or level(frame).rms > QUIET_RMS
        self._frames.append(frame)
        if not self._loud and len(self._frames) > MARGIN:
            self._frames.popleft()

    def finalize(self) -> None:
        """See base."""
        sound = tuple(self._frames) if self._loud else ()
        self._frames.clear()
        self._loud = False
        self._behind = self._behind or self._cuts.full()
        if not self._behind:
            self._cuts.put_nowait(sound)

    async def facts(self) -> AsyncIterator[ASRFact]:
        """See base."""
        yield ASROpened(ear=self._ear)
        while not self._behind:
            sound = await self._cuts.get()
            yield ASRFinal(ear=self._ear, text=await self._words(sound))
        raise AdapterError(self._ask.name, FailureKind.TIMEOUT, f"{CUTS_MAX} stretches behind")

    async def _words(self, sound: tuple[bytes, ...]) -> str:
        return await self._ask.transcribe(sound, self._headers) if sound else ""


class OpenAITranscribe:
    """The `openai_transcribe` recogniser. One pool of connections for the process."""

    name: ClassVar[str] = "openai_transcribe"
    options: ClassVar[type[Options]] = OpenAITranscribeOptions
    key_env: ClassVar[str] = "OPENAI_API_KEY"

    def __init__(self, options: OpenAITranscribeOptions) -> None:
        self._client: httpx.AsyncClient = make_client(options.base_url, options.headers())
        self._address = self._client.base_url.join(options.path.lstrip("/"))
        self._form: dict[str, str] = {"model": options.model, "response_format": "json"}
        for name in ("language", "prompt", "temperature"):
            if (value := getattr(options, name)) not in (None, ""):
                self._form[name] = str(value)
        self._form |= options.extra

    async def start(self) -> None:
        """Open a connection. Raises AdapterError, where the server cannot be reached; it may be used all the same, and must be
        stopped."""
        with failures(self.name):
            await self._client.get("models")

    async def ready(self) -> None:
        """See base."""
        await answers(self.name, self._client, "models")

    async def stop(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    def stream(self, ear: int, headers: Headers = ()) -> OpenAITranscribeStream:
        """See base."""
        return OpenAITranscribeStream(ear, self, headers)

    async def transcribe(self, sound: tuple[bytes, ...], headers: Headers = ()) -> str:
        """The words in PCM16 at 16 kHz. Raises AdapterError."""
        body, kind = form_of(self._form, sound)
        with failures(self.name):
            async with self._client.stream(
                "POST", self._address, content=body, headers={"Content-Type": kind, **dict(headers)}
            ) as response:
                await check(self.name, response)
                body = await response.aread()
        try:
            transcript = msgspec.json.decode(body, type=Transcript)
        except msgspec.DecodeError:
            raise AdapterError(self.name, FailureKind.PROTOCOL, "an answer that cannot be read") from None
        if transcript.error is not None:
            raise stream_failure(self.name, transcript.error)
        if transcript.text is None:
            raise AdapterError(self.name, FailureKind.PROTOCOL, "an answer without words")
        return transcript.text.strip()
