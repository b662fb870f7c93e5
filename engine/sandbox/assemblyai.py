"""AssemblyAI's Universal-Streaming v3 as it is on the wire.

Source: the vendor's Python SDK 1.0 (2026-08-14), its API specification (2026-03-23) and documentation (2026). A wrong key is told after
the upgrade. With format_turns an end comes twice, first without punctuation.
"""

from typing import Any

import msgspec
from starlette.requests import HTTPConnection
from starlette.responses import Response

from engine.sandbox.base import Fault, HangUp, Peer, SocketProvider
from engine.sandbox.speech import Ear, Word

PAUSE_MS = 150
"""Silence after which the utterance is told, before the turn is sure to be over."""
MESSAGE_MS_MIN, MESSAGE_MS_MAX = 50, 1_000


class AssemblyAIServer(SocketProvider):
    """/v3/ws."""

    path = "/v3/ws"

    def authorized(self, connection: HTTPConnection) -> bool:
        # The raw key, without a word before it.
        return connection.headers.get("authorization") == self.key

    def refusal(self, connection: HTTPConnection) -> Response | None:
        refused = super().refusal(connection)
        # Credentials are checked behind the upgrade.
        return None if refused is not None and refused.status_code == 401 and not self.behaviour.status else refused

    async def converse(self, peer: Peer) -> None:
        if not self.authorized(peer.websocket):
            await peer.send({"type": "Error", "error_code": 1008, "error": "Unauthorized connection"})
            await peer.hang_up(1008, "See the error message")
            return
        await _Session(peer).run()


class _Session:
    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        query = peer.websocket.query_params
        self._rate_hz = int(query.get("sample_rate", "16000"))
        self._ear = Ear(self._rate_hz)
        self._formatted = query.get("format_turns", "").lower() == "true"
        self._silence_ms = int(query.get("min_turn_silence", "400"))
        self._turn = 0
        self._words: list[Word] = []
        self._told = False

    async def run(self) -> None:
        configuration = {"model": "universal-streaming-english", "mode": "balanced", "api_version": "2025-05-12"}
        session = {"id": "b2f1c0aa-0000-4000-8000-0000000000aa", "expires_at": 1_763_900_000}
        await self._peer.send({"type": "Begin", **session, "configuration": configuration})
        async for message in self._peer.messages():
            if isinstance(message, bytes):
                await self._listen(message)
                continue
            match msgspec.json.decode(message)["type"]:
                case "Terminate":
                    length = {"audio_duration_seconds": self._ear.heard_ms // 1000, "session_duration_seconds": 1}
                    await self._peer.send({"type": "Termination", **length})
                    return
                case "ForceEndpoint":
                    await self._end()
                case "UpdateConfiguration" | "KeepAlive":
                    pass
                case _:
                    await self._fail(3006, "Invalid message")

    async def _fail(self, code: int, text: str) -> None:
        await self._peer.send({"type": "Error", "error_code": code, "error": text})
        await self._peer.hang_up(code, "See the error message")
        raise HangUp

    async def _listen(self, sound: bytes) -> None:
        length_ms = len(sound) * 500 // self._rate_hz
        if not MESSAGE_MS_MIN <= length_ms <= MESSAGE_MS_MAX:
            await self._fail(3007, f"Input Duration Error: {length_ms} ms, must be between 50 and 1000 ms")
        words = self._ear.hear(sound)
        self._words += words
        quiet_ms = 0 if self._ear.speaking else self._ear.quiet_ms
        if words:
            self._told = False
            await self._send_turn()
        elif self._words and quiet_ms >= self._silence_ms:
            await self._end()
        elif self._words and quiet_ms >= PAUSE_MS and not self._told:
            self._told = True
            await self._send_turn(utterance=self._text)

    @property
    def _text(self) -> str:
        return " ".join(word.text for word in self._words)

    async def _end(self) -> None:
        await self._send_turn(end_of_turn=True, utterance=self._text)
        if self._formatted:
            text = f"{self._text[:1].upper()}{self._text[1:]}"
            text = text if text.endswith((".", "?", "!")) else f"{text}."
            await self._send_turn(end_of_turn=True, turn_is_formatted=True, transcript=text)
        self._turn += 1
        self._words, self._told = [], False

    async def _send_turn(self, **more: Any) -> None:
        match await self._peer.line.step():
            case Fault.GARBAGE:
                await self._peer.send_garbage()
                return
            case Fault.ERROR:
                await self._fail(3005, "Session cancelled")
            case Fault.FORMAT:
                await self._fail(3006, "Invalid audio")
        over = more.get("end_of_turn", False)
        last = len(self._words) - 1
        words = [
            # The newest word is not yet final, and so not yet in the transcript.
            {"text": word.text, "start": word.start_ms, "end": word.end_ms, "confidence": 0.98}
            | {"word_is_final": over or "utterance" in more or number < last}
            for number, word in enumerate(self._words)
        ]
        final = [str(word["text"]) for word in words if word["word_is_final"]]
        turn = {
            "turn_order": self._turn,
            "turn_is_formatted": False,
            "end_of_turn": False,
            "transcript": " ".join(final),
        }
        turn |= {"end_of_turn_confidence": 0.88 if over else 0.02, "utterance": "", "words": words}
        await self._peer.send({"type": "Turn", **turn, **more})
