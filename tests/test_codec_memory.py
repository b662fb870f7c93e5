"""A call's sound costs no memory that stays: every frame goes in and out through the same few kilobytes."""

import base64
import resource
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest

from engine import _codec

FRAMES_AN_HOUR = 180_000
PAYLOAD = base64.b64encode(bytes(range(160))).decode()
VOICE = np.random.default_rng(1).integers(-9_000, 9_000, 480).astype("<i2").tobytes()
"""20 ms at 24 kHz."""


def conversation() -> Callable[[], None]:
    """One frame of everything that a telephone call does with sound, both ways."""
    inlet = _codec.Inlet("ulaw", 8_000)
    voice = _codec.Resampler(24_000, 8_000)
    ring = _codec.Playout(8_000, 8_000)
    concealer = _codec.Concealer(16_000)
    noise = _codec.Noise(20)
    ring.open(1)

    def frame() -> None:
        for pcm in inlet.push_base64(PAYLOAD):
            _codec.level(concealer.heard(pcm), 16_000)
        concealer.lost(320)
        ring.write(1, voice.push(VOICE))
        _codec.pcm16_to_ulaw_base64(_codec.mix(ring.read(1, 160).ljust(320, b"\0"), noise.read(160)))
        ring.keep_from(1, ring.sent(1))

    return frame


def test_a_hundred_thousand_frames_leave_nothing_behind():
    frame = conversation()
    for _ in range(100):
        frame()
    tracemalloc.start()
    try:
        frame()
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(100_000):
            frame()
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 1_024
    assert peak - before < 4_096  # the objects returned by one frame's calls


def test_an_hour_of_sound_does_not_grow_the_process():
    frame = conversation()
    for _ in range(1_000):
        frame()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(FRAMES_AN_HOUR):
        frame()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1_024  # KiB


@pytest.mark.parametrize(
    ("stream", "most"),
    [
        (_codec.Inlet("ulaw", 8_000), 3_000),
        (_codec.Inlet("pcm16", 48_000, "high"), 3_500),
        (_codec.Outlet(24_000, "ulaw", 8_000), 3_500),
    ],
)
def test_a_streams_state_is_a_few_kilobytes(stream, most):
    assert stream.state_bytes < most


def test_a_playout_takes_memory_for_what_it_retained_and_not_for_its_capacity():
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        ring = _codec.Playout(8_000, 480_000)
        ring.open(1)
        assert tracemalloc.get_traced_memory()[0] - before < 1_024
        assert ring.write(1, bytes(2 * 8_000)) == 8_000
        assert tracemalloc.get_traced_memory()[0] - before < 34 * 1_024
        assert ring.write(1, bytes(2 * 500_000)) == 472_000
        assert tracemalloc.get_traced_memory()[0] - before < 1_000_000
        del ring
        assert tracemalloc.get_traced_memory()[0] - before < 1_024
    finally:
        tracemalloc.stop()


def test_dropping_a_run_gives_its_sound_to_the_next():
    ring = _codec.Playout(8_000, 480_000)
    for run in range(1_000):
        ring.open(run)
        assert ring.write(run, bytes(960_000)) == 480_000
        ring.drop(run)
    assert ring.free == 480_000
