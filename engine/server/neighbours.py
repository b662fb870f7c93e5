"""The other workers of this service: who holds which call, how they are asked about it, and how a connection is carried to them.

A peer that comes back, and whoever tells of a call, is handed to any worker; the call is in one. That one takes a note of each of its
calls where all can read it, and answers on a socket in the same folder, which nobody but this service can reach. What it is told there
has passed the other worker's door already.

Rule 1. What belongs to another worker's call is carried to it. Where that worker has ended, its calls have too.
Rule 2. Every question has an end, and a connection that is carried holds no more than a few messages.
"""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
from starlette.types import Message, Receive, Scope, Send
from websockets.asyncio.client import ClientConnection, unix_connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from engine.server.shared import Shared

log = logging.getLogger("engine.server")

ANSWER_SECONDS = 5.0
"""Twilio waits 15 s for the answer to a webhook."""
CLOSE_SECONDS = 2.0
MESSAGES_HELD = 16
"""Of each connection that is carried, before its worker is read no further."""
MEANT = frozenset((1000, 1001, 1012))
"""A far end's close codes that are no accident; any other end is passed on as a broken line."""
PASSED_ON = MEANT | {1008, 1013}
"""Our own workers' close codes. Any other is that of a worker that crashed, after which a page tries again."""
ABNORMAL, FAILED = 1006, 1011
CLIENT = b"x-engine-client"
"""The header that tells another worker whom a request is from."""


class Neighbours:
    """What one worker knows of the others. Without notes in common there are none."""

    def __init__(self, shared: Shared | None = None) -> None:
        self._shared = shared

    def hold(self, name: str) -> None:
        """This worker has the call, or whatever is named so."""
        if self._shared is not None:
            self._shared.hold(name)

    def leave(self, name: str) -> None:
        """It has it no more."""
        if self._shared is not None:
            self._shared.leave(name)

    def holder(self, name: str) -> str:
        """The other worker that has it. Empty: this one, or none."""
        holder = self._shared.holder(name) if self._shared is not None else ""
        return "" if self._shared is None or holder == self._shared.worker else holder

    async def ask(
        self, worker: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> httpx.Response | None:
        """Ask a worker. None: it has ended, or has nothing to say."""
        transport = httpx.AsyncHTTPTransport(verify=False, uds=str(self._socket(worker)))
        try:
            async with httpx.AsyncClient(transport=transport, base_url="http://worker") as client:
                answer = await client.post(path, content=body, headers=headers, timeout=ANSWER_SECONDS)
        except httpx.HTTPError as error:
            log.warning("a worker did not answer: %s", type(error).__name__, extra={"path": path})
            return None
        return answer if answer.is_success else None

    async def carry(
        self, worker: str, path: str, headers: Mapping[str, str], connection: "Connection", send: Send
    ) -> bool:
        """Carry an accepted WebSocket to a worker, from its last message on, to its end. False: that worker has ended."""
        try:
            peer = await unix_connect(
                str(self._socket(worker)),
                f"ws://worker{path}",
                additional_headers=headers,
                compression=None,
                max_queue=MESSAGES_HELD,
                max_size=None,
                ping_interval=None,
                open_timeout=ANSWER_SECONDS,
                close_timeout=CLOSE_SECONDS,
            )
        except (OSError, TimeoutError, WebSocketException) as error:
            log.warning("a worker took no connection: %s", type(error).__name__, extra={"path": path})
            return False
        async with peer:
            await carried(connection, send, peer)
        return True

    def _socket(self, worker: str) -> Path:
        assert self._shared is not None, "alone, there is nobody to ask"
        return self._shared.socket_of(worker)


class Connection:
    """A WebSocket's `receive` that knows its last message, so that another worker can be told what was said."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.last: Message = {}

    async def __call__(self) -> Message:
        self.last = await self._receive()
        return self.last


async def carried(connection: Connection, send: Send, peer: ClientConnection) -> None:
    """Messages both ways until either end leaves, and then the other is told how."""
    up = asyncio.create_task(_carry_up(connection, peer))
    down = asyncio.create_task(_carry_down(peer, send))
    try:
        await asyncio.wait((up, down), return_when=asyncio.FIRST_COMPLETED)
        if down.done():
            code = peer.close_code or ABNORMAL
            with suppress(OSError, RuntimeError):  # the far end may have gone too
                await send(
                    {
                        "type": "websocket.close",
                        "code": code if code in PASSED_ON else FAILED,
                        "reason": peer.close_reason or "",
                    }
                )
        elif up.result() in MEANT:
            await peer.close(up.result())
        else:
            peer.transport.abort()
    finally:
        for task in (up, down):
            task.cancel()
        await asyncio.gather(up, down, return_exceptions=True)


async def _carry_up(connection: Connection, peer: ClientConnection) -> int:
    """Returns the code with which the far end left."""
    message = connection.last
    try:
        while message["type"] != "websocket.disconnect":
            text = message.get("text")
            await peer.send(message["bytes"] if text is None else text)
            message = await connection()
    except ConnectionClosed:
        await asyncio.Event().wait()  # the way down ends, and says how
    return int(message.get("code", ABNORMAL))


async def _carry_down(peer: ClientConnection, send: Send) -> None:
    """Returns when the worker has left."""
    try:
        async for given in peer:
            await send({"type": "websocket.send", "text" if isinstance(given, str) else "bytes": given})
    except ConnectionClosed:
        return
    except (OSError, RuntimeError):
        await asyncio.Event().wait()  # the far end has gone, which the way up notices


def client_of(scope: Scope) -> dict[str, str]:
    """Whom a request is from, for another worker."""
    client = scope.get("client")
    return {CLIENT.decode(): str(client[0])} if client else {}


def as_told(scope: Scope) -> Any:
    """The scope of a request that another worker passes on, with the address that it is from."""
    address = dict(scope["headers"]).get(CLIENT, b"").decode("latin-1")
    return {**scope, "client": (address, 0)} if address else scope
