"""The ring against a list of samples; concealment and noise against what an ear would ask of them."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from engine import _codec

CAPACITY = 5_000
RATE_HZ = 8_000
FADE = RATE_HZ // 200
RUNS = 9
"""One more than the ring has places for."""


def ramp(first: int, samples: int) -> list[int]:
    return [(first + k) * 7919 % 60_000 - 30_000 for k in range(samples)]


def pcm(samples: list[int]) -> bytes:
    return np.array(samples, "<i2").tobytes()


def faded(samples: list[int], start: int, length: int, *, rising: bool) -> list[int]:
    """A straight ramp of `length` samples, of which these are number `start` and after."""
    result = []
    for k, sample in enumerate(samples, start):
        step = (2 * k + 1 if rising else 2 * (length - k) - 1) if k < length else 2 * length
        result.append(int(sample * step / (2 * length)))
    return result


class Ring(RuleBasedStateMachine):
    """Every run is a list that is only appended to, and three numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.ring = _codec.Playout(RATE_HZ, CAPACITY)
        self.sound: dict[int, list[int]] = {}
        self.first: dict[int, int] = {}
        self.sent: dict[int, int] = {}
        self.rewound: dict[int, int] = {}

    runs = st.integers(1, RUNS)

    def free(self) -> int:
        return CAPACITY - sum(len(sound) - self.first[run] for run, sound in self.sound.items())

    def next_samples(self, run: int, samples: int) -> list[int]:
        at = self.sent[run]
        found = self.sound[run][at : at + max(0, samples)]
        if run in self.rewound:
            found = faded(found, at - self.rewound[run], FADE, rising=True)
        self.sent[run] = at + len(found)
        return found

    @rule(run=runs)
    def open(self, run):
        expected = run in self.sound or len(self.sound) < 8
        assert self.ring.open(run) is expected
        if expected and run not in self.sound:
            self.sound[run], self.first[run], self.sent[run] = [], 0, 0

    @rule(run=runs, samples=st.integers(0, 3_000))
    def write(self, run, samples):
        offered = ramp(len(self.sound.get(run, [])) + run, samples)
        accepted = min(samples, self.free()) if run in self.sound else 0
        assert self.ring.write(run, pcm(offered)) == accepted
        if run in self.sound:
            self.sound[run] += offered[:accepted]

    @rule(run=runs, samples=st.integers(-5, 2_000))
    def read(self, run, samples):
        expected = self.next_samples(run, samples) if run in self.sound else []
        assert self.ring.read(run, samples) == pcm(expected)

    @rule(run=runs)
    def cut(self, run):
        expected = self.next_samples(run, FADE) if run in self.sound else []
        assert self.ring.cut(run) == pcm(faded(expected, 0, len(expected), rising=False))

    @rule(run=runs, sample=st.integers(-10, 12_000))
    def rewind(self, run, sample):
        expected = 0
        if run in self.sound:
            expected = min(max(sample, self.first[run]), len(self.sound[run]))
            self.sent[run] = self.rewound[run] = expected
        assert self.ring.rewind(run, sample) == expected

    @rule(run=runs, sample=st.integers(-10, 12_000))
    def keep_from(self, run, sample):
        self.ring.keep_from(run, sample)
        if run in self.sound:
            self.first[run] = max(self.first[run], min(sample, self.sent[run]))

    @rule(run=runs)
    def drop(self, run):
        self.ring.drop(run)
        for part in (self.sound, self.first, self.sent, self.rewound):
            part.pop(run, None)

    @invariant()
    def counts_agree(self):
        assert self.ring.free == self.free()
        assert sorted(self.ring.runs) == sorted(self.sound)
        for run in range(1, RUNS + 1):
            first, sent, written = self.first.get(run, 0), self.sent.get(run, 0), len(self.sound.get(run, []))
            assert (self.ring.first(run), self.ring.sent(run), self.ring.written(run)) == (first, sent, written)
            assert self.ring.queued(run) == written - sent


TestRing = Ring.TestCase
TestRing.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)


def test_a_full_ring_says_how_much_it_took():
    ring = _codec.Playout(8_000, 1_000)
    ring.open(1)
    assert ring.write(1, bytes(1_600)) == 800
    assert ring.write(1, bytes(1_600)) == 200
    assert ring.write(1, bytes(2)) == 0
    ring.read(1, 500)
    ring.keep_from(1, 400)
    assert ring.free == 400


def test_what_was_not_heard_is_played_again_exactly_but_for_the_fade():
    ring = _codec.Playout(8_000, 8_000)
    sound = np.full(4_000, 10_000, "<i2").tobytes()
    ring.open(7)
    ring.write(7, sound)
    ring.read(7, 3_000)
    assert ring.rewind(7, 1_234) == 1_234
    again = np.frombuffer(ring.read(7, 500), "<i2")
    assert (np.diff(again[:40].astype(int)) > 0).all()
    assert set(again[40:].tolist()) == {10_000}


