"""What every transport on an ASGI WebSocket shares: a bounded way out that can be overtaken, and a measure of what comes in.

Rule 1  What leaves, leaves in the callback that decided it: the server's `send` is driven by one step, without a task.
Rule 2  What cannot leave at once waits, bounded, in order; `clear` drops what waits of dead runs and goes first.
Rule 3  A peer that reads too slowly is let go, and one that sends too fast is read slowly; its neighbours wait for neither.
"""

import asyncio
import functools
import time
import types
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping, MutableMapping
from contextlib import suppress
from typing import Any, Protocol

from engine.errors import TransportClosed
from engine.transports.base import Line

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

DIRECT = "engine.direct"
"""The ASGI extension under which a server of ours offers a `Direct`."""

WAITING_BYTES_MAX = 192 * 1024
"""What may wait for a slow peer: 4 s of 24 kHz sound, 16 s of a telephone's. Sound is sent 0.3 s ahead, so this much is a dead line."""
MESSAGE_BYTES_MAX = 64 * 1024
"""One message from a peer. Twilio's are about 350 bytes, a page's 2 to 4 KiB; OpenAI's Twilio example takes 64 KiB too (2026)."""
MESSAGE_COST_BYTES = 256
"""What a message costs its sender beside its length, so that many small ones are a flood too."""
REJECTED_MAX = 1_000
"""Unusable messages in one connection before it is closed: each is a line of the journal."""
FAIR_MESSAGES = 64
"""Messages taken in one go before the neighbours have their turn: about 0.2 ms."""
REASON_BYTES_MAX = 123
"""Of a close frame's text: RFC 6455 section 5.5 allows 125 bytes with the code."""
CLOSE_SECONDS = 2.0
"""How long the close frame may wait behind what a slow peer has not read."""

HUNG_UP = "the caller hung up"
GONE = "the connection was lost"
SILENT = "the line went silent"
SLOW = "the peer reads too slowly"
UNUSABLE = "too many unusable messages"
DRAINED = "the server is stopping"

LOST = frozenset((GONE, SILENT, SLOW))
"""Ends that the caller did not mean: a peer that can come back may go on with the call."""

NORMAL, GOING_AWAY, POLICY, RESTART, LATER = 1000, 1001, 1008, 1012, 1013
"""Close codes: RFC 6455 section 7.4.1, and IANA's registry for 1012 (service restart) and 1013 (try again later)."""
CODES = {SILENT: GOING_AWAY, DRAINED: RESTART, SLOW: LATER, UNUSABLE: POLICY}
LEFT = {NORMAL: HUNG_UP, GOING_AWAY: HUNG_UP, RESTART: DRAINED}
"""What a close that is no accident means: the peer's, or that of a server that stops around us."""


class Direct(Protocol):
    """A server's short way to one connection: no queue, no task. Without it everything goes through `receive` and `send`."""

    def attach(self, take: Callable[[str | bytes], None], gone: Callable[[int], None]) -> None:
        """Give each message to `take` in the callback that read it; `gone` is told the close code. Neither may raise."""

    def detach(self) -> None:
        """Messages wait for `receive` again."""

    def pause(self) -> None:
        """Read nothing."""

    def resume(self) -> None:
        """Read on."""

    def send_now(self, message: str | bytes) -> bool:
        """Send at once. False: it cannot leave at once; nothing was done."""


def direct_of(scope: Mapping[str, Any]) -> Direct | None:
    """The short way to this connection, where the server has one."""
    found: Direct | None = scope.get("extensions", {}).get(DIRECT)
    return found


@types.coroutine
def rest_of(steps: Generator[Any, Any, None], blocked: Any) -> Generator[Any, Any, None]:
    """Await what is left of an awaitable whose first step has been taken and gave `blocked`."""
    while True:
        try:
            value = yield blocked
        except BaseException as error:
            try:
                blocked = steps.throw(error)
            except StopIteration:
                return
        else:
            try:
                blocked = steps.send(value)
            except StopIteration:
                return


