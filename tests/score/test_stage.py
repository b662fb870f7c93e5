"""Scenes through the real detector and the real pipeline: what the card's rows are made of."""

from pathlib import Path

import numpy as np
import pytest

from engine.adapters.vad import make_detector
from engine.core.policy import BALANCED
from engine.core.units import ENGINE_HZ, MS, SECOND
from engine.score import sounds
from engine.score.scenes import Kind, Scene
from engine.score.sounds import Clip
from engine.score.stage import Result, play

RECORDINGS = {" ".join(clip.words): clip for clip in sounds.recorded(Path("tests/fixtures/audio"))}
HUMAN = RECORDINGS["tomorrow at three"]


def played(kind: Kind, clip: Clip, snr_db: float | None = None) -> Result:
    return play(Scene(kind.value, kind, clip, snr_db), BALANCED, make_detector("silero"))


@pytest.mark.parametrize("snr_db", [None, 10.0])
def test_an_interruption_silences_the_agent_and_cuts_the_history_to_what_was_heard(snr_db: float | None) -> None:
    result = played(Kind.INTERRUPTION, HUMAN, snr_db)
    assert result.lost
    assert result.paused_ns is not None
    assert result.paused_ns - result.onset_ns <= 350 * MS
    assert (result.text_error, result.stale_samples, result.stuck) == (0, 0, False)
    assert result.cancelled_at_once


def test_a_backchannel_costs_the_listener_no_sample() -> None:
    hum = Clip(HUMAN.samples[: int(0.45 * ENGINE_HZ)], ("yeah",), (0.45,))
    result = played(Kind.BACKCHANNEL, hum)
    assert not result.lost
    assert result.gap_samples == 0
    assert result.resumed_ns is not None
    assert result.resumed_ns - result.last_ns <= SECOND


@pytest.mark.parametrize("clip", [sounds.click(1), sounds.cough(1)], ids=["click", "cough"])
def test_a_noise_does_not_take_the_floor(clip: Clip) -> None:
    result = played(Kind.COUGH, clip)
    assert not result.lost
    assert result.gap_samples == 0


def test_a_turn_is_answered_after_its_end_and_not_in_its_pause() -> None:
    unfinished = Clip(HUMAN.samples, ("saturday", "at"), (0.5, 1.0))
    result = played(Kind.PAUSE, sounds.joined(unfinished, 0.8, HUMAN))
    assert not result.over_caller
    assert result.answered_ns is not None
    assert result.answered_ns > result.last_ns


def test_the_same_scene_is_the_same_to_the_nanosecond() -> None:
    assert played(Kind.INTERRUPTION, HUMAN, 20.0) == played(Kind.INTERRUPTION, HUMAN, 20.0)


def test_noise_has_the_level_that_was_asked_for() -> None:
    noisy = sounds.noisy(np.zeros(ENGINE_HZ), 10.0, seed=3)
    assert np.sqrt(np.mean(noisy**2)) == pytest.approx(sounds.SPEECH_RMS * 10 ** (-10 / 20), rel=0.01)
