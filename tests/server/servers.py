"""A real server on a free port of this machine, in the test's own loop."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import uvicorn
from msgspec import Struct
from starlette.types import ASGIApp

from engine.agent import Agent
from engine.config import Config, load
from engine.server.app import App, create_app
from engine.server.serve import Server, listen, make_server

AUTH_TOKEN = "0123456789abcdef0123456789abcdef"


def make_config(agent: Agent | None = None, **environ: str) -> Config:
    """An agent that is typed to and speaks, and an environment of our own."""
    typed = agent or Agent("Book appointments.", asr=(), llm=("scripted",), tts=("espeak",), greeting="Hello.")
    folder = environ.pop(
        "ENGINE_JOURNAL_FOLDER", ""
    )  # An empty variable counts as unset; an empty flag says: no journals.
    return load(
        environ={"ENGINE_SERVER_PORT": "0", "ENGINE_LIMITS_LATE_MS_MAX": "0", **environ},
        flags={"journal.folder": folder},
        agent=typed,
    )


class Served(Struct, frozen=True):
    app: App
    server: Server
    port: int

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def cut(self) -> None:
        """Break off all connections, without a goodbye."""
        for connection in list(self.server.server_state.connections):
            connection.transport.abort()

    def vanish(self) -> None:
        """Listen no more, and cut."""
        for listening in self.server.servers:
            listening.close()
        self.cut()


@asynccontextmanager
async def serving(config: Config) -> AsyncIterator[Served]:
    """The engine's own server."""
    app = create_app(config=config)
    server = make_server(app, config)
    with listen(config) as listening:
        await app.switchboard.ready()
        task = asyncio.create_task(server.serve([listening]))
        try:
            yield Served(app, server, listening.getsockname()[1])
        finally:
            server.should_exit = True
            await task
            await app.switchboard.stop()


@asynccontextmanager
async def hosting(app: ASGIApp, config: Config, headers: Mapping[str, str] | None = None) -> AsyncIterator[str]:
    """Somebody else's app on a plain uvicorn. Gives its address."""
    server = uvicorn.Server(uvicorn.Config(app, lifespan="on", log_config=None, ws="websockets-sansio"))
    with listen(config) as listening:
        task = asyncio.create_task(server.serve([listening]))
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            await task
