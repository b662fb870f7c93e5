import numpy as np
import pytest

from engine.adapters.base import VoiceDetector
from engine.adapters.vad import DETECTORS, SileroGate, make_detector
from engine.core.units import FRAME_BYTES, FRAME_NS, MS
from engine.errors import ConfigError
from tests.adapters.recorded import TEXTS, frames, quiet, samples, telephone

START, STOP = 0.5, 0.35
"""The policy's thresholds."""


def noise(duration_ms, rms, *, pink):
    """Steady noise at a level in sample units."""
    white = np.fft.rfft(np.random.default_rng(1).standard_normal(16 * duration_ms))
    if pink:
        white /= np.sqrt(np.arange(len(white)) + 1)
    sound = np.fft.irfft(white, 16 * duration_ms)
    return sound * (rms / np.sqrt(np.mean(sound**2)))


def scores(name, sound):
    detector = make_detector(name)
    return np.array([detector.score(frame) for frame in frames(sound)])


def edges(sound, *, name="silero"):
    """(onset, end) in ms of the first and last frame that is speech by the policy's thresholds."""
    speech = np.flatnonzero(scores(name, sound) >= START)
    return speech[0] * 20, speech[-1] * 20


@pytest.mark.parametrize("name", DETECTORS)
def test_a_detector_is_what_the_engine_calls_one(name):
    detector = make_detector(name)
    assert isinstance(detector, VoiceDetector)
    assert 0 <= detector.score(bytes(FRAME_BYTES)) <= 1


def test_an_unknown_detector_is_told_with_those_that_are_known():
    with pytest.raises(ConfigError, match="'energy'; known: silero, webrtc"):
        make_detector("energy")


@pytest.mark.parametrize("line", [bytes, telephone], ids=["wide", "telephone"])
@pytest.mark.parametrize("recording", TEXTS)
def test_recorded_speech_is_heard_where_it_begins(recording, line):
    sound = quiet(600) + line(samples(recording)) + quiet(600)
    onset, end = edges(sound)
    assert 560 <= onset <= 600 + 160
    assert end <= len(sound) // 32 - 600 + 200


@pytest.mark.parametrize("name", DETECTORS)
def test_silence_is_no_speech(name):
    assert scores(name, quiet(3_000)).max() < STOP
    assert scores(name, bytes(96_000)).max() < STOP


@pytest.mark.parametrize("pink", [False, True], ids=["white", "pink"])
@pytest.mark.parametrize("rms", [100, 1_000, 5_000])
def test_steady_noise_is_no_speech(rms, pink):
    sound = noise(5_000, rms, pink=pink).astype(np.int16).tobytes()
    assert (scores("silero", sound) >= START).mean() < 0.01


@pytest.mark.parametrize("pink", [False, True], ids=["white", "pink"])
def test_speech_is_heard_through_noise(pink):
    speech = np.frombuffer(quiet(600) + samples("date-020.wav") + quiet(600), np.int16).astype(float)
    level = np.sqrt(np.mean(speech[9_600:-9_600] ** 2))
    noisy = speech + noise(len(speech) // 16 + 1, level / 10**0.5, pink=pink)[: len(speech)]
    heard = scores("silero", np.clip(noisy, -32_768, 32_767).astype(np.int16).tobytes())
    assert heard[35:-35].max() > 0.9
    assert (heard[35:-35] >= STOP).mean() > 0.6


def test_a_click_is_no_speech():
    sound = np.frombuffer(quiet(2_000), np.int16).copy()
    sound[16_000:16_020] = 30_000
    assert scores("silero", sound.tobytes()).max() < START


def test_the_gate_is_open_while_someone_speaks_and_a_little_longer():
    detector = SileroGate()
    opened = []
    for frame in frames(quiet(600) + samples("short-005.wav") + quiet(1_000)):
        detector.score(frame)
        opened.append(detector.open)
    assert any(opened)
    assert not any(opened[-25:])


def test_speech_after_a_pause_is_heard_as_soon_as_the_first():
    once = quiet(1_000) + samples("day-000.wav")
    detector = SileroGate()
    first = [detector.score(frame) for frame in frames(once)]
    for frame in frames(quiet(2_000)):
        detector.score(frame)
    again = [detector.score(frame) for frame in frames(once)]
    delay = abs(np.argmax(np.array(first) >= START) - np.argmax(np.array(again) >= START)) * FRAME_NS
    assert delay <= 60 * MS
