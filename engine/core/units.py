"""Units, formats and limits.

Time inside the engine is an integer number of nanoseconds; milliseconds exist in configuration, notation and reports only.
Every text, tuple and buffer of the engine has its bound here, and the relations between the bounds are asserted at import.
"""

import re
from enum import StrEnum

from msgspec import Struct

TARGET = re.compile(r"\+?[0-9]{3,15}|sips?:[^\s<>\"']{3,250}")
"""Where a call can go: an E.164 number or a SIP address."""

US = 1_000
MS = 1_000_000
SECOND = 1_000_000_000

FRAME_NS = 20 * MS
"""The engine's one frame length. Precedents: Twilio, Opus and RTP's telephone profiles all use 20 ms."""
ENGINE_HZ = 16_000
"""The rate inside the engine: what recognisers and detectors are trained on."""
FRAME_SAMPLES = ENGINE_HZ * FRAME_NS // SECOND
FRAME_BYTES = 2 * FRAME_SAMPLES

RATES_HZ = (8_000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
"""The sample rates the codec converts between."""


class Encoding(StrEnum):
    """How one sample is written."""

    PCM16 = "pcm16"
    """Signed 16-bit little-endian, 2 bytes."""
    ULAW = "ulaw"
    """G.711 μ-law, 1 byte."""
    ALAW = "alaw"
    """G.711 A-law, 1 byte."""

    @property
    def sample_bytes(self) -> int:
        return 2 if self is Encoding.PCM16 else 1


class AudioFormat(Struct, frozen=True, gc=False):
    """One channel of sound on a wire."""

    rate_hz: int = ENGINE_HZ
    encoding: Encoding = Encoding.PCM16

    def bytes_in(self, duration_ns: int) -> int:
        """Whole samples of `duration_ns`, in bytes, rounded down."""
        return duration_ns * self.rate_hz // SECOND * self.encoding.sample_bytes

    def duration_ns(self, size_bytes: int) -> int:
        """How long `size_bytes` of this sound last, rounded down."""
        return size_bytes // self.encoding.sample_bytes * SECOND // self.rate_hz


ENGINE_FORMAT = AudioFormat(ENGINE_HZ, Encoding.PCM16)
"""What travels between the transports' edge and the recogniser."""


class Limits(Struct, frozen=True, gc=False):
    """Hard bounds. Reaching one is an event with a decision; none of them grows."""

    transcript_chars: int = 4_000
    """One caller turn. Four minutes of fast speech; past it the turn is ended as it stands."""
    response_chars: int = 16_000
    """One answer. Twenty minutes of speech; past it the model is cancelled and the answer closed."""
    chunk_chars: int = 400
    """One piece of text for the synthesizer. Providers begin to refuse at 1,000 to 5,000."""
    chunks: int = 256
    """Pieces in one answer: response_chars in sentences of a usual length. A voice whose failures ask for more than that is given up."""
    words: int = 512
    """Word timestamps kept for one chunk: more than its characters allow."""
    messages: int = 400
    """Conversation history, oldest forgotten first (never the instructions)."""
    tool_calls: int = 16
    """Tool calls alive at once in a session. Precedents: providers advise fewer than 20 tools in all."""
    tool_arguments_chars: int = 16_000
    tool_output_chars: int = 16_000
    target_chars: int = 256
    """Where a caller is handed over to. A SIP address may be long; a telephone number has 16."""
    runs_remembered: int = 4
    """Ledgers of past runs kept for late playout facts."""
    inbox_events: int = 1_024
    """Facts waiting to be reduced. Commands post a handful; a thousand is a bug."""
    inlet_ns: int = 30 * SECOND
    """The caller's sound kept for a recogniser that is being replaced."""
    ring_ns: int = 60 * SECOND
    """Synthesised sound kept ahead of the caller's ear, all runs together."""


LIMITS = Limits()

assert FRAME_BYTES == 640
assert LIMITS.chunk_chars * LIMITS.chunks >= LIMITS.response_chars
assert LIMITS.words >= LIMITS.chunk_chars
assert LIMITS.messages > 2 * LIMITS.tool_calls
