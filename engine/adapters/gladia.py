"""Gladia's live recogniser, version 2: a session is asked for over HTTP, and its sound goes to the address that comes back.

Source: gladiaio/sdk (2026-07-23) and the vendor's AsyncAPI file. It knows no way to be asked to finish; its endpointing does.
"""

from collections.abc import Iterable
from typing import Any, ClassVar

import httpx
import msgspec
from msgspec import Struct, field

from engine.adapters.base import ASRFact, Headers, Options
from engine.adapters.http import check, failures, make_client
from engine.adapters.recognition import SocketStream, open_once
from engine.adapters.websocket import Dial
from engine.core.units import ENGINE_HZ
from engine.errors import AdapterError, FailureKind


class GladiaOptions(Options, frozen=True, kw_only=True):
    """Fields of the session's configuration. None and empty: not sent."""

    base_url: str = "https://api.gladia.io"
    region: str = ""
    """eu-west or us-west."""
    model: str = "solaria-1"
    endpointing: float = 0.1
    """Seconds of silence that finish an utterance; the turn's end is left to the rules."""
    maximum_duration_without_endpointing: float | None = None
    language_config: dict[str, Any] = field(default_factory=dict)
    pre_processing: dict[str, Any] = field(default_factory=dict)
    realtime_processing: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    """Any other field, as it is."""


SENT = (
    "model", "endpointing", "maximum_duration_without_endpointing", "language_config", "pre_processing", "realtime_processing",
)  # fmt: skip


class Session(Struct, frozen=True):
    url: str


class Utterance(Struct, frozen=True):
    text: str = ""
    confidence: float | None = None


class Data(Struct, frozen=True):
    is_final: bool = False
    utterance: Utterance = Utterance()


class Message(Struct, frozen=True):
    type: str = ""
    data: Data | None = None
    error: Any = None


MESSAGE = msgspec.json.Decoder(Message)


class GladiaStream(SocketStream[GladiaOptions]):
    """A live session."""

    name = "gladia"
    message_frames = 2
    farewell = '{"type":"stop_recording"}'
    kinds: ClassVar[dict[int, FailureKind]] = dict.fromkeys(range(4400, 4500), FailureKind.REJECTED)

    def __init__(self, ear: int, options: GladiaOptions, headers: Headers, client: httpx.AsyncClient) -> None:
        super().__init__(ear, options, headers)
        self._client = client

    async def dial(self) -> Dial:
        options = self._options
        wire = {"encoding": "wav/pcm", "bit_depth": 16, "sample_rate": ENGINE_HZ, "channels": 1}
        values = {name: value for name in SENT if (value := getattr(options, name)) not in (None, "", {})}
        told = {"messages_config": {"receive_partial_transcripts": True, "receive_final_transcripts": True}}
        query = {"region": options.region} if options.region else None
        with failures(self.name):
            async with self._client.stream(
                "POST", "v2/live", params=query, json={**wire, **values, **told, **options.extra}, headers=self._headers
            ) as response:
                await check(self.name, response)
                try:
                    return Dial(msgspec.json.decode(await response.aread(), type=Session).url)
                except msgspec.DecodeError:
                    raise AdapterError(self.name, FailureKind.PROTOCOL, "no address for the session") from None

    def translate(self, message: str | bytes) -> Iterable[ASRFact]:
        said = MESSAGE.decode(message)
        if said.type == "error" or (said.error is not None and said.data is None):
            raise AdapterError(self.name, FailureKind.UNAVAILABLE, "an error message")
        if said.type != "transcript" or said.data is None:
            return ()
        text = said.data.utterance.text.strip()
        if not said.data.is_final:
            return self.partial(text)
        return (self.final(text, said.data.utterance.confidence or 1.0),) if text else ()


class Gladia:
    """The `gladia` recogniser. Sessions are asked for over one pool of connections."""

    name: ClassVar[str] = "gladia"
    options: ClassVar[type[Options]] = GladiaOptions
    key_env: ClassVar[str] = "GLADIA_API_KEY"

    def __init__(self, options: GladiaOptions) -> None:
        self._options = options
        self._client = make_client(options.base_url, {"X-Gladia-Key": options.api_key})

    async def start(self) -> None:
        """Open a connection. Raises AdapterError, where the server cannot be reached; it may be used all the same, and must be
        stopped."""
        with failures(self.name):
            await self._client.get("v2/live")

    async def ready(self) -> None:
        """See base."""
        await open_once(self)

    async def stop(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    def stream(self, ear: int, headers: Headers = ()) -> GladiaStream:
        """See base."""
        return GladiaStream(ear, self._options, headers, self._client)
