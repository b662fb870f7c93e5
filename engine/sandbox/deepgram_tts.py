"""Deepgram Aura's v1/speak as it is on the wire.

Source: Deepgram's AsyncAPI specification (2026-07-22) and docs (2025 to 2026). Sound carries no name; Flushed follows it. Variants: "late"
lets a piece of cleared sound through before Cleared; "older" names the fields of its warnings as it used to.
"""

import asyncio
from typing import Any

import msgspec

from engine.sandbox.base import Behaviour, Fault, HangUp, Line, Peer, SocketProvider
from engine.sandbox.deepgram_asr import REQUEST_ID, DeepgramHost
from engine.sandbox.voices import MP3, pieces

RATES_HZ = (8_000, 16_000, 24_000, 32_000, 48_000)
TEXT_CHARS_MAX = 2_000
MINUTE_CHARS_MAX = 2_400
MINUTE_FLUSHES_MAX = 20


class AuraServer(DeepgramHost, SocketProvider):
    """v1/speak."""

    path = "/v1/speak"

    async def converse(self, peer: Peer) -> None:
        await _Conversation(peer, self.behaviour).run()


class _Conversation:
    def __init__(self, peer: Peer, behaviour: Behaviour) -> None:
        self._peer = peer
        self._behaviour = behaviour
        self._rate_hz = int(peer.websocket.query_params.get("sample_rate", "24000"))
        self._text = ""
        self._waiting: asyncio.Queue[str] = asyncio.Queue()
        self._sequence = -1
        self._characters = 0
        self._flushes = 0

    async def run(self) -> None:
        query = self._peer.websocket.query_params
        if query.get("encoding", "linear16") != "linear16" or self._rate_hz not in RATES_HZ:
            await self._peer.hang_up(1008, "DATA-0000")
            return
        model = query.get("model", "aura-asteria-en")
        about = {
            "request_id": REQUEST_ID,
            "model_name": model,
            "model_version": "2025-04-07.0",
            "model_uuid": REQUEST_ID,
        }
        await self._peer.send({"type": "Metadata", **about})
        speaking = asyncio.create_task(self._speak())
        try:
            async for message in self._peer.messages():
                order = msgspec.json.decode(message)
                if order["type"] == "Clear":
                    speaking.cancel()
                    speaking = await self._clear()
                elif not await self._obey(order):
                    return
        finally:
            speaking.cancel()

    async def _obey(self, order: dict[str, Any]) -> bool:
        """Do what a message says; returns whether the socket lives on."""
        match order["type"]:
            case "Speak":
                if len(order["text"]) > TEXT_CHARS_MAX:
                    await self._peer.hang_up(1009, "BIG-0001")
                    return False
                # No call of a test lasts a minute.
                self._characters += len(order["text"])
                if self._characters > MINUTE_CHARS_MAX:
                    await self._peer.hang_up(1008, "DATA-0001: too many characters")
                    return False
                self._text += order["text"]
            case "Flush":
                self._flushes += 1
                if self._flushes > MINUTE_FLUSHES_MAX:
                    text, code = (
                        ("warn_msg", "warn_code") if self._behaviour.variant == "older" else ("description", "code")
                    )
                    await self._peer.send({"type": "Warning", text: "No more flushes in this minute", code: "FLUSHES"})
                    return True
                self._waiting.put_nowait(self._text)
                self._text = ""
            case "Close":
                return False
            case _:
                await self._peer.hang_up(1008, "DATA-0000")
                return False
        return True

    async def _clear(self) -> asyncio.Task[None]:
        self._text = ""
        self._waiting = asyncio.Queue()
        if self._behaviour.variant == "late":
            await self._peer.send(next(pieces("late", self._rate_hz)).sound)
        await self._tell("Cleared")
        return asyncio.create_task(self._speak())

    async def _speak(self) -> None:
        try:
            while True:
                text = await self._waiting.get()
                line = Line(self._behaviour)
                for piece in pieces(text, self._rate_hz):
                    match await line.step():
                        case Fault.GARBAGE:
                            await self._peer.send_garbage()
                        case Fault.ERROR:
                            await self._peer.hang_up(1011, "NET-0000")
                            return
                        case Fault.FORMAT:
                            await self._peer.send(MP3)
                        case _:
                            await self._peer.send(piece.sound)
                await self._tell("Flushed")
        except HangUp:
            await self._peer.hang_up()

    async def _tell(self, kind: str) -> None:
        self._sequence += 1
        await self._peer.send({"type": kind, "sequence_id": self._sequence})
