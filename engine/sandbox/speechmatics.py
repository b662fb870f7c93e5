"""Speechmatics' real-time socket as it is on the wire. Source: the vendor's Python SDK (2026-06-22) and documentation (2026)."""

import msgspec

from engine.sandbox.base import Fault, HangUp, Peer, SocketProvider
from engine.sandbox.speech import Ear


class SpeechmaticsServer(SocketProvider):
    """/v2."""

    idle_ms = 180_000

    async def tire(self, peer: Peer) -> None:
        await peer.send({"message": "Error", "type": "idle_timeout", "reason": "refused"})
        await peer.hang_up(1008, "idle_timeout")

    path = "/v2"

    def settings(self) -> dict[str, object]:
        return {"url": f"{self.ws_url}{self.path}", "api_key": self.key}

    async def converse(self, peer: Peer) -> None:
        await _Session(peer).run()


class _Session:
    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._ear: Ear | None = None
        self._heard = 0
        self._words: list[str] = []
        self._ends_ms = 0
        self._spoken = False

    async def run(self) -> None:
        async for message in self._peer.messages():
            if isinstance(message, bytes):
                if self._ear is None:
                    await self._fail("protocol_error")
                    return
                await self._listen(self._ear, message)
                continue
            order = msgspec.json.decode(message)
            match order["message"]:
                case "StartRecognition" if self._ear is None:
                    form, config = order["audio_format"], order["transcription_config"]
                    if form["encoding"] != "pcm_s16le":
                        await self._fail("invalid_audio_type")
                    self._ear = Ear(form["sample_rate"])
                    trigger = config.get("conversation_config", {}).get("end_of_utterance_silence_trigger", 0)
                    self._ends_ms = round(1000 * trigger)
                    about = {"id": "1", "language_pack_info": {"word_delimiter": " "}}
                    await self._send("RecognitionStarted", **about)
                case "ForceEndOfUtterance":
                    await self._end()
                case "EndOfStream":
                    # The vendor's client tells the last one it has seen acknowledged, which may lie behind.
                    if order["last_seq_no"] > self._heard:
                        await self._fail("protocol_error")
                    await self._finish()
                    await self._send("EndOfTranscript")
                    return
                case _:
                    await self._fail("protocol_error")

    async def _listen(self, ear: Ear, sound: bytes) -> None:
        self._heard += 1
        await self._send("AudioAdded", seq_no=self._heard)
        words = [word.text for word in ear.hear(sound)]
        self._words += words
        if len(self._words) > 2:
            await self._finish(keep=1)
        if words:
            self._spoken = True
            await self._transcript("AddPartialTranscript", self._words)
        elif self._spoken and self._ends_ms and not ear.speaking and ear.quiet_ms >= self._ends_ms:
            await self._end()

    async def _end(self) -> None:
        self._spoken = False
        await self._finish()
        await self._send("EndOfUtterance", metadata={"start_time": 0.0, "end_time": 0.0})

    async def _finish(self, keep: int = 0) -> None:
        """Make words final, a few at a time; a final is always followed by a partial."""
        done, self._words = self._words[: len(self._words) - keep], self._words[len(self._words) - keep :]
        await self._transcript("AddTranscript", done)
        await self._transcript("AddPartialTranscript", self._words)

    async def _transcript(self, kind: str, words: list[str]) -> None:
        match await self._peer.line.step():
            case Fault.GARBAGE:
                await self._peer.send_garbage()
                return
            case Fault.ERROR | Fault.FORMAT:
                await self._fail("job_error")
        times = {"start_time": 0.0, "end_time": 0.0}
        results = [{"type": "word", **times, "alternatives": [{"content": word, "confidence": 0.9}]} for word in words]
        transcript = "".join(f"{word} " for word in words)
        await self._send(kind, format="2.1", metadata={**times, "transcript": transcript}, results=results)

    async def _fail(self, kind: str) -> None:
        await self._send("Error", type=kind, reason="refused")
        raise HangUp

    async def _send(self, message: str, **fields: object) -> None:
        await self._peer.send({"message": message, **fields})