class Outbox:
    """The way out of one connection. `put` and `overtake` never block and never raise."""

    def __init__(
        self,
        send: Send,
        overflowed: Callable[[], None],
        *,
        limit_bytes: int = WAITING_BYTES_MAX,
        direct: Direct | None = None,
    ) -> None:
        """`overflowed` is called once, when more than `limit_bytes` would wait."""
        self._send = send
        self._send_now = direct.send_now if direct is not None else None
        self._overflowed = overflowed
        self._limit_bytes = limit_bytes
        self._waiting: deque[tuple[int, int, Message]] = deque()
        self._writer: asyncio.Task[None] | None = None
        self.waiting_bytes = 0
        self.closed = False

    def put(self, message: Message, size_bytes: int, run: int = 0) -> None:
        """Send a message, or queue it behind what waits. Sound carries its run; 0 is never dropped by `overtake`."""
        if self.closed:
            return
        if self._writer is None:
            self._step(message)
        elif self.waiting_bytes + size_bytes > self._limit_bytes:
            self.closed = True
            self._forget()
            self._overflowed()
        else:
            self._waiting.append((run, size_bytes, message))
            self.waiting_bytes += size_bytes

    def overtake(self, message: Message, run: int) -> None:
        """Drop the sound that waits of this run and older ones, and send this before everything else."""
        if self.closed:
            return
        if self._writer is None:
            self._step(message)
            return
        kept = deque(each for each in self._waiting if not 0 < each[0] <= run)
        self.waiting_bytes = sum(size for _, size, _ in kept)
        kept.appendleft((0, 0, message))
        self._waiting = kept

    async def close(self, code: int, reason: str) -> None:
        """Close the socket, after what waits where that is quick. Idempotent."""
        if self._writer is not None and not self.closed:
            await asyncio.wait([self._writer], timeout=CLOSE_SECONDS)
        closed, self.closed = self.closed, True
        self._forget()
        if self._writer is not None:
            self._writer.cancel()
        elif closed:
            return
        said = reason.encode()[:REASON_BYTES_MAX].decode(errors="ignore")
        with suppress(OSError, RuntimeError, TimeoutError):  # the peer may have gone first
            await asyncio.wait_for(self._send({"type": "websocket.close", "code": code, "reason": said}), CLOSE_SECONDS)

    def _step(self, message: Message) -> None:
        if self._send_now is not None:
            text = message.get("text")
            if self._send_now(message["bytes"] if text is None else text):
                return
        steps = self._send(message).__await__()
        try:
            blocked = next(steps)
        except StopIteration:
            return
        except (
            OSError,
            RuntimeError,
        ):  # the peer is gone, and `receive` says so too: servers differ in which of the two they raise
            self.closed = True
            return
        self._writer = asyncio.get_running_loop().create_task(self._write(rest_of(steps, blocked)))

    async def _write(self, rest: Coroutine[Any, Any, None] | Generator[Any, Any, None]) -> None:
        try:
            await rest  # type: ignore[misc]
            while self._waiting:
                _, size, message = self._waiting.popleft()
                self.waiting_bytes -= size
                await self._send(message)
        except (OSError, RuntimeError):
            self.closed = True
        finally:
            self._writer = None

    def _forget(self) -> None:
        self._waiting.clear()
        self.waiting_bytes = 0


