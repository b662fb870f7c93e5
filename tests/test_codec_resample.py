"""The laws of the resampler, the framer, the inlet and the outlet: exact, whole, and deaf to how the sound was cut."""

import base64
from itertools import pairwise
from math import gcd

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import _codec
from tests import reference

PAIRS = [(source, target) for source in _codec.RATES_HZ for target in _codec.RATES_HZ]
QUALITIES = ("telephone", "high")

pairs = st.sampled_from(PAIRS)
qualities = st.sampled_from(QUALITIES)
seeds = st.integers(0, 2**32 - 1)


def noise(seed: int, samples: int) -> bytes:
    return np.random.default_rng(seed).integers(-32768, 32768, samples).astype("<i2").tobytes()


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    """The bytes cut at the given places, which need not be whole samples."""
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[before:after] for before, after in pairwise(places)]


def through(resampler: _codec.Resampler, chunks: list[bytes]) -> bytes:
    return b"".join([resampler.push(chunk) for chunk in chunks]) + resampler.flush()


@settings(max_examples=300, deadline=None)
@given(pairs, qualities, st.booleans(), seeds, st.integers(0, 3000), st.lists(st.integers(0, 10**6), max_size=12))
def test_streaming_equals_one_shot_for_every_chunking(pair, quality, live, seed, samples, cuts):
    sound = noise(seed, samples)
    one = through(_codec.Resampler(*pair, quality, live=live), [sound])
    assert through(_codec.Resampler(*pair, quality, live=live), pieces(sound, cuts)) == one


@pytest.mark.parametrize("quality", QUALITIES)
@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: f"{pair[0]}-{pair[1]}")
def test_every_clone_gives_the_same_samples_and_they_are_those_of_the_definition(pair, quality):
    sound = noise(sum(pair), 400)
    answers = []
    for name in _codec.clones():
        _codec._use(name)
        answers.append(through(_codec.Resampler(*pair, quality), [sound]))
    _codec._use(_codec.clones()[0])
    assert all(answer == answers[0] for answer in answers)
    ideal = reference.resample(sound, *pair, quality).clip(-32768, 32767)
    actual = np.frombuffer(answers[0], "<i2")
    # Half a step of rounding, and the rounding of the taps on full-scale noise: 2^-21 each for high, 2^-15 for telephone.
    assert np.abs(actual - ideal).max() < (1 if quality == "high" else 48)


@given(pairs, qualities, st.lists(st.integers(0, 700), max_size=10))
def test_every_call_returns_all_that_its_input_determines(pair, quality, sizes):
    resampler = _codec.Resampler(*pair, quality)
    taken = given_ = 0
    for size in sizes:
        taken += size
        given_ += len(resampler.push(bytes(2 * size))) // 2
        assert given_ == reference.outputs_due(taken, *pair, quality)
    assert given_ + len(resampler.flush()) // 2 == -(-taken * pair[1] // pair[0])


