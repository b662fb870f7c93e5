"""The outline of a call's sound."""

import asyncio
import wave
from pathlib import Path

import numpy as np
import pytest

from engine.errors import JournalError
from engine.inspector.sound import peaks


def written(path: Path, samples: "np.ndarray[tuple[int, ...], np.dtype[np.int16]]", channels: int = 2) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(samples.astype("<i2").tobytes())
    return path


def test_each_channel_has_its_loudest_sample_of_every_20_ms(tmp_path: Path) -> None:
    samples = np.zeros((3 * 320, 2), np.int16)
    samples[10, 0] = -32_768
    samples[700, 1] = 8_192
    outline = asyncio.run(peaks(written(tmp_path / "call.wav", samples)))
    assert list(outline) == [255, 0, 0, 0, 0, 127]


def test_the_outline_goes_on_from_where_it_was(tmp_path: Path) -> None:
    samples = np.repeat(np.array([[8_192, 0], [0, 8_192], [0, 32_767]], np.int16), 320, axis=0)
    path = written(tmp_path / "call.wav", samples)
    assert [list(asyncio.run(peaks(path, first))) for first in (1, 2, 3, 10**15)] == [
        [0, 127, 0, 254],
        [0, 254],
        [],
        [],
    ]


def test_a_long_sound_is_read_in_pieces(tmp_path: Path) -> None:
    samples = np.ones((3_500 * 320, 2), np.int16)
    assert len(asyncio.run(peaks(written(tmp_path / "call.wav", samples)))) == 7_000


def test_what_no_recorder_wrote_is_refused(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="two channels"):
        asyncio.run(peaks(written(tmp_path / "mono.wav", np.zeros(320, np.int16), channels=1)))
    (tmp_path / "junk.wav").write_bytes(b"RIFFjunk")
    with pytest.raises(JournalError, match="not a WAVE file"):
        asyncio.run(peaks(tmp_path / "junk.wav"))
