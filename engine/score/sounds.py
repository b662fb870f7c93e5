"""What callers sound like: recorded or synthesised voices, coughs, clicks and noise. Float arrays at 16 kHz, full scale 1.0."""

import wave
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from engine._codec import Resampler
from engine.adapters.base import SpeechRequest, Voice
from engine.core.units import ENGINE_HZ
from engine.errors import ConfigError

Samples = NDArray[np.float64]

SPEECH_RMS = 0.08
"""-22 dBFS, the level that telephone networks aim at (ITU-T G.168 tests use -16 to -26 dBm0)."""


class Clip(Struct, frozen=True):
    """A stretch of sound and the words in it, with the moment each one ends."""

    samples: Any
    """Samples."""
    words: tuple[str, ...] = ()
    ends: tuple[float, ...] = ()
    """Seconds from the beginning of the clip, for each word."""

    @property
    def seconds(self) -> float:
        return len(self.samples) / ENGINE_HZ


def leveled(samples: Samples, rms: float = SPEECH_RMS) -> Samples:
    """The same sound with this level, measured where it is loud."""
    loud = samples[np.abs(samples) > 0.1 * (np.max(np.abs(samples)) + 1e-9)]
    return np.asarray(samples * (rms / (np.sqrt(np.mean(loud**2)) + 1e-9)))


def trimmed(samples: Samples) -> Samples:
    """Without the silence at both ends: an onset is an onset."""
    audible = np.flatnonzero(np.abs(samples) > 0.02 * np.max(np.abs(samples)))
    return samples[audible[0] : audible[-1] + 1] if len(audible) else samples


def spoken_clip(samples: Samples, text: str) -> Clip:
    """Words spread over the sound by their lengths: close enough to say when a recogniser could know them."""
    samples = leveled(trimmed(samples))
    words = tuple(text.split())
    total = sum(len(word) for word in words)
    reached, ends = 0, []
    for word in words:
        reached += len(word)
        ends.append(len(samples) / ENGINE_HZ * reached / total)
    return Clip(samples, words, tuple(ends))


def joined(*parts: Clip | float) -> Clip:
    """Clips and pauses (seconds) one after the other."""
    samples: list[Samples] = []
    words: list[str] = []
    ends: list[float] = []
    at = 0.0
    for part in parts:
        if isinstance(part, float):
            samples.append(np.zeros(int(part * ENGINE_HZ)))
        else:
            samples.append(part.samples)
            words += part.words
            ends += [at + end for end in part.ends]
        at += len(samples[-1]) / ENGINE_HZ
    return Clip(np.concatenate(samples), tuple(words), tuple(ends))


def quieter(clip: Clip, db: float) -> Clip:
    return Clip(clip.samples * 10 ** (-db / 20), clip.words, clip.ends)


# Noises.


def cough(seed: int) -> Clip:
    """A burst of breath and a weaker second one, 300 ms in all."""
    random = np.random.default_rng(seed)
    time = np.arange(int(0.3 * ENGINE_HZ)) / ENGINE_HZ
    envelope = np.exp(-time / 0.05) + 0.5 * np.exp(-np.maximum(0, time - 0.15) / 0.04) * (time > 0.15)
    breath = np.convolve(random.standard_normal(len(time)), np.hanning(9) / 4, mode="same")
    return Clip(leveled(breath * envelope, 2 * SPEECH_RMS))


def click(seed: int) -> Clip:
    """Something hard on a table: 8 ms."""
    random = np.random.default_rng(seed)
    length = int(0.008 * ENGINE_HZ)
    return Clip(random.standard_normal(length) * np.exp(-np.arange(length) / 30) * 0.5)


def pink(length: int, seed: int) -> Samples:
    """Noise whose power falls with frequency, like a room's."""
    random = np.random.default_rng(seed)
    spectrum = np.fft.rfft(random.standard_normal(length))
    spectrum /= np.sqrt(np.maximum(1, np.arange(len(spectrum))))
    noise = np.fft.irfft(spectrum, length)
    return np.asarray(noise / np.sqrt(np.mean(noise**2)))


def noisy(samples: Samples, snr_db: float | None, seed: int) -> Samples:
    """Speech with pink noise under all of it. None: clean."""
    if snr_db is None:
        return samples
    return samples + pink(len(samples), seed) * SPEECH_RMS * 10 ** (-snr_db / 20)


# Voices.


async def said(voice: Voice, text: str) -> Clip:
    """A synthesised voice saying this."""
    resampler = Resampler(voice.rate_hz, ENGINE_HZ)
    pcm = b"".join([resampler.push(piece) async for piece in _sound(voice, text)]) + resampler.flush()
    return spoken_clip(np.frombuffer(pcm, np.int16) / 32768, text)


async def _sound(voice: Voice, text: str) -> AsyncIterator[bytes]:
    async for piece in voice.speak(SpeechRequest(run=1, chunk=1, text=text)):
        if isinstance(piece, bytes):
            yield piece


def recorded(folder: Path) -> list[Clip]:
    """The recordings of a folder: WAV files, 16 kHz, and `transcripts.tsv` (file, tab, words). Raises ConfigError."""
    listing = folder / "transcripts.tsv"
    if not listing.is_file():
        raise ConfigError(f"{folder} has no transcripts.tsv (one line a recording: file, tab, words)")
    clips = []
    for line in listing.read_text().splitlines():
        name, _, text = line.partition("\t")
        if text.strip() and (folder / name).is_file():
            with wave.open(str(folder / name)) as file:
                if (file.getframerate(), file.getnchannels(), file.getsampwidth()) != (ENGINE_HZ, 1, 2):
                    raise ConfigError(f"{folder / name} must be 16 kHz, one channel, 16 bits")
                pcm = file.readframes(file.getnframes())
            clips.append(spoken_clip(np.frombuffer(pcm, np.int16) / 32768, text.strip()))
    if not clips:
        raise ConfigError(f"{folder} has no recordings")
    return clips
