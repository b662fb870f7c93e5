"""A caller on the page's wire: PCM16 both ways as binary messages, positions reported by run, `flush` for silence."""

import struct
from typing import Any

import msgspec
from msgspec import Struct

from engine.core.units import FRAME_NS, MS, SECOND
from engine.load.caller import Caller
from engine.load.wire import BINARY, TEXT, frame

UP = struct.Struct("<I")
DOWN = struct.Struct("<II")
MICROPHONE_HZ = SPEAKER_HZ = 24_000
FRAME_SAMPLES = MICROPHONE_HZ * FRAME_NS // SECOND
REPORT_NS = 100 * MS
"""A page reports twenty times a second at most."""


class Told(Struct):
    """A message of the server's, as far as it matters here."""

    type: str
    run: int = 0


read = msgspec.json.Decoder(Told).decode


class BrowserCaller(Caller):
    """A page's end of one session."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._sample = 0
        self._run = 0
        self._run_end = 0
        """The place in the run up to which there is sound."""
        self._reported_at = 0

    def open(self) -> None:
        """The first message."""
        self.wire.send_text(b'{"type":"hello","rate":%d}' % MICROPHONE_HZ)

    def send_frame(self, sound: bytes) -> None:
        self.wire.send(frame(BINARY, UP.pack(self._sample & 0xFFFFFFFF) + sound))
        self._sample += FRAME_SAMPLES

    def report_played(self, now_ns: int) -> None:
        if not self._run or now_ns - self._reported_at < REPORT_NS:
            return
        self._reported_at = now_ns
        left = max(0, self._plays_until - now_ns) * SPEAKER_HZ // SECOND
        played = max(0, self._run_end - left)
        self.wire.send(frame(TEXT, b'{"type":"played","run":%d,"samples":%d}' % (self._run, played)))
        if not left:
            self._run = 0

    def take(self, opcode: int, payload: bytes) -> None:
        if opcode == BINARY:
            run, start = DOWN.unpack_from(payload)
            samples = (len(payload) - DOWN.size) // 2
            self._run, self._run_end = run, start + samples
            self.heard(samples * SECOND // SPEAKER_HZ)
        elif read(payload).type == "flush":
            now = self._clock()
            left = max(0, self._plays_until - now) * SPEAKER_HZ // SECOND
            self._run_end = max(0, self._run_end - left)
            self.silenced()

    def say_goodbye(self) -> None:
        self.wire.send_text(b'{"type":"bye"}')
