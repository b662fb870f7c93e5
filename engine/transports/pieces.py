"""Sound that waits to be taken in frames: of which run each sample is, and where in it. For transports that keep their own beat."""

from collections import deque
from typing import NamedTuple


class Piece(NamedTuple):
    """Sound of a run, PCM16, from a place in it."""

    run: int
    start: int
    sound: bytes

    @property
    def end(self) -> int:
        return self.start + len(self.sound) // 2


class Pieces:
    """A bounded queue."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._queue: deque[Piece] = deque()
        self._bytes = 0

    def put(self, run: int, start: int, sound: bytes) -> None:
        """Queue sound. What would overflow is dropped: nobody takes from the other end any more."""
        if self._bytes + len(sound) <= self._bytes_max:
            self._queue.append(Piece(run, start, sound))
            self._bytes += len(sound)

    def clear(self, run: int) -> None:
        """Drop what waits of this run and older ones."""
        self._queue = deque(piece for piece in self._queue if piece.run > run)
        self._bytes = sum(len(piece.sound) for piece in self._queue)

    def take(self, size_bytes: int) -> tuple[bytes, dict[int, int]]:
        """The next sound, filled up with silence, and where in each run it ends. Empty sound: nothing waits."""
        taken: list[bytes] = []
        ends: dict[int, int] = {}
        room = size_bytes
        while self._queue and room:
            piece = self._queue.popleft()
            if len(piece.sound) > room:
                self._queue.appendleft(Piece(piece.run, piece.start + room // 2, piece.sound[room:]))
                piece = Piece(piece.run, piece.start, piece.sound[:room])
            taken.append(piece.sound)
            room -= len(piece.sound)
            self._bytes -= len(piece.sound)
            ends[piece.run] = piece.end
        return (b"".join(taken) + bytes(room) if taken else b""), ends
