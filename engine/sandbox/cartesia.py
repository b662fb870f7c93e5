"""Cartesia's WebSocket as it is on the wire.

Source: the vendor's Python SDK 4.0.1 (2026-08-14) and its documentation (2026). Variants: "late" goes on sending a cancelled
context, as the real one does with a sentence in progress; "old" sends the error shape of before 2026-03-01; "limited" refuses a
second context at once.
"""

import asyncio
from typing import Any

import msgspec
from starlette.requests import HTTPConnection

from engine.sandbox.base import Behaviour, Fault, HangUp, Line, Peer, SocketProvider, bearer
from engine.sandbox.voices import MP3, pieces

REQUIRED = ("model_id", "transcript", "voice", "output_format", "context_id")
RATES_HZ = (8_000, 16_000, 22_050, 24_000, 44_100, 48_000)


class CartesiaServer(SocketProvider):
    """The socket of contexts."""

    idle_ms = 300_000

    async def tire(self, peer: Peer) -> None:
        await peer.hang_up(1000, "connection idle timeout")

    path = "/tts/websocket"

    def authorized(self, connection: HTTPConnection) -> bool:
        query = connection.query_params
        key = connection.headers.get("x-api-key") or bearer(connection) or query.get("api_key")
        version = connection.headers.get("cartesia-version") or query.get("cartesia_version")
        return key == self.key and bool(version)

    async def converse(self, peer: Peer) -> None:
        await _Conversation(peer, self.behaviour).run()


class _Conversation:
    def __init__(self, peer: Peer, behaviour: Behaviour) -> None:
        self._peer = peer
        self._behaviour = behaviour
        self._queues: dict[str, asyncio.Queue[dict[str, Any]]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        try:
            async for message in self._peer.messages():
                await self._obey(msgspec.json.decode(message))
        finally:
            for task in self._tasks.values():
                task.cancel()

    async def _obey(self, order: dict[str, Any]) -> None:
        name = order.get("context_id", "")
        if order.get("cancel"):
            if self._behaviour.variant != "late" and name in self._tasks:
                self._tasks.pop(name).cancel()
                self._queues.pop(name, None)
            return
        if missing := [field for field in REQUIRED if field not in order]:
            await self._error(name, 400, f"missing {missing[0]}")
            return
        sound = order["output_format"]
        if (
            sound.get("container") != "raw"
            or sound.get("encoding") != "pcm_s16le"
            or sound.get("sample_rate") not in RATES_HZ
        ):
            await self._error(name, 400, "bad output_format")
            return
        if name not in self._queues:
            if self._queues and self._behaviour.variant == "limited":
                await self._error(name, 429, "concurrency_limited")
                return
            self._queues[name] = asyncio.Queue()
            self._tasks[name] = asyncio.create_task(self._speak(name, self._queues[name], sound["sample_rate"]))
        self._queues[name].put_nowait(order)

    async def _speak(self, name: str, orders: asyncio.Queue[dict[str, Any]], rate_hz: int) -> None:
        line = Line(self._behaviour)
        at_ms = 0
        try:
            while True:
                order = await orders.get()
                for piece in pieces(order["transcript"], rate_hz):
                    if not await self._send_piece(name, piece.sound, line):
                        return
                    if order.get("add_timestamps") and piece.words:
                        times = {
                            "words": [word.text for word in piece.words],
                            "start": [(at_ms + word.start_ms) / 1000 for word in piece.words],
                            "end": [(at_ms + word.end_ms) / 1000 for word in piece.words],
                        }
                        await self._send("timestamps", name, word_timestamps=times, done=False, status_code=206)
                    at_ms += len(piece.sound) * 500 // rate_hz if order.get("continue") else 0
                if order.get("flush"):
                    await self._send("flush_done", name, flush_done=True, flush_id=1, done=False, status_code=206)
                if not order.get("continue"):
                    break
        except HangUp:
            await self._peer.hang_up()
            return
        await self._send("done", name, done=True, status_code=206)
        self._queues.pop(name, None)
        self._tasks.pop(name, None)

    async def _send_piece(self, name: str, sound: bytes, line: Line) -> bool:
        """Send one chunk; returns whether the context goes on."""
        match await line.step():
            case Fault.GARBAGE:
                await self._peer.send_garbage()
                return False
            case Fault.ERROR:
                await self._error(name, 500, "internal")
                return False
            case Fault.FORMAT:
                sound = MP3
        await self._send("chunk", name, data=sound, done=False, status_code=206, step_time=11.0)
        return True

    async def _error(self, name: str, status: int, code: str) -> None:
        if self._behaviour.variant == "old":
            await self._peer.send({"type": "error", "done": True, "status_code": status, "error": f"Error: {code}"})
            return
        about = {"error_code": code, "title": "Error", "message": code, "request_id": "r1", "doc_url": None}
        await self._send("error", name, done=True, status_code=status, **about)

    async def _send(self, kind: str, name: str, **fields: object) -> None:
        await self._peer.send({"type": kind, "context_id": name, **fields})
