"""The sound of a call beside its journal: a stereo WAV, the caller on the left, what was heard of the agent on the right.

It runs with the session's clock from its first moment, so that a time in the journal is a place in the file. The agent's sound is
written where it was heard, as the playout facts tell: what was sent and then taken back is not in it. An observer that is told the
sound too; it decides nothing and never raises.
"""

import contextlib
import os
import wave
from array import array
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from engine.core.commands import Commands, ResumePlayout
from engine.core.events import Event, PlayoutAdvanced, PlayoutCleared, PlayoutDone, PlayoutPaused, TransportResumed
from engine.core.state import State
from engine.core.units import ENGINE_HZ, SECOND
from engine.errors import JournalError
from engine.replay.sheet import Scribe

HEADER_BYTES = 44
WINDOW_SAMPLES = 5 * ENGINE_HZ
"""Kept in memory before it is written: what was heard is told up to a second later, by peers that confirm."""
FLUSH_SAMPLES = ENGINE_HZ
JOIN_SAMPLES = ENGINE_HZ // 5
"""Pieces of a run told this close to one another are one sound without a gap."""
PENDING_BYTES_MAX = 16 * 1024 * 1024
FILE_BYTES_MAX = 2**32 - 2 * HEADER_BYTES
"""What a WAV can hold: 18 hours."""


class Converter(Protocol):
    """Brings a run's sound to the file's rate, piece by piece."""

    def push(self, pcm: bytes) -> bytes: ...


class Tape:
    """The file: pieces of sound, written by a scribe, with a header that is right at every moment."""

    def __init__(self, path: Path, scribe: Scribe | None = None) -> None:
        """Raises OSError if the file cannot be made."""
        self.path = path
        self.failure = ""
        self._scribe = scribe
        self._pieces: deque[bytes] = deque()
        self._pending = 0
        self._written = 0
        self._closed = False
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        os.write(self._file, _header(0))
        if scribe:
            scribe.take(self)

    def write(self, piece: bytes) -> None:
        """Take stereo samples. What a hanging disk leaves no room for is not kept."""
        taken = self._pending
        if taken - self._written > PENDING_BYTES_MAX or taken > FILE_BYTES_MAX:
            self.failure = self.failure or "the disk is too slow, or the file too long"
        if not self.failure:
            self._pending += len(piece)
            self._pieces.append(piece)
        if self._scribe is None:
            self.flush()

    def close(self) -> None:
        self._closed = True
        if self._scribe is None:
            self.flush()

    def flush(self) -> bool:
        """Write what was taken. Returns whether the file stays open."""
        closed = self._closed
        data = b"".join(self._pieces.popleft() for _ in range(len(self._pieces)))
        if data and not self.failure:
            try:
                os.pwrite(self._file, data, HEADER_BYTES + self._written)
                self._written += len(data)
                os.pwrite(self._file, _header(self._written), 0)
            except OSError as error:
                self.failure = error.strerror or "a write failed"
        if closed:
            with contextlib.suppress(OSError):
                os.close(self._file)
        return not closed


def _header(data_bytes: int) -> bytes:
    """RIFF, format 1 (PCM), 2 channels of 16 bits, 16 kHz."""
    numbers = ((16, 4), (1, 2), (2, 2), (ENGINE_HZ, 4), (4 * ENGINE_HZ, 4), (4, 2), (16, 2))
    form = b"".join(number.to_bytes(size, "little") for number, size in numbers)
    size = (36 + data_bytes).to_bytes(4, "little")
    return b"RIFF" + size + b"WAVEfmt " + form + b"data" + data_bytes.to_bytes(4, "little")


@contextlib.contextmanager
def opened(path: Path) -> Iterator[wave.Wave_read]:
    """The sound of a call, to be read: two channels of 16 bits, the caller's first.

    Raises OSError, JournalError for a file that is not what a recorder wrote.
    """
    try:
        with wave.open(str(path), "rb") as file:
            if (file.getnchannels(), file.getsampwidth()) != (2, 2):
                raise JournalError(f"{path} is not the sound of a call: two channels of 16 bits")
            yield file
    except (wave.Error, EOFError) as error:
        raise JournalError(f"{path} is not the sound of a call: {str(error) or 'it ends in its header'}") from None


class _Run:
    """What was sent of one run, as far as it was not heard yet."""

    def __init__(self, converter: Converter, first: int) -> None:
        self.converter = converter
        self.first = first
        """The sample, in the wire's rate, with which `pcm` begins."""
        self.pcm = bytearray()
        self.end: int | None = None
        """Where in the file its last piece ended."""
        self.paused = False


