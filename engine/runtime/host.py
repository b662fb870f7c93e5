"""Many calls in one process: who is let in, what they share, and how it all ends.

Rule 1. Providers are started once and shared; a provider that cannot start is the operator's to hear of, before any call.
Rule 2. No more calls than the limit. One too many is turned away at once and costs nothing.
Rule 3. A call that breaks ends alone, with its observers closed, and is counted.
Rule 4. Draining lets calls end by themselves for a time, then asks them to hang up, then leaves.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Protocol, runtime_checkable

from msgspec import Struct

from engine.adapters.base import Provider, VoiceDetector
from engine.core.events import Fact, Stage
from engine.core.policy import Setup
from engine.core.units import SECOND
from engine.errors import AdapterError
from engine.runtime.breakers import Breakers, Limits
from engine.runtime.effects import Providers, Toolbox
from engine.runtime.session import Observer, Outcome, Session
from engine.transports.base import Transport

log = logging.getLogger("engine.host")

CALLS_MAX = 200
"""Calls at once, where the configuration says nothing. A guess: a few milliseconds of CPU for a second of each."""
DRAIN_NS = 30 * SECOND
"""How long calls may go on after a drain began. Precedent: Kubernetes' grace before it kills is 30 s."""
STOPPING = "the server is stopping"
FULL = "no room for another call"


class Agent(Protocol):
    """Whom the calls are for."""

    @property
    def toolbox(self) -> Toolbox: ...

    def setup(self, transport: str = "") -> Setup:
        """What the rules are told when a call begins on this transport."""


class CallInfo(Struct, frozen=True):
    """What is known of a call when it begins: for those who write it down."""

    call_id: str
    setup: Setup
    seed: int
    began_ns: int
    """The wall clock when the call began: nanoseconds since 1970."""
    traceparent: str = ""
    """The trace of whoever sent us the caller, as W3C Trace Context writes it."""


ObserverFactory = Callable[[CallInfo], Observer]
"""Makes one call's observer. One that has a `close` is closed when the call is over, however it ended."""


@runtime_checkable
class Closes(Protocol):
    """An observer that holds something."""

    def close(self) -> None: ...


class Counts(Struct):
    """What has become of the calls of this process."""

    begun: int = 0
    ended: int = 0
    """Of these: those that ended in any way."""
    faulty: int = 0
    """Of these: ended by a broken invariant."""
    refused: int = 0
    """Never begun: no room, or draining."""


class Host:
    """The calls of one process."""

    def __init__(
        self,
        providers: Providers,
        detector: Callable[[], VoiceDetector],
        *,
        observers: Sequence[ObserverFactory] = (),
        calls_max: int = CALLS_MAX,
        strained: Callable[[], bool] = lambda: False,
        limits: Limits = Limits(),  # noqa: B008 - frozen
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """detector: makes one for each call. strained: whether the process has enough to do. limits: of the circuit breakers."""
        self.counts = Counts()
        self.calls_max = calls_max
        self.draining = False
        self._providers = providers
        self._detector = detector
        self._observers = tuple(observers)
        self._strained = strained
        self._clock = clock
        stages = {Stage.ASR: providers.asr, Stage.LLM: providers.llm, Stage.TTS: providers.tts}
        self.breakers = Breakers(stages, limits, clock=clock)
        self._sessions: dict[str, Session] = {}
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def calls(self) -> int:
        """Calls under way."""
        return len(self._sessions)

    @property
    def has_room(self) -> bool:
        """Whether another call would be let in."""
        return not self.draining and len(self._sessions) < self.calls_max and not self._strained()

    def session(self, call_id: str) -> Session | None:
        """The call of that name, while it is under way."""
        return self._sessions.get(call_id)

    async def start(self) -> None:
        """Start all providers. One that cannot be reached now is a fact for the rules of each call, not a reason to take none.

        Any other error is raised, with those that did start stopped again.
        """
        started: list[Provider] = []
        try:
            for provider in self._shared():
                try:
                    await provider.start()
                except AdapterError as error:
                    log.warning("%s could not be made ready and is asked last until it is: %s", provider.name, error)
                    self.breakers.unready(provider, error.kind)
                started.append(provider)
        except BaseException:
            for provider in reversed(started):
                await provider.stop()
            raise

    async def call(
        self, transport: Transport, agent: Agent, call_id: str = "", traceparent: str = "", known: Sequence[Fact] = ()
    ) -> Outcome:
        """Carry one call to its end. When there is no room, or a call of that name is under way, it is hung up at once.

        known: facts of the call that are older than its session.
        """
        call_id = call_id or secrets.token_hex(8)
        setup = agent.setup(transport.capabilities.name)
        if not self.has_room or call_id in self._sessions:
            self.counts.refused += 1
            await transport.hang_up(STOPPING if self.draining else FULL)
            return Outcome(FULL, None, admitted=False)
        info = CallInfo(call_id, setup, secrets.randbits(63), time.time_ns(), traceparent)
        self.counts.begun += 1
        with ExitStack() as closing:
            observers = [self._observe(make, info, closing) for make in self._observers]
            watch = self.breakers.watch(setup)
            closing.callback(watch.close)
            session = Session(
                transport,
                setup,
                self._providers,
                detector=self._detector(),
                toolbox=agent.toolbox,
                observers=[*(observer for observer in observers if observer is not None), watch],
                call_id=call_id,
                seed=info.seed,
                outages=watch.told,
                clock=self._clock,
            )
            watch.post = session.post
            self._sessions[call_id] = session
            self._empty.clear()
            try:
                outcome = await session.run(known)
            finally:
                self.counts.ended += 1
                self.counts.faulty += session.faulty
                del self._sessions[call_id]
                if not self._sessions:
                    self._empty.set()
        return outcome

    async def drain(self, limit_ns: int = DRAIN_NS) -> None:
        """Let no more calls in; wait for those under way; then hang them up."""
        self.draining = True
        try:
            await asyncio.wait_for(self._empty.wait(), limit_ns / SECOND)
        except TimeoutError:
            for session in list(self._sessions.values()):
                session.hang_up(STOPPING)
            await self._empty.wait()

    async def stop(self) -> None:
        """Stop all providers. One that fails to does not keep the others."""
        self.breakers.stop()
        for provider in reversed(self._shared()):
            try:
                await provider.stop()
            except Exception:
                log.exception("a provider did not stop", extra={"provider": provider.name})

    def _shared(self) -> list[Provider]:
        """Every provider once, though several stages or names may share one."""
        stages = (self._providers.asr, self._providers.llm, self._providers.tts)
        found = {id(provider): provider for stage in stages for provider in stage.values()}
        return list(found.values())

    def _observe(self, make: ObserverFactory, info: CallInfo, closing: ExitStack) -> Observer | None:
        """One observer of a call; a journal that cannot be opened does not keep the caller out."""
        try:
            observer = make(info)
        except Exception:
            log.exception("an observer could not be made", extra={"call": info.call_id})
            return None
        held: object = observer
        if isinstance(held, Closes):
            closing.callback(self._close, held, info)
        return observer

    def _close(self, observer: Closes, info: CallInfo) -> None:
        try:
            observer.close()
        except Exception:
            log.exception("an observer could not be closed", extra={"call": info.call_id})
