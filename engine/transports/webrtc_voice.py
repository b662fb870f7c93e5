"""The agent's voice as a WebRTC track: a short queue, taken from 20 ms at a time, that knows when each sample left.

aiortc asks for the next packet, and sends what it is given at once. So the beat is kept here: one packet every 20 ms, also when there is
nothing to say, because a page's jitter buffer grows with every irregularity.

Rule 1. A clear empties the queue in the callback that asked for it; what follows is silence.
Rule 2. The queue is bounded. A track that nobody takes from belongs to a connection that is gone.
Rule 3. What was heard is what left the track before the delay that the page measures: network, jitter buffer and device.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from fractions import Fraction
from typing import Any, NamedTuple

import av
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from av.audio.codeccontext import AudioCodecContext

from engine.core.units import FRAME_NS, MS, SECOND
from engine.transports.pieces import Pieces

RATE_HZ = 24_000
"""What the encoder is fed: the rate of most voices, so that nothing is resampled twice. Opus takes it as it is."""
FRAME_BYTES = 2 * RATE_HZ * FRAME_NS // SECOND
RTP_HZ = 48_000
"""The clock of Opus on the wire, whatever the sound's rate: RFC 7587 section 4.1."""
RTP_FRAME = RTP_HZ * FRAME_NS // SECOND
BIT_RATE = 32_000
"""One voice at 12 kHz of bandwidth. RFC 7587 section 3.1.1 names 28 to 40 kbit/s for fullband speech."""
OPTIONS = {"application": "voip", "fec": "1", "packet_loss": "5"}
"""In-band forward error correction for a few lost packets in a hundred: a page's decoder uses it, aiortc's own encoder has it off."""
SILENCE = b"\xf8\xff\xfe"
"""20 ms of digital silence. TOC byte 0xF8: configuration 31, mono, one frame (RFC 6716 section 3.1)."""
FADE_FRAMES = 5
"""Silent frames that are encoded after a sound, before SILENCE takes their place: the decoder fades out, and silence is free."""
QUEUE_BYTES_MAX = 2 * RATE_HZ
"""One second. The runtime sends 60 ms ahead."""
LATE_NS = 200 * MS
"""A packet that is later than this is not followed by a burst: its successors' timestamps say that time has passed."""
DELAY_NS = 100 * MS
"""Until the page has measured: a jitter buffer of 40 to 60 ms, a network and a device of 20 ms each. A guess."""
TOLD_SAMPLES = RATE_HZ * 60 // 1000
"""How often a position is told while sound flows: as often as a page on a WebSocket does."""


class Left(NamedTuple):
    """Sound that has left the track."""

    at_ns: int
    """When it had left, to its last sample."""
    run: int
    end: int


class Voice(MediaStreamTrack):
    """The outgoing track of one call."""

    kind = "audio"

    def __init__(
        self,
        heard: Callable[[int, int], None],
        clock: Callable[[], int] = time.monotonic_ns,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """heard: told (run, samples), from within `recv`, as the ear gets there."""
        super().__init__()
        self._heard = heard
        self._clock = clock
        self._sleep = sleep
        self._encoder = make_encoder()
        self._queue = Pieces(QUEUE_BYTES_MAX)
        self._left: deque[Left] = deque()
        self._told = Left(0, 0, 0)
        self._delay_ns = DELAY_NS
        self._buffer_ns = 0
        self._due_ns = 0
        self._timestamp = 0
        self._quiet = FADE_FRAMES
        """Silent frames since the last sound."""

    def put(self, run: int, start_sample: int, sound: bytes) -> None:
        """Queue sound of a run."""
        self._queue.put(run, start_sample, sound)

    def clear(self, run: int) -> None:
        """Drop what waits of this run and older ones, and what the page will not play of it now that it is told."""
        cut_ns = self._clock() - self._buffer_ns
        self._queue.clear(run)
        self._left = deque(left for left in self._left if left.run > run or left.at_ns <= cut_ns)

    def measured(self, delay_ns: int, buffer_ns: int) -> None:
        """How long the page says sound takes from here to the ear, and which part of that it drops when told to flush."""
        self._delay_ns = delay_ns
        self._buffer_ns = min(buffer_ns, delay_ns)

    async def recv(self) -> "av.Packet[Any]":
        """The next 20 ms, when they are due. Raises MediaStreamError once stopped."""
        if self.readyState != "live":
            raise MediaStreamError
        await self._wait()
        packet = av.Packet(self._encode(self._take()))
        packet.pts = self._timestamp
        packet.time_base = Fraction(1, RTP_HZ)
        self._tell()
        return packet

    async def _wait(self) -> None:
        now = self._clock()
        if not self._due_ns:
            self._due_ns = now
            return
        self._due_ns += FRAME_NS
        self._timestamp += RTP_FRAME
        late_ns = now - self._due_ns
        if late_ns > LATE_NS:
            missed = late_ns // FRAME_NS
            self._due_ns += missed * FRAME_NS
            self._timestamp += missed * RTP_FRAME
        elif late_ns < 0:
            await self._sleep(-late_ns / SECOND)

    def _take(self) -> bytes:
        sound, ends = self._queue.take(FRAME_BYTES)
        self._left.extend(Left(self._due_ns + FRAME_NS, run, end) for run, end in ends.items())
        return sound

    def _encode(self, pcm: bytes) -> bytes:
        if pcm:
            self._quiet = 0
        elif self._quiet >= FADE_FRAMES:
            return SILENCE
        else:
            self._quiet += 1
            pcm = bytes(FRAME_BYTES)
        frame = av.AudioFrame(format="s16", layout="mono", samples=FRAME_BYTES // 2)
        frame.sample_rate = RATE_HZ
        frame.planes[0].update(pcm)
        return b"".join(bytes(packet) for packet in self._encoder.encode(frame)) or SILENCE

    def _tell(self) -> None:
        """Tell what has reached the ear by now, each run's last position."""
        ear_ns = self._clock() - self._delay_ns
        while self._left and self._left[0].at_ns <= ear_ns:
            left = self._left.popleft()
            follows = self._left[0].run if self._left else 0
            fresh = left.run != self._told.run or left.end < self._told.end
            if fresh or follows != left.run or left.end - self._told.end >= TOLD_SAMPLES:
                self._told = left
                self._heard(left.run, left.end)


def make_encoder() -> AudioCodecContext:
    """Opus for one voice: mono, 24 kHz, a packet for every 20 ms."""
    encoder = av.CodecContext.create("libopus", "w")
    assert isinstance(encoder, AudioCodecContext)
    encoder.bit_rate = BIT_RATE
    encoder.format = "s16"
    encoder.layout = "mono"
    encoder.sample_rate = RATE_HZ
    encoder.time_base = Fraction(1, RATE_HZ)
    encoder.options = OPTIONS
    return encoder
