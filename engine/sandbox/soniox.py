"""Soniox's socket as it is on the wire. Source: the vendor's documentation (2026-11). Tokens are halves of words with their own spaces."""

from typing import Any

import msgspec

from engine.sandbox.base import Fault, HangUp, Peer, SocketProvider
from engine.sandbox.speech import Ear

END_MS = 300


class SonioxServer(SocketProvider):
    """/transcribe-websocket."""

    path = "/transcribe-websocket"

    def settings(self) -> dict[str, object]:
        return {"url": f"{self.ws_url}{self.path}", "api_key": self.key}

    async def converse(self, peer: Peer) -> None:
        await _Session(peer).run()


class _Session:
    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._ear: Ear | None = None
        self._ends = False
        self._open: list[str] = []
        """Words told but not yet final."""
        self._spoken = False

    async def run(self) -> None:
        async for message in self._peer.messages():
            if not message:
                await self._tell([], finished=True)
                return
            if isinstance(message, bytes) and self._ear is not None:
                await self._listen(self._ear, message)
                continue
            order = msgspec.json.decode(message)
            if self._ear is None:
                if order.get("audio_format") != "pcm_s16le" or "model" not in order:
                    await self._peer.send({"error_code": 400, "error_message": "Invalid audio format"})
                    return
                self._ear = Ear(order["sample_rate"])
                self._ends = bool(order.get("enable_endpoint_detection"))
            elif order["type"] == "finalize":
                await self._tell([*self._final(), _token("<fin>", final=True)])

    async def _listen(self, ear: Ear, sound: bytes) -> None:
        words = [word.text for word in ear.hear(sound)]
        if words:
            # A word is final when the next one has come.
            final = self._final()
            self._open += words
            self._spoken = True
            await self._tell([*final, *self._tokens(self._open, final=False)])
        elif self._spoken and self._ends and not ear.speaking and ear.quiet_ms >= END_MS:
            self._spoken = False
            await self._tell([*self._final(), _token("<end>", final=True)])

    def _final(self) -> list[dict[str, Any]]:
        tokens = self._tokens(self._open, final=True)
        self._open = []
        return tokens

    def _tokens(self, words: list[str], *, final: bool) -> list[dict[str, Any]]:
        return [_token(part, final=final) for word in words for part in (f" {word[:2]}", word[2:]) if part]

    async def _tell(self, tokens: list[dict[str, Any]], *, finished: bool = False) -> None:
        match await self._peer.line.step():
            case Fault.GARBAGE:
                await self._peer.send_garbage()
                return
            case Fault.ERROR | Fault.FORMAT:
                await self._peer.send({"error_code": 503, "error_message": "Cannot continue request (code 2)"})
                raise HangUp
        more = {"finished": True} if finished else {}
        await self._peer.send({"tokens": tokens, "final_audio_proc_ms": 0, "total_audio_proc_ms": 0, **more})


def _token(text: str, *, final: bool) -> dict[str, Any]:
    return {"text": text, "start_ms": 0, "end_ms": 100, "confidence": 0.95, "is_final": final}
