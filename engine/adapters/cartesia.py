"""Cartesia, on its WebSocket. Every message repeats the whole configuration; a chunk is a context.

Cancelling halts only what has not begun, so a running context goes on arriving and is dropped here. Source: the vendor's Python
SDK 4.0.1 (2026-08-14) and its documentation (2026).
"""

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct, field

from engine.adapters.base import Headers, Options
from engine.adapters.http import status_kind
from engine.adapters.synthesis import ContextVoice, SocketSynthesizer
from engine.adapters.websocket import Dial
from engine.core.units import SECOND
from engine.errors import AdapterError, FailureKind


class CartesiaOptions(Options, frozen=True, kw_only=True):
    """Fields of a generation request. None and empty: the service's own default."""

    url: str = "wss://api.cartesia.ai"
    cartesia_version: str = "2026-03-01"
    """Before it, an error names no context."""
    model_id: str = "sonic-3"
    voice: str = "f786b574-daa5-4673-aa0c-cbe3e8534c02"
    """An id."""
    sample_rate: int = 24_000
    """8000, 16000, 22050, 24000, 44100 or 48000."""
    language: str = "en"
    max_buffer_delay_ms: int = 0
    """Whole sentences are sent, so the server need not wait for more."""
    add_timestamps: bool = True
    generation_config: dict[str, float | str] = field(default_factory=dict)
    """speed, volume, emotion."""
    pronunciation_dict_id: str = ""
    extra: dict[str, Any] = field(default_factory=dict)
    """Any other field, as it is."""


class WordTimes(Struct, frozen=True):
    """Parallel lists; seconds from the context's beginning."""

    words: tuple[str, ...] = ()
    end: tuple[float, ...] = ()


class Message(Struct, frozen=True):
    """Everything the server may say."""

    type: str = ""
    context_id: str | None = None
    data: bytes = b""
    word_timestamps: WordTimes | None = None
    status_code: int = 500


MESSAGE = msgspec.json.Decoder(Message)


class CartesiaVoice(ContextVoice[CartesiaOptions]):
    """One socket of a call. It closes itself after 5 minutes without a word; then it is opened again."""

    name = "cartesia"

    def __init__(self, options: CartesiaOptions, headers: Headers = ()) -> None:
        super().__init__(options, options.sample_rate, headers)
        self._request: dict[str, Any] = {
            "model_id": options.model_id,
            "voice": {"mode": "id", "id": options.voice},
            "output_format": {"container": "raw", "encoding": "pcm_s16le", "sample_rate": options.sample_rate},
            "language": options.language,
            "add_timestamps": options.add_timestamps,
            "max_buffer_delay_ms": options.max_buffer_delay_ms,
            "continue": False,
        }
        if options.generation_config:
            self._request["generation_config"] = options.generation_config
        if options.pronunciation_dict_id:
            self._request["pronunciation_dict_id"] = options.pronunciation_dict_id
        self._request |= options.extra

    def dial(self) -> Dial:
        options = self._options
        headers = {"X-API-Key": options.api_key, "Cartesia-Version": options.cartesia_version}
        return Dial(f"{options.url}/tts/websocket", headers)

    def ask(self, context: str, text: str) -> Iterable[str]:
        return (msgspec.json.encode({**self._request, "context_id": context, "transcript": text}).decode(),)

    def cancel(self, context: str) -> Iterable[str]:
        return (msgspec.json.encode({"context_id": context, "cancel": True}).decode(),)

    def translate(self, message: str | bytes) -> None:
        said = MESSAGE.decode(message)
        name = said.context_id or ""
        match said.type:
            case "chunk" if context := self.context(name):
                context.put_sound(said.data)
            case "timestamps" if (context := self.context(name)) and said.word_timestamps is not None:
                times = said.word_timestamps
                context.put_words(context.words.words(times.words, [int(end * SECOND) for end in times.end]))
            case "done":
                self.ended(name)
            case "error":
                kind = status_kind(said.status_code) if said.status_code >= 300 else FailureKind.UNAVAILABLE
                error = AdapterError(self.name, kind, f"error message with status {said.status_code}")
                if said.context_id is None:
                    raise error
                self.failed(name, error)


class Cartesia(SocketSynthesizer):
    """The `cartesia` synthesizer."""

    name = "cartesia"
    options = CartesiaOptions
    key_env = "CARTESIA_API_KEY"
    voices = CartesiaVoice
