"""ElevenLabs' multi-stream-input socket as it is on the wire.

Source: the vendor's Python SDK 2.59 (2026-07-23), its AsyncAPI file (2025-08-25) and reports in its issues. Variants:
"snake" spells context_id and is_final and charsDurationsMs; "absolute" counts times from the context's beginning; "joined" sends the
last sound and the final in one message; "late" goes on sending sound after a context was closed.
"""

import asyncio
from typing import Any

import msgspec
from starlette.requests import HTTPConnection
from starlette.routing import BaseRoute, WebSocketRoute
from starlette.websockets import WebSocket

from engine.sandbox.base import Behaviour, Fault, HangUp, Line, Peer, SocketProvider
from engine.sandbox.speech import letters
from engine.sandbox.voices import MP3, Piece, pieces

CONTEXTS_MAX = 5


class ElevenLabsServer(SocketProvider):
    """The socket that carries several contexts, and the older one that is one utterance."""

    idle_ms = 20_000

    def patience_ms(self, websocket: WebSocket) -> int:
        return 1_000 * int(websocket.query_params.get("inactivity_timeout", "0")) or self.idle_ms

    async def tire(self, peer: Peer) -> None:
        await peer.send({"message": "refused", "error": "input_timeout_exceeded", "code": 1008})
        await peer.hang_up(1008, "input_timeout_exceeded")

    def routes(self) -> list[BaseRoute]:
        path = "/v1/text-to-speech/{voice_id}"
        return [WebSocketRoute(f"{path}/{last}", self.accept) for last in ("multi-stream-input", "stream-input")]

    def authorized(self, connection: HTTPConnection) -> bool:
        return connection.headers.get("xi-api-key") == self.key

    def refusal_body(self, status: int, code: str) -> object:
        return {"detail": {"status": code or ("invalid_api_key" if status == 401 else "error"), "message": "refused"}}

    async def converse(self, peer: Peer) -> None:
        if peer.websocket.url.path.endswith("/stream-input"):
            await _say_once(peer, self.behaviour)
        else:
            await _Conversation(peer, self.behaviour).run()


async def _say_once(peer: Peer, behaviour: Behaviour) -> None:
    """The socket of one utterance: text until an empty one, then all the sound, then the end."""
    text = ""
    async for message in peer.messages():
        order = msgspec.json.decode(message)
        if order["text"] == "":
            break
        text += order["text"]
    rate_hz = int(peer.websocket.query_params["output_format"].rpartition("_")[2])
    line = Line(behaviour)
    for piece in pieces(text, rate_hz):
        await line.step()
        await peer.send({"audio": piece.sound, "isFinal": None, "alignment": None, "normalizedAlignment": None})
    await peer.send({"audio": None, "isFinal": True})


class _Context:
    """Text that waits, and what makes sound of it."""

    def __init__(self, settings: object) -> None:
        self.settings = settings
        self.text = ""
        self.orders: asyncio.Queue[str | None] = asyncio.Queue()
        self.closed = False
        self.told_ms = 0
        self.task: asyncio.Task[None] | None = None


class _Conversation:
    def __init__(self, peer: Peer, behaviour: Behaviour) -> None:
        self._peer = peer
        self._behaviour = behaviour
        self._rate_hz = int(peer.websocket.query_params["output_format"].rpartition("_")[2])
        self._contexts: dict[str, _Context] = {}

    async def run(self) -> None:
        try:
            async for message in self._peer.messages():
                order = msgspec.json.decode(message)
                if order.get("close_socket"):
                    return
                if not await self._obey(order):
                    return
        finally:
            for context in self._contexts.values():
                if context.task is not None:
                    context.task.cancel()

    async def _obey(self, order: dict[str, Any]) -> bool:
        """Do what a message says; returns whether the socket lives on."""
        if order.get("text") == "" and "context_id" not in order:
            return True
        name = order.get("context_id", "default")
        if order.get("close_context"):
            self._close(name)
            return True
        context = self._contexts.get(name)
        if context is None:
            # A flush or a keep-alive opens a context too, and takes one of the slots.
            if len(self._contexts) >= CONTEXTS_MAX:
                return await self._refuse("max_active_conversations")
            context = self._contexts[name] = _Context(order.get("voice_settings"))
            context.task = asyncio.create_task(self._speak(name, context))
        elif "voice_settings" in order and order["voice_settings"] != context.settings:
            await self._peer.hang_up(1008, "voice_settings must be in the first message")
            return False
        context.text += order.get("text") or ""
        if order.get("flush") and context.text.strip():
            context.orders.put_nowait(context.text)
            context.text = ""
        return True

    def _close(self, name: str) -> None:
        if (context := self._contexts.get(name)) and not context.closed:
            context.closed = True
            context.orders.put_nowait(None)
        elif context and self._behaviour.variant != "late" and context.task is not None:
            # Closed again while it speaks: a barge-in. What is under way is dropped; its final still comes.
            context.task.cancel()
            context.task = asyncio.create_task(self._finish(name))

    async def _refuse(self, error: str) -> bool:
        await self._peer.send({"message": "refused", "error": error, "code": 1008})
        await self._peer.hang_up(1008, error)
        return False

    async def _speak(self, name: str, context: _Context) -> None:
        joined = self._behaviour.variant == "joined"
        try:
            while (text := await context.orders.get()) is not None:
                line = Line(self._behaviour)
                every = list(pieces(text, self._rate_hz))
                for number, piece in enumerate(every):
                    last = joined and number == len(every) - 1
                    await self._send_piece(name, text, piece, line, last=last)
        except HangUp:
            await self._peer.hang_up()
            return
        if joined:
            self._contexts.pop(name, None)
        else:
            await self._finish(name)

    async def _finish(self, name: str) -> None:
        await self._peer.send({"audio": None, **self._labels(name, last=True)})
        self._contexts.pop(name, None)

    async def _send_piece(self, name: str, text: str, piece: Piece, line: Line, *, last: bool) -> None:
        sound = piece.sound
        match await line.step():
            case Fault.GARBAGE:
                await self._peer.send_garbage()
                return
            case Fault.ERROR:
                await self._refuse("quota_exceeded")
                raise HangUp
            case Fault.FORMAT:
                sound = MP3
        alignment = self._alignment(text, piece)
        more = {"alignment": alignment, "normalizedAlignment": alignment} if alignment else {"alignment": None}
        await self._peer.send({"audio": sound, **more, **self._labels(name, last=last)})

    def _labels(self, name: str, *, last: bool) -> dict[str, object]:
        if self._behaviour.variant == "snake":
            return {"context_id": name, "is_final": last}
        return {"contextId": name, **({"isFinal": True} if last else {})}

    def _alignment(self, text: str, piece: Piece) -> dict[str, object] | None:
        chars: list[str] = []
        starts: list[int] = []
        durations: list[int] = []
        base = 0 if self._behaviour.variant == "absolute" else piece.start_ms
        for word in piece.words:
            step = (word.end_ms - word.start_ms) // max(1, len(letters(word.text)))
            for number, char in enumerate(f"{word.text} "):
                chars.append(char)
                starts.append(word.start_ms - base + number * step)
                durations.append(step)
        spelling = "charsDurationsMs" if self._behaviour.variant == "snake" else "charDurationsMs"
        return {"chars": chars, "charStartTimesMs": starts, spelling: durations} if chars else None
