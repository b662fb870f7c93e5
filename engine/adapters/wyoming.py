"""Any synthesizer behind the Wyoming protocol (Home Assistant's): one's own, on a plain TCP connection.

The only way to cancel is to hang up, so each chunk under way has a connection to itself; one that came to its end is kept.
Source: OHF-Voice/wyoming 1.9 (2026-06-12).
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, ClassVar

import msgspec
from msgspec import Struct, field

from engine.adapters.base import Headers, Options, SpeechRequest
from engine.adapters.synthesis import SocketSynthesizer, Sound, flowing
from engine.adapters.websocket import CONNECT_NS
from engine.core.events import TTSWords
from engine.core.units import SECOND
from engine.errors import AdapterError, FailureKind

LINE_BYTES_MAX = 64 * 1024
BLOCK_BYTES_MAX = 4 * 1024 * 1024

Line = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class WyomingOptions(Options, frozen=True, kw_only=True):
    """Where the server is, and which voice."""

    key_required: ClassVar[bool] = False

    host: str = "127.0.0.1"
    port: int = 10_200
    voice: str = ""
    language: str = ""
    speaker: str = ""
    sample_rate: int = 22_050
    """Of the voice. It is not sent, and compared with what comes."""


class Header(Struct, frozen=True):
    """The line that begins every event."""

    type: str
    data: dict[str, Any] = field(default_factory=dict)
    data_length: int | None = None
    payload_length: int | None = None


HEADER = msgspec.json.Decoder(Header)


class WyomingVoice:
    """A voice of one call."""

    name: ClassVar[str] = "wyoming"

    def __init__(self, options: WyomingOptions, headers: Headers = ()) -> None:
        """headers: for them there is no room on this wire."""
        self._options = options
        self._spare: Line | None = None
        self._closed = False

    @property
    def rate_hz(self) -> int:
        """See base."""
        return self._options.sample_rate

    async def open(self) -> None:
        """See base."""
        if self._spare is None:
            self._spare = await self._connect()

    async def close(self) -> None:
        """See base."""
        self._closed = True
        if self._spare is not None:
            self._spare[1].close()
            self._spare = None

    async def speak(self, request: SpeechRequest) -> AsyncIterator[bytes | TTSWords]:
        """See base."""
        line, self._spare = self._spare, None
        if line is None or line[0].at_eof():
            line = await self._connect()
        reader, writer = line
        sound = Sound(self.name)
        try:
            writer.write(self._question(request.text))
            while True:
                header, data, payload = await flowing(self.name, self._event(reader))
                if header.type == "audio-start" and (data.get("rate"), data.get("width"), data.get("channels")) != (
                    (self.rate_hz, 2, 1)
                ):
                    raise AdapterError(self.name, FailureKind.PROTOCOL, f"sound at {data.get('rate')} Hz")
                if header.type == "audio-chunk" and (whole := sound.take(payload)):
                    yield whole
                if header.type == "audio-stop":
                    break
                if header.type == "error":
                    raise AdapterError(self.name, FailureKind.UNAVAILABLE, "an error event")
        except (OSError, asyncio.IncompleteReadError):
            writer.close()
            raise AdapterError(self.name, FailureKind.CLOSED, "the connection broke") from None
        except (msgspec.MsgspecError, ValueError):
            writer.close()
            raise AdapterError(self.name, FailureKind.PROTOCOL, "an event that cannot be read") from None
        except BaseException:
            writer.close()
            raise
        self._keep(line)

    def _keep(self, line: Line) -> None:
        if self._spare is None and not self._closed:
            self._spare = line
        else:
            line[1].close()

    def _question(self, text: str) -> bytes:
        options = self._options
        names = {"name": options.voice, "language": options.language, "speaker": options.speaker}
        data: dict[str, Any] = {"text": text}
        if voice := {name: value for name, value in names.items() if value}:
            data["voice"] = voice
        block = msgspec.json.encode(data)
        return msgspec.json.encode({"type": "synthesize", "data_length": len(block)}) + b"\n" + block

    async def _event(self, reader: asyncio.StreamReader) -> tuple[Header, dict[str, Any], bytes]:
        line = await reader.readline()
        if not line:
            raise asyncio.IncompleteReadError(b"", None)
        header = HEADER.decode(line)
        data, payload = header.data, b""
        if header.data_length:
            data = data | msgspec.json.decode(await self._block(reader, header.data_length), type=dict)
        if header.payload_length:
            payload = await self._block(reader, header.payload_length)
        return header, data, payload

    async def _block(self, reader: asyncio.StreamReader, size: int) -> bytes:
        if not 0 <= size <= BLOCK_BYTES_MAX:
            raise AdapterError(self.name, FailureKind.PROTOCOL, f"a block of {size} bytes")
        return await reader.readexactly(size)

    async def _connect(self) -> Line:
        options = self._options
        try:
            async with asyncio.timeout(CONNECT_NS / SECOND):
                return await asyncio.open_connection(options.host, options.port, limit=LINE_BYTES_MAX)
        except TimeoutError:
            raise AdapterError(self.name, FailureKind.TIMEOUT, "it did not answer") from None
        except (OSError, UnicodeError) as error:
            raise AdapterError(self.name, FailureKind.UNAVAILABLE, type(error).__name__) from None


class Wyoming(SocketSynthesizer):
    """The `wyoming` synthesizer."""

    name = "wyoming"
    options = WyomingOptions
    voices = WyomingVoice
