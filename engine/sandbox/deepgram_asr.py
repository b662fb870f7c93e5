"""Deepgram's recognisers as they are on the wire: v1/listen (Nova) and v2/listen (Flux).

Source: Deepgram's AsyncAPI specification (2026-07-22) and docs (2026-11). Variants: "double_end" sends UtteranceEnd after a
speech_final for the same words; "no_flush" answers no Finalize, as happens when little sound is buffered.
"""

from typing import Any

import msgspec
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, WebSocketRoute

from engine.sandbox.base import Fault, HangUp, Peer, SocketProvider
from engine.sandbox.speech import Ear, Word

REQUEST_ID = "00000000-0000-4000-8000-000000000001"
INTERIM_MS = 250
"""The real one sends interims about once a second; more are sent here so that short tests see some."""
EAGER_MS, END_MS = 100, 300
"""Silence after which Flux thinks that a turn may be over, and is sure."""


NOVA_ALONE = frozenset(
    ("language", "smart_format", "punctuate", "interim_results", "endpointing", "utterance_end_ms", "vad_events")
)
"""What v2/listen refuses."""


class DeepgramHost:
    """What both of Deepgram's hosts share, recognition and synthesis."""

    key: str

    def authorized(self, connection: HTTPConnection) -> bool:
        # An API key behind "Bearer" is refused: that word is for short-lived tokens.
        return connection.headers.get("authorization") == f"Token {self.key}"

    def refusal_body(self, status: int, code: str) -> object:
        names = {
            401: "INVALID_AUTH",
            402: "ASR_PAYMENT_REQUIRED",
            403: "INSUFFICIENT_PERMISSIONS",
            429: "TOO_MANY_REQUESTS",
        }
        name = code or names.get(status, "INTERNAL_SERVER_ERROR")
        return {"err_code": name, "err_msg": "refused", "request_id": REQUEST_ID}


class DeepgramServer(DeepgramHost, SocketProvider):
    """Both of its sockets."""

    idle_ms = 10_000

    def refusal(self, connection: HTTPConnection) -> Response | None:
        refused = super().refusal(connection)
        if refused is not None or connection.url.path == "/v1/listen":
            return refused
        query = connection.query_params
        eager, sure = float(query.get("eager_eot_threshold", "0")), float(query.get("eot_threshold", "0.7"))
        hinted = "language_hint" in query and not query["model"].endswith("-multi")
        if NOVA_ALONE & query.keys() or eager > sure or hinted:
            return JSONResponse(self.refusal_body(400, "INVALID_QUERY_PARAMETER"), 400)
        return None

    async def tire(self, peer: Peer) -> None:
        await peer.hang_up(1011, "NET-0001")

    def routes(self) -> list[BaseRoute]:
        return [WebSocketRoute(path, self.accept) for path in ("/v1/listen", "/v2/listen")]

    async def converse(self, peer: Peer) -> None:
        query = peer.websocket.query_params
        encoding, rate_hz = query.get("encoding"), int(query.get("sample_rate", "0"))
        if encoding != "linear16" or rate_hz < 8_000:
            await peer.hang_up(1008, "DATA-0000")
            return
        conversation: _Nova | _Flux
        if peer.websocket.url.path == "/v1/listen":
            conversation = _Nova(peer, Ear(rate_hz), self.behaviour.variant)
        else:
            conversation = _Flux(peer, Ear(rate_hz), "eager_eot_threshold" in query)
        await conversation.run()


