"""The callers' voice: vowels from a glottal pulse train through formants, cut into frames.

A detector takes it for speech (Silero gives it 0.9 and more), and it needs no recording. Between words the line carries noise, as
lines do: digital silence would spare the server work that real calls make.
"""

import base64
from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from engine._codec import Resampler
from engine.audio import encoder
from engine.core.units import FRAME_NS, SECOND, AudioFormat, Encoding

Floats = NDArray[np.float64]

MADE_HZ = 8_000
FORMANTS_HZ = {
    "a": (730, 1_090, 2_440),
    "e": (530, 1_840, 2_480),
    "i": (270, 2_290, 3_010),
    "o": (570, 840, 2_410),
    "u": (300, 870, 2_240),
}
"""Source: Peterson and Barney (1952), means for men."""
BANDWIDTHS_HZ = (80, 100, 120)
SYLLABLE_SECONDS = 0.16
PITCH_HZ = 120
PEAK = 9_000
NOISE_PEAK = 12
NOISE_FRAMES = 50
TURN = "aeiouaeo"
"""What a caller says as a turn: 1.3 s."""
INTERRUPTION = "aiaeoa"
"""And into the agent's words: 1 s."""


class Voice(Struct, frozen=True):
    """Frames as a wire carries them."""

    turn: tuple[bytes, ...]
    interruption: tuple[bytes, ...]
    silence: tuple[bytes, ...]
    """Noise of the line, to be repeated."""


def make_voice(sound: AudioFormat, *, base64_frames: bool, recordings: Sequence[bytes] = ()) -> Voice:
    """A caller's voice in a wire's format.

    recordings: PCM16 at MADE_HZ, for the turn and the interruption, instead of vowels.
    """
    turn, interruption = recordings or (speech(TURN), speech(INTERRUPTION))
    noise = np.random.default_rng(1).integers(-NOISE_PEAK, NOISE_PEAK + 1, NOISE_FRAMES * MADE_HZ // 50)
    made = [in_frames(pcm, sound) for pcm in (turn, interruption, noise.astype("<i2").tobytes())]
    if base64_frames:
        made = [[base64.b64encode(frame) for frame in frames] for frames in made]
    return Voice(*map(tuple, made))


def in_frames(pcm: bytes, sound: AudioFormat) -> list[bytes]:
    """PCM16 at MADE_HZ as whole frames of 20 ms in a wire's format; the last one filled up with silence."""
    size = 2 * sound.rate_hz * FRAME_NS // SECOND
    if sound.rate_hz != MADE_HZ:
        resampler = Resampler(MADE_HZ, sound.rate_hz, "high")
        pcm = resampler.push(pcm) + resampler.flush()
    encode = encoder(sound.encoding)
    return [encode(pcm[start : start + size].ljust(size, b"\0")) for start in range(0, len(pcm), size)]


def speech(vowels: str) -> bytes:
    """The vowels, spoken without a pause: PCM16 at MADE_HZ."""
    samples = int(SYLLABLE_SECONDS * MADE_HZ)
    time = np.arange(samples) / MADE_HZ
    fade = np.minimum(1, np.minimum(time / 0.015, (time[-1] - time) / 0.025)) * 0.6 + 0.4
    phase = 0.0
    spoken: list[Floats] = []
    for index, vowel in enumerate(vowels):
        pitch = PITCH_HZ * (1 + 0.12 * np.sin(5 * np.pi * time + index))
        turns = phase + np.cumsum(pitch) / MADE_HZ
        phase = float(turns[-1])
        pulses = np.diff(np.floor(turns), prepend=np.floor(turns[0]))
        wave = resonance(pulses, 0, 200)  # the slope of the glottis
        for formant_hz, width_hz in zip(FORMANTS_HZ[vowel], BANDWIDTHS_HZ, strict=True):
            wave = resonance(wave, formant_hz, width_hz)
        spoken.append(wave / np.abs(wave).max() * fade)
    return (np.concatenate(spoken) * PEAK).astype("<i2").tobytes()


def resonance(wave: Floats, centre_hz: float, width_hz: float) -> Floats:
    """A two-pole resonator with unit gain at 0 Hz. Source: Klatt (1980), section I.C."""
    radius = np.exp(-np.pi * width_hz / MADE_HZ)
    first, second = 2 * radius * np.cos(2 * np.pi * centre_hz / MADE_HZ), -radius * radius
    gain = 1 - first - second
    out = np.zeros_like(wave)
    before = last = 0.0
    for index, sample in enumerate(wave):
        before, last = last, gain * sample + first * last + second * before
        out[index] = last
    return out


ULAW = AudioFormat(8_000, Encoding.ULAW)
PAGE = AudioFormat(24_000)
"""What a page's microphone sends here."""
