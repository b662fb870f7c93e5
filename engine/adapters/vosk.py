"""vosk-server, one's own recogniser on a WebSocket.

Source: alphacep/vosk-server (2025-05-25). Its `reset` is compared as text, spaces included; the C++ server does not know it.
"""

from collections.abc import Iterable
from typing import ClassVar

import msgspec
from msgspec import Struct

from engine.adapters.base import ASRFact, Headers, Options
from engine.adapters.recognition import SocketRecognizer, SocketStream
from engine.adapters.websocket import Dial
from engine.core.units import ENGINE_HZ

RESET = '{"reset" : 1}'


class VoskOptions(Options, frozen=True, kw_only=True):
    """Where the server is, and its configuration message."""

    key_required: ClassVar[bool] = False

    url: str = "ws://127.0.0.1:2700"
    phrase_list: tuple[str, ...] = ()
    """Nothing else is then recognised."""
    reset: bool = True
    """Ask for the words at a pause. Off for the C++ server, which would hear the question as sound."""


class Message(Struct, frozen=True):
    """One answer to each message of sound."""

    partial: str | None = None
    text: str | None = None


MESSAGE = msgspec.json.Decoder(Message)


class VoskStream(SocketStream[VoskOptions]):
    """A recognition stream."""

    name = "vosk"
    message_frames = 5
    """Each message is answered, so fewer are better."""
    farewell = '{"eof" : 1}'

    def __init__(self, ear: int, options: VoskOptions, headers: Headers = ()) -> None:
        super().__init__(ear, options, headers)
        self._asked = 0

    async def dial(self) -> Dial:
        return Dial(self._options.url)

    def greeting(self) -> Iterable[str]:
        config: dict[str, object] = {"sample_rate": ENGINE_HZ, "words": False}
        if self._options.phrase_list:
            config["phrase_list"] = self._options.phrase_list
        return (msgspec.json.encode({"config": config}).decode(),)

    def finish(self) -> Iterable[str]:
        if not self._options.reset:
            return ()
        self._asked += 1
        return (RESET,)

    def translate(self, message: str | bytes) -> Iterable[ASRFact]:
        said = MESSAGE.decode(message)
        if said.partial is not None:
            return self.partial(said.partial)
        if said.text or (said.text is not None and self._asked):
            self._asked = 0
            return (self.final(said.text),)
        return ()


class Vosk(SocketRecognizer):
    """The `vosk` recogniser."""

    name = "vosk"
    options = VoskOptions
    streams = VoskStream
