"""What a voice detector costs for each frame: in silence, in speech, in a noisy room, beside the whole network on every window."""

import sys
from pathlib import Path

import numpy as np
import pytest

from engine.adapters.silero import WINDOW_SAMPLES, Silero
from engine.adapters.vad import DETECTORS, make_detector

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.adapters.recorded import TEXTS, frames, quiet, samples

SPEECH = b"".join(samples(name) for name in sorted(TEXTS))


def murmur() -> bytes:
    """Speech with the same speech of others, 20 dB below, played backwards and on top of itself."""
    voice = np.frombuffer(SPEECH, np.int16).astype(float)
    others = sum(np.roll(voice[::-1], shift) for shift in (0, 40_000, 90_000, 150_000)) / 2
    return np.clip(voice + others * 0.1, -32_768, 32_767).astype(np.int16).tobytes()


SOUNDS = {"silence": quiet(10_000), "speech": SPEECH, "murmur": murmur()}


@pytest.mark.benchmark(group="voice detection, one frame of 20 ms")
@pytest.mark.parametrize("sound", SOUNDS)
@pytest.mark.parametrize("name", DETECTORS)
def test_score(benchmark, name, sound):
    detector = make_detector(name)
    coming = iter(())
    cut = frames(SOUNDS[sound])

    def frame():
        nonlocal coming
        while (found := next(coming, None)) is None:
            coming = iter(cut)
        return (found,), {}

    benchmark.pedantic(detector.score, setup=frame, rounds=3_000)


@pytest.mark.benchmark(group="voice detection, one window of 32 ms")
def test_network(benchmark):
    network = Silero()
    benchmark(network.step, SPEECH[: 2 * WINDOW_SAMPLES])
