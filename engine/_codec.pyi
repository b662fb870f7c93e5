"""The audio core's contract: bytes in, bytes out, integers within.

PCM16 is signed 16-bit little-endian, one channel. A stateless function wants whole samples and says how many bytes it was
given when it is not so; a stream takes its sound split anywhere, keeps the odd byte, and never raises on what it hears.
Rates are those of `RATES_HZ`; another raises ValueError at construction, with the number. Nothing here is meant to be
shared between threads: one object, one call.
"""

from typing import Literal, Self, TypeAlias, final

from typing_extensions import disjoint_base

_Quality: TypeAlias = Literal["telephone", "high"]
"""telephone: 62 dB, under 2 ms of delay at 8 kHz. high: beyond 100 dB, 2.7 ms at 8 kHz. The curves are in docs/audio.md."""
_Coding: TypeAlias = Literal["pcm16", "ulaw", "alaw"]

RATES_HZ: tuple[int, ...]

def clones() -> tuple[str, ...]:
    """The variants of the loops that this machine can run, best first; the first is used. The last is plain C."""

def _use(name: str) -> None:
    """Run another variant from now on, for a test or a comparison. Raises ValueError for one that is not in `clones()`."""

def ulaw_to_pcm16(ulaw: bytes) -> bytes:
    """Decode G.711 μ-law: n bytes to n samples, |sample| <= 32124. Source: ITU-T G.711 (11/88), table 2a."""

def pcm16_to_ulaw(pcm: bytes) -> bytes:
    """Encode G.711 μ-law, magnitude first, so that a sound and its mirror image differ in the sign bit alone."""

def alaw_to_pcm16(alaw: bytes) -> bytes:
    """Decode G.711 A-law: n bytes to n samples, 8 <= |sample| <= 32256. Source: ITU-T G.711 (11/88), table 1a."""

def pcm16_to_alaw(pcm: bytes) -> bytes:
    """Encode G.711 A-law as the ITU-T G.191 software tool library does."""

def to_base64(data: bytes) -> str:
    """RFC 4648 section 4, padded."""

def from_base64(payload: bytes | str) -> bytes:
    """The bytes of a padded base64 text. Raises ValueError for anything else: a stray character, bit or length."""

def pcm16_to_ulaw_base64(pcm: bytes) -> str:
    """A frame at 8 kHz as the payload of a telephone message."""

def websocket_frame(first: int, mask: bytes, parts: tuple[bytes | str, ...]) -> bytes:
    """A client's whole frame: head, mask and masked payload, in one pass over its parts, a text as UTF-8.

    first: its first byte: FIN and the opcode. mask: 4 bytes, else ValueError. Source: RFC 6455, section 5.2 and 5.3.
    """

def lone_text(frame: bytes) -> str | None:
    """The text of a client's frame that is whole, alone and plain: masked, 126 to 65,535 bytes, ASCII. None: it is something else.

    20 ms of a telephone call come as one. Source: RFC 6455, section 5.2.
    """

def mix(first: bytes, second: bytes) -> bytes:
    """The sum of two sounds of one length, saturated."""

def pcm16_to_float32(pcm: bytes) -> bytes:
    """The samples as 32-bit floats of -1 to less than 1, in the machine's own order."""

def gain(pcm: bytes, factor: float) -> bytes:
    """The sound times 0 <= factor < 16 (in steps of 1/4096), rounded and saturated."""

def rms(pcm: bytes) -> int:
    """How loud a sound is: the root of the mean square, in sample units, 0 to 32768."""

def level(pcm: bytes, rate_hz: int) -> tuple[int, int, int, int]:
    """What one frame sounds like: (rms, peak, clipped, periodicity).

    rms, peak:    in sample units, 0 to 32768.
    clipped:      samples at either rail.
    periodicity:  0 to 1000; how well the frame (20 ms or more, its first 64 ms) repeats with a period of 2.5 to 10 ms.
                  A voiced sound is over 700, noise under 500.
    """

@disjoint_base
class _Stream:
    """What takes sound in chunks split anywhere, and gives back everything those chunks determine, in the same call."""

    @property
    def source_hz(self) -> int: ...
    @property
    def target_hz(self) -> int: ...
    @property
    def delay_ns(self) -> int:
        """How far behind its input the output ends: half the filter's length. Nothing else is held back."""
    @property
    def state_bytes(self) -> int:
        """Memory of this stream alone; the filter is shared by all streams of its rates."""

@final
class Resampler(_Stream):
    """A streaming resampler: the output is the same, bit for bit, however the input was cut.

    live=False: output sample k is the sound at k / target_hz. n samples in, and a flush, are n * target / source
                samples out, rounded up; the first calls give delay_ns less than their share.
    live=True:  begins with delay_ns of silence, so that every call gives its full share at once.
    """

    def __new__(cls, source_hz: int, target_hz: int, quality: _Quality = "high", *, live: bool = False) -> Self: ...
    def push(self, pcm: bytes) -> bytes: ...
    def flush(self) -> bytes:
        """The tail. The stream may begin again."""
    def reset(self) -> None:
        """Forget everything heard, give nothing."""

