"""A caller on Twilio Media Streams: 50 media messages a second, marks echoed when what came before them was played, all of them
at once after a clear. Source: Twilio, Media Streams WebSocket messages (2026)."""

from collections import deque
from typing import Any

import msgspec
from msgspec import Struct

from engine.core.units import SECOND
from engine.load.caller import Caller
from engine.load.wire import FINAL, MASKED, MEDIUM, NO_MASK, TEXT, frame

BYTES_PER_SECOND = 8_000
FIRST_STAMP_MS = 155


class Payload(Struct):
    payload: str = ""


class Name(Struct):
    name: str = ""


class Sent(Struct):
    """A message of the server's."""

    event: str
    media: Payload | None = None
    mark: Name | None = None


read = msgspec.json.Decoder(Sent).decode
encode = msgspec.json.Encoder().encode


class Writer:
    """Twilio's messages on one stream, as whole WebSocket frames. Numbers are text, as Twilio writes them."""

    def __init__(self, call_sid: str, parameters: dict[str, str]) -> None:
        self.stream_sid = "MZ" + call_sid[2:]
        self._call_sid = call_sid
        self._parameters = parameters
        self._tail = f'"}},"streamSid":"{self.stream_sid}"}}'.encode()
        self._sequence = 1
        self._chunk = 0

    def opening(self) -> bytes:
        """The first two messages."""
        connected = encode({"event": "connected", "protocol": "Call", "version": "1.0.0"})
        start = {
            "accountSid": "AC" + 32 * "0",
            "callSid": self._call_sid,
            "streamSid": self.stream_sid,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": self._parameters,
        }
        body = {"event": "start", "sequenceNumber": "1", "start": start, "streamSid": self.stream_sid}
        return frame(TEXT, connected) + frame(TEXT, encode(body))

    def media(self, sound: bytes) -> bytes:
        """20 ms of the caller, already in base64."""
        self._sequence += 1
        self._chunk += 1
        text = (
            b'{"event":"media","sequenceNumber":"%d","media":{"track":"inbound","chunk":"%d","timestamp":"%d","payload":"'
            % (self._sequence, self._chunk, FIRST_STAMP_MS + 20 * self._chunk)
            + sound
            + self._tail
        )
        return MEDIUM.pack(FINAL | TEXT, MASKED | 126, len(text), NO_MASK) + text

    def mark(self, name: str) -> bytes:
        """The echo of a mark."""
        self._sequence += 1
        mark = {"name": name}
        body = {"event": "mark", "sequenceNumber": str(self._sequence), "mark": mark, "streamSid": self.stream_sid}
        return frame(TEXT, encode(body))

    def stop(self) -> bytes:
        """The caller has hung up."""
        stop = {"accountSid": "AC" + 32 * "0", "callSid": self._call_sid}
        body = {
            "event": "stop",
            "sequenceNumber": str(self._sequence + 1),
            "stop": stop,
            "streamSid": self.stream_sid,
        }
        return frame(TEXT, encode(body))


class TwilioCaller(Caller):
    """Twilio's end of one media stream."""

    def __init__(self, *given: Any, call_sid: str, parameters: dict[str, str]) -> None:
        super().__init__(*given)
        self._writer = Writer(call_sid, parameters)
        self._marks: deque[tuple[int, str]] = deque()
        """When each is to be echoed."""

    def open(self) -> None:
        """The first two messages."""
        self.wire.send(self._writer.opening())

    def send_frame(self, frame: bytes) -> None:
        self.wire.send(self._writer.media(frame))

    def report_played(self, now_ns: int) -> None:
        marks = self._marks
        while marks and marks[0][0] <= now_ns:
            self._echo(marks.popleft()[1])

    def take(self, opcode: int, payload: bytes) -> None:
        message = read(payload)
        if message.event == "media" and message.media is not None:
            text = message.media.payload
            size = 3 * len(text) // 4 - text.count("=", -2)
            self.heard(size * SECOND // BYTES_PER_SECOND)
        elif message.event == "mark" and message.mark is not None:
            if self._plays_until <= self._clock():
                self._echo(message.mark.name)
            else:
                self._marks.append((self._plays_until, message.mark.name))
        elif message.event == "clear":
            self.silenced()
            while self._marks:
                self._echo(self._marks.popleft()[1])

    def say_goodbye(self) -> None:
        self.wire.send(self._writer.stop())

    def _echo(self, name: str) -> None:
        self.wire.send(self._writer.mark(name))