class Allowance:
    """A leaky bucket of bytes: so much a second on average, so much at once."""

    def __init__(self, per_second: float, at_once: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_second
        self._at_once = at_once
        self._clock = clock
        self._left = at_once
        self._asked_at = clock()

    def wait_seconds(self, size_bytes: float) -> float:
        """Take so much, and be told how long to wait until it was within bounds. 0: it is."""
        now = self._clock()
        self._left = min(self._at_once, self._left + (now - self._asked_at) * self._per_second) - size_bytes
        self._asked_at = now
        return -self._left / self._per_second if self._left < 0 else 0.0


class Socket:
    """One accepted ASGI WebSocket: a reading loop that can be ended from outside, what it refused, and the way out."""

    def __init__(self, receive: Receive, send: Send, direct: Direct | None = None) -> None:
        self._receive = receive
        self._direct = direct
        self.carried = asyncio.Event()
        """Set when this connection will carry no more."""
        self.outbox = Outbox(send, functools.partial(self.end, SLOW), direct=direct)
        self._line: Line | None = None
        self._early: list[str] = []
        self._rejected = 0
        self._spoken = 0
        self._flooded = False
        self._reason = ""
        self._scope: asyncio.Timeout | None = None
        self._over: asyncio.Future[str] | None = None

    async def carry(
        self, line: Line, take: Callable[[str | bytes], str], *, quiet_seconds: float, allowed: Allowance
    ) -> str:
        """`read` for a call: what is refused is told to `line`. Raises TransportClosed where the connection was lost."""
        self.tell(line)
        try:
            read = self.read if self._direct is None else functools.partial(self._read_directly, self._direct)
            reason = await read(take, quiet_seconds=quiet_seconds, allowed=allowed)
        finally:
            self.carried.set()
        if reason in LOST:
            raise TransportClosed(reason)
        return reason

    def tell(self, line: Line) -> None:
        """From now on `line` hears what is refused, and first what was refused before there was a line."""
        self._line = line
        early, self._early = self._early, []
        for reason in early:
            line.rejected(reason)

    def reject(self, reason: str) -> str:
        """Count something unusable. A connection that sends little else is ended. Returns "", for `take` to return."""
        self._rejected += 1
        if self._line is None:
            self._early.append(reason)
        else:
            self._line.rejected(reason)
        if self._rejected >= REJECTED_MAX:
            self.end(UNUSABLE)
        return ""

    def end(self, reason: str) -> None:
        """Make `read` return this reason. The first one stands."""
        self._reason = self._reason or reason
        if self._scope is not None and not self._scope.expired():
            self._scope.reschedule(0)
        self._finish(self._reason)

    def _finish(self, reason: str) -> None:
        if self._over is not None and not self._over.done():
            self._over.set_result(reason)

    async def read(self, take: Callable[[str | bytes], str], *, quiet_seconds: float, allowed: Allowance) -> str:
        """Give each message to `take`, until it returns a reason, the peer leaves, is silent that long, or `end` is called.

        A peer that sends more than `allowed` is read no faster than that: its own connection fills up, and nothing is lost.
        """
        if self._reason:
            return self._reason
        loop = asyncio.get_running_loop()
        self._watcher = loop.call_later(quiet_seconds, self._watch, self._spoken, quiet_seconds)
        try:
            async with asyncio.timeout(None) as self._scope:
                while True:
                    message = await self._receive()
                    if message["type"] == "websocket.disconnect":
                        return LEFT.get(message.get("code", 0), GONE)
                    self._spoken += 1
                    text = message.get("text")
                    given: str | bytes = message["bytes"] if text is None else text
                    if wait_seconds := allowed.wait_seconds(len(given) + MESSAGE_COST_BYTES):
                        await self._slow_down(wait_seconds)
                    reason = take(given) if len(given) <= MESSAGE_BYTES_MAX else self.reject("oversized message")
                    if reason or self._reason:
                        return reason or self._reason
                    if not self._spoken % FAIR_MESSAGES:
                        await asyncio.sleep(0)
        except TimeoutError:
            return self._reason
        finally:
            self._scope = None
            self._watcher.cancel()

    async def _read_directly(
        self, direct: Direct, take: Callable[[str | bytes], str], *, quiet_seconds: float, allowed: Allowance
    ) -> str:
        """`read`, with each message taken in the callback that read it from the socket."""
        if self._reason:
            return self._reason
        loop = asyncio.get_running_loop()
        over: asyncio.Future[str] = loop.create_future()
        self._over = over

        def take_now(given: str | bytes) -> None:
            self._spoken += 1
            if over.done():
                return
            if wait_seconds := allowed.wait_seconds(len(given) + MESSAGE_COST_BYTES):
                self._note_flood()
                direct.pause()
                loop.call_later(wait_seconds, direct.resume)
            try:
                reason = take(given) if len(given) <= MESSAGE_BYTES_MAX else self.reject("oversized message")
            except Exception as error:
                # Whose fault it is, is for whoever awaits this to say; here it must not reach the server.
                over.set_exception(error)
                return
            if reason:
                self._finish(reason)

        self._watcher = loop.call_later(quiet_seconds, self._watch, self._spoken, quiet_seconds)
        try:
            direct.attach(take_now, lambda code: self._finish(LEFT.get(code, GONE)))
            return await over
        finally:
            direct.detach()
            self._over = None
            self._watcher.cancel()

    async def _slow_down(self, wait_seconds: float) -> None:
        self._note_flood()
        await asyncio.sleep(wait_seconds)

    def _note_flood(self) -> None:
        if not self._flooded:
            self._flooded = True
            self.reject("faster than sound")

    def _watch(self, spoken: int, quiet_seconds: float) -> None:
        if spoken == self._spoken:
            self.end(SILENT)
        else:
            loop = asyncio.get_running_loop()
            self._watcher = loop.call_later(quiet_seconds, self._watch, self._spoken, quiet_seconds)

    async def close(self, reason: str) -> None:
        """Close, with the code that fits the reason. Idempotent."""
        await self.outbox.close(CODES.get(reason, NORMAL), reason)
        self.carried.set()
