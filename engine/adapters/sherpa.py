"""sherpa-onnx's streaming server, in C++ or Python, one's own recogniser on a WebSocket.

It wants floats, and ends a segment itself. The Python server says so only by the next segment's number.
Source: k2-fsa/sherpa-onnx (2026-08-07).
"""

from collections.abc import Iterable
from typing import ClassVar

import msgspec
from msgspec import Struct

from engine._codec import pcm16_to_float32
from engine.adapters.base import ASRFact, Headers, Options
from engine.adapters.recognition import SocketRecognizer, SocketStream
from engine.adapters.websocket import Dial


class SherpaOptions(Options, frozen=True, kw_only=True):
    """Where the server is."""

    key_required: ClassVar[bool] = False

    url: str = "ws://127.0.0.1:6006"


class Message(Struct, frozen=True):
    """What the server believes of the present segment."""

    text: str = ""
    segment: int = 0
    is_final: bool = False


MESSAGE = msgspec.json.Decoder(Message)


class SherpaStream(SocketStream[SherpaOptions]):
    """A recognition stream."""

    name = "sherpa"
    message_frames = 5
    farewell = "Done"

    def __init__(self, ear: int, options: SherpaOptions, headers: Headers = ()) -> None:
        super().__init__(ear, options, headers)
        self._segment = 0
        self._text = ""

    async def dial(self) -> Dial:
        return Dial(self._options.url)

    def encode(self, frames: tuple[bytes, ...]) -> tuple[bytes, ...]:
        return tuple(map(pcm16_to_float32, frames))

    def translate(self, message: str | bytes) -> Iterable[ASRFact]:
        if message == "Done!":
            return ()
        said = MESSAGE.decode(message)
        facts: list[ASRFact] = []
        if said.segment != self._segment:
            facts += self._end()
            self._segment = said.segment
        self._text = said.text.strip()
        facts += self.partial(self._text)
        return facts + self._end() if said.is_final else facts

    def _end(self) -> list[ASRFact]:
        text, self._text = self._text, ""
        return [self.final(text)] if text else []


class Sherpa(SocketRecognizer):
    """The `sherpa` recogniser."""

    name = "sherpa"
    options = SherpaOptions
    streams = SherpaStream
