"""WebSocket /session: a conversation with a page."""

import logging
import secrets
from typing import Protocol

from starlette.types import Receive, Scope, Send

from engine.errors import TransportClosed
from engine.server.gate import Door, Gate, chosen_subprotocol, headers_of
from engine.server.lines import Carrier, Lines
from engine.server.neighbours import Connection
from engine.server.tokens import Tokens
from engine.transports.asgi import direct_of
from engine.transports.browser import Browser, Hello

log = logging.getLogger("engine.server")

RESUME_SECONDS = 2 * 3_600
"""How long a page may come back with what `ready` gave it: longer than the longest call."""


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


class Page(Carrier, Protocol):
    """A connection to a page."""

    def ready(self, session: str, resume: str, resumed: bool) -> None:
        """Tell the page that the conversation begins, or goes on."""


class Sessions:
    """An ASGI app, one connection at a time."""

    def __init__(self, lines: Lines, gate: Gate, door: Door, resumes: Tokens) -> None:
        self._lines = lines
        self._gate = gate
        self._door = door
        self._resumes = resumes

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
            connection = Connection(receive)
            browser = Browser(connection, send, direct_of(scope))
            hello = await opened(browser)
            if hello is None:
                return
            holder = self.holder(hello.resume)
            if holder and await self._lines.neighbours.carry(holder, "/page/", {}, connection, send):
                return
            await self.hold(browser, hello.resume, headers_of(scope).get(b"traceparent", b"").decode("latin-1"))

    async def passed_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A page that comes back to a session of this worker's, which another one has let in."""
        await receive()
        await send({"type": "websocket.accept"})
        browser = Browser(receive, send, direct_of(scope))
        hello = await opened(browser)
        if hello is not None:
            await self.hold(browser, hello.resume, "")

    def holder(self, resume: str) -> str:
        """The other worker that has the session which a page may go on with. Empty: none."""
        call_id, _, token = resume.partition(":")
        holder = self._lines.holder(call_id)
        return holder if holder and self._resumes.check(token, call_id) else ""

    async def hold(self, page: Page, resume: str, traceparent: str) -> None:
        """Carry a page that has said hello: in the session it was in, or in a new one."""
        if not await self._resume(page, resume):
            await self._begin(page, traceparent)

    async def _begin(self, page: Page, traceparent: str) -> None:
        call_id = f"web-{secrets.token_hex(6)}"
        if await self._lines.ready() and self._lines.host.has_room:
            page.ready(call_id, f"{call_id}:{self._resumes.mint(RESUME_SECONDS, call_id)}", resumed=False)
        await self._lines.begin(page, call_id, traceparent)

    async def _resume(self, page: Page, resume: str) -> bool:
        """Go on with the session that the page was in. False: there is none, or it is not this page's."""
        call_id, _, token = resume.partition(":")
        if not self._lines.is_open(call_id) or not self._resumes.check(token, call_id):
            return False
        return await self._lines.resume(page, call_id, lambda: page.ready(call_id, resume, resumed=True))


async def opened(browser: Browser) -> Hello | None:
    """What the page says first. None: nothing of use, and it has been closed."""
    try:
        return await browser.open()
    except TransportClosed as error:
        await browser.hang_up(str(error))
        return None
