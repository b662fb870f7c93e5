"""Every compiled variant of the loops against the tables, the standard library and the obvious twin."""

import base64
import hashlib
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import _codec
from tests import reference

CODES = bytes(range(256))
EVERY_SAMPLE = np.arange(-32768, 32768).astype("<i2").tobytes()


@pytest.fixture(params=_codec.clones())
def clone(request: pytest.FixtureRequest) -> Iterator[str]:
    """The variant in use for one test."""
    _codec._use(request.param)
    yield request.param
    _codec._use(_codec.clones()[0])


def each_clone(function, *arguments):
    """What every variant answers; they must agree."""
    answers = []
    for name in _codec.clones():
        _codec._use(name)
        answers.append(function(*arguments))
    _codec._use(_codec.clones()[0])
    assert all(answer == answers[0] for answer in answers)
    return answers[0]


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_clones_end_with_plain_c():
    assert _codec.clones()[-1] == "plain"


def test_a_clone_that_the_machine_lacks_is_refused():
    with pytest.raises(ValueError, match="does not run 'cray'"):
        _codec._use("cray")


# -- G.711 -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "data", "expected"),
    [
        ("ulaw_to_pcm16", CODES, "3dab54339e520bb2c924826e3b72a917a2b612e9fd12fc867500f1d983a75827"),
        ("alaw_to_pcm16", CODES, "e04788d110e58ff8c70c93b8480190d973e3b67876b6119abbaec766cc75c174"),
        ("pcm16_to_ulaw", EVERY_SAMPLE, "5ee7cf5f273f842d2234121e4cb0c98d6b20a99ac29026f94e05b36955b195be"),
        ("pcm16_to_alaw", EVERY_SAMPLE, "38488f6fd710f4686360edc4d38639f96c491595ef93f8eb8d62d5e07ca6ce7b"),
    ],
)
def test_all_codes_and_all_samples_have_the_published_digest(clone, function, data, expected):
    assert digest(getattr(_codec, function)(data)) == expected


@pytest.mark.parametrize("law", ["ulaw", "alaw"])
def test_laws_equal_the_tables_of_the_standard(clone, law):
    encode, decode = getattr(reference, f"{law}_encode"), getattr(reference, f"{law}_decode")
    samples = np.frombuffer(EVERY_SAMPLE, "<i2").tolist()
    assert getattr(_codec, f"pcm16_to_{law}")(EVERY_SAMPLE) == bytes(map(encode, samples))
    decoded = getattr(_codec, f"{law}_to_pcm16")(CODES)
    assert np.frombuffer(decoded, "<i2").tolist() == [decode(code) for code in CODES]


@pytest.mark.parametrize(("law", "changed"), [("ulaw", {0x7F: 0xFF}), ("alaw", {})])
def test_decoding_and_encoding_again_changes_negative_zero_alone(clone, law, changed):
    again = getattr(_codec, f"pcm16_to_{law}")(getattr(_codec, f"{law}_to_pcm16")(CODES))
    assert {code: after for code, after in zip(CODES, again, strict=True) if code != after} == changed


