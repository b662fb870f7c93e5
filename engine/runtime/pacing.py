"""What has been sent of each run, what of it the peer plays now, and what is to be sent next. Pure arithmetic: no clock, no sound.

`outbound` drives this with the session's clock and real sound, the simulator with virtual time and none.

Rule 1. Sound is sent at most `ahead_ns` before the peer plays it, so that little is lost by a clear.
Rule 2. What the peer plays is estimated from when it was sent. Evidence (an echoed mark, a reported position) corrects the estimate
        by the lag it shows, and nothing is taken as all heard before the evidence says so or is overdue.
Rule 3. A pause or a clear starts a new generation. Marks of an older one say "dropped", never "heard".
Rule 4. Nothing of a cleared run is ever due again.

Positions are samples from the beginning of a run, in the rate of the wire; facts carry them as nanoseconds of sound.
Times are nanoseconds on the session's clock.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from engine.core.events import PlayoutAdvanced, PlayoutDone
from engine.core.units import FRAME_NS, MS, SECOND

PIECE_NS_MAX = 100 * MS
"""The longest piece sent at once to a peer that buffers: a wake-up costs more than its sound. Twilio takes any length."""
ADVANCE_NS = 200 * MS
"""How often progress is told while nothing else happens: about one word."""
MARK_NS = 200 * MS
"""Sound between two marks. Precedent: marks on every small chunk delayed a Twilio stream, one for 100 to 200 ms did not."""
LATE_NS = 60 * MS
"""A peer without a buffer is fed on a fixed beat; a wake-up later than this has left a hole, and the beat starts anew."""
OVERDUE_NS = 1 * SECOND
"""Evidence that comes later than this after the estimate is not waited for."""
STALL_NS = 2 * SECOND
"""Beyond `ahead_ns`, this much unconfirmed sound stops the sending: the peer has stopped playing (a sleeping page)."""
SPANS_KEPT = 32
"""Sent stretches remembered for evidence about them."""


class Piece(NamedTuple):
    """Sound to send now."""

    run: int
    start: int
    samples: int
    first: bool
    """The first sound of its run."""
    probe: str
    """A mark to send before it, or empty."""
    mark: str
    """A mark to send after it, or empty."""


@dataclass(slots=True)
class _Track:
    run: int
    written: int = 0
    sent: int = 0
    reach: int = 0
    """The furthest ever sent."""
    heard: int = 0
    """The furthest position ever estimated or confirmed."""
    confirmed: int = 0
    marked: int = 0
    told: int = 0
    finished: int = -1
    """What was written when the run was last said to be all heard."""
    started: bool = False
    paused: bool = False
    ends: deque[int] = field(default_factory=deque)
    """Chunk ends not yet heard."""


@dataclass(slots=True)
class _Span:
    """Sound of one run that the peer plays without a gap."""

    run: int
    start: int
    end: int
    begins_ns: int
    """When the peer begins to play it, before any lag."""


class Pacer:
    """The account of a call's outgoing sound."""

    def __init__(
        self, rate_hz: int, *, ahead_ns: int, latency_ns: int = 0, marks: bool = False, reports: bool = False
    ) -> None:
        self.rate_hz = rate_hz
        self.piece_ns = max(FRAME_NS, min(PIECE_NS_MAX, ahead_ns // 3) // FRAME_NS * FRAME_NS)
        self.ahead_ns = max(ahead_ns, self.piece_ns)
        self.buffered = ahead_ns > 0
        self.marks = marks
        self.confirms = marks or reports
        self.lag_ns = latency_ns
        """From the time a sample should be played by the sending clock to the time it is known to have been."""
        self.air_ns = latency_ns
        """The part of the lag in which a clear can no longer stop the sample."""
        self.generation = 0
        self.confirming = False
        """The peer has given evidence at least once."""
        self.connected = True
        self._tracks: dict[int, _Track] = {}
        self._queue: list[int] = []
        self._spans: deque[_Span] = deque()
        self._free_ns = 0
        """When the peer will have played all that was sent."""
        self._last = 0
        """The run that last went to the wire."""
        self._told_at = 0
        self._probed_at = 0

    # What is in hand.

    def wrote(self, run: int, samples: int) -> None:
        """More sound of a run is ready to be sent."""
        self._track(run).written += samples

    def chunk_ended(self, run: int) -> None:
        """A chunk's sound ends with what was written last."""
        track = self._track(run)
        track.ends.append(track.written)

    def open(self, run: int) -> None:
        """Let a run be sent, after those opened before it."""
        self._track(run)
        if run not in self._queue:
            self._queue.append(run)

    def written(self, run: int) -> int:
        track = self._tracks.get(run)
        return track.written if track else 0

    def needed_from(self, run: int) -> int:
        """The first sample of a run that a pause may yet ask for: the furthest proven to be heard."""
        track = self._tracks[run]
        return min(track.heard, track.confirmed) if self.confirming else track.heard

    def on_wire(self, run: int) -> bool:
        """Whether the peer may hold unplayed sound of this run."""
        track = self._tracks.get(run)
        return track is not None and track.started and self._last == run

    def forget(self, run: int) -> None:
        """Drop the account of a run."""
        self._tracks.pop(run, None)
        if run in self._queue:
            self._queue.remove(run)

    # What is to be sent.

    def due(self, now: int) -> Piece | None:
        """The next piece that may leave now; it counts as sent."""
        track = self._next()
        if track is None or not self._may_send(track, now):
            return None
        samples = min(track.written - track.sent, self.samples(self.piece_ns))
        begins = self._begin(now)
        probe = self._probe(now, begins)
        start = track.sent
        track.sent += samples
        track.reach = max(track.reach, track.sent)
        self._span(track, start, begins)
        self._free_ns = begins + self.ns(samples)
        first, track.started = not track.started, True
        if first:
            self._told_at = now
        self._last = track.run
        mark = ""
        if self.marks and (track.sent == track.written or track.sent - track.marked >= self.samples(MARK_NS)):
            track.marked = track.sent
            mark = f"{self.generation}.{track.run}.{track.sent}"
        return Piece(track.run, start, samples, first, probe, mark)

    def wake_at(self, now: int) -> int | None:
        """When something is next to be sent or told. None: not before more is written, opened or confirmed."""
        if not self.connected:
            return None
        times = []
        track = self._next()
        if track is not None:
            stalled = self._stalled(track)
            times.append(now + ADVANCE_NS if stalled else self._free_ns + self.piece_ns - self.ahead_ns)
        last = self._tracks.get(self._last)
        if last is not None and not last.paused and last.finished < last.written:
            end = self._free_ns + self.lag_ns
            if end > now:
                told = self._told_at + ADVANCE_NS
                times.append(min(end, told if told > now else now + self.piece_ns))
            elif last.sent == last.written:
                times.append(end + OVERDUE_NS)
        return max(now, min(times)) if times else None

    def _next(self) -> _Track | None:
        for run in self._queue:
            track = self._tracks[run]
            if not track.paused and track.sent < track.written:
                return track
        return None

    def _may_send(self, track: _Track, now: int) -> bool:
        early = self._free_ns + self.piece_ns - now
        return self.connected and early <= self.ahead_ns and not self._stalled(track)

    def _stalled(self, track: _Track) -> bool:
        return self.confirming and track.sent - track.confirmed > self.samples(self.ahead_ns + STALL_NS)

    def _begin(self, now: int) -> int:
        """When the peer will begin to play what is sent now."""
        late = now - self._free_ns
        if late <= 0 or (not self.buffered and late <= LATE_NS and self._free_ns):
            return self._free_ns
        return now

    def _probe(self, now: int, begins: int) -> str:
        """A mark into an empty buffer comes straight back: its travel is what a clear cannot catch."""
        if not self.marks or begins != now or now < self._free_ns + self.lag_ns:
            return ""
        self._probed_at = now
        return f"{self.generation}.probe"

    def _span(self, track: _Track, start: int, begins: int) -> None:
        last = self._spans[-1] if self._spans else None
        if (
            last
            and last.run == track.run
            and last.end == start
            and begins == last.begins_ns + self.ns(start - last.start)
        ):
            last.end = track.sent
            return
        self._spans.append(_Span(track.run, start, track.sent, begins))
        if len(self._spans) > SPANS_KEPT:
            oldest = self._spans.popleft()
            if oldest.run in self._tracks:
                self._tracks[oldest.run].heard = max(self._tracks[oldest.run].heard, oldest.end)

    # What was heard.

    def facts(self, now: int) -> list[PlayoutAdvanced | PlayoutDone]:
        """What is to be told of the ear's progress at this time."""
        told: list[PlayoutAdvanced | PlayoutDone] = []
        for run in self._queue:
            track = self._tracks[run]
            if not track.started or track.paused or track.finished == track.written:
                continue
            track.heard = max(track.heard, self._position(track, now - self.lag_ns))
            crossed = False
            while track.ends and track.ends[0] <= track.heard:
                track.ends.popleft()
                crossed = True
            if track.heard == track.written and self._proven(track, now):
                track.finished = track.written
                track.told = track.heard
                told.append(PlayoutDone(run=run, heard_ns=self.ns(track.heard)))
            elif track.told < track.heard < track.written and (crossed or now - self._told_at >= ADVANCE_NS):
                track.told = track.heard
                self._told_at = now
                told.append(PlayoutAdvanced(run=run, heard_ns=self.ns(track.heard)))
        return told

    def marked(self, name: str, now: int) -> None:
        """The peer echoed a mark."""
        generation, _, rest = name.partition(".")
        if generation != str(self.generation):
            return
        if rest == "probe":
            self.confirming = True
            self.air_ns = now - self._probed_at
            self.lag_ns = max(self.lag_ns, self.air_ns)
            return
        run, _, sample = rest.partition(".")
        if run.isdecimal() and sample.isdecimal():
            self.played(int(run), int(sample), now)

    def played(self, run: int, sample: int, now: int) -> int | None:
        """The peer has played a run up to here. Returns where a paused run must go on from, when that changed."""
        self.confirming = True
        track = self._tracks.get(run)
        if track is None or sample > track.reach:
            return None
        if track.paused:
            track.confirmed = sample
            return sample
        track.confirmed = max(track.confirmed, sample)
        track.heard = max(track.heard, sample)
        for span in self._spans:
            if span.run == run and span.start < sample <= span.end:
                lag = max(0, now - span.begins_ns - self.ns(sample - span.start))
                # Never claim more than was confirmed; believe a shorter lag slowly, for echoes jitter.
                self.lag_ns = lag if lag > self.lag_ns else (3 * self.lag_ns + lag) // 4
                break
        return None

    def _position(self, track: _Track, when: int) -> int:
        """What the peer had played of a run at this time of the sending clock."""
        position = track.heard
        for span in self._spans:
            if span.run == track.run and when > span.begins_ns:
                over = when - span.begins_ns >= self.ns(span.end - span.start)
                position = max(position, span.end if over else span.start + self.samples(when - span.begins_ns))
        return position

    def _proven(self, track: _Track, now: int) -> bool:
        if not self.confirms or track.confirmed >= track.written - self.samples(FRAME_NS):
            return True
        return now >= self._free_ns + self.lag_ns + OVERDUE_NS

    # Silence.

    def pause(self, run: int, now: int) -> int:
        """Fall silent at once. Returns the sample to go on from: the first that the ear will not get."""
        track = self._track(run)
        if not track.paused:
            self._cut(track, now)
            track.paused = True
        return track.sent

    def place(self, run: int, sample: int) -> None:
        """A run that is not being sent goes on from here."""
        track = self._tracks[run]
        track.sent = track.heard = track.told = sample

    def resume(self, run: int) -> None:
        """Go on from where the pause cut."""
        self._track(run).paused = False

    def clear(self, run: int, now: int) -> int:
        """Fall silent at once, for good. Returns how much of the run was heard."""
        heard = self.pause(run, now)
        self.forget(run)
        return heard

    def disconnect(self, now: int) -> dict[int, int]:
        """The wire is gone, with all that was under way on it. Returns where each run goes on."""
        cut = [track for track in self._tracks.values() if track.started and not track.paused]
        for track in cut:
            proven = self.needed_from(track.run)
            self._cut(track, now)
            if self.confirming:
                self.place(track.run, proven)
        self.connected = False
        self._last = 0
        return {track.run: track.sent for track in cut}

    def reconnect(self) -> None:
        """A new wire, with an empty buffer at its end."""
        self.connected = True
        self.confirming = False

    def _cut(self, track: _Track, now: int) -> None:
        heard = self._position(track, now - max(0, self.lag_ns - self.air_ns))
        track.sent = track.heard = track.marked = track.told = heard
        if self._last == track.run:
            self.generation += 1
            self._spans.clear()
            self._free_ns = now

    # Units.

    def ns(self, samples: int) -> int:
        """How long this many samples last. Floors, so that differences of positions add up exactly."""
        return samples * SECOND // self.rate_hz

    def samples(self, ns: int) -> int:
        return ns * self.rate_hz // SECOND

    def _track(self, run: int) -> _Track:
        track = self._tracks.get(run)
        if track is None:
            track = self._tracks[run] = _Track(run)
        return track
