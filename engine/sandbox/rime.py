"""Rime's `ws3` socket as it is on the wire. Source: docs.rime.ai and the peers' plugins (2026-08).

Pieces are cut inside samples. Variants: "named" gives the end of a chunk its context; "restarted" counts the times of words from the last
word of the message before, as a peer's plugin has it, and not from the chunk's beginning, as the other's does.
"""

import asyncio

import msgspec

from engine.sandbox.base import Behaviour, Fault, HangUp, Line, Peer, SocketProvider
from engine.sandbox.voices import MP3, Piece, pieces


class RimeServer(SocketProvider):
    """/ws3."""

    path = "/ws3"

    def settings(self) -> dict[str, object]:
        return {"url": f"{self.ws_url}{self.path}", "api_key": self.key}

    async def converse(self, peer: Peer) -> None:
        await _Conversation(peer, self.behaviour).run()


class _Conversation:
    def __init__(self, peer: Peer, behaviour: Behaviour) -> None:
        self._peer = peer
        self._behaviour = behaviour
        self._rate_hz = int(peer.websocket.query_params["samplingRate"])
        self._texts: dict[str, str] = {}
        self._waiting: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        self._last_ms = 0
        """Where the last word that was told of ends."""

    async def run(self) -> None:
        speaking = asyncio.create_task(self._speak())
        try:
            async for message in self._peer.messages():
                order = msgspec.json.decode(message)
                name = order.get("contextId", "")
                match order.get("operation"):
                    case None:
                        self._texts[name] = self._texts.get(name, "") + order["text"]
                    case "flush":
                        # The context of an order is only repeated: whatever was sent last is spoken now.
                        name = name if name in self._texts else next(reversed(self._texts), "")
                        self._waiting.put_nowait((name, self._texts.pop(name, "")))
                    case "clear":
                        # What is being spoken goes on to its end.
                        self._waiting = asyncio.Queue()
                    case "eos":
                        return
        finally:
            speaking.cancel()

    async def _speak(self) -> None:
        try:
            while True:
                # A queue that was cleared is another queue.
                name, text = await self._next()
                line = Line(self._behaviour)
                held, self._last_ms = b"", 0
                for piece in pieces(text, self._rate_hz):
                    held = await self._send(name, piece, line, held)
                await self._peer.send({"type": "chunk", "data": held, "contextId": name})
                more = {"contextId": name} if self._behaviour.variant == "named" else {}
                await self._peer.send({"type": "done", **more})
        except HangUp:
            await self._peer.hang_up()

    async def _next(self) -> tuple[str, str]:
        while True:
            try:
                async with asyncio.timeout(0.01):
                    return await self._waiting.get()
            except TimeoutError:
                continue

    async def _send(self, name: str, piece: Piece, line: Line, held: bytes) -> bytes:
        """Send a piece cut inside a sample; returns what is held back of it."""
        match await line.step():
            case Fault.GARBAGE:
                await self._peer.send_garbage()
                return b""
            case Fault.ERROR:
                await self._peer.send({"type": "error", "message": "refused"})
                return b""
            case Fault.FORMAT:
                await self._peer.send({"type": "chunk", "data": MP3, "contextId": name})
                return b""
        sound = held + piece.sound
        await self._peer.send({"type": "chunk", "data": sound[:-1], "contextId": name})
        if piece.words:
            base_ms, self._last_ms = self._last_ms, piece.words[-1].end_ms
            if self._behaviour.variant != "restarted":
                base_ms = 0
            times = {
                "words": [word.text for word in piece.words],
                "start": [(word.start_ms - base_ms) / 1000 for word in piece.words],
                "end": [(word.end_ms - base_ms) / 1000 for word in piece.words],
            }
            await self._peer.send({"type": "timestamps", "word_timestamps": times, "contextId": name})
        return sound[-1:]
