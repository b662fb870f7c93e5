"""Recorded human speech for the adapters' tests, as the engine's frames."""

import wave
from pathlib import Path

import numpy as np

from engine._codec import Resampler, pcm16_to_ulaw, ulaw_to_pcm16
from engine.core.units import ENGINE_HZ, FRAME_BYTES

FOLDER = Path(__file__).parents[1] / "fixtures" / "audio"
TEXTS = dict(line.split("\t") for line in (FOLDER / "transcripts.tsv").read_text(encoding="utf-8").splitlines())
"""File -> what is said in it."""


def samples(name: str) -> bytes:
    """The whole recording, PCM16 at 16 kHz."""
    with wave.open(str(FOLDER / name)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (ENGINE_HZ, 1, 2)
        return file.readframes(file.getnframes())


def telephone(sound: bytes) -> bytes:
    """What is left of a sound after a telephone line: 8 kHz, μ-law."""
    down, up = Resampler(ENGINE_HZ, 8_000), Resampler(8_000, ENGINE_HZ)
    line = ulaw_to_pcm16(pcm16_to_ulaw(down.push(sound) + down.flush()))
    return up.push(line) + up.flush()


def quiet(duration_ms: int) -> bytes:
    """A silent room: the noise of the last three bits. Recorded silence is never zero."""
    noise = np.random.default_rng(0).integers(-6, 7, 16 * duration_ms)
    return noise.astype(np.int16).tobytes()


def frames(sound: bytes) -> list[bytes]:
    """Whole frames; what is left over is dropped."""
    return [sound[at : at + FRAME_BYTES] for at in range(0, len(sound) - FRAME_BYTES + 1, FRAME_BYTES)]
