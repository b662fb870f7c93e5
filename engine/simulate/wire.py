"""The transport of a simulated call: the real pacing, and a peer with a buffer that plays, echoes marks, and can be cleared."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from engine.core.events import (
    PlayoutCleared,
    PlayoutPaused,
    PlayoutStarted,
)
from engine.core.units import MS
from engine.runtime.pacing import Pacer

if TYPE_CHECKING:
    from engine.simulate.world import Call


class Wire:
    """Out to the caller's ear."""

    def __init__(self, call: "Call") -> None:
        self.call = call
        self.world = call.world
        self.pacer = Pacer(call.world.rate_hz, ahead_ns=300 * MS, latency_ns=40 * MS, marks=call.world.marks)
        self.emitted: dict[int, int] = {}
        """Run -> samples that left the engine."""
        self.dead: set[int] = set()
        """Runs that were cleared or closed: nothing of them may leave again."""
        self.played_until = 0
        """When the peer will have played all it was sent."""
        self.pending: list[str] = []
        """Marks the peer has not echoed."""
        self.wake: int | None = None
        self.stirred = True
        """Something has happened since the last look at what is due."""

    # Orders.

    def wrote(self, run: int, duration_ns: int) -> None:
        if run not in self.dead:
            self.pacer.wrote(run, self.pacer.samples(duration_ns))
            self.stirred = True

    def chunk_ended(self, run: int) -> None:
        if run not in self.dead:
            self.pacer.chunk_ended(run)

    def open(self, run: int) -> None:
        self.pacer.open(run)

    def pause(self, run: int) -> None:
        heard = self.pacer.pause(run, self.call.now)
        self._clear_peer()
        self.call.post(PlayoutPaused(run=run, heard_ns=self.pacer.ns(heard)))

    def resume(self, run: int) -> None:
        self.pacer.resume(run)

    def clear(self, run: int) -> None:
        heard = self.pacer.clear(run, self.call.now)
        self.dead.add(run)
        self._clear_peer()
        self.call.post(PlayoutCleared(run=run, heard_ns=self.pacer.ns(heard)))

    def close(self, run: int) -> None:
        self.pacer.forget(run)
        self.dead.add(run)

    def _clear_peer(self) -> None:
        """The peer drops what it has, and echoes every mark it was still to reach, at once."""
        self.played_until = self.call.now
        for name in self.pending:
            self.call.later(20 * MS, self._echo(name))
        self.pending.clear()

    def lose(self) -> None:
        self.pacer.disconnect(self.call.now)
        self.pending.clear()

    def regain(self) -> None:
        self.pacer.reconnect()
        self.played_until = self.call.now

    # Time.

    def pump(self) -> None:
        """Send what is due, tell what was heard, and come back when there is more."""
        now = self.call.now
        self.stirred = False
        while (piece := self.pacer.due(now)) is not None:
            self.call.emitted(piece.run)
            self.emitted[piece.run] = self.emitted.get(piece.run, 0) + piece.samples
            self.played_until = max(self.played_until, now + 30 * MS) + self.pacer.ns(piece.samples)
            if piece.first:
                self.call.post(PlayoutStarted(run=piece.run))
            for mark in (piece.probe, piece.mark):
                if mark and not self.world.strikes("mark_lost", now):
                    self._expect(mark)
        for fact in self.pacer.facts(now):
            if not self.world.strikes("playout_stuck", now):
                self.call.post(fact)
        self._sleep()

    def _sleep(self) -> None:
        at = self.pacer.wake_at(self.call.now)
        at = None if at is None else max(at, self.call.now + 1 * MS)
        if at is None or at == self.wake:
            return
        self.wake = at

        def wake(due: int = at) -> None:
            if self.wake == due:
                self.wake = None
                self.stirred = True

        self.call.at(self.wake, wake)

    def _expect(self, mark: str) -> None:
        self.pending.append(mark)
        late = self.world.delay(200, 3_000) if self.world.strikes("mark_late", self.call.now) else 0
        self.call.at(self.played_until + 20 * MS + late, self._echo(mark, played=True))

    def _echo(self, mark: str, *, played: bool = False) -> Callable[[], None]:
        def echo() -> None:
            if played and mark not in self.pending:
                return
            if played:
                self.pending.remove(mark)
            self.pacer.marked(mark, self.call.now)
            self.stirred = True

        return echo
