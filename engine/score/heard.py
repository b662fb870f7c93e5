"""What can be told of an agent from its sound alone: when it was loud, and where in a known speech it was.

An agent that can only be heard shows neither its runs nor its decisions. Where it says the same in every call, though, one call tells
how its speech goes when nobody disturbs it; by that recording, each later sound is the old speech (and which part of it) or something
else. That is how going on without loss is told from beginning anew, and a breath from giving way.
"""

from typing import Any

import numpy as np
from msgspec import Struct

from engine import _codec

LINE_HZ = 8_000
WINDOW_SAMPLES = 40
"""5 ms: what is told is told this exactly."""
LOUD_RMS = 100
"""-50 dBFS. Comfort noise lies near -60, the softest parts of a telephone's speech near -40."""
GAP_SAMPLES = 150 * LINE_HZ // 1_000
"""Quiet shorter than this lies inside a piece of speech: between words, at a stop consonant."""
LIKE = 0.8
"""Pieces of sound that are alike this much are the same. μ-law and resamplers leave 0.95; another place of a tune of few notes may give 0.7."""
MATCH_SAMPLES = 600 * LINE_HZ // 1_000
"""As much of a piece is compared."""
MATCH_SAMPLES_MIN = 50 * LINE_HZ // 1_000
EDGE_SAMPLES = 20 * LINE_HZ // 1_000
"""Where a piece begins and ends is told this exactly: engines fade in and out."""
BACK_SAMPLES, AHEAD_SAMPLES = 2 * LINE_HZ, 4 * LINE_HZ
"""Where else in the speech a piece may come from: repeated, or jumped ahead."""
SLACK_SAMPLES = 150 * LINE_HZ // 1_000
"""A gap that is this much longer than the speech's own is none of its own; shorter ones are sound that came late."""
DEAD_SAMPLES = 2 * LINE_HZ // 1_000
"""Nothing at all for this long is no part of a wave."""
BREATH_SAMPLES = 600 * LINE_HZ // 1_000
"""Where the speech is not known: a longer gap is no breath."""


class Piece(Struct, frozen=True):
    """A stretch of sound, in samples of the call."""

    start: int
    end: int


class Heard(Struct, frozen=True, kw_only=True):
    """What became of the agent's speech. Samples of the call."""

    stopped: int | None = None
    """Where it fell silent: for good, or else for the first time."""
    lost: bool = False
    """It did not go on."""
    resumed: int | None = None
    """Where it went on."""
    missing: int = 0
    """Samples of it that were never played although it went on."""
    returned: int = 0
    """Samples of it that were played after it had fallen silent."""
    over: bool = False
    """It came to its own end."""
    known: bool = True
    """It was the speech that is known. False: pieces of it were told from others by time alone."""


def samples_of(ulaw: bytes) -> Any:
    return np.frombuffer(_codec.ulaw_to_pcm16(ulaw), np.int16).astype(np.float64)


