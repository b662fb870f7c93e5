"""vosk-server and sherpa-onnx's server as they are on the wire. Source: alphacep/vosk-server (2025-05-25), k2-fsa/sherpa-onnx (2026-08-07)."""

import msgspec
import numpy as np
from starlette.requests import HTTPConnection

from engine.sandbox.base import Fault, HangUp, Peer, SocketProvider
from engine.sandbox.speech import Ear

END_MS = 300


class OwnServer(SocketProvider):
    """A server of one's own: no path, no key."""

    def settings(self) -> dict[str, object]:
        return {"url": self.ws_url}

    def authorized(self, connection: HTTPConnection) -> bool:
        return True


async def _faulty(peer: Peer) -> bool:
    """Whether a fault takes the place of the next message."""
    match await peer.line.step():
        case Fault.GARBAGE:
            await peer.send_garbage()
            return True
        case Fault.ERROR | Fault.FORMAT:
            # Neither server has words for an error: it just leaves.
            await peer.hang_up(1011)
            raise HangUp
    return False


class VoskServer(OwnServer):
    """Exactly one answer for each message of sound; `reset` and `eof` are compared as text, spaces included."""

    async def converse(self, peer: Peer) -> None:
        ear, words = Ear(8_000), list[str]()
        async for message in peer.messages():
            if isinstance(message, str) and "config" in message:
                ear = Ear(msgspec.json.decode(message)["config"]["sample_rate"])
                continue
            over = message in ('{"eof" : 1}', '{"reset" : 1}')
            if isinstance(message, bytes):
                words += [word.text for word in ear.hear(message)]
                over = bool(words) and not ear.speaking and ear.quiet_ms >= END_MS
            if await _faulty(peer):
                continue
            await peer.send({"text" if over else "partial": " ".join(words)})
            if over:
                words = []
            if message == '{"eof" : 1}':
                return


class SherpaServer(OwnServer):
    """The C++ server's messages; variant "python" sends the Python server's, which say no end but the next segment's number."""

    async def converse(self, peer: Peer) -> None:
        python = self.behaviour.variant == "python"
        ear, words, segment = Ear(16_000), list[str](), 0
        async for message in peer.messages():
            if message == "Done":
                await peer.websocket.send_text("Done!")
                return
            assert isinstance(message, bytes)
            pcm = (np.frombuffer(message, "<f4") * 32_768).clip(-32_768, 32_767).astype("<i2").tobytes()
            new = [word.text for word in ear.hear(pcm)]
            words += new
            over = bool(words) and not ear.speaking and ear.quiet_ms >= END_MS
            if not (new or over) or await _faulty(peer):
                continue
            said: dict[str, object] = {"text": " ".join(words), "segment": segment}
            more = {"tokens": [], "timestamps": [], "start_time": 0.0, "is_final": over, "is_eof": False}
            await peer.send(said if python else said | more)
            if over:
                segment, words = segment + 1, []
                if python:
                    await peer.send({"text": "", "segment": segment})
