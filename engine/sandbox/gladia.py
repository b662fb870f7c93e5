"""Gladia's live sessions as they are on the wire. Source: gladiaio/sdk (2026-07-23) and the vendor's AsyncAPI file."""

import base64
from typing import Any

import msgspec
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute

from engine.sandbox.base import Fault, HangUp, Peer, SocketProvider, read_json
from engine.sandbox.speech import Ear

TOKEN = "session-token"  # noqa: S105  no secret: it is in the address


class GladiaServer(SocketProvider):
    """/v2/live, over HTTP and then as a socket."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._config: dict[str, Any] = {}

    def routes(self) -> list[BaseRoute]:
        return [Route("/v2/live", self._create, methods=["POST"]), WebSocketRoute("/v2/live", self.accept)]

    def settings(self) -> dict[str, object]:
        return {"base_url": self.url, "api_key": self.key}

    def authorized(self, connection: HTTPConnection) -> bool:
        if connection.scope["type"] == "websocket":
            return connection.query_params.get("token") == TOKEN
        return connection.headers.get("x-gladia-key") == self.key

    async def _create(self, request: Request) -> Response:
        if refusal := self.refusal(request):
            return refusal
        self._config = await read_json(request)
        self.seen[-1]["body"] = self._config
        if self._config.get("encoding") != "wav/pcm":
            return JSONResponse({"message": "bad encoding", "statusCode": 400}, 400)
        address = f"{self.ws_url}/v2/live?token={TOKEN}"
        return JSONResponse({"id": "s1", "created_at": "2026-11-23T10:00:00Z", "url": address}, 201)

    async def converse(self, peer: Peer) -> None:
        config = self._config
        ear, words, number = Ear(config["sample_rate"]), list[str](), 0
        pause_ms = round(1000 * config.get("endpointing", 0.05))
        partials = config.get("messages_config", {}).get("receive_partial_transcripts")
        async for message in peer.messages():
            if isinstance(message, str):
                order = msgspec.json.decode(message)
                if order["type"] == "stop_recording":
                    if words:
                        await _transcript(peer, number, words, final=True)
                    await _send(peer, "end_session")
                    return
                # Sound is taken as JSON too, as the peers' plugins send it.
                message = base64.b64decode(order["data"]["chunk"]) if order["type"] == "audio_chunk" else b""
            words += (new := [word.text for word in ear.hear(message)])
            if new and partials:
                await _transcript(peer, number, words, final=False)
            if words and not ear.speaking and ear.quiet_ms >= max(pause_ms, 150):
                await _transcript(peer, number, words, final=True)
                number, words = number + 1, []


async def _transcript(peer: Peer, number: int, words: list[str], *, final: bool) -> None:
    match await peer.line.step():
        case Fault.GARBAGE:
            await peer.send_garbage()
            return
        case Fault.ERROR | Fault.FORMAT:
            await peer.send({"session_id": "s1", "type": "error", "error": {"message": "refused"}})
            raise HangUp
    utterance = {"text": " ".join(words), "start": 0.0, "end": 1.0, "confidence": 0.9, "channel": 0, "language": "en"}
    data = {"id": f"u{number}", "is_final": final, "utterance": {**utterance, "words": []}}
    await _send(peer, "transcript", data=data)


async def _send(peer: Peer, kind: str, **more: Any) -> None:
    await peer.send({"session_id": "s1", "created_at": "2026-11-23T10:00:00Z", "type": kind, **more})
