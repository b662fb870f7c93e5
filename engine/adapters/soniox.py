"""Soniox's real-time recogniser. Its tokens are pieces of words with their own spaces; a final one is sent once.

The key goes into the handshake: inside the first message it is refused from 2027-01-15 on. Source: the vendor's documentation (2026-11).
"""

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct, field

from engine.adapters.base import ASRFact, Headers, Options
from engine.adapters.http import status_kind
from engine.adapters.recognition import SocketRecognizer, SocketStream
from engine.adapters.websocket import Dial
from engine.core.events import ASREndOfTurn
from engine.core.units import ENGINE_HZ, FRAME_NS, SECOND
from engine.errors import AdapterError, FailureKind

FINALIZE_NS_MIN = 2 * SECOND
"""Of sound between two requests to finish: the service asks for no more than one every few seconds."""


class SonioxOptions(Options, frozen=True, kw_only=True):
    """Fields of the configuration message. None and empty: not sent."""

    url: str = "wss://stt-rt.soniox.com/transcribe-websocket"
    model: str = "stt-rt-v5"
    language_hints: tuple[str, ...] = ()
    language_hints_strict: bool | None = None
    context: dict[str, Any] = field(default_factory=dict)
    enable_endpoint_detection: bool = True
    """The service then says when a turn is over."""
    max_endpoint_delay_ms: int | None = None
    endpoint_sensitivity: float | None = None
    endpoint_latency_adjustment_level: int | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    """Any other field, as it is."""


SENT = (
    "model", "language_hints", "language_hints_strict", "context", "enable_endpoint_detection", "max_endpoint_delay_ms",
    "endpoint_sensitivity", "endpoint_latency_adjustment_level",
)  # fmt: skip


class Token(Struct, frozen=True):
    text: str = ""
    is_final: bool = False
    confidence: float | None = None


class Message(Struct, frozen=True):
    tokens: tuple[Token, ...] = ()
    error_code: int | None = None


MESSAGE = msgspec.json.Decoder(Message)


class SonioxStream(SocketStream[SonioxOptions]):
    """A real-time session."""

    name = "soniox"
    message_frames = 3
    keepalive = '{"type":"keepalive"}'
    keepalive_ns = 8 * SECOND

    def __init__(self, ear: int, options: SonioxOptions, headers: Headers = ()) -> None:
        super().__init__(ear, options, headers)
        self._final = ""
        self._unfinished_ns = FINALIZE_NS_MIN

    async def dial(self) -> Dial:
        return Dial(self._options.url, {"Authorization": f"Bearer {self._options.api_key}"})

    def greeting(self) -> Iterable[str]:
        wire = {"audio_format": "pcm_s16le", "sample_rate": ENGINE_HZ, "num_channels": 1}
        values = {name: value for name in SENT if (value := getattr(self._options, name)) not in (None, (), {})}
        return (msgspec.json.encode({**wire, **values, **self._options.extra}).decode(),)

    def encode(self, frames: tuple[bytes, ...]) -> tuple[bytes, ...]:
        self._unfinished_ns += len(frames) * FRAME_NS
        return frames

    def finish(self) -> Iterable[str]:
        if self._unfinished_ns < FINALIZE_NS_MIN:
            return ()
        self._unfinished_ns = 0
        return ('{"type":"finalize"}',)

    def translate(self, message: str | bytes) -> Iterable[ASRFact]:
        said = MESSAGE.decode(message)
        if said.error_code is not None:
            kind = status_kind(said.error_code) if said.error_code >= 300 else FailureKind.UNAVAILABLE
            raise AdapterError(self.name, kind, f"error {said.error_code}")
        facts: list[ASRFact] = []
        open_words = ""
        for token in said.tokens:
            if token.text in ("<end>", "<fin>"):
                facts.append(self.final(self._final.strip()))
                self._final = ""
                if token.text == "<end>":
                    facts.append(ASREndOfTurn(ear=self.ear))
            elif token.is_final:
                self._final += token.text
            else:
                open_words += token.text
        return [*facts, *self.partial((self._final + open_words).strip())]


class Soniox(SocketRecognizer):
    """The `soniox` recogniser."""

    name = "soniox"
    options = SonioxOptions
    key_env = "SONIOX_API_KEY"
    streams = SonioxStream
