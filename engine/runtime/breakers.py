"""What the calls of a process know together of each provider: one circuit breaker for each stage and name.

Rule 1. A breaker opens when a provider has failed so often within the window, and not answered as often. Calls are told as a fact
        (`Outages`); what they do about it is a rule of the core, which asks such a provider last, but never not at all.
Rule 2. While it is open, the provider itself is asked in the background whether it is ready, one provider at a time, with waits that
        double. When it is, the breaker is half open, and one call is let through: its answer closes the breaker, its failure opens it.
Rule 3. Any answer to a question that was put after the breaker opened closes it: where all are out, calls still ask.
"""

import asyncio
import logging
import random
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from enum import IntEnum

from msgspec import Struct

from engine.adapters.base import Provider
from engine.core.events import Outages, Stage
from engine.core.policy import Setup
from engine.core.units import SECOND
from engine.errors import AdapterError, FailureKind
from engine.runtime.watch import Watch

log = logging.getLogger("engine.host")

ANSWERS_MAX = 64
"""Answers remembered of one provider."""
PROBE_NS = 6 * SECOND
"""For a provider to say that it is ready: a little more than any adapter takes to connect."""
JITTER = 0.2
"""Of a wait between two probes, either way: processes that were failed together do not come back together."""


class Position(IntEnum):
    """Where a breaker stands. The number is what metrics show."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


class Limits(Struct, frozen=True, kw_only=True):
    """When a breaker opens, and how it is probed. See settings.BreakerSettings for the reasons."""

    failures: int = 3
    window_ns: int = 30 * SECOND
    probe_ns: int = 2 * SECOND
    probe_ns_max: int = 60 * SECOND


class Breaker:
    """Of one provider."""

    def __init__(self, stage: Stage, name: str, provider: Provider) -> None:
        self.stage = stage
        self.name = name
        self.provider = provider
        self.position = Position.CLOSED
        self.opened_ns = 0
        """When it last opened."""
        self.openings = 0
        self.trial: Watch | None = None
        """The call that is let through while it is half open."""
        self.probe_at_ns = 0
        self.wait_ns = 0
        """Between its last probe and the next."""
        self._answers: deque[tuple[int, bool]] = deque(maxlen=ANSWERS_MAX)
        """When, and whether it was good."""

    def note(self, now_ns: int, *, good: bool, limits: Limits) -> bool:
        """Count an answer. True: it has failed too often."""
        self._answers.append((now_ns, good))
        recent = [each for at, each in self._answers if at > now_ns - limits.window_ns]
        failures = recent.count(False)
        return bool(limits.failures) and failures >= limits.failures and 2 * failures >= len(recent)

    def forget(self) -> None:
        """Count anew."""
        self._answers.clear()


class Breakers:
    """All of a process. `watch` for each call; `start` and `stop` with the providers. One event loop."""

    def __init__(
        self,
        providers: Mapping[Stage, Mapping[str, Provider]],
        limits: Limits,
        *,
        clock: Callable[[], int],
        chance: Callable[[], float] = random.random,
    ) -> None:
        """providers: by stage, in order of preference. clock: nanoseconds. chance: 0 to 1, for the waits."""
        self._limits = limits
        self._clock = clock
        self._chance = chance
        self._breakers = {
            (stage, name): Breaker(stage, name, provider)
            for stage, named in providers.items()
            for name, provider in named.items()
        }
        self._watches: dict[Watch, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._probe: asyncio.Task[None] | None = None

    def __iter__(self) -> Iterator[Breaker]:
        return iter(self._breakers.values())

    def watch(self, setup: Setup) -> Watch:
        """What one call tells and is told. It may be the one that is let through."""
        watch = Watch(self, setup)
        self._watches[watch] = None
        for breaker in self:
            if (
                breaker.position is Position.HALF_OPEN
                and breaker.trial is None
                and watch.uses(breaker.stage, breaker.name)
            ):
                breaker.trial = watch
        watch.told = self._outages(watch)
        return watch

    def leave(self, watch: Watch) -> None:
        """The call is over; one that was let through and never asked leaves the place to another."""
        del self._watches[watch]
        for breaker in self:
            if breaker.trial is watch:
                breaker.trial = None
                self._let_one_through(breaker)
                self._tell()

    def stop(self) -> None:
        """Probe no more."""
        if self._timer is not None:
            self._timer.cancel()
        if self._probe is not None:
            self._probe.cancel()

    # What calls, and the start of the providers, have found.

    def failed(self, stage: Stage, name: str, kind: FailureKind, watch: Watch | None = None) -> None:
        """It failed a call."""
        breaker = self._breakers.get((stage, name))
        if breaker is None:
            return
        if breaker.position is Position.CLOSED:
            if breaker.note(self._clock(), good=False, limits=self._limits):
                self._open(breaker, kind)
        elif breaker.position is Position.HALF_OPEN and breaker.trial is watch:
            self._open(breaker, kind)

    def answered(self, stage: Stage, name: str, asked_ago_ns: int) -> None:
        """It served a call, to which it was asked so long ago."""
        breaker = self._breakers.get((stage, name))
        if breaker is None:
            return
        now = self._clock()
        if breaker.position is Position.CLOSED:
            breaker.note(now, good=True, limits=self._limits)
        elif now - asked_ago_ns >= breaker.opened_ns:
            self._close(breaker)

    def unready(self, provider: Provider, kind: FailureKind) -> None:
        """It could not be made ready before the first call: no caller need find that out."""
        for breaker in self:
            if breaker.provider is provider and breaker.position is Position.CLOSED and self._limits.failures:
                self._open(breaker, kind)

    # How a breaker moves.

    def _open(self, breaker: Breaker, kind: FailureKind) -> None:
        limits, again = self._limits, breaker.position is Position.HALF_OPEN
        breaker.position, breaker.trial = Position.OPEN, None
        breaker.opened_ns = self._clock()
        breaker.openings += 1
        breaker.wait_ns = min(2 * breaker.wait_ns, limits.probe_ns_max) if again else limits.probe_ns
        breaker.forget()
        self._put_off(breaker)
        told = _told(breaker) | {"kind": kind.value}
        log.warning("%s %s is out and is asked last: %s", *told.values(), extra=told)
        self._tell()

    def _half_open(self, breaker: Breaker) -> None:
        breaker.position = Position.HALF_OPEN
        told = _told(breaker)
        log.warning("%s %s is ready again and is tried by one call", *told.values(), extra=told)
        self._let_one_through(breaker)
        self._tell()

    def _close(self, breaker: Breaker) -> None:
        breaker.position, breaker.trial, breaker.wait_ns = Position.CLOSED, None, 0
        told = _told(breaker)
        log.warning("%s %s is back", *told.values(), extra=told)
        # Those after it that were ready had only waited for a call to try them, and none will now.
        for other in self._after(breaker):
            if other.position is Position.HALF_OPEN:
                self._close(other)
        self._arm()
        self._tell()

    def _let_one_through(self, breaker: Breaker) -> None:
        """A model is asked anew in every run, so a call under way can try it; recognisers and voices are kept, so a new one has to."""
        if breaker.position is Position.HALF_OPEN and breaker.trial is None and breaker.stage is Stage.LLM:
            breaker.trial = next((watch for watch in self._watches if watch.uses(breaker.stage, breaker.name)), None)

    def _after(self, breaker: Breaker) -> list[Breaker]:
        named = [each for each in self if each.stage is breaker.stage]
        return named[named.index(breaker) + 1 :]

    def _is_spare(self, breaker: Breaker) -> bool:
        """Whether one that is preferred to it is well, so that no call would try it."""
        return any(
            breaker in self._after(each)
            for each in self
            if each.stage is breaker.stage and each.position is Position.CLOSED
        )

    # Who is told.

    def _outages(self, watch: Watch) -> Outages:
        """What this call is to know: those of its own providers that are out, but for the one it may try."""

        def out(stage: Stage, names: tuple[str, ...]) -> tuple[str, ...]:
            found = (self._breakers.get((stage, name)) for name in names)
            return tuple(each.name for each in found if each and each.position and each.trial is not watch)

        setup = watch.setup
        return Outages(asr=out(Stage.ASR, setup.asr), llm=out(Stage.LLM, setup.llm), tts=out(Stage.TTS, setup.tts))

    def _tell(self) -> None:
        for watch in tuple(self._watches):
            watch.tell(self._outages(watch))

    # Probing.

    def _put_off(self, breaker: Breaker) -> None:
        wait_ns = breaker.wait_ns * (1 - JITTER + 2 * JITTER * self._chance())
        breaker.probe_at_ns = self._clock() + int(wait_ns)
        self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiting = [breaker for breaker in self if breaker.position is Position.OPEN]
        if waiting and self._probe is None:
            next_one = min(waiting, key=lambda breaker: breaker.probe_at_ns)
            wait_ns = max(0, next_one.probe_at_ns - self._clock())
            self._timer = asyncio.get_running_loop().call_later(wait_ns / SECOND, self._begin_probe, next_one)

    def _begin_probe(self, breaker: Breaker) -> None:
        self._timer = None
        self._probe = asyncio.create_task(self._ask(breaker), name=f"probe {breaker.stage.value} {breaker.name}")
        self._probe.add_done_callback(self._end_probe)

    def _end_probe(self, probe: "asyncio.Task[None]") -> None:
        self._probe = None
        if not probe.cancelled():
            self._arm()

    async def _ask(self, breaker: Breaker) -> None:
        trouble = ""
        try:
            async with asyncio.timeout(PROBE_NS / SECOND):
                await breaker.provider.ready()
        except (AdapterError, TimeoutError) as error:
            trouble = error.kind.value if isinstance(error, AdapterError) else FailureKind.TIMEOUT.value
        except Exception:
            # A fault of an adapter; the breaker stays open, which costs no call anything.
            log.exception("adapter fault", extra=_told(breaker))
            trouble = FailureKind.PROTOCOL.value
        if breaker.position is not Position.OPEN:
            return  # A call has proved it meanwhile.
        if trouble:
            log.debug("a provider is still out", extra=_told(breaker) | {"kind": trouble})
            breaker.wait_ns = min(2 * breaker.wait_ns, self._limits.probe_ns_max)
            self._put_off(breaker)
        elif self._is_spare(breaker):
            self._close(breaker)
        else:
            self._half_open(breaker)


def _told(breaker: Breaker) -> dict[str, str]:
    return {"stage": breaker.stage.value, "provider": breaker.name}
