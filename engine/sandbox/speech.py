"""Speech that a machine can follow for certain: every letter is a chirp, so what was said can be read off the sound.

A simulated voice speaks it and a simulated recogniser hears it, through any codec and resampler between them. A lost, repeated or
garbled stretch of sound is therefore seen in the words. A human voice is no chirp: it is heard as words of a fixed script.
"""

import numpy as np
from msgspec import Struct

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789'.,?!-"
TONE_HZ_FIRST, TONE_HZ_STEP = 500, 66
"""The last letter lies at 3,206 Hz, inside a telephone's band."""
TONE_MS, GAP_MS, SPACE_MS = 30, 15, 60
"""A letter, the quiet after it, and the quiet between words: 22 letters a second, as fast as people read aloud."""
AMPLITUDE = 8_000
WINDOW_MS = 5
QUIET_RMS = 400
"""Below it is silence: a line's noise and a filter's ringing stay under 200."""
HUMAN_MS = 60
"""Sound that lasts longer without a break is no chirp."""
HUMAN_WORD_MS = 300
HUMAN_SCRIPT = ("could", "you", "tell", "me", "about", "your", "opening", "hours", "please")


class Word(Struct, frozen=True, gc=False):
    """A word and where it lies in the sound."""

    text: str
    start_ms: int
    end_ms: int


def letters(text: str) -> str:
    """What of a word can be chirped."""
    return "".join(letter for letter in text.lower() if letter in LETTERS)


def speak(text: str, rate_hz: int) -> bytes:
    """The text as chirps: PCM16, one channel. The words of `timings` lie in it."""
    gap = np.zeros(rate_hz * GAP_MS // 1000)
    space = np.zeros(rate_hz * (SPACE_MS - GAP_MS) // 1000)
    at = np.arange(rate_hz * TONE_MS // 1000)
    pieces: list[np.ndarray] = []
    for word in text.split():
        for letter in letters(word):
            hz = TONE_HZ_FIRST + TONE_HZ_STEP * LETTERS.index(letter)
            pieces += [AMPLITUDE * np.sin(2 * np.pi * hz * at / rate_hz), gap]
        pieces.append(space)
    return np.concatenate(pieces).astype("<i2").tobytes() if pieces else b""


def timings(text: str) -> list[Word]:
    """Where the words of `speak(text)` lie."""
    words, at = [], 0
    for word in text.split():
        end = at + len(letters(word)) * (TONE_MS + GAP_MS)
        words.append(Word(word, at, end - GAP_MS if end > at else at))
        at = end + SPACE_MS - GAP_MS
    return words


class Ear:
    """Follows a stream of chirps. Any chunk size; an odd byte is kept."""

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._window_bytes = 2 * (rate_hz * WINDOW_MS // 1000)
        self._rest = b""
        self._burst: list[np.ndarray] = []
        self._word = ""
        self._word_ms = 0
        self._human_ms = 0
        self._human_words = 0
        self.heard_ms = 0
        """How much sound came in."""
        self.quiet_ms = 0
        """Since the last letter ended."""

    @property
    def speaking(self) -> bool:
        """In the middle of a word."""
        return bool(self._burst or self._word)

    def hear(self, pcm: bytes) -> list[Word]:
        """Take some sound, PCM16; returns the words it completes."""
        data = self._rest + pcm
        whole = len(data) - len(data) % self._window_bytes
        self._rest = data[whole:]
        words = []
        for window in np.frombuffer(data[:whole], "<i2").astype(float).reshape(-1, self._window_bytes // 2):
            self.heard_ms += WINDOW_MS
            loud = float(np.sqrt(np.mean(window**2))) > QUIET_RMS
            word = self._take_sound(window) if loud else self._take_silence()
            if word:
                words.append(word)
        return words

    def _take_sound(self, window: np.ndarray) -> Word | None:
        self.quiet_ms = 0
        if not self._word and not self._burst:
            self._word_ms = self.heard_ms - WINDOW_MS
        self._burst.append(window)
        if len(self._burst) * WINDOW_MS <= HUMAN_MS:
            return None
        self._human_ms += WINDOW_MS
        if self._human_ms < HUMAN_WORD_MS:
            return None
        self._human_ms = 0
        text = HUMAN_SCRIPT[self._human_words % len(HUMAN_SCRIPT)]
        self._human_words += 1
        return Word(text, self.heard_ms - HUMAN_WORD_MS, self.heard_ms)

    def _take_silence(self) -> Word | None:
        self.quiet_ms += WINDOW_MS
        if self._burst:
            if 3 <= len(self._burst) <= HUMAN_MS // WINDOW_MS:
                self._word += self._letter(np.concatenate(self._burst))
            self._burst.clear()
        if not self._word or self.quiet_ms <= GAP_MS + 2 * WINDOW_MS:
            return None
        word = Word(self._word, self._word_ms, self.heard_ms - self.quiet_ms)
        self._word = ""
        return word

    def _letter(self, tone: np.ndarray) -> str:
        size = 4096
        hz = float(np.argmax(np.abs(np.fft.rfft(tone, size)))) * self._rate_hz / size
        number = round((hz - TONE_HZ_FIRST) / TONE_HZ_STEP)
        return LETTERS[number] if 0 <= number < len(LETTERS) else ""
