"""The two ends of a call's sound: checked once, at the edge, with the numbers in the message."""

import base64

import numpy as np
import pytest

from engine import _codec, audio
from engine.core.units import ENGINE_HZ, FRAME_BYTES, RATES_HZ, AudioFormat, Encoding
from engine.errors import ConfigError

FORMATS = [AudioFormat(rate_hz, encoding) for rate_hz in RATES_HZ for encoding in Encoding]
SECOND = np.rint(9_000 * np.sin(2 * np.pi * 440 * np.arange(48_000) / 48_000)).astype("<i2").tobytes()


@pytest.mark.parametrize("sound", FORMATS, ids=lambda sound: f"{sound.encoding}-{sound.rate_hz}")
def test_a_second_of_any_wire_is_fifty_frames_and_the_filters_tail(sound):
    outlet, inlet = audio.Outlet(48_000, sound), audio.Inlet(sound)
    wire = outlet.push(SECOND) + outlet.flush()
    assert len(wire) == sound.rate_hz * sound.encoding.sample_bytes
    frames = [frame for at in range(0, len(wire), 333) for frame in inlet.push(wire[at : at + 333])]
    assert len(frames) == 50
    assert {len(frame) for frame in frames} == {FRAME_BYTES}
    assert len(inlet.flush()) <= 1
    heard = audio.level(frames[25])
    assert abs(heard.rms - 6364) < 300
    assert heard.periodicity > 900


@pytest.mark.parametrize("rate_hz", [0, 12_000, 192_000])
def test_a_rate_that_cannot_be_converted_is_a_configuration_error_with_the_number(rate_hz):
    with pytest.raises(ConfigError, match=f"sound at {rate_hz} Hz cannot be converted; the rates are 8000, 11025"):
        audio.Inlet(AudioFormat(rate_hz))
    with pytest.raises(ConfigError, match=f"sound at {rate_hz} Hz"):
        audio.Outlet(rate_hz, AudioFormat())
    with pytest.raises(ConfigError, match=f"sound at {rate_hz} Hz"):
        audio.Outlet(ENGINE_HZ, AudioFormat(rate_hz))


def test_the_telephone_gets_the_short_filter_and_all_else_the_clean_one():
    assert audio.Inlet(AudioFormat(8_000, Encoding.ULAW)).delay_ns < 2_000_000
    assert audio.Outlet(16_000, AudioFormat(8_000, Encoding.ULAW)).delay_ns < 2_000_000
    assert audio.quality_for(24_000, 8_000) == "high"
    assert audio.quality_for(48_000, 16_000) == "high"


def test_the_engines_own_format_passes_untouched():
    inlet = audio.Inlet(AudioFormat())
    assert b"".join(inlet.push(SECOND[: 7 * FRAME_BYTES])) == SECOND[: 7 * FRAME_BYTES]
    assert inlet.delay_ns == 0


def test_a_payload_that_is_no_base64_is_counted_and_the_call_goes_on():
    inlet = audio.Inlet(AudioFormat(8_000, Encoding.ULAW))
    good = base64.b64encode(bytes(160)).decode()
    assert [len(inlet.push_base64(payload)) for payload in (good, "no!", good)] == [1, 0, 1]
    assert inlet.rejected == 1


@pytest.mark.parametrize("encoding", Encoding)
def test_decoder_and_encoder_undo_each_other(encoding):
    pcm = audio.decoder(encoding)(bytes(range(0, 256, 2)))
    assert len(pcm) == 128 // encoding.sample_bytes * 2
    assert audio.decoder(encoding)(audio.encoder(encoding)(pcm)) == pcm


def test_level_names_its_parts():
    assert audio.level(np.array([32767, -32768] * 160, "<i2").tobytes()) == audio.Level(
        rms=32767, peak=32768, clipped=320, periodicity=0
    )


def test_the_codec_and_the_core_name_the_same_rates():
    assert _codec.RATES_HZ == RATES_HZ
