"""The agent's sound on its way to the ear: gathered by run, paced, and taken back when the caller speaks.

`pacing` says what may leave and what was heard; here the sound itself is kept, converted and sent. Sound stays in the ring until
well after it was heard, so that a pause loses nothing.

Rule 1. Every piece that leaves carries its run. Nothing of a cleared run ever leaves again.
Rule 2. A pause or a clear reaches the wire in the callback that asked for it.
Rule 3. When the ring is full the writer waits; nothing is dropped.
Rule 4. One timer while sound is under way, none otherwise.
"""

import asyncio
from collections.abc import Callable

from engine import audio
from engine._codec import Playout, Resampler
from engine.core.events import Fact, PlayoutCleared, PlayoutPaused, PlayoutStarted
from engine.core.units import LIMITS, MS, SECOND
from engine.runtime.pacing import Pacer
from engine.transports.base import Transport

KEPT_NS = 500 * MS
"""Heard sound kept behind the ear, for a peer whose report shows that the estimate was ahead of it."""


def _nothing(fact: Fact) -> None:
    """Who is told when the call is over."""


def _for_ever() -> int:
    """When everything has had its time."""
    return 2**62


class Outbound:
    """One call's way out."""

    def __init__(
        self,
        transport: Transport,
        post: Callable[[Fact], None],
        now: Callable[[], int],
        loop: asyncio.AbstractEventLoop,
        late: Callable[[int], None] | None = None,
    ) -> None:
        """late: told, at each turn of the pump, by how many nanoseconds it came too late."""
        capabilities = transport.capabilities
        sound = audio.checked(capabilities.outbound)
        self.rate_hz = sound.rate_hz
        self.tap: Callable[[int, int, bytes], None] | None = None
        """Told every piece that leaves (its run, its first sample in the run, PCM16 in the wire's rate), to record it."""
        self._transport = transport
        self._post = post
        self._now = now
        self._loop = loop
        self._late = late
        self._encode = audio.encoder(sound.encoding)
        self._ring = Playout(self.rate_hz, LIMITS.ring_ns * self.rate_hz // SECOND)
        self._kept = KEPT_NS * self.rate_hz // SECOND
        self._pacer = Pacer(
            self.rate_hz,
            ahead_ns=capabilities.ahead_ns,
            latency_ns=capabilities.latency_ns,
            marks=capabilities.marks,
            reports=capabilities.reports,
        )
        self._timer: asyncio.TimerHandle | None = None
        self._room: asyncio.Future[None] | None = None
        self._cleared: set[int] = set()
        self._closed = False

    # Sound comes in.

    def converter(self, voice_hz: int) -> Resampler:
        """What turns a voice's sound into the wire's rate. One for each chunk; flush at its end."""
        return Resampler(voice_hz, self.rate_hz, audio.quality_for(voice_hz, self.rate_hz))

    async def write(self, run: int, pcm: bytes) -> None:
        """Gather sound of a run, in the wire's rate. Waits while the ring is full; sound of a cleared run goes nowhere."""
        while pcm and run not in self._cleared and not self._closed:
            taken = self._ring.write(run, pcm) if self._ring.open(run) else 0
            if taken:
                starved = self._timer is None or self._ring.queued(run) == taken
                self._pacer.wrote(run, taken)
                pcm = pcm[2 * taken :]
                if starved:  # otherwise the timer comes when there is room for more
                    self._pump()
            if pcm:
                await self._wait_for_room()

    def end_chunk(self, run: int, began: int) -> int:
        """A chunk's sound, begun at this sample, is complete. Returns its duration in nanoseconds."""
        self._pacer.chunk_ended(run)
        return self._pacer.ns(self._pacer.written(run)) - self._pacer.ns(began)

    def written(self, run: int) -> int:
        """Samples of a run gathered so far."""
        return self._pacer.written(run)

    def has_room(self, pcm: bytes) -> bool:
        """Whether a write of this would not wait."""
        return len(pcm) <= 2 * self._ring.free

    async def _wait_for_room(self) -> None:
        if self._room is None:
            self._room = self._loop.create_future()
        await asyncio.shield(self._room)

    def _make_room(self) -> None:
        if self._room is not None:
            self._room.set_result(None)
            self._room = None

    # Orders.

    def open(self, run: int) -> None:
        """Let the caller hear a run."""
        if run in self._cleared:
            return
        self._pacer.open(run)
        self._pump()

    def pause(self, run: int) -> None:
        """Fall silent now, keep the rest."""
        if run in self._cleared:
            return
        on_wire = self._pacer.on_wire(run)
        sample = self._pacer.pause(run, self._now())
        self._ring.rewind(run, sample)
        if on_wire:
            self._transport.clear(run)
        self._arm(self._now())
        self._post(PlayoutPaused(run=run, heard_ns=self._pacer.ns(sample)))

    def resume(self, run: int) -> None:
        """Go on from the sample last heard."""
        if run in self._cleared:
            return
        self._pacer.resume(run)
        self._pump()

    def clear(self, run: int) -> None:
        """Fall silent now, for good."""
        if run in self._cleared:
            return
        on_wire = self._pacer.on_wire(run)
        heard = self._pacer.clear(run, self._now())
        self._cleared.add(run)
        self._ring.drop(run)
        if on_wire:
            self._transport.clear(run)
        self._make_room()
        self._arm(self._now())
        self._post(PlayoutCleared(run=run, heard_ns=self._pacer.ns(heard)))

    def forget(self, run: int) -> None:
        """This run was heard. The peer may play out what it has of it."""
        self._pacer.forget(run)
        self._cleared.add(run)
        self._ring.drop(run)
        self._make_room()

    def close(self) -> None:
        """Nothing leaves any more, and nothing of the session is held."""
        for run in self._ring.runs:
            self._cleared.add(run)
            self._ring.drop(run)
        self._make_room()
        self._disarm()
        self._closed = True
        self._post, self._now, self._late = _nothing, _for_ever, None

    # The peer tells.

    def marked(self, name: str) -> None:
        """The peer echoed a mark."""
        self._pacer.marked(name, self._now())
        self._pump()

    def played(self, run: int, samples: int) -> None:
        """The peer reports its position in a run."""
        position = self._pacer.played(run, samples, self._now())
        if position is not None:
            self._pacer.place(run, self._ring.rewind(run, position))
        self._pump()

    def disconnect(self) -> None:
        """The wire is gone."""
        for run, sample in self._pacer.disconnect(self._now()).items():
            self._pacer.place(run, self._ring.rewind(run, sample))
        self._disarm()

    def reconnect(self, transport: Transport) -> None:
        """The caller is back, on a transport of the same formats."""
        self._transport = transport
        self._pacer.reconnect()
        self._pump()

    # Sound goes out.

    def _pump(self) -> None:
        """Send what is due, tell what was heard, and look again when there is something to do."""
        now = self._now()
        while (piece := self._pacer.due(now)) is not None:
            pcm = self._ring.read(piece.run, piece.samples)
            if piece.probe:
                self._transport.send_mark(piece.probe)
            self._transport.send_audio(piece.run, piece.start, self._encode(pcm))
            if self.tap is not None:
                self.tap(piece.run, piece.start, pcm)
            if piece.mark:
                self._transport.send_mark(piece.mark)
            if piece.first:
                self._post(PlayoutStarted(run=piece.run))
        for fact in self._pacer.facts(now):
            keep = self._pacer.needed_from(fact.run) - self._kept
            if keep > 0:
                self._ring.keep_from(fact.run, keep)
                self._make_room()
            self._post(fact)
        self._arm(now)

    def _arm(self, now: int) -> None:
        self._disarm()
        wake = self._pacer.wake_at(now)
        if wake is not None:
            # Whole milliseconds, rounded up: uvloop knows no others, and a timer that is early runs twice.
            wait_ms = -(-(wake - now) // MS)
            self._timer = self._loop.call_later(wait_ms / 1000, self._tick, now + wait_ms * MS)

    def _tick(self, due: int) -> None:
        if self._late is not None:
            self._late(max(0, self._now() - due))
        self._pump()

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
