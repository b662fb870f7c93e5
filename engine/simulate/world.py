"""One simulated call: a queue of things to come, the real reducer in the middle, and eyes on every step."""

import heapq
from collections.abc import Callable

from engine.core.commands import (
    CancelLLM,
    CancelTool,
    CancelTTS,
    ClearPlayout,
    ClosePlayout,
    Commands,
    EndSession,
    FinalizeASR,
    OpenPlayout,
    PausePlayout,
    ResumePlayout,
    RunTool,
    SetTimer,
    StartASR,
    StartLLM,
    StopASR,
    Synthesize,
    Transfer,
)
from engine.core.events import Clock, Event, Fact, Outages, OutagesChanged, SessionEnded, SessionStarted, TimerFired
from engine.core.reduce import begin, reduce
from engine.core.state import State
from engine.core.units import MS
from engine.simulate.caller import Caller
from engine.simulate.faults import World
from engine.simulate.invariants import Broken, Watch
from engine.simulate.services import Services
from engine.simulate.wire import Wire

STEPS_MAX = 60_000
"""Facts in one call of two minutes; more is a loop."""

Observer = Callable[[Event, State, State, Commands], None]


class Call:
    """One call in one world."""

    def __init__(self, world: World, observer: Observer | None = None, steps_max: int = STEPS_MAX) -> None:
        self.world = world
        self.now = 0
        self.state = begin()
        self.steps = 0
        self.steps_max = steps_max
        self.probe_answered = False
        self.voice_free: dict[int, int] = {}
        self.stuck_until = 0
        self.watch = Watch(self)
        self.services = Services(self)
        self.wire = Wire(self)
        self.caller = Caller(self)
        self._observer = observer
        self._serials: dict[int, int] = {}
        self._heap: list[tuple[int, float, int, Callable[[], None]]] = []
        self._count = 0
        self._inbox: list[Fact] = []
        self._reducing = False
        self._stalled_ns = 0
        self._stalled_since: int | None = None
        self._timer = 0
        self._effects: dict[type, Callable[..., None]] = {
            StartASR: self.services.start_asr,
            FinalizeASR: self.services.finalize,
            StopASR: self.services.stop_asr,
            StartLLM: self.services.start_llm,
            CancelLLM: self.services.cancel_llm,
            Synthesize: self.services.synthesize,
            CancelTTS: self.services.cancel_tts,
            OpenPlayout: lambda order: self.wire.open(order.run),
            PausePlayout: lambda order: self.wire.pause(order.run),
            ResumePlayout: lambda order: self.wire.resume(order.run),
            ClearPlayout: lambda order: self.wire.clear(order.run),
            ClosePlayout: lambda order: self.wire.close(order.run),
            RunTool: self.services.run_tool,
            CancelTool: self.services.cancel_tool,
            SetTimer: self._set_timer,
            Transfer: lambda order: self.later(50 * MS, lambda: self.post(SessionEnded(reason="transferred"))),
            EndSession: lambda order: self.later(50 * MS, lambda: self.post(SessionEnded(reason=order.reason))),
        }

    # Time.

    def at(self, moment: int, action: Callable[[], None]) -> None:
        """Do this then. Things of one moment come in an order the seed decides."""
        self._count += 1
        heapq.heappush(self._heap, (max(moment, self.now), self.world.random.random(), self._count, action))

    def later(self, delay: int, action: Callable[[], None]) -> None:
        self.at(self.now + delay, action)

    def audio_now(self) -> int:
        """How much of the caller's sound has arrived: less than has passed where the network stalled."""
        stalled = self.now - self._stalled_since if self._stalled_since is not None else 0
        return max(0, self.now - self._stalled_ns - stalled)

    def stall_audio(self) -> None:
        if self._stalled_since is None:
            self._stalled_since = self.now

    def flow_audio(self) -> None:
        """The burst after a stall brings all of the missing sound at once."""
        self._stalled_since = None
        self._set_timer(SetTimer(wall_ns=self.state.deadlines.wall_ns, audio_ns=self.state.deadlines.audio_ns))

    def recover(self) -> None:
        """Trouble is over."""
        self.flow_audio()

    def _set_timer(self, order: SetTimer) -> None:
        self._timer += 1
        if order.wall_ns is not None:
            self.at(order.wall_ns, self._fire(Clock.WALL, self._timer))
        if order.audio_ns is not None:
            self.at(self.now + max(0, order.audio_ns - self.audio_now()), self._fire(Clock.AUDIO, self._timer))

    def _fire(self, clock: Clock, number: int) -> Callable[[], None]:
        def fire() -> None:
            if number != self._timer:
                return
            due = self.state.deadlines.audio_ns
            if clock is Clock.AUDIO and due is not None and self.audio_now() < due:
                if self._stalled_since is None:
                    self.at(self.now + due - self.audio_now(), self._fire(clock, number))
                return
            self.post(TimerFired(clock=clock, audio_ns=self.audio_now() if clock is Clock.AUDIO else 0))

        return fire

    # Synthesis is cancelled by run: what was asked for before the cancel has another serial number.

    def synthesis(self, run: int) -> int:
        return self._serials.get(run, 0)

    def next_synthesis(self, run: int) -> None:
        self._serials[run] = self.synthesis(run) + 1

    # Facts.

    def post(self, fact: Fact) -> None:
        """Take one fact to its end; those it leads to at once wait their turn."""
        self._inbox.append(fact)
        self.wire.stirred = True
        if self._reducing:
            return
        self._reducing = True
        try:
            while self._inbox:
                self._step(self._inbox.pop(0))
        finally:
            self._reducing = False

    def _step(self, fact: Fact) -> None:
        self.steps += 1
        if self.steps > self.steps_max:
            raise Broken("the call does not end", self)
        before = self.state
        back = 500 * MS if self.world.strikes("clock_back", self.now) else 0
        event = self.watch.stamped(fact, max(0, self.now - back))
        try:
            self.state, commands = reduce(before, event)
        except AssertionError as error:
            raise Broken(f"assertion: {error}", self) from error
        if self._observer is not None:
            self._observer(event, before, self.state, commands)
        self.watch.check(event, before, self.state, commands)
        for command in commands:
            self._effects[type(command)](command)

    def emitted(self, run: int) -> None:
        """A piece of this run leaves the engine."""
        self.watch.check_emission(run)

    # The call.

    def run(self) -> None:
        """From the first ring to the end. Raises Broken."""
        outages = self._outages() if self.world.strikes("outages", 0) else Outages()
        self.post(SessionStarted(setup=self.world.setup, seed=self.world.seed, outages=outages))
        self.caller.begin()
        self._trouble()
        while self._heap and not self.state.ended:
            moment, _, _, action = heapq.heappop(self._heap)
            if moment > self.world.ends_at:
                break
            self.now = moment
            action()
            if self.wire.stirred:
                self.wire.pump()
        self.watch.check_end()

    def _trouble(self) -> None:
        """Faults that strike by themselves."""
        world = self.world
        moment = 0
        while moment < world.faults_until:
            moment += world.delay(500, 4_000)
            if world.strikes("audio_stall", moment):
                self.at(moment, self.stall_audio)
                self.at(moment + world.delay(50, 1_500), self.flow_audio)
            if world.strikes("wire_lost", moment):
                self.at(moment, self._lose_wire)
            if world.strikes("loop_pause", moment):
                self.at(moment, self._pause_loop)
            if world.strikes("outages", moment):
                self.at(moment, lambda: self.post(OutagesChanged(outages=self._outages())))

    def _outages(self) -> Outages:
        """What other calls have found out of the providers: true or not, of some, none or all of them."""
        setup, chance = self.world.setup, self.world.random

        def some(names: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(name for name in names if chance.random() < 0.5)

        return Outages(asr=some(setup.asr), llm=some(setup.llm), tts=some(setup.tts))

    def _lose_wire(self) -> None:
        if self.state.lost_at is None and not self.state.ended:
            self.caller.lose_wire()

    def _pause_loop(self) -> None:
        """The process stands still (a collection, a blocking call): everything due meanwhile comes at once, late."""
        until = self.now + self.world.delay(50, 500)
        held = []
        while self._heap and self._heap[0][0] < until:
            held.append(heapq.heappop(self._heap))
        for _, tie, count, action in held:
            heapq.heappush(self._heap, (until, tie, count, action))
