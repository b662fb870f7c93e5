"""What simulated synthesizers share: a text as pieces of sound with the words that lie in them."""

from collections.abc import Iterator

from msgspec import Struct

from engine.sandbox.speech import Word, speak, timings

PIECE_MS = 200
MP3 = b"\xff\xfb\x90\x64" + bytes(412)
"""The beginning of a sound in another format than was agreed."""


class Piece(Struct, frozen=True):
    """Some sound and the words that begin in it."""

    sound: bytes
    words: tuple[Word, ...]
    start_ms: int


def pieces(text: str, rate_hz: int, piece_ms: int = PIECE_MS) -> Iterator[Piece]:
    """A text as a synthesizer streams it."""
    sound, words = speak(text, rate_hz), timings(text)
    size = 2 * (rate_hz * piece_ms // 1000)
    for at in range(0, len(sound), size):
        start_ms = at * piece_ms // size
        inside = tuple(word for word in words if start_ms <= word.start_ms < start_ms + piece_ms)
        yield Piece(sound[at : at + size], inside, start_ms)
