"""uvicorn, set up for calls: uvloop, WebSockets without compression, no access log of callers, and an end that lets calls end."""

import asyncio
import gc
import os
import signal
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

import uvicorn

from engine.config import Config
from engine.errors import ConfigError, EngineError
from engine.server import protocols
from engine.server.app import App, create_app
from engine.server.gate import is_loopback
from engine.server.protocols import Http, WebSocket
from engine.server.tokens import Tokens

MESSAGE_BYTES_MAX = 1024 * 1024
"""A WebSocket message longer than this ends its connection; one between the transports' own bound and this is only dropped."""
PING_SECONDS = 15.0
"""Between pings, and for the answer: a peer that is gone without a word is noticed within 30 s."""
HEAD_BYTES_MAX = 16 * 1024
STRANGERS_MAX = 512
"""Connections beyond the calls before newcomers are answered with 503."""
BACKLOG = 2_048
FILES = 65_536
"""Open at once, where the system allows it to be asked for."""
CLOSING_SECONDS = 5
"""For connections that are left when the calls have ended."""
EVERYWHERE = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - to show, not to bind
"""Addresses that mean all of this machine's, and one of them that a browser can open."""
TOKEN_SECONDS = 3_600
"""The printed link's token. It only opens sessions; those may last longer."""


class Server(uvicorn.Server):
    """uvicorn's server, but the first signal drains and the second one hangs up."""

    def __init__(self, config: uvicorn.Config, app: App, announce: Callable[[], None] | None = None) -> None:
        """announce: called when it takes calls, and signals."""
        super().__init__(config)
        self._app = app
        self._announce = announce
        self._hurry = asyncio.Event()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.should_exit:
            self._hurry.set()
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen ourselves: uvicorn would let a stranger take 60 s over TLS's handshake, uncounted."""
        await super().startup([])
        loop = asyncio.get_running_loop()
        for each in sockets or ():
            listening = await loop.create_server(self.protocol, sock=each, backlog=BACKLOG, **self.tls())
            self.servers.append(listening)
        if self._announce is not None:
            self._announce()

    def protocol(self) -> asyncio.Protocol:
        """What speaks with one connection."""
        return Http(config=self.config, server_state=self.server_state, app_state={})

    def tls(self) -> dict[str, Any]:
        """For asyncio: how connections are secured, and how long they may take over it."""
        tls = self.config.ssl
        return {"ssl": tls, "ssl_handshake_timeout": protocols.HEAD_SECONDS} if tls is not None else {}

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain first, with the doors still open: who comes now is told so, instead of finding nobody."""
        switchboard = self._app.switchboard
        draining = asyncio.create_task(switchboard.drain())
        hurry = asyncio.create_task(self._hurry.wait())
        await asyncio.wait((draining, hurry), return_when=asyncio.FIRST_COMPLETED)
        for task in (draining, hurry):
            task.cancel()
        await switchboard.host.drain(0)
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Without raising them again at the end, as uvicorn does: a drained server has done what it was asked to, and exits 0."""
        loop = asyncio.get_running_loop()
        for each in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(each, self.handle_exit, each, None)
        yield
        for each in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(each)


def make_server(app: App, config: Config, announce: Callable[[], None] | None = None) -> Server:
    """The server, not yet listening. Raises ConfigError for certificates that cannot be used."""
    settings = config.server
    asgi = uvicorn.Config(
        app,
        ws=WebSocket,
        ws_max_size=MESSAGE_BYTES_MAX,
        ws_per_message_deflate=False,
        ws_ping_interval=PING_SECONDS,
        ws_ping_timeout=PING_SECONDS,
        h11_max_incomplete_event_size=HEAD_BYTES_MAX,
        http=Http,
        limit_concurrency=config.limits.calls_max + STRANGERS_MAX,
        proxy_headers=True,
        forwarded_allow_ips=list(settings.proxies),
        access_log=False,
        log_config=None,
        server_header=False,
        lifespan="off",
        timeout_graceful_shutdown=CLOSING_SECONDS,
        ssl_certfile=settings.tls_certificate or None,
        ssl_keyfile=settings.tls_key or None,
    )
    try:
        asgi.load()
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"server.tls_certificate and server.tls_key cannot be used: {error}") from error
    return Server(asgi, app, announce)


def listen(config: Config) -> socket.socket:
    """The listening socket. Raises EngineError."""
    host, port = config.server.host, config.server.port
    try:
        return socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=BACKLOG
        )
    except OSError as error:
        # Only an error of the system has a number above 0; that of a name has its own text.
        why = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        raise EngineError(f"cannot listen on {host}, port {port}: {why}") from error


def forbid_core_dumps() -> None:
    """A crash leaves no file with keys and callers' words in it. Inherited by workers."""
    with suppress(ImportError):  # Windows has no such limit, and writes no such file unasked
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def allow_many_files() -> None:
    """A call holds four files or so: its connection, its journal, its providers'. The usual 1,024 are 250 calls, and no more for those
    under way when strangers hold the rest. Inherited by workers."""
    with suppress(ImportError):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
        if soft != resource.RLIM_INFINITY and soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def spare_collector() -> None:
    """What was loaded stays, so the garbage collector need not walk it each time."""
    gc.collect()
    gc.freeze()


async def serve(config: Config, tell: Callable[[str], None]) -> None:
    """Take calls until a signal says otherwise, and let those under way end. Raises EngineError when it cannot begin."""
    app = create_app(config=config)
    with listen(config) as listening:

        def announce() -> None:
            for line in greeting(config, app.tokens, listening.getsockname()[1]):
                tell(line)

        server = make_server(app, config, announce)
        try:
            await app.switchboard.ready()
            spare_collector()
            await server.serve([listening])
        finally:
            await app.switchboard.stop()


def address(config: Config, port: int) -> str:
    """The page's address, for a browser."""
    host = config.server.host
    host = EVERYWHERE.get(host, host)
    scheme = "https" if config.server.tls_certificate else "http"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}/"


def greeting(config: Config, tokens: Tokens, port: int) -> list[str]:
    """What the operator is told when the server listens."""
    page = address(config, port)
    lines = []
    if is_loopback(config.server.host):
        lines += [f"Talk to the agent at {page}", "Open to this machine only; other machines need a token."]
    else:
        token = tokens.mint(TOKEN_SECONDS)
        lines += [f"Talk to the agent at {page}#token={token}", "The link is good for an hour from other machines."]
        if not config.server.tls_certificate:
            lines.append(
                "Browsers give a microphone to https pages and to this machine only: set tls_certificate and tls_key."
            )
    if config.twilio.auth_token:
        public = config.twilio.public_url.rstrip("/") or "https://<your public address>"
        lines.append(f"Twilio's webhook for incoming calls is {public}/twilio/voice (POST).")
    return lines
