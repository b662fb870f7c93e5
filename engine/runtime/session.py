"""One call: facts come in, are reduced, observed and carried out, one after the other, never two at once.

`Session.post` is the whole engine of the runtime: it takes one fact to its end without awaiting. A fact that is posted meanwhile
waits its turn. Nothing here knows a provider, a transport, a journal or telemetry by name: they are handed in.

    session = Session(transport, setup, providers, detector=detector, toolbox=agent.toolbox)
    outcome = await session.run()

Rule 1. Time is read once for a fact, and never runs backwards.
Rule 2. A broken invariant ends this call and no other; its observers keep what they have.
Rule 3. An observer never hurts the call: one that raises is told nothing more.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Protocol, runtime_checkable

from msgspec import Struct
from msgspec.structs import replace

from engine.adapters.base import VoiceDetector
from engine.core.commands import Commands
from engine.core.events import (
    Event,
    Fact,
    InputRejected,
    Outages,
    SessionEnded,
    SessionStarted,
    Stage,
    TimerFired,
    TransferFailed,
    TransportLost,
    TransportResumed,
)
from engine.core.policy import Setup
from engine.core.reduce import begin, reduce
from engine.core.state import State
from engine.core.units import LIMITS, SECOND
from engine.errors import TransportClosed
from engine.runtime.captions import Captions
from engine.runtime.effects import Effects, Providers, Toolbox
from engine.runtime.inbound import Inbound
from engine.runtime.outbound import Outbound
from engine.transports.base import Transport

log = logging.getLogger("engine.runtime")

Observer = Callable[[Event, State, State, Commands], None]
"""Told of every step: the fact, the state before and after it, and what was asked for."""


@runtime_checkable
class SoundTap(Protocol):
    """An observer that is told the sound as well, to record it. One of a call's observers at most. It must not raise."""

    def begin(self, rate_hz: int) -> None:
        """The wire's rate, before any sound."""

    def caller(self, frame: bytes) -> None:
        """20 ms of the caller: PCM16 at 16 kHz."""

    def agent(self, run: int, start: int, pcm: bytes) -> None:
        """Sound of a run that leaves for the caller: PCM16 in the wire's rate, from this sample of the run on."""


@runtime_checkable
class Traces(Protocol):
    """An observer that knows the trace of a run's request or chunk, for the provider that is asked."""

    def headers(self, stage: Stage, run: int, number: int) -> tuple[tuple[str, str], ...]: ...


@runtime_checkable
class Paces(Protocol):
    """An observer that wants to know how punctual the sound is."""

    def note_tick(self, late_ns: int) -> None: ...


HANGING_UP_NS = 5 * SECOND
"""A transport that was told to hang up and still carries is left after this."""
GOODBYE_NS = 1 * SECOND
"""After the call, a transport has this long to finish its own goodbye: a close frame takes one round trip."""
FAULT = "a fault of the engine"


def _each(listeners: Sequence[Callable[[int], None]]) -> Callable[[int], None] | None:
    """One function that tells all of them; none where there are none."""
    if len(listeners) < 2:
        return listeners[0] if listeners else None

    def tell(late_ns: int) -> None:
        for listener in listeners:
            listener(late_ns)

    return tell


class Outcome(Struct, frozen=True):
    """How a call ended."""

    reason: str
    state: State | None
    """The last one. None when the call was not let in."""
    faulty: bool = False
    """A broken invariant ended it."""
    admitted: bool = True
    """False: there was no room, and nothing happened."""


