"""The two ends of a call's sound: any wire format to and from the engine's own.

Formats are checked here, once, at the edge; after that nothing on the path raises. The work is done in `_codec`.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple, Self

from engine import _codec
from engine.core.units import ENGINE_HZ, FRAME_BYTES, RATES_HZ, AudioFormat, Encoding
from engine.errors import ConfigError

assert _codec.RATES_HZ == RATES_HZ

TELEPHONE_HZ = 8_000

Quality = Literal["telephone", "high"]

_DECODERS: dict[Encoding, Callable[[bytes], bytes]] = {
    Encoding.PCM16: bytes,
    Encoding.ULAW: _codec.ulaw_to_pcm16,
    Encoding.ALAW: _codec.alaw_to_pcm16,
}
_ENCODERS: dict[Encoding, Callable[[bytes], bytes]] = {
    Encoding.PCM16: bytes,
    Encoding.ULAW: _codec.pcm16_to_ulaw,
    Encoding.ALAW: _codec.pcm16_to_alaw,
}


def quality_for(source_hz: int, target_hz: int) -> Quality:
    """The filter for a pair of rates: short where one end is a telephone and the other the engine, clean elsewhere."""
    return "telephone" if {source_hz, target_hz} == {TELEPHONE_HZ, ENGINE_HZ} else "high"


def checked(sound: AudioFormat) -> AudioFormat:
    """The format itself. Raises ConfigError for a rate that the codec does not convert."""
    if sound.rate_hz not in RATES_HZ:
        allowed = ", ".join(map(str, RATES_HZ))
        raise ConfigError(f"sound at {sound.rate_hz} Hz cannot be converted; the rates are {allowed}")
    return sound


def decoder(encoding: Encoding) -> Callable[[bytes], bytes]:
    """The function from this encoding to PCM16, at the same rate."""
    return _DECODERS[encoding]


def encoder(encoding: Encoding) -> Callable[[bytes], bytes]:
    """The function from PCM16 to this encoding, at the same rate."""
    return _ENCODERS[encoding]


class Inlet(_codec.Inlet):
    """The caller's sound, as it came off a wire, to frames of 20 ms: 640 bytes of PCM16 at 16 kHz each.

    Any chunk size; an odd byte is kept for the next chunk. Nothing raises after construction: a payload that is no base64 is
    counted in `rejected` and dropped.
    """

    def __new__(cls, sound: AudioFormat) -> Self:
        """Raises ConfigError for a rate that the codec does not convert."""
        checked(sound)
        quality = quality_for(sound.rate_hz, ENGINE_HZ)
        return super().__new__(
            cls, sound.encoding.value, sound.rate_hz, quality, target_hz=ENGINE_HZ, frame_bytes=FRAME_BYTES
        )


class Outlet(_codec.Outlet):
    """Synthesised PCM16 at the voice's rate to a wire's bytes. One for each utterance; flush at its end."""

    def __new__(cls, voice_hz: int, sound: AudioFormat) -> Self:
        """Raises ConfigError for a rate that the codec does not convert."""
        checked(AudioFormat(voice_hz))
        checked(sound)
        quality = quality_for(voice_hz, sound.rate_hz)
        return super().__new__(cls, voice_hz, sound.encoding.value, sound.rate_hz, quality)


class Level(NamedTuple):
    """How one frame sounds."""

    rms: int
    """Sample units, 0 to 32768."""
    peak: int
    """Sample units, 0 to 32768."""
    clipped: int
    """Samples at either rail."""
    periodicity: int
    """0 to 1000: over 700 for a voiced sound, under 500 for noise."""


loudness = _codec.rms
"""How loud a frame of PCM16 is: its RMS alone, in sample units, a tenth of the work of `level`."""


def level(pcm: bytes, rate_hz: int = ENGINE_HZ) -> Level:
    """Measure a frame of PCM16 in one pass."""
    return Level(*_codec.level(pcm, rate_hz))
