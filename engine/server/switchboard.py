"""From a configuration to a host that takes calls: the one place where providers, detector and observers are put together.

    async with Switchboard(agent) as switchboard:
        outcome = await switchboard.call(transport)

is the engine without a server, in a service that brings its callers itself.
"""

import asyncio
import functools
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Self

from engine.adapters.vad import make_detector, warm
from engine.agent import Agent
from engine.config import Config, load
from engine.core.events import Stage
from engine.runtime.breakers import Limits
from engine.runtime.effects import Providers
from engine.runtime.host import Host, ObserverFactory
from engine.runtime.session import Outcome
from engine.server.records import Records
from engine.server.stalls import Stalls
from engine.transports.base import Transport

log = logging.getLogger("engine.server")


class Switchboard:
    """The calls of one process, started at the first need and stopped once."""

    def __init__(
        self,
        agent: Agent | Config,
        observers: Sequence[ObserverFactory] = (),
        *,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """agent: whom the calls are for, on what the environment configures; or a whole configuration.

        observers: told of every step of every call, beside those that are configured.
        Raises:    ConfigError.
        """
        config = load(agent=agent) if isinstance(agent, Agent) else agent
        self.agent: Agent = config.agent
        self._drain_ns = config.server.drain_ns
        names = config.agent.providers
        providers = Providers(
            asr={name: config.provider(Stage.ASR, name) for name in names[Stage.ASR]},
            llm={name: config.provider(Stage.LLM, name) for name in names[Stage.LLM]},
            tts={name: config.provider(Stage.TTS, name) for name in names[Stage.TTS]},
        )
        self._records = Records(config)
        self.host = Host(
            providers,
            functools.partial(make_detector, "silero"),
            observers=(*self._records.factories, *observers),
            calls_max=config.limits.calls_max,
            strained=lambda: self.stalls is not None and self.stalls.strained,
            limits=Limits(
                failures=config.breaker.failures,
                window_ns=config.breaker.window_ns,
                probe_ns=config.breaker.probe_ns,
                probe_ns_max=config.breaker.probe_ns_max,
            ),
            clock=clock,
        )
        self._late_ns_max = config.limits.late_ns_max
        self.stalls: Stalls | None = None
        """Watches the loop while calls are taken."""
        self.closing: list[Callable[[], Awaitable[None]]] = []
        """What else is to be closed at the end."""
        self._starting = asyncio.Lock()
        self._started = False
        self._stopped = False

    async def __aenter__(self) -> Self:
        """Raises ConfigError."""
        await self.ready()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def call(self, transport: Transport, call_id: str = "") -> Outcome:
        """Carry one call to its end, beside all others. Cancelling it hangs up.

        call_id: what it is called in journals and traces; one is made up where it is empty.
        Returns: how it ended; not `admitted` where there was no room.
        """
        return await self.host.call(transport, self.agent, call_id)

    @property
    def is_ready(self) -> bool:
        """Whether a call that comes now is taken."""
        return self._started and self.host.has_room

    async def ready(self) -> "Switchboard":
        """Start the providers, if nobody has. Raises AdapterError and ConfigError; the next call tries again."""
        async with self._starting:
            if not self._started:
                warm()
                await self.host.start()
                self._records.start(self.host)
                self.stalls = Stalls(asyncio.get_running_loop(), self._late_ns_max, self._records.note_stall)
                self.stalls.start()
                self._started = True
        return self

    async def drain(self) -> None:
        """Take no more calls and wait for those under way, as long as is configured."""
        if self.host.calls:
            log.info("draining: %d calls under way", self.host.calls)
        await self.host.drain(self._drain_ns)

    async def stop(self) -> None:
        """Drain, then stop the providers. Idempotent."""
        if self._stopped:
            return
        self._stopped = True
        await self.drain()
        for close in self.closing:
            await close()
        if self._started:
            assert self.stalls is not None
            self.stalls.stop()
            await self.host.stop()
            await self._records.stop()
