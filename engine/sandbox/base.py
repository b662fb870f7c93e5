"""What all simulated providers share: a web server on a free port, the key, and the ways to misbehave."""

import asyncio
import logging
import socket
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from enum import StrEnum
from typing import Any, ClassVar, NamedTuple

import msgspec
import uvicorn
from msgspec import Struct
from starlette.applications import Starlette
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

KEY = "simulated-key"
"""The only key that is good here."""
GRACE_STEPS = 40
GARBAGE = "{<garbage>"


class Fault(StrEnum):
    """How a provider goes wrong after it has begun well."""

    NONE = ""
    STALL = "stall"
    """It goes silent; the connection stays open."""
    CLOSE = "close"
    """It hangs up, with the behaviour's close code where there is a close code to give."""
    ERROR = "error"
    """It says so itself, in its own error message."""
    GARBAGE = "garbage"
    """It sends what cannot be read."""
    FORMAT = "format"
    """Its sound is in another format than was agreed."""


class Behaviour(Struct, kw_only=True):
    """How a simulated provider behaves. It may be changed while the server runs."""

    first_ms: int = 0
    """Before the first piece of every answer."""
    step_ms: int = 0
    """Before every further piece."""
    status: int = 0
    """Every request is refused with this HTTP status. 0: none is."""
    code: str = ""
    """The provider's name of the refusal, in its body; of the error too that comes inside a stream."""
    retry_after_s: int = 0
    """Told with the refusal."""
    fault: Fault = Fault.NONE
    fault_after: int = 1
    """Good pieces before the fault."""
    close_code: int = 1011
    idle_ms: int = 0
    """Without a message for so long, a provider on a WebSocket hangs up, its own way. 0: its own limit."""
    faults: int = -1
    """Answers or connections that meet the fault or the status. Below 0: all."""
    variant: str = ""
    """One of the provider's spellings of the same; see its server."""


class HangUp(Exception):
    """Raised inside a server to break a connection off."""


class Idle(HangUp):
    """The client has said nothing for too long."""


class Line:
    """One answer under a behaviour: call `step` before each piece of it."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self._pieces = 0
        self._faulty = behaviour.fault is not Fault.NONE and behaviour.faults != 0
        if self._faulty and behaviour.faults > 0:
            behaviour.faults -= 1

    async def step(self) -> Fault:
        """Wait as the behaviour says; returns the fault that is due now: GARBAGE, ERROR, FORMAT or NONE. Raises HangUp."""
        wait_ms = self._behaviour.step_ms if self._pieces else self._behaviour.first_ms
        if wait_ms:
            await asyncio.sleep(wait_ms / 1000)
        self._pieces += 1
        if not self._faulty or self._pieces <= self._behaviour.fault_after:
            return Fault.NONE
        if self._behaviour.fault is Fault.STALL:
            await asyncio.Event().wait()
        if self._behaviour.fault is Fault.CLOSE:
            raise HangUp
        return self._behaviour.fault


class SimulatedProvider(ABC):
    """One provider's server."""

    def __init__(self, behaviour: Behaviour | None = None, *, key: str = KEY) -> None:
        self.behaviour = behaviour or Behaviour()
        self.key = key
        self.seen: list[dict[str, Any]] = []
        """What clients asked: path, query, trace context, and what the server adds. For tests to look at."""
        self.url = ""
        """http://host:port, once it is served."""

    def settings(self) -> dict[str, object]:
        """The options that point the provider's adapter here."""
        return {"url": self.ws_url, "api_key": self.key}

    @abstractmethod
    def serve(self, host: str = "127.0.0.1", port: int = 0) -> AbstractAsyncContextManager[str]:
        """Serve until the block ends; gives the http:// address."""

    @property
    def connections(self) -> int:
        """How many connections clients have opened."""
        return len({seen["client"] for seen in self.seen})

    @property
    def ws_url(self) -> str:
        return self.url.replace("http", "ws", 1)