@final
class Framer:
    """Chunks of any size to frames of exactly `frame_bytes`."""

    def __new__(cls, frame_bytes: int) -> Self: ...
    @property
    def frame_bytes(self) -> int: ...
    @property
    def held_bytes(self) -> int: ...
    def push(self, chunk: bytes) -> list[bytes]: ...
    def flush(self) -> bytes:
        """What is left: fewer than frame_bytes."""

@disjoint_base
class Inlet(_Stream):
    """Any wire's sound to exact frames of PCM16: decode, resample, frame in one call, without intermediate objects.

    It is live: each frame's worth of input gives its frame at once, `delay_ns` behind. `rejected` counts the payloads that
    were no base64; such a payload is dropped whole.
    """

    def __new__(
        cls,
        encoding: _Coding,
        rate_hz: int,
        quality: _Quality = "telephone",
        *,
        target_hz: int = 16_000,
        frame_bytes: int = 640,
    ) -> Self: ...
    @property
    def rejected(self) -> int: ...
    def push(self, chunk: bytes) -> list[bytes]: ...
    def push_base64(self, payload: bytes | str) -> list[bytes]: ...
    def flush(self) -> list[bytes]:
        """The tail, its last frame filled up with silence. The stream may begin again."""

@disjoint_base
class Outlet(_Stream):
    """PCM16 at any rate to a wire's bytes. Not live: sound begins at the first sample; flush at the end of an utterance."""

    def __new__(cls, source_hz: int, encoding: _Coding, rate_hz: int, quality: _Quality = "high") -> Self: ...
    def push(self, pcm: bytes) -> bytes: ...
    def push_base64(self, pcm: bytes) -> str: ...
    def flush(self) -> bytes: ...
    def flush_base64(self) -> str: ...
    def reset(self) -> None: ...

@final
class Playout:
    """Sound waiting to be heard, of up to eight runs at once, in one bounded memory.

    A run's samples are numbered from 0: first <= sent <= written. Asked about a run that is not open, every count is 0,
    every read is empty and every write refused, so a late chunk of a dropped run goes nowhere.
    """

    def __new__(cls, rate_hz: int, capacity: int) -> Self:
        """capacity: samples retained, all runs together; memory grows to what was ever retained, doubling from 32 KiB."""
    @property
    def rate_hz(self) -> int: ...
    @property
    def capacity(self) -> int: ...
    @property
    def free(self) -> int:
        """Samples that can be written now."""
    @property
    def runs(self) -> tuple[int, ...]:
        """The open runs."""
    def open(self, run: int) -> bool:
        """Make a place for a run, or find it open already. False: eight others are open."""
    def write(self, run: int, pcm: bytes) -> int:
        """Append whole samples. Returns how many were accepted: fewer than given when full, 0 when the run is not open."""
    def read(self, run: int, samples: int) -> bytes:
        """The next unsent samples, fewer when there are fewer. After a rewind the first 5 ms fade in."""
    def cut(self, run: int) -> bytes:
        """The next 5 ms (or what there is), fading out: the last sound before a pause or a clear. Counts as sent."""
    def rewind(self, run: int, sample: int) -> int:
        """The next read begins at `sample`, or at the nearest one retained. Returns which. The sound itself is untouched."""
    def keep_from(self, run: int, sample: int) -> None:
        """Forget what lies before `sample`: it was heard. What was not sent is never forgotten."""
    def drop(self, run: int) -> None:
        """Forget the run and its sound: one step, however long it is."""
    def first(self, run: int) -> int: ...
    def sent(self, run: int) -> int: ...
    def written(self, run: int) -> int: ...
    def queued(self, run: int) -> int:
        """written - sent."""

@final
class Concealer:
    """Something to hear where the line lost a frame: the last pitch period, repeated, faded out within 60 ms.

    Source: the idea of ITU-T G.711 Appendix I (9/99), without its delay. Give it every frame, in order.
    """

    def __new__(cls, rate_hz: int) -> Self: ...
    def heard(self, pcm: bytes) -> bytes:
        """A frame that arrived. Returned as it is, or with its first milliseconds blended after a gap."""
    def lost(self, samples: int) -> bytes:
        """That many samples of substitute; silence when nothing was heard yet."""

@final
class Noise:
    """A quiet noise, so that silence does not sound like a dead line. The same seed gives the same noise."""

    def __new__(cls, rms: int, seed: int = 1) -> Self:
        """rms: in sample units, 0 to 8000. 20 is -64 dBFS."""
    def read(self, samples: int) -> bytes: ...
