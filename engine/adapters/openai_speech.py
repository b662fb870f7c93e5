"""Any server with OpenAI's /v1/audio/speech: OpenAI, Kokoro-FastAPI, speaches, vLLM-Omni and more. Which one is a matter of `base_url`.

How the answer is read follows from its own content type and not from what was asked, because many servers ignore `stream_format`.
No server says its rate: it must be told here. Source: openai/openai-openapi (2026-08-21), and the named servers' code.
"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx
import msgspec
from msgspec import Struct, field

from engine.adapters.http import body_of, make_client, stream_failure
from engine.adapters.openai_account import OpenAIOptions
from engine.adapters.sse import read_events
from engine.adapters.synthesis_http import HttpSynthesizer
from engine.errors import AdapterError, FailureKind


class OpenAISpeechOptions(OpenAIOptions, frozen=True, kw_only=True):
    """Fields of a request, and what no answer tells."""

    base_url: str = "https://api.openai.com/v1"
    model: str = "gpt-4o-mini-tts"
    voice: str = "marin"
    instructions: str = ""
    speed: float | None = None
    stream_format: str = ""
    """"sse" wraps the sound in events, which some servers need in order to stream at all. Empty: not sent."""
    sample_rate: int = 24_000
    """At which this server's PCM comes; it is not sent. 24,000 at OpenAI and Kokoro, the model's own rate elsewhere."""
    extra: dict[str, Any] = field(default_factory=dict)
    """Any other field, as it is."""


class Happening(Struct, frozen=True):
    """An event of the wrapped form. The sound is under either name."""

    type: str = ""
    audio: bytes = b""
    delta: bytes = b""
    error: Any = None


HAPPENING = msgspec.json.Decoder(Happening)


class OpenAISpeech(HttpSynthesizer):
    """The `openai_speech` synthesizer."""

    name = "openai_speech"
    options = OpenAISpeechOptions
    key_env = "OPENAI_API_KEY"
    warm_path = "models"

    def __init__(self, options: OpenAISpeechOptions) -> None:
        super().__init__(make_client(options.base_url, options.headers()), "audio/speech", options.sample_rate)
        self._body: dict[str, Any] = {"model": options.model, "voice": options.voice, "response_format": "pcm"}
        for name in ("instructions", "speed", "stream_format"):
            if value := getattr(options, name):
                self._body[name] = value
        self._body |= options.extra

    def ask(self, text: str, headers: Mapping[str, str]) -> AbstractAsyncContextManager[httpx.Response]:
        """See synthesis_http."""
        return self.client.stream("POST", self.address, json={**self._body, "input": text}, headers=headers)

    async def unwrap(self, response: httpx.Response) -> AsyncGenerator[bytes, None]:
        """See synthesis_http."""
        if not response.headers.get("content-type", "").startswith("text/event-stream"):
            async for piece in super().unwrap(response):
                yield piece
            return
        done = False
        async for event in read_events(self.name, body_of(response)):
            if event.data.strip() == "[DONE]":
                return
            try:
                happening = HAPPENING.decode(event.data)
            except msgspec.DecodeError as error:
                raise AdapterError(self.name, FailureKind.PROTOCOL, "an event that cannot be read") from error
            if happening.error is not None:
                raise stream_failure(self.name, happening.error)
            done = done or happening.type == "speech.audio.done"
            yield happening.audio or happening.delta
        if not done:
            raise AdapterError(self.name, FailureKind.CLOSED, "the stream ended before the sound did")