@given(st.binary(max_size=400))
def test_laws_are_the_same_at_every_length_and_for_every_clone(data):
    for law in ("ulaw", "alaw"):
        pcm = each_clone(getattr(_codec, f"{law}_to_pcm16"), data)
        assert pcm == b"".join(getattr(_codec, f"{law}_to_pcm16")(data[i : i + 1]) for i in range(len(data)))
        each_clone(getattr(_codec, f"pcm16_to_{law}"), data[: len(data) // 2 * 2])


@pytest.mark.parametrize("function", ["pcm16_to_ulaw", "pcm16_to_alaw", "pcm16_to_ulaw_base64"])
def test_half_a_sample_is_refused_with_the_number_of_bytes(function):
    with pytest.raises(ValueError, match="321 bytes is an odd number"):
        getattr(_codec, function)(bytes(321))


# -- base64 ------------------------------------------------------------------------------------------------------------


@given(st.binary(max_size=300))
def test_base64_is_that_of_the_standard_library(data):
    text = each_clone(_codec.to_base64, data)
    assert text == base64.b64encode(data).decode()
    assert each_clone(_codec.from_base64, text) == data
    assert each_clone(_codec.from_base64, text.encode()) == data


def test_base64_knows_every_pair_of_bytes(clone):
    data = bytes(byte for first in range(256) for second in range(256) for byte in (first, second))
    assert _codec.from_base64(_codec.to_base64(data)) == data
    assert _codec.to_base64(data) == base64.b64encode(data).decode()


def test_a_character_outside_the_alphabet_is_refused_wherever_it_stands(clone):
    alphabet = base64.b64encode(bytes(range(256))) + b"+/"
    good = bytearray(b"QUJD" * 54)
    for code in set(range(256)) - set(alphabet):
        for at in (0, 31, 64, 191, 215):
            bad = good.copy()
            bad[at] = code
            if code == ord("=") and at == 215:
                continue
            with pytest.raises(ValueError, match="216 characters that are no padded base64"):
                _codec.from_base64(bytes(bad))


@pytest.mark.parametrize("text", ["A", "AB", "ABC", "A===", "====", "=", "AB=C", "QQ==QQ==", "QR==", "QUJ=", "QUI\n"])
def test_base64_is_strict_about_length_padding_and_stray_bits(clone, text):
    with pytest.raises(ValueError, match="no padded base64"):
        _codec.from_base64(text)


@given(st.binary(max_size=2600).map(lambda data: data[: len(data) // 2 * 2]))
def test_a_frame_goes_to_a_telephone_message_in_one_step(pcm):
    assert each_clone(_codec.pcm16_to_ulaw_base64, pcm) == base64.b64encode(_codec.pcm16_to_ulaw(pcm)).decode()


# -- gain, mixing, level -----------------------------------------------------------------------------------------------

pcm = st.binary(max_size=300).map(lambda data: data[: len(data) // 2 * 2])


@given(pcm, st.integers(0, 65535))
def test_gain_rounds_and_saturates(sound, gain):
    x = np.frombuffer(sound, "<i2").astype(np.int64)
    assert each_clone(_codec.gain, sound, gain / 4096) == reference.saturated((x * gain + 2048) >> 12)


@given(pcm, st.randoms())
def test_mixing_saturates(sound, random):
    other = random.randbytes(len(sound))
    x, y = np.frombuffer(sound, "<i2").astype(np.int64), np.frombuffer(other, "<i2").astype(np.int64)
    assert each_clone(_codec.mix, sound, other) == reference.saturated(x + y)


@pytest.mark.parametrize(("a", "b", "expected"), [(32767, 1, 32767), (-32768, -1, -32768), (32767, -32768, -1)])
def test_both_rails_hold(clone, a, b, expected):
    def sample(value):
        return np.array([value], "<i2").tobytes()

    assert _codec.mix(sample(a), sample(b)) == sample(expected)
    assert _codec.gain(sample(a), 15.99) == sample(32767 if a > 0 else -32768)


def test_sounds_of_two_lengths_are_not_mixed():
    with pytest.raises(ValueError, match="cannot mix 4 bytes with 2"):
        _codec.mix(bytes(4), bytes(2))


@pytest.mark.parametrize("factor", [-0.1, 16.0, float("nan"), float("inf")])
def test_a_gain_out_of_range_is_refused(factor):
    with pytest.raises(ValueError, match="a gain is"):
        _codec.gain(bytes(2), factor)


def tone(hz: float, rate_hz: int, samples: int, peak: float = 10_000) -> bytes:
    return np.rint(peak * np.sin(2 * np.pi * hz * np.arange(samples) / rate_hz)).astype("<i2").tobytes()


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 48_000])
@pytest.mark.parametrize("hz", [100, 150, 220, 350])
def test_a_voiced_frame_is_periodic(rate_hz, hz):
    rms, peak, clipped, periodicity = _codec.level(tone(hz, rate_hz, rate_hz // 50), rate_hz)
    assert abs(rms - 7071) < 400
    assert 9_800 <= peak <= 10_000
    assert clipped == 0
    assert periodicity > 900


def test_noise_is_not_periodic_and_silence_neither():
    random = np.random.default_rng(3)
    levels = [_codec.level(random.integers(-9000, 9000, 640).astype("<i2").tobytes(), 16_000) for _ in range(50)]
    assert sorted(level[3] for level in levels)[25] < 500
    assert _codec.level(bytes(640), 16_000) == (0, 0, 0, 0)
    assert _codec.level(b"", 16_000) == (0, 0, 0, 0)


def test_a_constant_is_not_a_voice():
    assert _codec.level(np.full(320, -3000, "<i2").tobytes(), 16_000) == (3000, 3000, 0, 0)


def test_level_counts_samples_at_either_rail():
    frame = np.array([32767, -32768, 0, 32766] * 80, "<i2").tobytes()
    rms, peak, clipped, _ = _codec.level(frame, 16_000)
    assert (peak, clipped) == (32768, 160)
    assert rms == int(np.sqrt(np.mean(np.frombuffer(frame, "<i2").astype(float) ** 2)))


@given(pcm, st.sampled_from([8_000, 11_025, 44_100]))
def test_level_of_anything_is_within_its_bounds(sound, rate_hz):
    rms, peak, clipped, periodicity = _codec.level(sound, rate_hz)
    assert 0 <= rms <= peak <= 32768
    assert 0 <= clipped <= len(sound) // 2
    assert 0 <= periodicity <= 1000
    assert _codec.rms(sound) == rms


# -- the contract --------------------------------------------------------------------------------------------------------


def test_the_stub_tells_the_truth(tmp_path):
    config = tmp_path / "mypy.ini"
    config.write_text("[mypy]\nfollow_imports = skip\n")  # the stub alone; `make lint` checks the rest
    command = [sys.executable, "-m", "mypy.stubtest", "--mypy-config-file", str(config), "engine._codec"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


# -- WebSocket and floats: the masked bytes are read back in tests/adapters/test_frames.py ------------------------------


def test_a_frame_is_masked_as_the_standard_shows_it():
    # RFC 6455, section 5.7: a single-frame masked text message.
    assert _codec.websocket_frame(0x81, b"\x37\xfa\x21\x3d", ("Hel", b"lo")) == bytes.fromhex("818537fa213d7f9f4d5158")


@given(st.text(st.characters(max_codepoint=127), min_size=126, max_size=2_000), st.binary(min_size=4, max_size=4))
def test_a_plain_text_is_read_back_from_its_frame(text, mask):
    assert _codec.lone_text(_codec.websocket_frame(0x81, mask, (text,))) == text


@pytest.mark.parametrize("size", [126, 65_535])
def test_a_lone_text_may_be_as_long_as_two_bytes_can_say(size):
    assert _codec.lone_text(_codec.websocket_frame(0x81, b"mask", ("a" * size,))) == "a" * size


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        _codec.websocket_frame(0x81, b"mask", ("a" * 125,)),
        _codec.websocket_frame(0x81, b"mask", ("a" * 65_536,)),
        _codec.websocket_frame(0x81, b"mask", ("a" * 126,))[:-1],
        _codec.websocket_frame(0x81, b"mask", ("a" * 126,)) + b"\x81",
        _codec.websocket_frame(0x82, b"mask", (bytes(126),)),
        _codec.websocket_frame(0x01, b"mask", ("a" * 126,)),
        _codec.websocket_frame(0xC1, b"mask", ("a" * 126,)),
        _codec.websocket_frame(0x81, b"mask", ("ü" * 126,)),
        _codec.websocket_frame(0x81, b"mask", (b"\xff" * 126,)),
        b"\x81\x7e\x00\x7e" + b"a" * 126,
    ],
    ids=[
        "nothing",
        "short",
        "long",
        "cut",
        "followed",
        "binary",
        "fragment",
        "reserved",
        "not-ascii",
        "not-utf8",
        "unmasked",
    ],
)
def test_what_is_no_lone_plain_text_is_left_to_others(frame):
    assert _codec.lone_text(frame) is None


@pytest.mark.parametrize("mask", [b"", b"abc", b"abcde"])
def test_a_mask_is_four_bytes(mask):
    with pytest.raises(ValueError, match="4 bytes"):
        _codec.websocket_frame(0x82, mask, (b"sound",))


@pytest.mark.parametrize("part", [bytearray(b"x"), memoryview(b"x"), None, 7])
def test_a_frame_is_made_of_bytes_and_texts(part):
    with pytest.raises(TypeError):
        _codec.websocket_frame(0x82, b"mask", (part,))


def test_samples_as_floats_are_those_of_numpy():
    floats = (np.frombuffer(EVERY_SAMPLE, "<i2").astype("<f4") / 32_768).tobytes()
    assert _codec.pcm16_to_float32(EVERY_SAMPLE) == floats
    with pytest.raises(ValueError, match="odd"):
        _codec.pcm16_to_float32(b"odd")
