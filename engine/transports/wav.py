"""WAV files as one channel of PCM16, and back. PCM only: anything else is one clear sentence.

Source: Multimedia Programming Interface and Data Specifications 1.0 (IBM and Microsoft, 1991); WAVEFORMATEXTENSIBLE (Microsoft).
"""

import wave
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.core.units import ENGINE_HZ, RATES_HZ
from engine.errors import ConfigError

BYTES_MAX = 512 * 1024 * 1024
"""An hour and a half of 48 kHz stereo. The file is held in memory."""
RATE_MAX_HZ = 384_000
CHANNELS_MAX = 64
PCM, EXTENSIBLE = 1, 0xFFFE
OTHER_CODINGS = {2: "ADPCM", 3: "floating point", 6: "A-law", 7: "μ-law", 0x11: "ADPCM", 0x31: "GSM", 0x55: "MP3"}
WIDTH_SAMPLES = 24
"""Half the length of the interpolating filter, in samples of the slower rate: about 80 dB."""
BLOCK_SAMPLES = 8_192


class Sound(NamedTuple):
    """One channel of PCM16 at a rate that the codec knows."""

    rate_hz: int
    pcm: bytes


class _Format(NamedTuple):
    coding: int
    channels: int
    rate_hz: int
    bits: int


def read_wav(path: Path) -> Sound:
    """A WAV file's sound: channels are averaged, other widths brought to 16 bits, rates the codec does not know to 16 kHz.

    Raises ConfigError, with what is wrong with the file.
    """
    try:
        if path.stat().st_size > BYTES_MAX:
            raise ConfigError(f"{path} is longer than {BYTES_MAX // 2**20} MB")
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    try:
        layout, samples = _parse(data)
        pcm = _to_mono(samples, layout)
    except ValueError as error:
        raise ConfigError(f"{path} cannot be used: {error}") from None
    if not len(pcm):
        raise ConfigError(f"{path} cannot be used: it holds no sound")
    if layout.rate_hz not in RATES_HZ:
        return Sound(ENGINE_HZ, _to_pcm16(_interpolated(pcm, layout.rate_hz, ENGINE_HZ)))
    return Sound(layout.rate_hz, _to_pcm16(pcm))


def write_wav(path: Path, sound: Sound) -> None:
    """Raises OSError."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sound.rate_hz)
        file.writeframes(sound.pcm)


def _parse(data: bytes) -> tuple[_Format, bytes]:
    """Format and samples. Raises ValueError."""
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise ValueError("it is no WAV file")
    layout, position = None, 12
    while position + 8 <= len(data):
        name, size = data[position : position + 4], int.from_bytes(data[position + 4 : position + 8], "little")
        body = data[position + 8 : position + 8 + size]
        if name == b"fmt ":
            layout = _read_format(body)
        elif name == b"data":
            if layout is None:
                raise ValueError("its sound comes before its format")
            return layout, body  # a size that was never filled in (a pipe's) takes what is there
        position += 8 + size + size % 2
    raise ValueError("it holds no sound")


def _read_format(body: bytes) -> _Format:
    if len(body) < 16:
        raise ValueError("its format is cut off")
    coding, channels, rate_hz = (int.from_bytes(body[a:b], "little") for a, b in ((0, 2), (2, 4), (4, 8)))
    bits = int.from_bytes(body[14:16], "little")
    if coding == EXTENSIBLE and len(body) >= 26:
        coding = int.from_bytes(body[24:26], "little")
    if coding != PCM:
        raise ValueError(f"its coding is {OTHER_CODINGS.get(coding, f'number {coding}')}, not PCM")
    if bits not in (8, 16, 24, 32):
        raise ValueError(f"its samples have {bits} bits; 8, 16, 24 and 32 can be read")
    if not (1 <= channels <= CHANNELS_MAX and 1_000 <= rate_hz <= RATE_MAX_HZ):
        raise ValueError(f"{channels} channels at {rate_hz} Hz cannot be read")
    return _Format(coding, channels, rate_hz, bits)


def _to_mono(data: bytes, layout: _Format) -> NDArray[np.float32]:
    """One channel, between -32768 and 32767. An incomplete last frame is left out."""
    width = layout.bits // 8
    data = data[: len(data) // (width * layout.channels) * width * layout.channels]
    samples: NDArray[np.float32]
    if width == 1:  # unsigned, with its middle at 128
        samples = (np.frombuffer(data, np.uint8).astype(np.float32) - 128) * 256
    elif width == 2:
        samples = np.frombuffer(data, "<i2").astype(np.float32)
    elif width == 3:
        parts = np.frombuffer(data, np.uint8).reshape(-1, 3)
        samples = np.ascontiguousarray(parts[:, 1:]).view("<i2").ravel().astype(np.float32)
    else:
        samples = (np.frombuffer(data, "<i4") >> 16).astype(np.float32)
    mono: NDArray[np.float32] = samples.reshape(-1, layout.channels).mean(axis=1, dtype=np.float32)
    return mono


def _to_pcm16(samples: NDArray[np.float32]) -> bytes:
    return np.clip(np.rint(samples), -32_768, 32_767).astype("<i2").tobytes()


def _interpolated(samples: NDArray[np.float32], source_hz: int, target_hz: int) -> NDArray[np.float32]:
    """Another rate, any to any, by a windowed sinc at each output's own place. Slow and exact: for files, not for calls."""
    slower = min(1.0, target_hz / source_hz)
    half = int(np.ceil(WIDTH_SAMPLES / slower))
    padded = np.concatenate((np.zeros(half, np.float32), samples, np.zeros(half + 1, np.float32)))
    count = len(samples) * target_hz // source_hz
    taps = np.arange(-half + 1, half + 1)
    made = np.empty(count, np.float32)
    for start in range(0, count, BLOCK_SAMPLES):
        places = np.arange(start, min(count, start + BLOCK_SAMPLES)) * (source_hz / target_hz)
        whole = places.astype(np.int64)
        distances = taps[None, :] - (places - whole)[:, None]
        window = np.cos(np.clip(distances / half, -1, 1) * (np.pi / 2)) ** 2
        weights = np.sinc(distances * slower) * window * slower
        made[start : start + len(places)] = (padded[whole[:, None] + taps + half] * weights).sum(axis=1)
    return made
