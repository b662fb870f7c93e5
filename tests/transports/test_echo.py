from pathlib import Path

import numpy as np
import pytest

from engine.audio import level
from engine.transports.echo import QUIET_RMS, REACH_FRAMES, EchoGate
from engine.transports.wav import read_wav

RECORDINGS = Path(__file__).parent.parent / "fixtures" / "audio"
RATE_HZ = 16_000
FRAME = RATE_HZ // 50


def voice(rms: float, frames: int, seed: int) -> list[bytes]:
    """Noise that comes and goes four times a second, as syllables do."""
    noise = np.random.default_rng(seed).normal(0, 1, frames * FRAME)
    swell = 0.3 + np.abs(np.sin(np.arange(len(noise)) * 4 * np.pi / RATE_HZ))
    sound = noise * swell
    sound *= rms / np.sqrt(np.mean(sound**2))
    return [part.astype("<i2").tobytes() for part in np.split(np.clip(sound, -32_768, 32_767), frames)]


def echo_of(played: list[bytes], gain: float, delay_frames: int) -> list[bytes]:
    late = [bytes(2 * FRAME)] * delay_frames + played
    return [(gain * np.frombuffer(part, "<i2")).astype("<i2").tobytes() for part in late[: len(played)]]


def mixed(first: list[bytes], second: list[bytes]) -> list[bytes]:
    pairs = zip(first, second, strict=True)
    return [(np.frombuffer(a, "<i2") + np.frombuffer(b, "<i2")).astype("<i2").tobytes() for a, b in pairs]


def passed(gate: EchoGate, heard: list[bytes], played: list[bytes]) -> float:
    """Share of the frames that pass."""
    return sum(gate.passes(*each) for each in zip(heard, played, strict=True)) / len(heard)


@pytest.mark.parametrize("gain", [0.05, 0.2, 0.5, 0.9])
@pytest.mark.parametrize("delay_frames", [1, 4, 10])
def test_an_echo_does_not_pass(gain: float, delay_frames: int) -> None:
    played = voice(3_000, 500, seed=1)
    assert passed(EchoGate(RATE_HZ), echo_of(played, gain, delay_frames), played) < 0.02


def recorded(pause_seconds: float) -> list[bytes]:
    """People who read something, with pauses between them, in frames."""
    pause = bytes(2 * int(pause_seconds * RATE_HZ))
    sound = b"".join(read_wav(path).pcm + pause for path in sorted(RECORDINGS.glob("*.wav")))
    return [sound[at : at + 2 * FRAME] for at in range(0, len(sound) - 2 * FRAME, 2 * FRAME)]


@pytest.mark.parametrize("gain", [0.05, 0.2, 0.6])
@pytest.mark.parametrize("delay_frames", [1, 2, 8, 14, 20])
@pytest.mark.parametrize("pause_seconds", [0.1, 0.4, 1.0])
def test_no_pause_teaches_that_there_is_no_echo(gain: float, delay_frames: int, pause_seconds: float) -> None:
    played = recorded(pause_seconds)
    heard = echo_of(played, gain, delay_frames)
    gate = EchoGate(RATE_HZ)
    through = [frame for frame, before in zip(heard, played, strict=True) if gate.passes(frame, before)]
    assert all(level(frame, RATE_HZ).rms < QUIET_RMS for frame in through), "only silence passes"


def test_a_voice_over_an_echo_that_has_been_learned_passes() -> None:
    played = voice(3_000, 500, seed=1)
    echo = echo_of(played, 0.1, 4)
    gate = EchoGate(RATE_HZ)
    passed(gate, echo[:250], played[:250])
    caller = voice(3_000, 250, seed=2)
    assert passed(gate, mixed(caller, echo[250:]), played[250:]) > 0.8


def test_with_headphones_even_a_soft_voice_soon_passes() -> None:
    played = voice(3_000, 500, seed=1)
    gate = EchoGate(RATE_HZ)
    passed(gate, voice(5, 250, seed=3), played[:250])
    assert gate.coupling < 0.01
    assert passed(gate, voice(400, 250, seed=2), played[250:]) > 0.9


def test_while_nothing_is_played_everything_passes() -> None:
    gate = EchoGate(RATE_HZ)
    assert passed(gate, voice(10, 50, seed=1), [b""] * 50) == 1


def test_an_echo_is_still_expected_for_a_while_after_the_last_sound() -> None:
    gate = EchoGate(RATE_HZ)
    loud = voice(6_000, 1, seed=1)[0]
    gate.passes(bytes(2 * FRAME), loud)
    assert not gate.passes(echo_of([loud], 0.3, 0)[0], b"")
    for _ in range(REACH_FRAMES):
        gate.passes(bytes(2 * FRAME), b"")
    assert gate.passes(echo_of([loud], 0.3, 0)[0], b"")