class WebProvider(SimulatedProvider):
    """A provider on the web. Subclasses give the routes."""

    @abstractmethod
    def routes(self) -> list[BaseRoute]:
        """The paths it answers."""

    def authorized(self, connection: HTTPConnection) -> bool:
        """Whether the request carries the key the provider's way: as most do, unless a subclass knows better."""
        return bearer(connection) == self.key

    def refusal_body(self, status: int, code: str) -> object:
        """The provider's error object."""
        return {
            "error": {"type": code or "error", "message": "refused by the simulated provider", "code": code or None}
        }

    def refusal(self, connection: HTTPConnection) -> Response | None:
        """The answer that refuses this request, if it is to be refused."""
        query = dict(connection.query_params.multi_items())
        trace = connection.headers.get("traceparent", "")
        self.seen.append(
            {"path": connection.url.path, "query": query, "client": connection.client, "traceparent": trace}
        )
        behaviour = self.behaviour
        status, headers = 0, dict[str, str]()
        if behaviour.status and behaviour.faults:
            behaviour.faults -= behaviour.faults > 0
            status = behaviour.status
            if behaviour.retry_after_s:
                headers["retry-after"] = str(behaviour.retry_after_s)
        elif not self.authorized(connection):
            status = 401
        if not status:
            return None
        return JSONResponse(self.refusal_body(status, behaviour.code), status, headers=headers)

    @asynccontextmanager
    async def serve(self, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
        """See SimulatedProvider."""
        app = Starlette(routes=self.routes())
        async with listening(app, host, port) as self.url:
            yield self.url


def bearer(connection: HTTPConnection) -> str:
    """The token of an `Authorization: Bearer` header."""
    return connection.headers.get("authorization", "").removeprefix("Bearer ")


async def read_json(request: Request) -> dict[str, Any]:
    """The body, an object."""
    body = msgspec.json.decode(await request.body())
    return body if isinstance(body, dict) else {}


class Happening(NamedTuple):
    """One server-sent event."""

    data: object
    """JSON, or text as it is."""
    name: str = ""
    """The `event:` line. Empty: none."""
    end: bytes = b"\n"
    """Of a line."""

    @property
    def wire(self) -> bytes:
        text = self.data.encode() if isinstance(self.data, str) else msgspec.json.encode(self.data)
        return (b"event: " + self.name.encode() + self.end if self.name else b"") + b"data: " + text + 2 * self.end


class Bare(NamedTuple):
    """What some servers send in the place of an event."""

    data: object

    @property
    def wire(self) -> bytes:
        """JSON over many lines."""
        return msgspec.json.format(msgspec.json.encode(self.data), indent=2) + b"\n"


def stream(
    behaviour: Behaviour, happenings: Iterable[Happening], trouble: Happening | Bare, *, kind: str = "text/event-stream"
) -> Response:
    """An answer of events under a behaviour. `trouble` is the provider's own error inside a stream."""

    async def body() -> AsyncIterator[bytes]:
        line = Line(behaviour)
        for happening in happenings:
            match await line.step():
                case Fault.NONE:
                    yield happening.wire
                case Fault.ERROR:
                    yield trouble.wire
                    return
                case _:
                    yield Happening(GARBAGE, happening.name).wire

    if behaviour.fault is Fault.FORMAT and behaviour.faults:
        return Response("<html>It works!</html>", media_type="text/html")
    return StreamingResponse(body(), media_type=kind)


class Peer:
    """A client's WebSocket as a server sees it, under a behaviour."""

    def __init__(self, websocket: WebSocket, behaviour: Behaviour, idle_ms: int = 0) -> None:
        """idle_ms: how long the client may say nothing. 0: as long as it likes."""
        self.websocket = websocket
        self.line = Line(behaviour)
        self._behaviour = behaviour
        self._idle_s = (behaviour.idle_ms or idle_ms) / 1_000

    async def send(self, message: Mapping[str, object] | bytes) -> None:
        """Send one message, as JSON text or as it is."""
        if isinstance(message, bytes):
            await self.websocket.send_bytes(message)
        else:
            await self.websocket.send_text(msgspec.json.encode(message).decode())

    async def send_garbage(self) -> None:
        await self.websocket.send_text(GARBAGE)

    async def hang_up(self, code: int = 0, reason: str = "") -> None:
        if self.websocket.application_state is WebSocketState.CONNECTED:
            await self.websocket.close(code or self._behaviour.close_code, reason)

    async def messages(self) -> AsyncIterator[str | bytes]:
        """What the client sends, until it leaves. Raises Idle."""
        while True:
            try:
                async with asyncio.timeout(self._idle_s or None):
                    message = await self.websocket.receive()
            except TimeoutError:
                raise Idle from None
            if message["type"] == "websocket.disconnect":
                return
            text: str | None = message.get("text")
            yield text if text is not None else message["bytes"]


class ModelProvider(WebProvider):
    """A language model spoken to over HTTP: subclasses list paths with what answers them, under `ask`."""

    def settings(self) -> dict[str, object]:
        return {"base_url": self.url, "api_key": self.key}

    def ask(self, path: str, answer: Callable[[dict[str, Any], Request], Response]) -> BaseRoute:
        """The route of a question."""

        async def endpoint(request: Request) -> Response:
            if refusal := self.refusal(request):
                return refusal
            body = await read_json(request)
            self.seen[-1]["body"] = body
            return answer(body, request)

        return Route(path, endpoint, methods=["POST"])

    def listing(self, path: str, answer: object) -> BaseRoute:
        """The route that lists models, which clients ask to warm their connection. No fault touches it but a wrong key."""

        async def endpoint(request: Request) -> Response:
            return JSONResponse(answer if self.authorized(request) else {}, 200 if self.authorized(request) else 401)

        return Route(path, endpoint)


class SocketProvider(WebProvider):
    """A provider spoken to over a WebSocket: subclasses hold one conversation in `converse`."""

    path: ClassVar[str] = "/"
    idle_ms: ClassVar[int] = 0
    """How long a client may say nothing. 0: as long as it likes."""

    @abstractmethod
    async def converse(self, peer: Peer) -> None:
        """One conversation, after the upgrade."""

    def routes(self) -> list[BaseRoute]:
        return [WebSocketRoute(self.path, self.accept)]

    def patience_ms(self, websocket: WebSocket) -> int:
        """The same, where the client may say so itself."""
        return self.idle_ms

    async def tire(self, peer: Peer) -> None:
        """Hang up on a client that said nothing for too long."""
        await peer.hang_up()

    async def accept(self, websocket: WebSocket) -> None:
        """Refuse or take the upgrade, then talk until one side leaves."""
        if refusal := self.refusal(websocket):
            await websocket.send_denial_response(refusal)
            return
        await websocket.accept(headers=[(b"x-request-id", b"simulated")])
        peer = Peer(websocket, self.behaviour, self.patience_ms(websocket))
        try:
            await self.converse(peer)
        except Idle:
            await self.tire(peer)
        except HangUp:
            await peer.hang_up()
        except WebSocketDisconnect:
            return
        await peer.hang_up(1000)


@asynccontextmanager
async def listening(app: Any, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """Serve an ASGI app in this loop; gives its http:// address. Port 0: a free one."""
    bound = socket.create_server((host, port))
    config = uvicorn.Config(
        app, lifespan="off", log_config=None, access_log=False, ws="websockets-sansio", timeout_graceful_shutdown=0
    )
    # A connection broken off on purpose is an error to the server, and no news to anyone.
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL + 1)
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    # Not server.serve(): signals belong to whoever runs the loop.
    await server.startup(sockets=[bound])
    try:
        yield f"http://{host}:{bound.getsockname()[1]}"
    finally:
        # uvicorn cannot shut down a connection that is half closed, so clients that have just left get a moment.
        for _ in range(GRACE_STEPS):
            if not server.server_state.connections:
                break
            await asyncio.sleep(0.005)
        await close(server, bound)


async def close(server: uvicorn.Server, bound: socket.socket) -> None:
    """End a server at once. Its own shutdown waits a tenth of a second each time, for clients that are long gone here."""
    for listener in server.servers:
        listener.close()
    bound.close()
    for connection in list(server.server_state.connections):
        connection.shutdown()
    tasks = list(server.server_state.tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    # The transports close in the loop's next turns.
    for _ in range(GRACE_STEPS):
        if not server.server_state.connections:
            return
        await asyncio.sleep(0.005)
