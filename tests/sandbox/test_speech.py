"""A simulated ear understands a simulated voice through whatever lies between them."""

import numpy as np
import pytest

from engine.audio import Outlet, decoder
from engine.core.units import AudioFormat, Encoding
from engine.sandbox.speech import HUMAN_SCRIPT, Ear, speak, timings

TEXT = "hello, is 9 o'clock free? quartz-jade mixes well."


def understood(pcm: bytes, rate_hz: int, size: int = 640) -> str:
    ear = Ear(rate_hz)
    words = [word for start in range(0, len(pcm), size) for word in ear.hear(pcm[start : start + size])]
    words += ear.hear(bytes(2 * rate_hz // 5))
    return " ".join(word.text for word in words)


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 22_050, 24_000, 44_100, 48_000])
def test_every_rate_is_understood(rate_hz):
    assert understood(speak(TEXT, rate_hz), rate_hz) == TEXT


@pytest.mark.parametrize("size", [1, 7, 320, 8192])
def test_every_chunking_is_understood(size):
    assert understood(speak(TEXT, 16_000), 16_000, size) == TEXT


@pytest.mark.parametrize("encoding", list(Encoding))
def test_a_telephone_line_is_understood(encoding):
    there = Outlet(16_000, AudioFormat(8_000, encoding))
    wire = there.push(speak(TEXT, 16_000)) + there.flush()
    if encoding is not Encoding.PCM16:
        wire = decoder(encoding)(wire)
    back = Outlet(8_000, AudioFormat(16_000))
    assert understood(back.push(wire) + back.flush(), 16_000) == TEXT


def test_words_lie_where_the_voice_says_they_do():
    ear = Ear(16_000)
    heard = ear.hear(speak(TEXT, 16_000) + bytes(6400))
    for said, word in zip(timings(TEXT), heard, strict=True):
        assert word.text == said.text
        assert abs(word.start_ms - said.start_ms) <= 10
        assert abs(word.end_ms - said.end_ms) <= 10


def test_a_human_voice_is_heard_as_the_script():
    ear = Ear(16_000)
    noise = np.random.default_rng(1).normal(0, 3000, 16_000 * 2).astype("<i2").tobytes()
    words = [word.text for word in ear.hear(noise)]
    assert words
    assert words == list(HUMAN_SCRIPT)[: len(words)]


def test_silence_is_no_word():
    assert Ear(16_000).hear(bytes(32_000)) == []
