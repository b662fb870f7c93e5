import asyncio
from contextlib import aclosing, asynccontextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from engine.adapters.base import SpeechRequest
from engine.adapters.espeak import TEXT_CHARS, Espeak, EspeakOptions
from engine.core.events import TTSWords
from engine.core.units import MS, SECOND
from engine.errors import AdapterError, ConfigError, FailureKind

pytestmark = pytest.mark.anyio
WATCHDOG_S = 20
LONG = "The quick brown fox jumps over the lazy dog, and then it does so again. " * 12


@asynccontextmanager
async def started(**options):
    provider = Espeak(EspeakOptions(**options))
    async with asyncio.timeout(WATCHDOG_S):
        await provider.start()
        try:
            yield provider
        finally:
            await provider.stop()


async def say(provider, text, *, run=1, chunk=1):
    """(samples, words) of a text."""
    sound, words = b"", []
    async for piece in provider.voice().speak(SpeechRequest(run=run, chunk=chunk, text=text)):
        if isinstance(piece, TTSWords):
            assert (piece.run, piece.chunk) == (run, chunk)
            words += piece.words
        else:
            assert len(piece) % 2 == 0
            sound += piece
    return np.frombuffer(sound, np.int16).astype(float), words


def loaded():
    """The files mapped into this process."""
    return Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()


def levels(samples):
    """How loud each 10 ms are."""
    return np.abs(samples[: len(samples) // 220 * 220].reshape(-1, 220)).mean(axis=1)


def ends(text, words):
    """What has been said by the end of each word."""
    return [text[: word.end_char] for word in words]


async def test_it_speaks_at_a_natural_pace_and_level():
    async with started() as provider:
        samples, _ = await say(provider, "Your appointment is on Monday, November thirtieth, at ten twenty.")
        rate_hz = provider.voice().rate_hz
    seconds = len(samples) / rate_hz
    assert 3 < seconds < 6
    assert 1_500 < np.sqrt(np.mean(samples**2)) < 5_000
    assert np.abs(samples).max() < 32_767


async def test_sound_comes_in_pieces_long_before_all_is_made():
    async with started() as provider:
        pieces = [
            p async for p in provider.voice().speak(SpeechRequest(run=1, chunk=1, text=LONG)) if isinstance(p, bytes)
        ]
    assert len(pieces) > 50
    assert max(map(len, pieces)) < 2 * 22_050


@pytest.mark.parametrize(
    ("text", "heard"),
    [
        ("Hello there.", ["Hello", "Hello there."]),
        ("It's 10:30 now", ["It's", "It's 10:30", "It's 10:30 now"]),
        ("Call Dr. Smith, please!", ["Call", "Call Dr.", "Call Dr. Smith,", "Call Dr. Smith, please!"]),
        ("Ünïcode café naïve", ["Ünïcode", "Ünïcode café", "Ünïcode café naïve"]),
        ("2026-11-24", ["2026-11-24"]),
        ("one - two", ["one", "one -", "one - two"]),
        ("  spaced   out  ", ["  spaced", "  spaced   out"]),
    ],
)
async def test_every_word_has_its_end(text, heard):
    async with started() as provider:
        _, words = await say(provider, text)
    told = ends(text, words)
    assert told[-1] == heard[-1]
    assert set(heard) >= set(told)


async def test_word_times_run_forward_and_lie_within_the_sound():
    async with started() as provider:
        samples, words = await say(provider, LONG[:300])
    for before, after in pairwise(words):
        assert before.end_char < after.end_char
        assert before.end_ns < after.end_ns
    assert words[-1].end_ns <= len(samples) * SECOND // 22_050


async def test_a_word_ends_where_its_sound_ends_and_not_where_the_next_begins():
    async with started() as provider:
        samples, words = await say(provider, "Yes. No.")
    end = (words[0].end_ns + 5 * MS) * 22_050 // SECOND
    assert np.abs(samples[end : end + 2_000]).max() < 400, "the pause of the full stop follows"


@pytest.mark.parametrize(
    ("text", "gap_ms"),
    [("Yes.", 220), ("Really?", 220), ('"Yes."', 220), ("Well,", 100), ("and then", 0), ("", 0), ("...", 220)],
)
async def test_the_silence_after_a_text_follows_its_punctuation(text, gap_ms):
    async with started() as provider:
        samples, _ = await say(provider, text)
    loud = np.flatnonzero(np.abs(samples) > 100)
    last = loud[-1] + 1 if len(loud) else 0
    assert gap_ms - 30 <= 1_000 * (len(samples) - last) / 22_050 <= gap_ms + 60


async def test_a_text_nobody_wants_any_more_is_not_spoken_to_its_end():
    async with started() as provider:
        voice = provider.voice()
        async with aclosing(voice.speak(SpeechRequest(run=1, chunk=1, text=LONG))) as speech:
            await anext(speech)
        samples, _ = await say(provider, "Next.", run=2)
    assert len(samples) < 22_050 * 2


async def test_calls_share_the_voice_and_get_their_own_sound():
    async with started() as provider:
        alone, _ = await say(provider, "Goodbye.")
        results = await asyncio.gather(
            *(
                say(provider, text, run=run, chunk=run)
                for run, text in enumerate([LONG, "Goodbye.", "Hello.", "Goodbye."], 1)
            )
        )
    assert len(results[0][0]) > len(alone)
    for again in (results[1][0], results[3][0]):
        assert len(again) == pytest.approx(len(alone), rel=0.05)
        assert np.corrcoef(levels(again)[:30], levels(alone)[:30])[0, 1] > 0.9


async def test_a_text_beyond_all_measure_is_rejected():
    async with started() as provider:
        with pytest.raises(AdapterError) as caught:
            await say(provider, "x" * (TEXT_CHARS + 1))
    assert caught.value.kind is FailureKind.REJECTED


async def test_a_text_is_never_taken_for_markup():
    async with started() as provider:
        plain, _ = await say(provider, "a b")
        marked, _ = await say(provider, "a <break time='10s'/> b \0 [[h@l'oU]]")
    assert len(plain) < len(marked) < 22_050 * 10


async def test_the_rate_is_words_a_minute():
    text = LONG[:200]
    async with started(rate=120) as slow, started(rate=240) as fast:
        assert len((await say(slow, text))[0]) > 1.6 * len((await say(fast, text))[0])


async def test_an_unknown_voice_is_named_at_start():
    with pytest.raises(ConfigError, match=r"espeak\.voice: there is no voice 'martian'"):
        async with started(voice="martian"):
            pass


async def test_the_library_is_never_loaded_in_this_process():
    async with started() as provider:
        await say(provider, "Hello.")
    assert not any("espeak-ng.so" in line for line in loaded())


async def test_silence_of_the_first_piece_is_short():
    async with started() as provider:
        samples, _ = await say(provider, "Hello.")
    assert np.flatnonzero(np.abs(samples) > 100)[0] < 40 * MS * 22_050 // SECOND
