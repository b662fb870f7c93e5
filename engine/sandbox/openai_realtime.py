"""OpenAI's realtime transcription as it is on the wire.

Source: openai/openai-openapi (2026-08-21), the vendor's guide (2026-10) and captures of live sessions (2026-09). Models named "live" tell
what they hear as it arrives and allow no detector; the others only after a commit. Variant "crossed" finishes two items in the wrong
order; "lost" fails an item; "expired" ends the session at its first word, as the service does after its longest; "beta" names an item's
birth as servers of before 2025-09 do.
"""

import base64
from typing import Any

import msgspec

from engine.sandbox.base import Behaviour, Fault, HangUp, Peer, SocketProvider
from engine.sandbox.speech import Ear

PREFIX = "conversation.item.input_audio_transcription."
COMMIT_MS_MIN = 100


class OpenAIRealtimeServer(SocketProvider):
    """/v1/realtime?intent=transcription."""

    path = "/v1/realtime"

    def settings(self) -> dict[str, object]:
        return {"url": f"{self.ws_url}/v1", "api_key": self.key}

    async def converse(self, peer: Peer) -> None:
        await _Session(peer, self.behaviour, self.seen[-1]).run()


class _Session:
    def __init__(self, peer: Peer, behaviour: Behaviour, seen: dict[str, Any]) -> None:
        self._peer = peer
        self._seen = seen
        self._variant = behaviour.variant
        self._ear: Ear | None = None
        self._live = False
        self._events = 0
        self._item = 1
        self._item_ms = 0
        self._words: list[str] = []
        self._held: list[dict[str, Any]] = []

    async def run(self) -> None:
        query = self._peer.websocket.query_params
        if query.get("intent") != "transcription":
            await self._error("missing_model")
            return
        await self._send("session.created", session={"type": "transcription", "id": "sess_1"})
        async for message in self._peer.messages():
            order = msgspec.json.decode(message)
            match order["type"]:
                case "session.update":
                    await self._configure(order["session"])
                case "input_audio_buffer.append" if self._ear is not None:
                    await self._listen(base64.b64decode(order["audio"]))
                case "input_audio_buffer.commit" if self._ear is not None:
                    await self._commit(order)
                case _:
                    await self._error("invalid_event", order)

    async def _configure(self, session: dict[str, Any]) -> None:
        self._seen["session"] = session
        sound = session["audio"]["input"]
        form = sound["format"]
        self._live = "live" in sound["transcription"]["model"]
        if form["type"] != "audio/pcm" or form["rate"] < 24_000 or (self._live and sound["turn_detection"]):
            await self._error("invalid_value")
            return
        self._ear = Ear(form["rate"])
        await self._send("session.updated", session=session)

    async def _listen(self, sound: bytes) -> None:
        assert self._ear is not None
        words = [word.text for word in self._ear.hear(sound)]
        self._words += words
        if words and self._variant == "expired":
            await self._error("session_expired")
            raise HangUp
        if self._live:
            for word in words:
                await self._delta(f" {word}")

    async def _delta(self, text: str) -> None:
        match await self._peer.line.step():
            case Fault.GARBAGE:
                await self._peer.send_garbage()
            case Fault.ERROR:
                await self._error("server_error", kind="server_error")
                raise HangUp
            case Fault.FORMAT:
                await self._error("invalid_audio", kind="server_error")
                raise HangUp
            case _:
                await self._send(f"{PREFIX}delta", item_id=f"item_{self._item}", content_index=0, delta=text)

    async def _commit(self, order: dict[str, Any]) -> None:
        assert self._ear is not None
        if self._ear.heard_ms - self._item_ms < COMMIT_MS_MIN:
            await self._error("input_audio_buffer_commit_empty", order)
            return
        name, previous = f"item_{self._item}", f"item_{self._item - 1}" if self._item > 1 else None
        await self._send("input_audio_buffer.committed", item_id=name, previous_item_id=previous)
        item = {"id": name, "type": "message", "role": "user", "content": []}
        born = "created" if self._variant == "beta" else "added"
        await self._send(f"conversation.item.{born}", item=item, previous_item_id=previous)
        if not self._live:
            for word in self._words:
                await self._delta(f" {word}")
        text = " ".join(self._words)
        self._item, self._item_ms, self._words = self._item + 1, self._ear.heard_ms, []
        if self._variant == "lost":
            error = {"type": "server_error", "code": None, "message": "lost", "param": None}
            await self._send(f"{PREFIX}failed", item_id=name, content_index=0, error=error)
            return
        usage = {"type": "duration", "seconds": 1.0}
        self._held.append({"item_id": name, "content_index": 0, "transcript": text, "usage": usage})
        if self._variant == "crossed" and len(self._held) < 2:
            return
        while self._held:
            await self._send(f"{PREFIX}completed", **self._held.pop())

    async def _error(
        self, code: str, order: dict[str, Any] | None = None, *, kind: str = "invalid_request_error"
    ) -> None:
        event_id = order.get("event_id") if order else None
        error = {"type": kind, "code": code, "message": "refused", "param": None, "event_id": event_id}
        await self._send("error", error=error)

    async def _send(self, kind: str, **fields: object) -> None:
        self._events += 1
        await self._peer.send({"type": kind, "event_id": f"event_{self._events}", **fields})
