"""POST /webrtc/offer: a page's SDP in, ours out, and a conversation on the connection that follows.

Shaped like WHIP (RFC 9725): `application/sdp` both ways, 201, a bearer token, and ICE servers that are asked for first (GET). A two-way
call is no ingest, so the rest is ours: the page hangs up on its data channel, and there is nothing to PATCH or DELETE.
"""

import asyncio
import importlib.util
import logging
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from engine.errors import TransportClosed
from engine.server.gate import Door, Gate
from engine.server.neighbours import Neighbours, as_told, client_of
from engine.server.sessions import Sessions
from engine.settings import WebRTCSettings

if TYPE_CHECKING:
    from engine.transports.webrtc import WebRTC

log = logging.getLogger("engine.server")

OFFER_BYTES_MAX = 32 * 1024
"""Chromium's offer for one microphone and a data channel is 3 to 5 KiB."""
OFFER_SECONDS = 10.0
"""How long the offer itself may take to arrive."""
STOP_SECONDS = 5.0
RESUME = "engine-resume"
"""A header with what `ready` gave, of a page that comes back: its session may be in another worker."""
MISSING = "WebRTC needs the extra: pip install 'engine[webrtc]'"


class Offers:
    """The route, and the connections that came of it."""

    def __init__(
        self, sessions: Sessions, gate: Gate, door: Door, settings: WebRTCSettings, neighbours: Neighbours
    ) -> None:
        self._sessions = sessions
        self._neighbours = neighbours
        self._gate = gate
        self._door = door
        self._servers = ice_servers(settings)
        self._held: dict[asyncio.Task[None], WebRTC] = {}
        self._make: Callable[[list[dict[str, str]]], WebRTC] | None = None
        if importlib.util.find_spec("aiortc") is not None:
            # Now, since it takes half a second, for which calls under way would have to wait.
            from engine.transports import webrtc

            self._make = webrtc.WebRTC

    async def offer(self, request: Request) -> Response:
        """GET: the ICE servers. POST: an offer for an answer. OPTIONS: a browser's question whether another origin may ask."""
        if request.method == "OPTIONS":
            return self._open_to(request, Response(status_code=204))
        if refusal := self._gate.refusal(request.scope):
            return self._refuse(request, 403, refusal)
        if self._make is None:
            return self._refuse(request, 501, MISSING)
        if request.method != "POST":
            return self._open_to(request, JSONResponse({"iceServers": self._servers}))
        try:
            async with asyncio.timeout(OFFER_SECONDS):
                offer = await text_of(request)
        except (TimeoutError, ClientDisconnect):
            return self._refuse(request, 408, "the offer did not arrive")
        if offer is None:
            return self._refuse(request, 413, f"an offer has at most {OFFER_BYTES_MAX} bytes")
        return await self._answer_elsewhere(request, offer) or await self._answer(request, offer)

    async def passed_on(self, request: Request) -> Response:
        """The offer of a page that comes back to a session of this worker's, which another one has let in."""
        return await self._answer(Request(as_told(request.scope), request.receive), (await request.body()).decode())

    async def _answer_elsewhere(self, request: Request, offer: str) -> Response | None:
        """The answer of the worker that has the page's session. None: none has, or it has ended."""
        holder = self._sessions.holder(request.headers.get(RESUME, ""))
        if not holder:
            return None
        answer = await self._neighbours.ask(holder, "/offer", offer.encode(), client_of(request.scope))
        if answer is None:
            return None
        return self._open_to(request, Response(answer.content, 201, media_type="application/sdp"))

    async def stop(self) -> None:
        """Give up the connections that have not become calls, and wait for all to be closed. Calls have been drained before."""
        for peer in self._held.values():
            peer.lose()
        if self._held:
            await asyncio.wait(self._held, timeout=STOP_SECONDS)

    async def _answer(self, request: Request, offer: str) -> Response:
        with ExitStack() as inside:
            if refusal := inside.enter_context(self._door.enter(request.scope)):
                return self._refuse(request, 429, refusal)
            assert self._make is not None
            peer = self._make(self._servers)
            try:
                answer = await peer.answer(offer)
            except (ValueError, TimeoutError) as error:
                return self._refuse(request, 400, str(error) or "no candidates were found in time")
            held = asyncio.get_running_loop().create_task(
                self._hold(peer, request.headers.get("traceparent", ""), inside.pop_all())
            )
        self._held[held] = peer
        held.add_done_callback(self._held.pop)
        return self._open_to(request, Response(answer, 201, media_type="application/sdp"))

    async def _hold(self, peer: "WebRTC", traceparent: str, inside: ExitStack) -> None:
        """One connection, from our answer to its end."""
        with inside:
            try:
                hello = await peer.open()
                await self._sessions.hold(peer, hello.resume, traceparent)
            except TransportClosed as error:
                log.info("a page did not connect: %s", error)
            finally:
                await peer.hang_up("the connection is over")

    def _refuse(self, request: Request, status: int, reason: str) -> Response:
        log.warning("refused an offer: %s", reason, extra={"path": request.url.path, "status": status})
        return self._open_to(request, PlainTextResponse(reason, status))

    def _open_to(self, request: Request, response: Response) -> Response:
        """Let a page at another of the allowed origins read this."""
        origin = request.headers.get("origin", "")
        response.headers["cache-control"] = "no-store"
        response.headers["vary"] = "Origin"
        if origin and self._gate.knows(origin, request.headers.get("host", "")):
            response.headers["access-control-allow-origin"] = origin
            response.headers["access-control-allow-headers"] = f"authorization, content-type, {RESUME}"
            response.headers["access-control-allow-methods"] = "GET, POST"
        return response


async def text_of(request: Request) -> str | None:
    """The body, or None where it is longer than any offer."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > OFFER_BYTES_MAX:
            return None
    return body.decode(errors="replace")


def ice_servers(settings: WebRTCSettings) -> list[dict[str, str]]:
    """As a page's RTCPeerConnection wants them."""
    login = {"username": settings.turn_username, "credential": settings.turn_credential}
    return [
        {"urls": url, **(login if url.startswith("turn") and settings.turn_username else {})}
        for url in settings.ice_servers
    ]