class _Nova:
    """v1/listen: windows of sound, each closed once by a final."""

    def __init__(self, peer: Peer, ear: Ear, variant: str) -> None:
        self._peer = peer
        self._ear = ear
        self._variant = variant
        self._query = peer.websocket.query_params
        value = self._query.get("endpointing", "10")
        self._endpointing_ms = None if value == "false" else int(value)
        self._words: list[Word] = []
        """Of the open window."""
        self._window_ms = 0
        self._interim_ms = 0

    async def run(self) -> None:
        async for message in self._peer.messages():
            if isinstance(message, bytes) and message:
                await self._listen(message)
            elif not await self._obey(msgspec.json.decode(message)["type"] if message else "CloseStream"):
                return

    async def _listen(self, sound: bytes) -> None:
        self._words += self._ear.hear(sound)
        pause = self._endpointing_ms
        if self._words and pause is not None and not self._ear.speaking and self._ear.quiet_ms >= max(pause, 200):
            await self._results(is_final=True, speech_final=True)
            if self._variant == "double_end":
                await self._peer.send(
                    {"type": "UtteranceEnd", "channel": [0, 1], "last_word_end": self._ear.heard_ms / 1000}
                )
        elif self._ear.heard_ms - self._interim_ms >= INTERIM_MS:
            self._interim_ms = self._ear.heard_ms
            if self._query.get("interim_results") == "true":
                await self._results()

    async def _obey(self, order: str) -> bool:
        """Do what a control message says; returns whether the stream goes on."""
        match order:
            case "Finalize" if self._variant != "no_flush":
                await self._results(is_final=True, from_finalize=True)
            case "CloseStream":
                if self._words:
                    await self._results(is_final=True)
                end = {
                    "type": "Metadata",
                    "transaction_key": "deprecated",
                    "request_id": REQUEST_ID,
                    "sha256": "0" * 64,
                }
                length = {"created": "2026-11-23T10:00:00.000Z", "channels": 1, "duration": self._ear.heard_ms / 1000}
                await self._peer.send({**end, **length})
                return False
        return True

    async def _results(self, **flags: bool) -> None:
        match await self._peer.line.step():
            case Fault.GARBAGE:
                await self._peer.send_garbage()
                return
            case Fault.ERROR:
                await self._peer.hang_up(1011, "NET-0000")
                raise HangUp
            case Fault.FORMAT:
                await self._peer.hang_up(1008, "DATA-0000")
                raise HangUp
        start, heard = self._window_ms, self._ear.heard_ms
        text = " ".join(word.text for word in self._words)
        words = [_word(word) | {"punctuated_word": word.text} for word in self._words]
        model = {"name": "general-nova-3", "version": "2025-01-01.0", "arch": "nova-3"}
        message: dict[str, Any] = {
            "type": "Results",
            "channel_index": [0, 1],
            "start": start / 1000,
            "duration": (heard - start) / 1000,
            "channel": {"alternatives": [{"transcript": text, "confidence": 0.98 if text else 0.0, "words": words}]},
            "metadata": {"request_id": REQUEST_ID, "model_info": model, "model_uuid": REQUEST_ID},
            # Only these five keys are required; false flags may be left out.
            **flags,
        }
        if flags:
            self._window_ms = heard
            self._words = []
        await self._peer.send(message)


class _Flux:
    """v2/listen: turns, not windows."""

    def __init__(self, peer: Peer, ear: Ear, eager: bool) -> None:
        self._peer = peer
        self._ear = ear
        self._eager_wanted = eager
        self._sequence = -1
        self._turn = 0
        self._turn_ms = 0
        self._words: list[Word] = []
        self._started = False
        self._eager = False
        self._update_ms = 0

    async def run(self) -> None:
        await self._send("Connected")
        async for message in self._peer.messages():
            if isinstance(message, bytes):
                await self._listen(message)
                continue
            order = msgspec.json.decode(message).get("type")
            if order == "CloseStream":
                await self._info("Update", 0.0)
                return
            if order not in ("Configure", "ForceEndTurn"):
                # KeepAlive and Finalize of v1 are unknown here, and an unknown message is fatal.
                await self._send("Error", code="UNPARSABLE_CLIENT_MESSAGE", description="unknown message")
                return
            if order == "ForceEndTurn" and self._started:
                await self._info("EndOfTurn", 0.5, trigger="manual")

    async def _listen(self, sound: bytes) -> None:
        words = self._ear.hear(sound)
        self._words += words
        quiet = 0 if self._ear.speaking else self._ear.quiet_ms
        if words and self._eager:
            self._eager = False
            await self._info("TurnResumed", 0.1)
        if words and not self._started:
            self._started = True
            await self._info("StartOfTurn", 0.05)
        elif self._started and quiet >= END_MS:
            await self._info("EndOfTurn", 0.9, trigger="model")
        elif self._started and self._eager_wanted and not self._eager and quiet >= EAGER_MS:
            self._eager = True
            await self._info("EagerEndOfTurn", 0.55)
        elif self._ear.heard_ms - self._update_ms >= INTERIM_MS:
            self._update_ms = self._ear.heard_ms
            await self._info("Update", 0.1)

    async def _info(self, event: str, confidence: float, **more: str) -> None:
        match await self._peer.line.step():
            case Fault.GARBAGE:
                await self._peer.send_garbage()
                return
            case Fault.ERROR | Fault.FORMAT:
                await self._send("Error", code="INTERNAL_SERVER_ERROR", description="an internal error")
                raise HangUp
        await self._send(
            "TurnInfo",
            event=event,
            turn_index=self._turn,
            audio_window_start=self._turn_ms / 1000,
            audio_window_end=self._ear.heard_ms / 1000,
            transcript=" ".join(word.text for word in self._words),
            words=[{"word": word.text, "confidence": 0.97} for word in self._words],
            end_of_turn_confidence=confidence,
            **more,
        )
        if event == "EndOfTurn":
            self._turn += 1
            self._turn_ms = self._ear.heard_ms
            self._words, self._started, self._eager = [], False, False

    async def _send(self, kind: str, **fields: object) -> None:
        self._sequence += 1
        await self._peer.send({"type": kind, "request_id": REQUEST_ID, "sequence_id": self._sequence, **fields})


def _word(word: Word) -> dict[str, object]:
    return {"word": word.text, "start": word.start_ms / 1000, "end": word.end_ms / 1000, "confidence": 0.99}
