"""OpenAI's /v1/audio/speech as it is on the wire, and as its compatibles have it.

Source: openai/openai-openapi (2026-08-21), Kokoro-FastAPI 0.8, speaches 0.9. Sound comes in pieces of odd length. Variants: "delta" names
the sound delta and not audio; "deaf" ignores stream_format and sends plain sound; "done" ends events with [DONE]; "strict" refuses
fields it does not know, as the vendor's own address does, and says nothing of what its sound is; "speaches" counts its tokens under
another name, and makes sound at any `sample_rate` that it is asked for.
"""

import base64
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute

from engine.sandbox.base import GARBAGE, Behaviour, Fault, Happening, Line, ModelProvider
from engine.sandbox.voices import MP3, pieces

RATE_HZ = 24_000
ODD = 7
"""Bytes by which the pieces are shifted, so that samples lie across them."""
INPUT_CHARS_MAX = 4_096
FIELDS = frozenset({"model", "input", "voice", "response_format", "speed", "instructions", "stream_format"})


class OpenAISpeechServer(ModelProvider):
    """/v1/audio/speech."""

    def routes(self) -> list[BaseRoute]:
        return [self.ask("/v1/audio/speech", self._speak), self.listing("/v1/models", {"object": "list", "data": []})]

    def settings(self) -> dict[str, object]:
        return {"base_url": f"{self.url}/v1", "api_key": self.key}

    def _speak(self, body: dict[str, Any], request: Request) -> Response:
        if not all(body.get(field) for field in ("model", "input", "voice")) or len(body["input"]) > INPUT_CHARS_MAX:
            return JSONResponse(self.refusal_body(400, "invalid_request_error"), 400)
        variant, seen = self.behaviour.variant, self.seen[-1]
        if variant == "strict" and not body.keys() <= FIELDS:
            return JSONResponse(self.refusal_body(400, "unknown_parameter"), 400)
        rate_hz = body.get("sample_rate", RATE_HZ) if variant == "speaches" else RATE_HZ
        if body.get("stream_format") == "sse" and variant != "deaf":
            events = _to_the_end(_events(self.behaviour, body["input"], rate_hz), seen)
            return StreamingResponse(events, media_type="text/event-stream")
        if body.get("response_format", "mp3") != "pcm" or self.behaviour.fault is Fault.FORMAT:
            return Response(MP3, media_type="audio/mpeg")
        if self.behaviour.fault is Fault.GARBAGE:
            return Response("<html>It works!</html>", media_type="text/html")
        kind = "application/octet-stream" if variant == "strict" else "audio/pcm"
        sound = _to_the_end(_sound(self.behaviour, body["input"], rate_hz), seen)
        return StreamingResponse(sound, media_type=kind)


async def _to_the_end(pieces: AsyncGenerator[bytes, None], seen: dict[str, Any]) -> AsyncIterator[bytes]:
    """Notes under `whole` whether all of it was sent: to hang up is the only way to stop such a server."""
    seen["whole"] = False
    async with aclosing(pieces):
        async for piece in pieces:
            yield piece
    seen["whole"] = True


async def _sound(behaviour: Behaviour, text: str, rate_hz: int) -> AsyncGenerator[bytes, None]:
    line = Line(behaviour)
    held = b""
    for piece in pieces(text, rate_hz):
        match await line.step():
            case Fault.NONE:
                sound = held + piece.sound
                held = sound[-ODD:]
                yield sound[:-ODD]
            case _:
                # Plain sound has no room for an error: the line just breaks.
                raise ConnectionAbortedError
    yield held


async def _events(behaviour: Behaviour, text: str, rate_hz: int) -> AsyncGenerator[bytes, None]:
    line = Line(behaviour)
    name = "delta" if behaviour.variant == "delta" else "audio"
    for piece in pieces(text, rate_hz):
        match await line.step():
            case Fault.GARBAGE:
                yield Happening(GARBAGE).wire
            case Fault.ERROR:
                yield Happening({"error": {"message": "refused", "type": "server_error", "code": None}}).wire
                return
            case Fault.FORMAT:
                yield Happening({"type": "speech.audio.delta", name: base64.b64encode(MP3).decode()}).wire
            case _:
                yield Happening({"type": "speech.audio.delta", name: base64.b64encode(piece.sound).decode()}).wire
    usage = {"input_tokens": 10, "output_tokens": 90, "total_tokens": 100}
    name = "token_usage" if behaviour.variant == "speaches" else "usage"
    yield Happening({"type": "speech.audio.done", name: usage}).wire
    if behaviour.variant == "done":
        yield Happening("[DONE]").wire