@pytest.mark.parametrize("quality", QUALITIES)
@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: f"{pair[0]}-{pair[1]}")
def test_a_live_stream_gives_each_frames_share_at_once(pair, quality):
    source, target = pair
    whole = source // gcd(source, target)
    frame = -(-source // 50 // whole) * whole
    resampler = _codec.Resampler(source, target, quality, live=True)
    assert {len(resampler.push(bytes(2 * frame))) for _ in range(20)} == {2 * frame * target // source}


@pytest.mark.parametrize("quality", QUALITIES)
@pytest.mark.parametrize("value", [1, -1, 1000, 32767, -32768])
def test_a_constant_passes_unchanged_at_every_phase(quality, value):
    for pair in PAIRS:
        out = np.frombuffer(_codec.Resampler(*pair, quality).push(np.full(2000, value, "<i2").tobytes()), "<i2")
        settled = out[len(out) // 4 :]
        assert set(settled.tolist()) == {value}, pair


@pytest.mark.parametrize("quality", QUALITIES)
@pytest.mark.parametrize("pair", [(8_000, 16_000), (24_000, 8_000), (22_050, 16_000), (44_100, 48_000)])
def test_a_full_scale_square_saturates_and_does_not_wrap(pair, quality):
    square = np.where(np.arange(4000) // 100 % 2, 32767, -32768).astype("<i2")
    out = np.frombuffer(through(_codec.Resampler(*pair, quality), [square.tobytes()]), "<i2")
    step = 100 * pair[1] / pair[0]
    middles = [out[round((k + 0.5) * step)] for k in range(40)]
    assert all((value > 25_000) == bool(k % 2) and abs(int(value)) > 25_000 for k, value in enumerate(middles))
    assert out.max() == 32767
    assert out.min() == -32768


def gain_db(pair: tuple[int, int], quality: str, hz: float) -> float:
    """The level of all that comes out over that of a tone that goes in, past the ends."""
    x = 20_000 * np.sin(2 * np.pi * hz * np.arange(pair[0] // 2) / pair[0])
    y = np.frombuffer(through(_codec.Resampler(*pair, quality), [np.rint(x).astype("<i2").tobytes()]), "<i2")
    settled = y[len(y) // 5 : -len(y) // 5].astype(float)  # 0.3 s: whole periods of a multiple of 10 Hz
    return float(10 * np.log10(max(np.mean(settled**2), 1e-3) / 2e8))


@pytest.mark.parametrize("pair", [(8_000, 16_000), (16_000, 8_000), (24_000, 8_000), (48_000, 8_000), (8_000, 24_000)])
def test_telephone_is_flat_over_the_telephone_band(pair):
    assert all(abs(gain_db(pair, "telephone", hz)) < 0.1 for hz in (100, 300, 1000, 2000, 3000, 3400))


@pytest.mark.parametrize("pair", [(16_000, 8_000), (24_000, 8_000), (48_000, 8_000), (44_100, 8_000)])
def test_what_would_fall_back_into_speech_is_gone(pair):
    for hz in (4_600, 5_000, 6_000, 7_000, 7_900):
        assert gain_db(pair, "telephone", hz) < -60
        assert gain_db(pair, "high", hz) < -86  # less than one step of 16 bits


@pytest.mark.parametrize("pair", [(24_000, 16_000), (48_000, 16_000), (22_050, 16_000), (44_100, 16_000)])
def test_high_is_flat_to_the_edge_of_wideband_speech(pair):
    assert all(abs(gain_db(pair, "high", hz)) < 0.001 for hz in (50, 1000, 4000, 6000, 6800))


@pytest.mark.parametrize("quality", QUALITIES)
@pytest.mark.parametrize("pair", [(8_000, 16_000), (16_000, 8_000), (24_000, 8_000), (8_000, 48_000)])
def test_an_impulse_comes_out_where_it_went_in_and_alike_on_both_sides(pair, quality):
    impulse = np.zeros(480, "<i2")
    impulse[240] = 32767
    out = np.frombuffer(through(_codec.Resampler(*pair, quality), [impulse.tobytes()]), "<i2")
    at = 240 * pair[1] // pair[0]
    assert int(out.argmax()) == at
    reach = min(at, len(out) - 1 - at)
    assert (out[at - reach : at + 1] == out[at : at + reach + 1][::-1]).all()


def test_eight_to_sixteen_and_back_keeps_the_telephone_band():
    random = np.random.default_rng(5)
    spectrum = np.zeros(4001, complex)
    spectrum[300:3401] = random.standard_normal(3101) + 1j * random.standard_normal(3101)
    x = np.fft.irfft(spectrum)
    sound = np.rint(x / np.abs(x).max() * 30_000).astype("<i2")
    up = through(_codec.Resampler(8_000, 16_000, "telephone"), [sound.tobytes()])
    back = np.frombuffer(through(_codec.Resampler(16_000, 8_000, "telephone"), [up]), "<i2")
    lost = (back.astype(float) - sound)[100:-100]
    assert 10 * np.log10(np.mean(sound[100:-100].astype(float) ** 2) / np.mean(lost**2)) > 55


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((8_000, 12_345), "12345 Hz is not one of 8000, 11025"),
        ((0, 8_000), "0 Hz is not one of"),
        ((8_000, 16_000, "best"), "quality 'best' is not one of telephone, high"),
    ],
)
def test_a_rate_or_quality_that_does_not_exist_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        _codec.Resampler(*arguments)


def test_delay_is_half_the_filter():
    assert _codec.Resampler(8_000, 16_000, "telephone").delay_ns == 31 * 10**9 // 16_000 < 2_000_000
    assert _codec.Resampler(24_000, 8_000, "high").delay_ns == 65 * 10**9 // 24_000
    assert _codec.Resampler(8_000, 8_000).delay_ns == 0


@given(pairs, qualities, st.booleans(), seeds)
def test_reset_and_flush_begin_again(pair, quality, live, seed):
    sound = noise(seed, 300)
    resampler = _codec.Resampler(*pair, quality, live=live)
    first = through(resampler, [sound])
    assert through(resampler, [sound]) == first
    resampler.push(sound[:101])
    resampler.reset()
    assert through(resampler, [sound]) == first


# -- framing -------------------------------------------------------------------------------------------------------------


@given(st.integers(1, 700), st.binary(max_size=3000), st.lists(st.integers(0, 10**6), max_size=9))
def test_frames_are_exact_and_nothing_is_lost(size, data, cuts):
    framer = _codec.Framer(size)
    frames = [frame for chunk in pieces(data, cuts) for frame in framer.push(chunk)]
    assert {len(frame) for frame in frames} <= {size}
    assert framer.held_bytes == len(data) % size
    assert b"".join(frames) + framer.flush() == data
    assert framer.held_bytes == 0
    assert framer.push(bytes(size)) == [bytes(size)]


@pytest.mark.parametrize("size", [0, -1, 2**21])
def test_a_frame_of_an_impossible_size_is_refused(size):
    with pytest.raises(ValueError, match=f"not {size}"):
        _codec.Framer(size)


# -- inlet and outlet ----------------------------------------------------------------------------------------------------

DECODERS = {"pcm16": bytes, "ulaw": _codec.ulaw_to_pcm16, "alaw": _codec.alaw_to_pcm16}
ENCODERS = {"pcm16": bytes, "ulaw": _codec.pcm16_to_ulaw, "alaw": _codec.pcm16_to_alaw}
codings = st.sampled_from(sorted(DECODERS))
rates = st.sampled_from(_codec.RATES_HZ)


@settings(max_examples=200, deadline=None)
@given(codings, rates, qualities, st.binary(max_size=6000), st.lists(st.integers(0, 10**6), max_size=9), st.booleans())
def test_the_inlet_is_decoder_resampler_and_framer_in_one(coding, rate_hz, quality, data, cuts, as_base64):
    inlet = _codec.Inlet(coding, rate_hz, quality)
    chunks = pieces(data, cuts)
    if as_base64:
        frames = [frame for chunk in chunks for frame in inlet.push_base64(base64.b64encode(chunk).decode())]
    else:
        frames = [frame for chunk in chunks for frame in inlet.push(chunk)]
    frames += inlet.flush()
    whole = data[: len(data) // 2 * 2] if coding == "pcm16" else data
    plain = through(_codec.Resampler(rate_hz, 16_000, quality, live=True), [DECODERS[coding](whole)])
    assert {len(frame) for frame in frames} <= {640}
    assert b"".join(frames) == plain.ljust(-(-len(plain) // 640) * 640, b"\0")
    assert inlet.rejected == 0


@given(st.text(max_size=400) | st.binary(max_size=400))
def test_nothing_that_arrives_raises(payload):
    inlet = _codec.Inlet("ulaw", 8_000)
    try:
        good = len(_codec.from_base64(payload))
    except ValueError:
        good = None
    inlet.push_base64(payload)
    assert inlet.rejected == (good is None)
    assert len(inlet.push(bytes(320))) >= 1


def test_a_text_that_is_no_text_is_rejected():
    inlet = _codec.Inlet("ulaw", 8_000)
    assert inlet.push_base64("\ud800AAA") == []
    assert inlet.rejected == 1


def test_a_telephone_frame_in_is_a_frame_out_at_once():
    inlet = _codec.Inlet("ulaw", 8_000)
    payload = base64.b64encode(bytes([0xFF]) * 160).decode()
    assert [[len(frame) for frame in inlet.push_base64(payload)] for _ in range(5)] == [[640]] * 5


@settings(max_examples=200, deadline=None)
@given(codings, rates, rates, qualities, seeds, st.integers(0, 3000), st.lists(st.integers(0, 10**6), max_size=9))
def test_the_outlet_is_resampler_and_encoder_in_one(coding, source, target, quality, seed, samples, cuts):
    sound = noise(seed, samples)
    expected = ENCODERS[coding](through(_codec.Resampler(source, target, quality), [sound]))
    outlet = _codec.Outlet(source, coding, target, quality)
    assert b"".join(outlet.push(chunk) for chunk in pieces(sound, cuts)) + outlet.flush() == expected
    texts = [outlet.push_base64(chunk) for chunk in pieces(sound, cuts)] + [outlet.flush_base64()]
    assert b"".join(map(base64.b64decode, texts)) == expected
    outlet.push(sound)
    outlet.reset()
    assert outlet.push(sound) + outlet.flush() == expected


@pytest.mark.parametrize("make", [lambda: _codec.Inlet("opus", 8_000), lambda: _codec.Outlet(8_000, "opus", 8_000)])
def test_an_encoding_that_does_not_exist_is_named(make):
    with pytest.raises(ValueError, match="encoding 'opus' is not one of pcm16, ulaw, alaw"):
        make()
