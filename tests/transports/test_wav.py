"""WAV files: every width, rate and number of channels of PCM, and one clear sentence for anything else."""

import struct
from pathlib import Path

import numpy as np
import pytest

from engine.errors import ConfigError
from engine.transports.wav import Sound, read_wav, write_wav

EXTENSION = struct.pack("<HHIHHHHI", 0xFFFE, 1, 16_000, 0, 2, 16, 22, 0)


def header(coding: int = 1, channels: int = 1, rate_hz: int = 16_000, bits: int = 16) -> bytes:
    frame = channels * bits // 8
    return struct.pack("<HHIIHH", coding, channels, rate_hz, rate_hz * frame, frame, bits)


def wav(sound: bytes, layout: bytes, *, extra: bytes = b"", size: int | None = None) -> bytes:
    parts = b"fmt " + struct.pack("<I", len(layout)) + layout + extra
    parts += b"data" + struct.pack("<I", len(sound) if size is None else size) + sound
    return b"RIFF" + struct.pack("<I", 4 + len(parts)) + b"WAVE" + parts


def read(tmp_path: Path, data: bytes) -> Sound:
    path = tmp_path / "caller.wav"
    path.write_bytes(data)
    return read_wav(path)


def samples(sound: Sound) -> list[int]:
    return np.frombuffer(sound.pcm, "<i2").tolist()  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("bits", "sound", "expected"),
    [
        (8, bytes((0, 128, 255)), [-32_768, 0, 32_512]),
        (16, struct.pack("<3h", -32_768, 0, 32_767), [-32_768, 0, 32_767]),
        (24, b"\x00\x00\x80" + b"\xff\x00\x00" + b"\xff\xff\x7f", [-32_768, 0, 32_767]),
        (32, struct.pack("<3i", -(2**31), 0, 2**31 - 1), [-32_768, 0, 32_767]),
    ],
)
def test_every_width_becomes_16_bits(tmp_path: Path, bits: int, sound: bytes, expected: list[int]) -> None:
    assert samples(read(tmp_path, wav(sound, header(bits=bits)))) == expected


def test_channels_are_averaged(tmp_path: Path) -> None:
    sound = struct.pack("<4h", 100, 300, -100, 100)
    assert samples(read(tmp_path, wav(sound, header(channels=2)))) == [200, 0]


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 16_000, 22_050, 44_100, 48_000])
def test_a_rate_the_codec_knows_stays(tmp_path: Path, rate_hz: int) -> None:
    assert read(tmp_path, wav(bytes(100), header(rate_hz=rate_hz))).rate_hz == rate_hz


@pytest.mark.parametrize("rate_hz", [6_000, 12_000, 37_800, 96_000])
def test_another_rate_keeps_its_tone(tmp_path: Path, rate_hz: int) -> None:
    tone = np.sin(np.arange(rate_hz) * 2 * np.pi * 1_000 / rate_hz) * 10_000
    found = read(tmp_path, wav(tone.astype("<i2").tobytes(), header(rate_hz=rate_hz)))
    assert (found.rate_hz, len(found.pcm)) == (16_000, 32_000)
    expected = np.sin(np.arange(16_000) * 2 * np.pi * 1_000 / 16_000) * 10_000
    middle = slice(1_000, -1_000)
    assert np.abs(np.array(samples(found))[middle] - expected[middle]).max() < 15


def test_a_tone_above_the_new_rate_does_not_come_back_as_another(tmp_path: Path) -> None:
    tone = np.sin(np.arange(96_000) * 2 * np.pi * 20_000 / 96_000) * 10_000
    found = read(tmp_path, wav(tone.astype("<i2").tobytes(), header(rate_hz=96_000)))
    assert np.abs(np.array(samples(found))[1_000:-1_000]).max() < 10


def test_other_chunks_are_passed_over(tmp_path: Path) -> None:
    extra = b"LIST" + struct.pack("<I", 3) + b"abc\0"
    assert samples(read(tmp_path, wav(struct.pack("<h", 7), header(), extra=extra))) == [7]


def test_the_extensible_format_is_read(tmp_path: Path) -> None:
    layout = struct.pack("<HHIIHHHHI", 0xFFFE, 1, 16_000, 32_000, 2, 16, 22, 16, 0) + struct.pack("<H", 1) + bytes(14)
    assert samples(read(tmp_path, wav(struct.pack("<h", 7), layout))) == [7]


def test_a_length_that_was_never_filled_in_takes_what_is_there(tmp_path: Path) -> None:
    assert samples(read(tmp_path, wav(struct.pack("<2h", 1, 2), header(), size=2**32 - 1))) == [1, 2]


def test_half_a_sample_at_the_end_is_left_out(tmp_path: Path) -> None:
    assert samples(read(tmp_path, wav(struct.pack("<h", 7) + b"\1", header()))) == [7]


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "it is no WAV file"),
        (b"ID3" + bytes(100), "it is no WAV file"),
        (wav(bytes(4), header(coding=3, bits=32)), "its coding is floating point, not PCM"),
        (wav(bytes(4), header(coding=7, bits=8)), "its coding is μ-law, not PCM"),
        (wav(bytes(4), header(coding=999)), "its coding is number 999, not PCM"),
        (wav(bytes(4), header(bits=12)), "its samples have 12 bits; 8, 16, 24 and 32 can be read"),
        (wav(bytes(4), header(channels=0)), "0 channels at 16000 Hz cannot be read"),
        (wav(bytes(4), header(rate_hz=10)), "1 channels at 10 Hz cannot be read"),
        (wav(b"", header()), "it holds no sound"),
        (wav(bytes(4), header())[:40], "it holds no sound"),
        (wav(bytes(4), b"\1\0"), "its format is cut off"),
        (b"RIFF\0\0\0\0WAVEdata\4\0\0\0abcd", "its sound comes before its format"),
    ],
)
def test_what_cannot_be_used_is_one_clear_sentence(tmp_path: Path, data: bytes, sentence: str) -> None:
    with pytest.raises(ConfigError) as raised:
        read(tmp_path, data)
    assert str(raised.value) == f"{tmp_path / 'caller.wav'} cannot be used: {sentence}"


def test_a_file_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read_wav(tmp_path / "nothing.wav")


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    sound = Sound(24_000, struct.pack("<3h", 1, -2, 3))
    write_wav(tmp_path / "agent.wav", sound)
    assert read_wav(tmp_path / "agent.wav") == sound