class Session:
    """One call from its beginning to its end. Made inside a running event loop; `run` is awaited once."""

    def __init__(
        self,
        transport: Transport,
        setup: Setup,
        providers: Providers,
        *,
        detector: VoiceDetector,
        toolbox: Toolbox | None = None,
        observers: Sequence[Observer] = (),
        call_id: str = "",
        seed: int = 0,
        outages: Outages = Outages(),  # noqa: B008 - frozen
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """clock: nanoseconds that never run backwards, from anywhere."""
        self.state = begin()
        self.call_id = call_id
        self._setup = setup
        self._seed = seed
        self._outages = outages
        self._transport = transport
        self._observers = list(observers)
        self._clock = clock
        self._began = clock()
        self._last = 0
        self._inbox: deque[Fact] = deque()
        self._busy = False
        self._closed = False
        self.faulty = False
        """A broken invariant ended it."""
        self._reason = ""
        """Why we hung up."""
        self._scope: asyncio.Timeout | None = None
        self._next: asyncio.Future[Transport] | None = None
        self._errands: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._due: int | None = None
        self._loop = loop = asyncio.get_running_loop()
        capabilities = transport.capabilities
        meter = self._show_level if capabilities.screen else None
        if capabilities.screen:
            self._observers.append(Captions(self._show))
        told: list[object] = list(observers)
        headers = next((observer.headers for observer in told if isinstance(observer, Traces)), None)
        paced = tuple(observer.note_tick for observer in told if isinstance(observer, Paces))
        self._outbound = Outbound(transport, self.post, self.now, loop, _each(paced))
        self._inbound = Inbound(capabilities, setup.policy, detector, self._outbound, self.post, self.now, meter)
        for listener in self._observers:
            self._let_listen(listener)
        self._effects = Effects(
            providers, setup.tools, toolbox, self._inbound, self._outbound, self.post, self, loop, call_id, headers
        )

    def _let_listen(self, observer: object) -> None:
        """An observer that records sound is told the sound."""
        if isinstance(observer, SoundTap):
            observer.begin(self._outbound.rate_hz)
            self._inbound.tap, self._outbound.tap = observer.caller, observer.agent

    # Facts.

    def now(self) -> int:
        """Nanoseconds since the session began."""
        return max(self._last, self._clock() - self._began)

    def post(self, fact: Fact) -> None:
        """Take a fact to its end; when one is under way, after it. Dropped once the session has ended."""
        if self._closed:
            return
        self._inbox.append(fact)
        if self._busy:
            return
        self._busy = True
        try:
            while self._inbox and not self._closed:
                assert len(self._inbox) <= LIMITS.inbox_events, "facts breed facts"
                self._take(self._inbox.popleft())
        except Exception:
            # Ours, always: providers' and observers' troubles are caught where they arise. It ends this call alone.
            log.exception(FAULT, extra={"call": self.call_id})
            self.faulty = True
            self._close()
            self.hang_up(FAULT)
        finally:
            self._busy = False

    def _take(self, fact: Fact) -> None:
        self._last = at = max(fact.at, self.now())
        event: Event = replace(fact, at=at)  # type: ignore[assignment]
        before = self.state
        self.state, commands = reduce(before, event)
        for observer in tuple(self._observers):
            self._tell(observer, event, before, commands)
        self._effects.do(commands)
        if type(event) is SessionEnded:
            self._close()

    def _tell(self, observer: Observer, event: Event, before: State, commands: Commands) -> None:
        try:
            observer(event, before, self.state, commands)
        except Exception as error:
            # Foreign code, a full disk: whatever it is, the caller must not notice.
            log.exception("an observer failed and is told nothing more", extra={"call": self.call_id})
            self._observers.remove(observer)
            self.post(InputRejected(source="observer", reason=type(error).__name__))

    @property
    def waiting(self) -> bool:
        """Whether a model, a synthesizer or a tool is at work for this call."""
        return self._effects.waiting

    # Time.

    def arm(self, wall_ns: int | None) -> None:
        """The next moment at which the rules want to be asked."""
        if wall_ns == self._due:
            return
        self._due = wall_ns
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if wall_ns is not None:
            self._timer = self._loop.call_later(max(0, wall_ns - self.now()) / SECOND, self._fire)

    def _fire(self) -> None:
        due, self._due, self._timer = self._due, None, None
        assert due is not None
        self.post(TimerFired(at=due))

    # The call.

    async def run(self, known: Sequence[Fact] = ()) -> Outcome:
        """Carry the call until either side hangs up. Cancelling it hangs up.

        known: facts of the call that are older than its session.
        """
        started = SessionStarted(setup=self._setup, seed=self._seed, call_id=self.call_id, outages=self._outages)
        self.post(started)
        for fact in known:
            self.post(fact)
        reason = FAULT
        try:
            if not self._closed:
                self._effects.warm(self.state)
            reason = await self._carry()
            self._scope = None
        except asyncio.CancelledError:
            reason = self._reason or "stopped"
            await self._transport.hang_up(reason)
            raise
        finally:
            self.post(SessionEnded(reason=self._reason or reason))
            self._close()
            await self._effects.stop()
            await self._end_errands()
            self._inbound.close()
            self._observers.clear()
        return Outcome(self._reason or reason, self.state, self.faulty)

    async def _carry(self) -> str:
        """One connection after the other, while the caller comes back within the transport's grace."""
        while True:
            try:
                async with asyncio.timeout(None) as self._scope:
                    if self._reason:
                        self._scope.reschedule(self._loop.time() + HANGING_UP_NS / SECOND)
                    return await self._transport.carry(self._inbound)
            except TimeoutError:
                return self._reason
            except Exception as lost:
                self._scope = None
                if not isinstance(lost, TransportClosed):
                    # A fault of the transport, or of what hears the frames: this call's end, and no other's.
                    log.exception(FAULT, extra={"call": self.call_id})
                    self.faulty = True
                    return FAULT
                grace_ns = self._transport.capabilities.grace_ns
                if self._reason or not grace_ns:
                    return str(lost)
                self._outbound.disconnect()
                self.post(TransportLost())
                self._next = self._loop.create_future()
                try:
                    self._transport = await asyncio.wait_for(self._next, grace_ns / SECOND)
                except TimeoutError:
                    return str(lost)
                finally:
                    self._next = None
                self._inbound.reconnect(self._transport.capabilities)
                self._outbound.reconnect(self._transport)
                self.post(TransportResumed())

    def resume(self, transport: Transport) -> bool:
        """The caller is back on another connection of the same kind. False: nobody waits for it."""
        if self._next is None or self._next.done():
            return False
        self._next.set_result(transport)
        return True

    def hang_up(self, reason: str) -> None:
        """End the call from our side."""
        if self._reason:
            return
        self._reason = reason
        if self._scope is not None:
            self._scope.reschedule(self._loop.time() + HANGING_UP_NS / SECOND)
        if self._next is not None and not self._next.done():
            self._next.set_exception(TimeoutError())
        self._run_errand("hang up", lambda: self._transport.hang_up(reason))

    def transfer(self, target: str) -> None:
        """Hand the caller over."""
        failed = TransferFailed(target=target, reason="refused")
        self._run_errand("transfer", lambda: self._transport.transfer(target), failed)

    def _run_errand(
        self, name: str, work: Callable[[], Coroutine[None, None, None]], failed: Fact | None = None
    ) -> None:
        """failed: the fact where it fails; None: that it could not be used is all there is to say."""
        errand = self._loop.create_task(self._guard(name, work, failed))
        self._errands.add(errand)
        errand.add_done_callback(self._errands.discard)

    async def _end_errands(self) -> None:
        """Let a transport finish its goodbye, within bounds."""
        if self._errands:
            _, late = await asyncio.wait(self._errands, timeout=GOODBYE_NS / SECOND)
            for errand in late:
                errand.cancel()

    async def _guard(self, name: str, work: Callable[[], Coroutine[None, None, None]], failed: Fact | None) -> None:
        try:
            await work()
            return
        except TransportClosed as error:
            self.post(InputRejected(source=self._transport.capabilities.name, reason=f"{name}: {error}"))
        except Exception:
            # A fault of a transport must not leave the call standing: `carry` is left after HANGING_UP_NS.
            log.exception("transport fault", extra={"call": self.call_id, "errand": name})
        if failed is not None:
            self.post(failed)

    def _close(self) -> None:
        self._closed = True
        self._outbound.close()
        self._inbox.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _show(self, message: Mapping[str, object]) -> None:
        self._transport.send_message(message)

    def _show_level(self, rms: int, speech_prob: float) -> None:
        self._show({"type": "level", "rms": rms, "speech_prob": round(speech_prob, 2)})