class SoundRecorder:
    """Records one call's sound. An observer; `begin`, `caller` and `agent` are its taps."""

    def __init__(self, tape: Tape, converter: Callable[[int], Converter]) -> None:
        """converter: for a rate in hertz, what brings PCM16 of that rate to 16 kHz."""
        self._tape = tape
        self._converter = converter
        self._rate_hz = ENGINE_HZ
        self._runs: dict[int, _Run] = {}
        self._first = 0
        """The sample of the file with which the window begins."""
        self._caller = 0
        """Where the caller's sound ends. It falls behind the clock while the line jitters, and catches up in its own place."""
        self._now = 0
        self._window = array("h")

    # The taps.

    def begin(self, rate_hz: int) -> None:
        """The wire's rate, before any sound."""
        self._rate_hz = rate_hz

    def caller(self, frame: bytes) -> None:
        """Some of the caller's sound: PCM16 at 16 kHz."""
        self._place(0, self._caller, frame)
        self._caller += len(frame) // 2
        self._turn_over()

    def agent(self, run: int, start: int, pcm: bytes) -> None:
        """Sound of a run that leaves for the caller: PCM16 in the wire's rate, from this sample of the run on."""
        sent = self._runs.get(run)
        if sent is None:
            sent = self._runs[run] = _Run(self._converter(self._rate_hz), start)
        place = 2 * (start - sent.first)
        if place >= 0:
            sent.pcm[place:] = pcm

    # The observer.

    def __call__(self, event: Event, before: State, after: State, commands: Commands) -> None:
        """Follow the clock and the ear."""
        self._now = now = after.at * ENGINE_HZ // SECOND
        if isinstance(event, TransportResumed):
            self._caller = max(self._caller, now)
        self._turn_over()
        if isinstance(event, PlayoutAdvanced | PlayoutPaused | PlayoutDone | PlayoutCleared):
            self._hear(event, now)
            if isinstance(event, PlayoutDone | PlayoutCleared):
                self._runs.pop(event.run, None)
        for command in commands:
            if isinstance(command, ResumePlayout) and command.run in self._runs:
                self._runs[command.run].paused = False

    def close(self) -> None:
        """Write what is left."""
        self._tape.write(self._window.tobytes())
        self._window = array("h")
        self._tape.close()

    def _hear(self, event: PlayoutAdvanced | PlayoutPaused | PlayoutDone | PlayoutCleared, now: int) -> None:
        """So much of a run has been heard by now: its new part ends here. What a pause was late for was heard before it."""
        sent = self._runs.get(event.run)
        if sent is None:
            return
        was_paused, sent.paused = sent.paused, isinstance(event, PlayoutPaused)
        size = 2 * (event.heard_ns * self._rate_hz // SECOND - sent.first)
        piece = bytes(sent.pcm[: max(size, 0)])
        if not piece:
            return
        del sent.pcm[: len(piece)]
        sent.first += len(piece) // 2
        sound = sent.converter.push(piece)
        start = now - len(sound) // 2
        late = was_paused and isinstance(event, PlayoutCleared)
        if sent.end is not None and (late or abs(start - sent.end) < JOIN_SAMPLES):
            start = sent.end
        self._place(1, start, sound)
        sent.end = start + len(sound) // 2

    # The window.

    def _place(self, channel: int, start: int, sound: bytes) -> None:
        """Put sound of one channel at a sample of the file; what lies before the window comes too late."""
        late = max(0, self._first - start)
        sound = sound[2 * late :]
        if not sound:
            return
        at = start + late - self._first
        short = 2 * (at + len(sound) // 2) - len(self._window)
        if short > 0:
            self._window.frombytes(bytes(2 * short))
        self._window[2 * at + channel : 2 * at + len(sound) + channel : 2] = array("h", sound)

    def _turn_over(self) -> None:
        """Write what nobody will add to any more."""
        while max(self._caller, self._now) - self._first > WINDOW_SAMPLES + FLUSH_SAMPLES:
            short = 2 * FLUSH_SAMPLES - len(self._window)
            if short > 0:
                self._window.frombytes(bytes(2 * short))
            self._tape.write(self._window[: 2 * FLUSH_SAMPLES].tobytes())
            del self._window[: 2 * FLUSH_SAMPLES]
            self._first += FLUSH_SAMPLES
