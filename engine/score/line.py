"""A caller's telephone on Twilio Media Streams, with an ear: what a server sends is laid on a timeline as the line plays it.

Rule 1. Sound is played when it comes, after what is already queued, at 8,000 samples a second; a `clear` takes away what has not been
        played. So `heard` holds what the caller heard, sample by sample, however the server paces what it sends.
Rule 2. A mark is echoed when what was sent before it has been played; after a `clear`, at once.
Rule 3. What Twilio would ignore (warning 31951) is ignored, and counted.
Rule 4. Whoever waits for something on the line waits for so long and no longer, and is told when the line closes.

Source: Twilio, Media Streams WebSocket messages (2026).
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

import msgspec
import numpy as np
from msgspec import Struct

from engine import _codec
from engine.core.units import FRAME_NS, SECOND
from engine.load.doors import Way
from engine.load.twilio import Writer
from engine.load.wire import TEXT, Refused, dial
from engine.score.heard import LINE_HZ, WINDOW_SAMPLES, loud_windows, samples_of

FRAME_SAMPLES = LINE_HZ * FRAME_NS // SECOND
QUIET = b"\xff"
BREATH_NS = 800 * SECOND // 1_000
"""Quiet that may lie between two sentences of one speech. Voices pause for 200 to 700 ms."""
HEARD_SECONDS_MAX = 600
"""More than this is never queued on a line: a server that sends without end is cut off."""


class Payload(Struct):
    payload: str


class Name(Struct):
    name: str


class Media(Struct, tag_field="event", tag="media", rename="camel", forbid_unknown_fields=True):
    media: Payload
    stream_sid: str


class Mark(Struct, tag_field="event", tag="mark", rename="camel", forbid_unknown_fields=True):
    mark: Name
    stream_sid: str


class Clear(Struct, tag_field="event", tag="clear", rename="camel", forbid_unknown_fields=True):
    stream_sid: str


class Sink(Protocol):
    """What a line needs of a connection."""

    def send(self, data: bytes) -> None: ...

    def close(self) -> None: ...

    def abort(self) -> None: ...


Dialled = Callable[[str, Mapping[str, str], Callable[[int, bytes], None], Callable[[str], None]], Awaitable[Sink]]
"""(url, headers, what takes each message, what is told why it has closed): see `load.wire.dial`."""

read = msgspec.json.Decoder(Media | Mark | Clear).decode


class Line:
    """One call. `connect` it, `tick` it every 20 ms, then `say`, `until` and listen."""

    def __init__(
        self, way: Way, background: Any, clock: Callable[[], int] = time.monotonic_ns, dialled: Dialled = dial
    ) -> None:
        """background: int16 samples at 8 kHz that lie under the whole call, repeated; empty: digital silence.
        dialled: how the server is reached.
        """
        self._way = way
        self._dialled = dialled
        self._writer = Writer(way.call_sid, way.parameters)
        self._background = background
        self._clock = clock
        self._wire: Sink | None = None
        self._began_ns: int | None = None
        self._frames = 0
        self._speech: Any = np.zeros(0, np.int16)
        self._marks: deque[tuple[int, str]] = deque()
        self._watch: tuple[Callable[[], bool], int, asyncio.Future[bool]] | None = None
        self._windows = 0
        """Looked at so far."""
        self._first_loud = self._last_loud = -1
        """Windows: where the agent's present or last speech began, and where it was last loud."""
        self.closed = ""
        """Why the line has closed. Empty: it has not."""
        self.heard = bytearray()
        """μ-law: what was played, and behind `now` what is queued."""
        self.clears: list[int] = []
        """Samples at which the server ordered silence."""
        self.ignored = 0
        """Messages that Twilio would ignore."""

    async def connect(self) -> None:
        """Raises Refused, OSError, TimeoutError."""
        self._wire = await self._dialled(self._way.url, self._way.headers, self.take, self.lost)
        self._wire.send(self._writer.opening())

    def hang_up(self) -> None:
        self.closed = self.closed or "hung up"
        if self._wire is not None:
            self._wire.send(self._writer.stop())
            self._wire.close()

    # The caller's side.

    @property
    def said_ns(self) -> int:
        """How much of the caller's side has been sent."""
        return self._frames * FRAME_NS

    @property
    def saying(self) -> bool:
        """The caller is still saying what `say` was given."""
        return len(self._speech) > 0

    def say(self, samples: Any) -> int:
        """Say int16 samples at 8 kHz from the next frame on; returns where they begin, in nanoseconds of the call."""
        self._speech = samples
        return self.said_ns

    async def until(self, found: Callable[[], bool], seconds: float) -> bool:
        """Wait until it holds; it is looked at with every frame. False: it did not in this long. Raises Refused when the line closes."""
        if self.closed:
            raise Refused(self.closed)
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._watch = (found, self.said_ns + int(seconds * SECOND), future)
        return await future

    def tick(self, now_ns: int) -> None:
        """20 ms of the call: a frame of the caller's sound, as it leaves when the last of its samples was said."""
        if self.closed:
            return
        if self._began_ns is None:
            self._began_ns = now_ns - FRAME_NS
        frame = self._under(self._frames * FRAME_SAMPLES)
        said = self._speech[:FRAME_SAMPLES]
        frame[: len(said)] += said
        self._speech = self._speech[FRAME_SAMPLES:]
        self._frames += 1
        pcm = np.clip(frame, -32_768, 32_767).astype("<i2").tobytes()
        self._send(self._writer.media(_codec.pcm16_to_ulaw_base64(pcm).encode()))
        now = self.now
        while self._marks and self._marks[0][0] <= now:
            self._send(self._writer.mark(self._marks.popleft()[1]))
        self._listen(now)
        self._look()

    def _under(self, sample: int) -> Any:
        if not len(self._background):
            return np.zeros(FRAME_SAMPLES, np.int32)
        places = np.arange(sample, sample + FRAME_SAMPLES) % len(self._background)
        return self._background[places].astype(np.int32)

    def _look(self) -> None:
        if self._watch is None:
            return
        found, until_ns, future = self._watch
        holds = found()
        if holds or self.said_ns >= until_ns:
            self._watch = None
            if not future.done():
                future.set_result(holds)

    # The agent's side.

    @property
    def now(self) -> int:
        """Samples of the call so far."""
        if self._began_ns is None:
            return 0
        return (self._clock() - self._began_ns) * LINE_HZ // SECOND

    @property
    def speech_began(self) -> int | None:
        """The sample at which the agent's present speech began. None: it is not speaking; pauses of a breath are part of a speech."""
        return self._first_loud * WINDOW_SAMPLES if self._last_loud >= 0 and self.quiet_ns < BREATH_NS else None

    @property
    def speech_ended(self) -> int:
        """The sample at which it was last loud. Below 0: it has never been."""
        return (self._last_loud + 1) * WINDOW_SAMPLES if self._last_loud >= 0 else -1

    @property
    def quiet_ns(self) -> int:
        """How long the agent has been quiet, as the line plays it."""
        return (self._windows - self._last_loud - 1) * WINDOW_SAMPLES * SECOND // LINE_HZ

    def _listen(self, now: int) -> None:
        """Look at what was played since the last look."""
        whole = now // WINDOW_SAMPLES
        start = self._windows * WINDOW_SAMPLES
        played = bytes(self.heard[start : whole * WINDOW_SAMPLES]).ljust(whole * WINDOW_SAMPLES - start, QUIET)
        for window in np.flatnonzero(loud_windows(samples_of(played))) + self._windows:
            if self._last_loud < 0 or (window - self._last_loud) * WINDOW_SAMPLES * SECOND // LINE_HZ > BREATH_NS:
                self._first_loud = int(window)
            self._last_loud = int(window)
        self._windows = whole

    # What the server sends.

    def take(self, opcode: int, payload: bytes) -> None:
        """One message."""
        try:
            message = read(payload)
            fits = opcode == TEXT and message.stream_sid == self._writer.stream_sid
            sound = _codec.from_base64(message.media.payload) if isinstance(message, Media) else b""
        except ValueError:
            fits = False
        if not fits:
            self.ignored += 1
        elif isinstance(message, Media):
            self._queue(sound)
        elif isinstance(message, Mark):
            self._marks.append((len(self.heard), message.mark.name))
        else:
            self._clear()

    def lost(self, reason: str) -> None:
        """The connection has closed."""
        self.closed = self.closed or reason
        if self._watch is not None and not self._watch[2].done():
            self._watch[2].set_exception(Refused(self.closed))
        self._watch = None

    def _queue(self, sound: bytes) -> None:
        now = self.now
        if len(self.heard) < now:
            self.heard += QUIET * (now - len(self.heard))
        self.heard += sound
        if len(self.heard) - now > HEARD_SECONDS_MAX * LINE_HZ and self._wire is not None:
            self.closed = "the server sent more than can be played in ten minutes"
            self._wire.abort()

    def _clear(self) -> None:
        now = self.now
        self.clears.append(now)
        del self.heard[now:]
        while self._marks:
            self._send(self._writer.mark(self._marks.popleft()[1]))

    def _send(self, data: bytes) -> None:
        if self._wire is not None:
            self._wire.send(data)