def loud_windows(samples: Any) -> Any:
    """For each whole window, whether it is loud."""
    windows = samples[: len(samples) // WINDOW_SAMPLES * WINDOW_SAMPLES].reshape(-1, WINDOW_SAMPLES)
    return np.sqrt(np.mean(windows**2, axis=1)) > LOUD_RMS


def pieces(sound: Any, first: int) -> list[Piece]:
    """The loud stretches from this sample on, gaps inside them closed."""
    found: list[Piece] = []
    for window in np.flatnonzero(loud_windows(sound[first:])):
        start = first + int(window) * WINDOW_SAMPLES
        if found and start - found[-1].end < GAP_SAMPLES:
            found[-1] = Piece(found[-1].start, start + WINDOW_SAMPLES)
        else:
            found.append(Piece(start, start + WINDOW_SAMPLES))
    return found


def place(speech: Any, part: Any, first: int, last: int) -> int | None:
    """Where in the speech, beginning between these two samples, the part comes from. None: nowhere."""
    first = max(0, first)
    around = speech[first : max(first, last) + len(part)]
    if len(part) < MATCH_SAMPLES_MIN or len(around) < len(part):
        return None
    size = 1 << (len(around) + len(part)).bit_length()
    products = np.fft.irfft(np.fft.rfft(around, size) * np.conj(np.fft.rfft(part, size)), size)
    energies = np.concatenate([[0.0], np.cumsum(around**2)])
    places = len(around) - len(part) + 1
    energy = energies[len(part) : len(part) + places] - energies[:places]
    alike = products[:places] / np.sqrt(np.maximum(energy, 1.0) * np.sum(part**2))
    best = int(np.argmax(alike))
    return first + best if alike[best] >= LIKE else None


class Squeezed:
    """Sound without its dead moments: where a server sent too late the line plays nothing, and what follows is still the same speech."""

    def __init__(self, sound: Any) -> None:
        edges = np.flatnonzero(np.diff(np.concatenate([[0], sound == 0, [0]])))
        alive = np.ones(len(sound), bool)
        for start, end in zip(edges[::2], edges[1::2], strict=True):
            alive[start:end] = end - start < DEAD_SAMPLES
        self.places = np.flatnonzero(alive)
        """Where each of its samples was."""
        self.sound = sound[self.places]

    def index(self, sample: int) -> int:
        """Of the first sample that was not before this one."""
        return int(np.searchsorted(self.places, sample))

    def part(self, start: int, end: int) -> Any:
        return self.sound[self.index(start) : self.index(end)]

    def apart(self, first: int, second: int) -> int:
        """Samples that lay between two of it, dead ones too."""
        return int(self.places[second] - self.places[first - 1]) if 0 < first <= second < len(self.places) else 0


def follow(heard: bytes, began: int, onset: int, speech: Any, until: int | None = None) -> Heard:
    """What became of the agent's speech, which began at one sample and was spoken into at another.

    heard: μ-law, the whole call. speech: the same speech undisturbed, from its first loud sample. until: silence that begins after this
    sample and passes has nothing to do with the caller; None: any has.
    """
    sound = samples_of(heard)
    found = [piece for piece in pieces(sound, began) if piece.end - piece.start >= MATCH_SAMPLES_MIN]
    index = max((number for number, piece in enumerate(found) if piece.start <= onset), default=0)
    if not found:
        return Heard(known=False)
    here, played, known = found[index], Squeezed(sound), Squeezed(speech)
    middle = min(onset, here.end)
    first = max(here.start, middle - MATCH_SAMPLES)
    expected = played.index(first) - played.index(began)
    part = played.part(first, min(here.end, max(middle, first + MATCH_SAMPLES)))
    at = place(known.sound, part, expected - BACK_SAMPLES, expected + BACK_SAMPLES)
    if at is None:
        return _by_time(heard, found[index:])
    return _by_place(found[index:], played, known, at + len(played.part(first, here.end)), len(sound), until)


def _by_place(
    found: list[Piece], played: Squeezed, known: Squeezed, reached: int, now: int, until: int | None
) -> Heard:
    """reached: the place in the known speech, squeezed, at which the first piece ends. now: samples of the call."""
    end, stopped, resumed, missing, returned = found[0].end, None, None, 0, 0
    for piece in found[1:]:
        part = played.part(piece.start, min(piece.end, piece.start + MATCH_SAMPLES))
        at = place(known.sound, part, reached - BACK_SAMPLES, reached + AHEAD_SAMPLES)
        if at is None:
            break
        if piece.start - end - known.apart(reached, at) > SLACK_SAMPLES and (until is None or end <= until):
            stopped, resumed = (end if stopped is None else stopped), piece.start
        if stopped is not None:
            returned += piece.end - piece.start
        if at - reached > EDGE_SAMPLES:
            missing += int(np.sum(np.abs(known.sound[reached:at]) > LOUD_RMS))
        end, reached = piece.end, at + len(played.part(piece.start, piece.end))
    over = len(known.sound) - reached < SLACK_SAMPLES
    lost = not over and now - end > GAP_SAMPLES
    return Heard(
        stopped=end if lost else stopped,
        lost=lost,
        resumed=None if lost else resumed,
        missing=missing,
        returned=returned,
        over=over,
    )


def _by_time(heard: bytes, found: list[Piece]) -> Heard:
    """The speech is not known: a gap that is no breath is a giving way, and what follows it another speech."""
    end = found[0].end
    for piece in found[1:]:
        if piece.start - end > BREATH_SAMPLES:
            return Heard(stopped=end, lost=True, known=False)
        end = piece.end
    lost = len(heard) - end > BREATH_SAMPLES
    return Heard(stopped=end if lost else None, lost=lost, known=False)
