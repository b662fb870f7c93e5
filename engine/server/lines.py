"""Connections and the calls they carry: a call begins on one connection and may go on with another."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Protocol

from engine.core.events import Fact
from engine.errors import EngineError
from engine.runtime.host import Host
from engine.server.neighbours import Neighbours
from engine.server.switchboard import Switchboard
from engine.transports.base import Transport

log = logging.getLogger("engine.server")

TAKEOVER_TRIES = 10
"""Turns of the event loop in which a session that lost its connection begins to wait for another. It takes one."""
CALL = "call "
"""Before a call's name, in the note of who holds it."""
RESUMES_MAX = 20
"""How often one call may change its connection. A peer that loses it more often will not be helped by another."""


class Carrier(Transport, Protocol):
    """A transport on a connection that can be given up for another one."""

    carried: asyncio.Event
    """Set when this connection will carry no more."""

    def lose(self) -> None:
        """Give this connection up as lost."""


class Lines:
    """The connection of each call under way."""

    def __init__(self, switchboard: Switchboard, neighbours: Neighbours | None = None) -> None:
        """neighbours: the other workers, who are to know which calls are here."""
        self._switchboard = switchboard
        self.neighbours = neighbours or Neighbours()
        self._live: dict[str, Carrier] = {}
        self._resumes: dict[str, int] = {}
        self._left: dict[str, asyncio.Event] = {}
        """For calls that went on: set when their present connection is needed no more."""

    @property
    def host(self) -> Host:
        return self._switchboard.host

    async def ready(self) -> bool:
        """Whether calls can be carried. Starts the providers where nobody has; why they do not start goes to the log."""
        try:
            await self._switchboard.ready()
        except EngineError:
            log.exception("the providers do not start")
            return False
        return True

    def is_open(self, call_id: str) -> bool:
        """Whether there is a call of that name that another connection could carry on."""
        session = self.host.session(call_id)
        return (
            session is not None
            and not session.state.ended
            and call_id in self._live
            and self._resumes[call_id] < RESUMES_MAX
        )

    def holder(self, call_id: str) -> str:
        """The other worker that has this call. Empty: it is here, or nowhere."""
        return self.neighbours.holder(CALL + call_id)

    async def begin(self, carrier: Carrier, call_id: str, traceparent: str = "", known: Sequence[Fact] = ()) -> None:
        """Carry a call from its beginning to its end, whatever connections it ends on."""
        if not await self.ready():
            await carrier.hang_up("the agent is not available")
            return
        if call_id in self._live:
            await carrier.hang_up("this call is under way already")
            return
        self._live[call_id] = carrier
        self._resumes[call_id] = 0
        self.neighbours.hold(CALL + call_id)
        try:
            try:
                outcome = await self.host.call(carrier, self._switchboard.agent, call_id, traceparent, known)
            finally:
                last = self._live.pop(call_id)
                del self._resumes[call_id]
                self.neighbours.leave(CALL + call_id)
            await last.hang_up(outcome.reason)
        finally:
            self._let_go(call_id)

    async def resume(self, carrier: Carrier, call_id: str, tell: Callable[[], None]) -> bool:
        """Go on with a call on this connection, until the call ends or has another; `tell` is called when it begins. False: it cannot be."""
        session = self.host.session(call_id)
        if session is None or not self.is_open(call_id):
            return False
        # The peer may know before we do that the old connection is dead.
        old = self._live[call_id]
        old.lose()
        await old.carried.wait()
        for _ in range(TAKEOVER_TRIES):
            if self.is_open(call_id) and session.resume(carrier):
                self._live[call_id] = carrier
                self._resumes[call_id] += 1
                self._let_go(call_id)
                left = self._left[call_id] = asyncio.Event()
                tell()
                # The server cuts a connection off whose callable returns, and the goodbye is still to come.
                await left.wait()
                return True
            await asyncio.sleep(0)
        return False

    def _let_go(self, call_id: str) -> None:
        """The connection on which a call went on is needed no more."""
        if left := self._left.pop(call_id, None):
            left.set()
