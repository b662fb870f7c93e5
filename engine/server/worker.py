"""One worker of a service: a process with its own event loop, which is handed connections and says how it is doing.

The channel to the supervisor is a pair of sockets that keep packets apart. First comes what all workers share; then connections,
one in each packet; back go statuses. What concerns another worker's call goes over that worker's own socket (`neighbours`). When the supervisor is gone, the worker lets its calls end and goes too.
"""

import asyncio
import socket
from pathlib import Path

import msgspec
import uvicorn
from msgspec import Struct
from msgspec.structs import replace

from engine.config import Config
from engine.server.app import App, create_app
from engine.server.protocols import Http, WebSocket
from engine.server.serve import MESSAGE_BYTES_MAX, Server, make_server, spare_collector
from engine.server.shared import Shared

STATUS_SECONDS = 0.025
"""Between two reports: the front spreads callers by what it was last told, and two may come close together. A report is about 10 µs."""
PACKET_BYTES_MAX = 4_096
HANDED_MAX = 16
"""Connections taken in one turn of the loop."""


class Hello(Struct, frozen=True):
    """What the workers share."""

    secret: str
    """With which tokens are signed."""
    folder: str
    """For notes between them."""
    name: str
    """Of this one."""


class Status(Struct, frozen=True):
    """How a worker is doing."""

    ready: bool = False
    """It takes calls."""
    calls: int = 0
    connections: int = 0
    """Open: calls, and whoever asks something."""
    taken: int = 0
    """Connections that it was handed, ever."""


read_hello = msgspec.json.Decoder(Hello).decode
read_status = msgspec.json.Decoder(Status).decode
encode = msgspec.json.Encoder().encode


class Channel:
    """The worker's end."""

    def __init__(self, channel: socket.socket, server: Server, app: App) -> None:
        self._channel = channel
        self._server = server
        self._app = app
        self._loop = asyncio.get_running_loop()
        self._arriving: set[asyncio.Task[None]] = set()
        self._taken = 0
        self._told: Status | None = None
        self._timer: asyncio.TimerHandle | None = None

    def open(self) -> None:
        self._channel.setblocking(False)
        self._loop.add_reader(self._channel.fileno(), self._read)
        self._tell()

    def close(self) -> None:
        self._loop.remove_reader(self._channel.fileno())
        if self._timer is not None:
            self._timer.cancel()

    def _tell(self) -> None:
        """Say how we are, when that has changed."""
        switchboard = self._app.switchboard
        connections = len(self._server.server_state.connections) + len(self._arriving)
        status = Status(switchboard.is_ready, switchboard.host.calls, connections, self._taken)
        if status != self._told:
            try:
                self._channel.send(encode(status))
                self._told = status
            except BlockingIOError:
                pass  # the supervisor is behind; the next one will tell
            except OSError:
                return  # it is gone, which `_read` notices
        self._timer = self._loop.call_later(STATUS_SECONDS, self._tell)

    def _read(self) -> None:
        for _ in range(HANDED_MAX):
            try:
                packet, handed, _, _ = socket.recv_fds(self._channel, PACKET_BYTES_MAX, 1)
            except BlockingIOError:
                return
            except OSError:
                packet, handed = b"", []
            if not packet:
                self._loop.remove_reader(self._channel.fileno())
                self._server.should_exit = True
                return
            for number in handed:
                self._taken += 1
                task = self._loop.create_task(self._welcome(socket.socket(fileno=number)))
                self._arriving.add(task)
                task.add_done_callback(self._arriving.discard)

    async def _welcome(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        try:
            await self._loop.connect_accepted_socket(self._server.protocol, connection, **self._server.tls())
        except OSError:  # it was closed on the way, or its TLS failed
            connection.close()


async def answer_others(server: Server, app: App, path: Path) -> asyncio.Server:
    """Let the other workers ask this one. Nobody else reaches a socket in their folder."""
    inner = uvicorn.Config(
        app.private,
        ws=WebSocket,
        ws_max_size=MESSAGE_BYTES_MAX,
        ws_per_message_deflate=False,
        ws_ping_interval=None,
        http=Http,
        access_log=False,
        log_config=None,
        server_header=False,
        lifespan="off",
    )
    inner.load()
    return await asyncio.get_running_loop().create_unix_server(
        lambda: Http(config=inner, server_state=server.server_state, app_state={}), path
    )


async def work(config: Config, channel: socket.socket) -> None:
    """Take the connections that the supervisor hands over, until it or a signal says otherwise."""
    hello = read_hello(channel.recv(PACKET_BYTES_MAX))
    config = replace(config, server=replace(config.server, secret=hello.secret))
    shared = Shared(Path(hello.folder), hello.name)
    app = create_app(config=config, shared=shared)
    server = make_server(app, config)
    among = await answer_others(server, app, shared.socket_of(hello.name))
    try:
        await app.switchboard.ready()
        spare_collector()
        ending = Channel(channel, server, app)
        ending.open()
        await server.serve([])
        ending.close()
    finally:
        among.close()
        await app.switchboard.stop()
