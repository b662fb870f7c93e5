"""Deepgram Flux's v2/speak as it is on the wire: turns of speech, each between its start and its metadata.

Source: Deepgram's AsyncAPI specification, its pages and its Python client (7.17.0, 2026-11). Flushed only acknowledges; it comes before the
sound. Turns wait for each other; an interruption is for the one that is spoken. Variants: "late" lets a piece of an interrupted
turn through before SpeechInterrupted; "flat" names that turn the older way; "retrying" warns in the middle of a turn.
"""

import asyncio
from typing import Any

import msgspec

from engine.sandbox.base import Behaviour, Fault, HangUp, Line, Peer, SocketProvider
from engine.sandbox.deepgram_asr import REQUEST_ID, DeepgramHost
from engine.sandbox.voices import MP3, Piece, pieces

RATES_HZ = (8_000, 16_000, 24_000, 32_000, 44_100, 48_000)
TEXT_CHARS_MAX = 2_000


class FluxSpeechServer(DeepgramHost, SocketProvider):
    """v2/speak."""

    def __init__(self, behaviour: Behaviour | None = None) -> None:
        super().__init__(behaviour)
        self.heard: list[str] = []
        """The types of all messages that clients have sent."""

    path = "/v2/speak"

    async def converse(self, peer: Peer) -> None:
        await _Conversation(peer, self.behaviour, self.heard).run()


class _Conversation:
    def __init__(self, peer: Peer, behaviour: Behaviour, heard: list[str]) -> None:
        self._peer = peer
        self._heard = heard
        self._behaviour = behaviour
        self._query = peer.websocket.query_params
        self._rate_hz = int(self._query.get("sample_rate", "24000"))
        self._text = ""
        self._turns = 0
        self._waiting: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        self._now = ""
        """The turn that is being spoken."""
        self._characters = 0
        self._made_ms = 0
        """Sound of the whole session."""

    async def run(self) -> None:
        model = self._query.get("model", "")
        fits = self._query.get("encoding", "linear16") == "linear16" and self._rate_hz in RATES_HZ
        if not model.startswith("flux-") or not fits:
            await self._trouble("DATA-0000", 1008)
            return
        about = {"request_id": REQUEST_ID, "model_name": model, "model_version": "2026-07-22.0"}
        await self._peer.send({"type": "Connected", **about, "model_uuids": [REQUEST_ID]})
        speaking = asyncio.create_task(self._speak())
        try:
            async for message in self._peer.messages():
                order = msgspec.json.decode(message)
                self._heard.append(order["type"])
                if order["type"] == "Interrupt" and self._now and self._made_ms:
                    speaking.cancel()
                    await self._interrupt(order)
                    speaking = asyncio.create_task(self._speak())
                elif not await self._obey(order):
                    return
        finally:
            speaking.cancel()

    async def _obey(self, order: dict[str, Any]) -> bool:
        """Do what a message says; returns whether the socket lives on."""
        match order["type"]:
            case "Speak":
                if len(order["text"]) > TEXT_CHARS_MAX:
                    await self._trouble("BIG-0000", 1009)
                    return False
                self._text += order["text"]
            case "Flush" if self._text:
                self._turns += 1
                name = f"dg_sp_{self._turns:012x}"
                self._waiting.put_nowait((name, self._text))
                self._characters += len(self._text)
                self._text = ""
                await self._peer.send({"type": "Flushed", "speech_id": name})
            case "Flush":
                await self._warn("NO_ACTIVE_SPEECH")
            case "Interrupt":
                await self._warn("NO_ACTIVE_SPEECH" if self._made_ms else "NO_AUDIO_GENERATED")
            case "Configure":
                applied = {name: value for name, value in order.items() if name != "type"}
                await self._peer.send({"type": "ConfigureSuccess", "applied": applied})
            case "Close":
                counts = {
                    "total_input_character_count": self._characters,
                    "total_billable_character_count": self._characters,
                }
                await self._peer.send({"type": "SessionMetadata", "total_audio_duration_ms": self._made_ms, **counts})
                return False
            case _:
                await self._trouble("MESSAGE-0000", 1008)
                return False
        return True

    async def _interrupt(self, order: dict[str, Any]) -> None:
        name, self._now = self._now, ""
        if self._behaviour.variant == "late":
            await self._peer.send(next(pieces("late", self._rate_hz)).sound)
        played_ms = order.get("playback_offset", {}).get("value", self._made_ms)
        about = {"speech_id": name} if self._behaviour.variant == "flat" else {"metadata": self._about(name, "", 0)}
        await self._peer.send({"type": "SpeechInterrupted", "audio_played_ms": played_ms, **about})

    def _about(self, name: str, text: str, sent_ms: int) -> dict[str, Any]:
        return {
            "speech_id": name,
            "audio_duration_ms": sent_ms,
            "input_character_count": len(text),
            "billable_character_count": len(text),
            "controls_applied": {"pronunciations_applied": 0, "breaks_applied": 0, "pronunciation_warnings": 0},
        }

    async def _speak(self) -> None:
        try:
            while True:
                name, text = await self._waiting.get()
                self._now = name
                await self._peer.send({"type": "SpeechStarted", "speech_id": name})
                before_ms = self._made_ms
                line = Line(self._behaviour)
                for piece in pieces(text, self._rate_hz):
                    await self._send(piece, await line.step())
                self._now = ""
                about = self._about(name, text, self._made_ms - before_ms)
                await self._peer.send({"type": "SpeechMetadata", **about})
        except HangUp:
            await self._peer.hang_up()

    async def _send(self, piece: Piece, fault: Fault) -> None:
        match fault:
            case Fault.GARBAGE:
                await self._peer.send_garbage()
            case Fault.ERROR:
                await self._trouble("NET-0000", 1011)
                raise HangUp
            case Fault.FORMAT:
                await self._peer.send(MP3)
            case _:
                await self._peer.send(piece.sound)
                self._made_ms += len(piece.sound) * 500 // self._rate_hz
        if self._behaviour.variant == "retrying":
            await self._warn("SYNTHESIS_RETRYING")

    async def _warn(self, code: str) -> None:
        await self._peer.send({"type": "Warning", "code": code, "description": "a simulated warning"})

    async def _trouble(self, code: str, close_code: int) -> None:
        await self._peer.send({"type": "Error", "code": code, "description": "a simulated error"})
        await self._peer.hang_up(close_code, code)
