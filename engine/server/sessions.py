"""WebSocket /session: a conversation with a page."""

import asyncio
import logging
import secrets

from starlette.types import Receive, Scope, Send

from engine.errors import TransportClosed
from engine.server.gate import Door, Gate, chosen_subprotocol, headers_of
from engine.server.switchboard import Switchboard
from engine.server.tokens import Tokens
from engine.transports.browser import Browser

log = logging.getLogger("engine.server")

RESUME_SECONDS = 2 * 3_600
"""How long a page may come back with what `ready` gave it: longer than the longest call."""
TAKEOVER_TRIES = 10
"""Turns of the event loop in which a session that lost its connection begins to wait for another. It takes one."""


async def refuse(scope: Scope, send: Send, status: int, reason: str) -> None:
    """Answer the upgrade with a plain HTTP response where the server can, or close."""
    log.warning("refused a connection: %s", reason, extra={"path": scope["path"], "status": status})
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1008})
        return
    body = reason.encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body})


class Sessions:
    """An ASGI app, one connection at a time."""

    def __init__(self, switchboard: Switchboard, gate: Gate, door: Door, resumes: Tokens) -> None:
        self._switchboard = switchboard
        self._gate = gate
        self._door = door
        self._resumes = resumes
        self._live: dict[str, Browser] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        refusal = self._gate.refusal(scope)
        if refusal:
            await refuse(scope, send, 403, refusal)
            return
        with self._door.enter(scope) as refusal:
            if refusal:
                await refuse(scope, send, 429, refusal)
                return
            await send({"type": "websocket.accept", "subprotocol": chosen_subprotocol(scope)})
            browser = Browser(receive, send)
            try:
                hello = await browser.open()
            except TransportClosed as error:
                await browser.hang_up(str(error))
                return
            if not (hello.resume and await self._resume(browser, hello.resume)):
                await self._begin(browser, headers_of(scope).get(b"traceparent", b"").decode("latin-1"))

    async def _begin(self, browser: Browser, traceparent: str) -> None:
        switchboard = await self._switchboard.ready()
        call_id = f"web-{secrets.token_hex(6)}"
        if switchboard.host.has_room:
            browser.ready(call_id, f"{call_id}:{self._resumes.mint(RESUME_SECONDS, call_id)}", resumed=False)
        self._live[call_id] = browser
        try:
            outcome = await switchboard.host.call(browser, switchboard.agent, call_id, traceparent)
        finally:
            last = self._live.pop(call_id)
        await last.hang_up(outcome.reason)

    async def _resume(self, browser: Browser, resume: str) -> bool:
        """Go on with a session on this connection. False: there is none to go on with."""
        call_id, _, token = resume.partition(":")
        session = self._switchboard.host.session(call_id)
        if session is None or call_id not in self._live or not self._resumes.check(token, call_id):
            return False
        # The page may know before we do that the old connection is dead.
        old = self._live[call_id]
        old.lose()
        await old.carried.wait()
        for _ in range(TAKEOVER_TRIES):
            if session.resume(browser):
                self._live[call_id] = browser
                browser.ready(call_id, resume, resumed=True)
                await browser.carried.wait()
                return True
            await asyncio.sleep(0)
        return False
