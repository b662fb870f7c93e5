"""Synthesizers of plain sound as they are on the wire: Azure's REST, Piper's HTTP server, Wyoming's TCP.

Source: Azure's REST reference; OHF-Voice/piper1-gpl 1.7 (2026-08-22); OHF-Voice/wyoming 1.9 (2026-06-12).
"""

import asyncio
import io
import re
import socket
import wave
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from html import unescape

import msgspec
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from engine.sandbox.base import GARBAGE, Fault, HangUp, Line, ModelProvider, SimulatedProvider, read_json
from engine.sandbox.speech import speak
from engine.sandbox.voices import MP3, pieces


class PlainSound(ModelProvider):
    """A server that answers a text with sound alone."""

    def sound(self, text: str, rate_hz: int, head: bytes = b"") -> Response:
        """The answer, under the behaviour."""
        if self.behaviour.fault is Fault.GARBAGE:
            return Response("<html>It works!</html>", media_type="text/html")
        if self.behaviour.fault is Fault.FORMAT:
            return Response(MP3, media_type="audio/mpeg")
        line = Line(self.behaviour)

        async def body() -> AsyncIterator[bytes]:
            for number, piece in enumerate(pieces(text, rate_hz)):
                if await line.step() is not Fault.NONE:
                    # Plain sound has no room for an error: the line just breaks.
                    raise ConnectionAbortedError
                yield piece.sound if number else head + piece.sound

        return StreamingResponse(body(), media_type="audio/wav" if head else "audio/basic")


class AzureServer(PlainSound):
    """/cognitiveservices/v1."""

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/cognitiveservices/v1", self._speak, methods=["POST"]),
            self.listing("/cognitiveservices/voices/list", []),
        ]

    def authorized(self, connection: HTTPConnection) -> bool:
        return connection.headers.get("ocp-apim-subscription-key") == self.key

    async def _speak(self, request: Request) -> Response:
        if refusal := self.refusal(request):
            return refusal
        ssml = (await request.body()).decode()
        self.seen[-1]["ssml"] = ssml
        form = re.fullmatch(r"raw-(\d+)(k?)hz-16bit-mono-pcm", request.headers.get("x-microsoft-outputformat", ""))
        text = re.search(r"<voice [^>]*>(.*)</voice>", ssml)
        if form is None or text is None:
            return Response(status_code=400)
        rate_hz = int(form[1]) * (1_000 if form[2] else 1)
        return self.sound(unescape(re.sub(r"<[^>]+>", "", text[1])), rate_hz)


class PiperServer(PlainSound):
    """/synthesize."""

    rate_hz = 22_050

    def routes(self) -> list[BaseRoute]:
        return [Route("/synthesize", self._speak, methods=["POST"]), self.listing("/voices", {})]

    def settings(self) -> dict[str, object]:
        return {"base_url": self.url}

    def authorized(self, connection: HTTPConnection) -> bool:
        return True

    async def _speak(self, request: Request) -> Response:
        if refusal := self.refusal(request):
            return refusal
        body = await read_json(request)
        self.seen[-1]["body"] = body
        if "text" not in body:
            return JSONResponse({}, 400)
        return self.sound(body["text"], self.rate_hz, head=_wav_head(body["text"], self.rate_hz))


def _wav_head(text: str, rate_hz: int) -> bytes:
    sound = speak(text, rate_hz)
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setparams((1, 2, rate_hz, 0, "NONE", ""))
        out.writeframes(sound)
    return file.getvalue()[: -len(sound)]


class WyomingServer(SimulatedProvider):
    """A TCP peer. It knows no status codes: where others refuse, it hangs up."""

    rate_hz = 22_050

    def settings(self) -> dict[str, object]:
        host, _, port = self.url.removeprefix("http://").partition(":")
        return {"host": host, "port": int(port)}

    @asynccontextmanager
    async def serve(self, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
        """See base."""
        bound = socket.create_server((host, port))
        self.url = f"http://{host}:{bound.getsockname()[1]}"
        talks: set[asyncio.Task[None]] = set()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            talk = asyncio.create_task(self._talk(reader, writer))
            talks.add(talk)
            talk.add_done_callback(talks.discard)

        server = await asyncio.start_server(accept, sock=bound)
        try:
            yield self.url
        finally:
            server.close()
            for talk in list(talks):
                talk.cancel()
            await asyncio.gather(*talks, return_exceptions=True)
            await server.wait_closed()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.seen.append({"path": "/", "query": {}, "client": writer.get_extra_info("peername")})
        try:
            while line := await reader.readline():
                header = msgspec.json.decode(line)
                data = msgspec.json.decode(await reader.readexactly(header.get("data_length") or 0) or b"{}")
                if header["type"] == "synthesize":
                    await self._speak(writer, data["text"])
        except (HangUp, ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    async def _speak(self, writer: asyncio.StreamWriter, text: str) -> None:
        fault, line = self.behaviour.fault, Line(self.behaviour)
        rate_hz = 8_000 if fault is Fault.FORMAT else self.rate_hz
        form = {"rate": rate_hz, "width": 2, "channels": 1}
        writer.write(_event("audio-start", form))
        for piece in pieces(text, rate_hz):
            fault = await line.step()
            if writer.is_closing():
                raise HangUp
            match fault:
                case Fault.GARBAGE:
                    writer.write(f"{GARBAGE}\n".encode())
                case Fault.ERROR:
                    writer.write(_event("error", {"text": "refused", "code": "busy"}))
                case _:
                    writer.write(_event("audio-chunk", form, piece.sound))
            await writer.drain()
        if writer.is_closing():
            raise HangUp
        writer.write(_event("audio-stop", {}))
        await writer.drain()


def _event(kind: str, data: Mapping[str, object], payload: bytes = b"") -> bytes:
    block = msgspec.json.encode(data)
    head = {"type": kind, "version": "1.9.0", "data_length": len(block), "payload_length": len(payload)}
    return msgspec.json.encode(head) + b"\n" + block + payload