def test_a_cut_ends_near_zero_and_begins_near_full():
    ring = _codec.Playout(16_000, 8_000)
    ring.open(1)
    ring.write(1, np.full(1_000, -20_000, "<i2").tobytes())
    tail = np.frombuffer(ring.cut(1), "<i2")
    assert len(tail) == 80
    assert tail[0] < -19_500
    assert abs(int(tail[-1])) < 300
    assert ring.sent(1) == 80


def test_a_late_chunk_of_a_dropped_run_goes_nowhere():
    ring = _codec.Playout(8_000, 8_000)
    ring.open(1)
    ring.write(1, bytes(320))
    ring.drop(1)
    assert ring.write(1, bytes(320)) == 0
    assert ring.free == 8_000


def test_half_a_sample_is_not_written():
    ring = _codec.Playout(8_000, 8_000)
    ring.open(1)
    with pytest.raises(ValueError, match="3 bytes is an odd number"):
        ring.write(1, bytes(3))


@pytest.mark.parametrize(
    ("arguments", "message"), [((12_000, 100), "12000 Hz"), ((8_000, 0), "not 0"), ((8_000, 2**31), "not 2147483648")]
)
def test_a_ring_that_cannot_be_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        _codec.Playout(*arguments)


# -- gaps and quiet --------------------------------------------------------------------------------------------------------


def voice(hz: float, rate_hz: int, samples: int) -> np.ndarray:
    at = np.arange(samples) / rate_hz
    return np.rint(sum(8_000 / k * np.sin(2 * np.pi * hz * k * at + k) for k in range(1, 6))).astype("<i2")


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 48_000])
@pytest.mark.parametrize("hz", [80, 123, 180])
def test_a_voice_goes_on_through_a_lost_frame(rate_hz, hz):
    frame = rate_hz // 50
    sound = voice(hz, rate_hz, 12 * frame)
    concealer = _codec.Concealer(rate_hz)
    for k in range(9):
        assert (
            concealer.heard(sound[k * frame : (k + 1) * frame].tobytes())
            == sound[k * frame : (k + 1) * frame].tobytes()
        )
    substitute = np.frombuffer(concealer.lost(frame // 2), "<i2").astype(float)
    original = sound[9 * frame : 9 * frame + frame // 2].astype(float)
    assert np.corrcoef(substitute, original)[0, 1] > 0.9
    step = np.abs(np.diff(sound.astype(float))).max()
    joined = np.concatenate([sound[8 * frame : 9 * frame], substitute])
    assert np.abs(np.diff(joined)).max() < 1.5 * step


def test_a_long_gap_fades_to_silence_within_60_ms_and_the_sound_comes_back_without_a_step():
    sound = voice(140, 8_000, 8_000)
    concealer = _codec.Concealer(8_000)
    concealer.heard(sound[:4_000].tobytes())
    gap = np.frombuffer(concealer.lost(800), "<i2").astype(float)
    energy = [float(np.mean(gap[k : k + 80] ** 2)) for k in range(0, 800, 80)]
    assert all(later < earlier for earlier, later in pairwise(energy[1:6]))
    assert not gap[480:].any()
    back = np.frombuffer(concealer.heard(sound[4_800:4_960].tobytes()), "<i2")
    assert abs(int(back[0])) < 400
    assert (back[80:] == sound[4_880:4_960]).all()


@pytest.mark.parametrize("sizes", [[160, 160], [1, 319], [80, 80, 80, 80], [320]])
def test_a_gap_sounds_the_same_however_it_is_counted(sizes):
    def gap(parts):
        concealer = _codec.Concealer(16_000)
        concealer.heard(voice(100, 16_000, 3_200).tobytes())
        return b"".join(concealer.lost(part) for part in parts)

    assert gap(sizes) == gap([320])


def test_before_anything_was_heard_a_gap_is_silence():
    assert _codec.Concealer(8_000).lost(160) == bytes(320)


def test_comfort_noise_has_the_level_asked_for_and_no_seam():
    whole = _codec.Noise(20, seed=9)
    cut = _codec.Noise(20, seed=9)
    sound = whole.read(16_000)
    assert b"".join(cut.read(n) for n in (1, 159, 15_840)) == sound
    assert 18 < np.sqrt(np.mean(np.frombuffer(sound, "<i2").astype(float) ** 2)) < 22
    assert _codec.Noise(0).read(10) == bytes(20)


@pytest.mark.parametrize(
    "make",
    [
        lambda: _codec.Concealer(7_999),
        lambda: _codec.Concealer(8_000).lost(-1),
        lambda: _codec.Concealer(8_000).lost(2**21),
        lambda: _codec.Noise(8_001),
        lambda: _codec.Noise(20).read(-1),
    ],
)
def test_numbers_out_of_range_are_refused(make):
    with pytest.raises(ValueError, match="not "):
        make()
