"""`engine serve`: the page, the browser's and the telephone's calls, until it is told to stop."""

import asyncio
import functools
import os
import secrets
import socket
import sys
from argparse import SUPPRESS, ArgumentParser, Namespace

import uvloop

from engine import config
from engine.cli import add_config
from engine.config import Config
from engine.server.rehearsal import Behaviours, behaviours, rehearsing, with_keys
from engine.server.serve import allow_many_files, forbid_core_dumps, greeting, listen, serve
from engine.server.tokens import Tokens
from engine.server.worker import work
from engine.server.workers import Supervisor


def options(parser: ArgumentParser) -> None:
    parser.add_argument("--host", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, help="port to listen on, 0 for a free one (default: 8080)")
    parser.add_argument("--workers", type=int, metavar="N", help="processes that share the port (default: 1)")
    parser.add_argument(
        "--simulate-providers",
        nargs="*",
        metavar="WISH",
        help="put simulated servers in the providers' place, so that no key is needed; "
        "a wish like llm.first_ms=800 or tts.cartesia.fault=stall makes them slow or faulty (see docs/providers.md)",
    )
    parser.add_argument("--channel", type=int, help=SUPPRESS)
    add_config(parser)


def run(arguments: Namespace) -> int:
    flags = {
        "server.host": arguments.host,
        "server.port": arguments.port,
        "server.workers": arguments.workers,
    }
    wishes: list[str] | None = arguments.simulate_providers
    found = config.load(arguments.config, environ=os.environ if wishes is None else with_keys(os.environ), flags=flags)
    wished = behaviours(wishes) if wishes is not None else None
    forbid_core_dumps()
    allow_many_files()
    if arguments.channel is None and found.server.workers > 1:
        return supervise(found, arguments)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(
            take_calls(found, arguments.channel) if wished is None else rehearse(found, arguments.channel, wished)
        )
    return 0


tell = functools.partial(print, flush=True)


async def take_calls(found: Config, channel: int | None) -> None:
    """As the whole service, or as the worker at this end of a channel."""
    if channel is None:
        await serve(found, tell)
        return
    with socket.socket(fileno=channel) as connected:
        await work(found, connected)


async def rehearse(found: Config, channel: int | None, wished: Behaviours) -> None:
    """The same with the providers' doubles, which each process has for itself."""
    async with rehearsing(found, wished) as (rehearsed, told):
        for line in told if channel is None else ():
            tell(line)
        await take_calls(rehearsed, channel)


def supervise(found: Config, arguments: Namespace) -> int:
    """Several processes behind one port. Each is this command again, with a channel to us instead of a port."""
    command = [sys.executable, "-m", "engine", "serve", "--host", found.server.host]
    command += ["--config", str(arguments.config)] if arguments.config else []
    if arguments.simulate_providers is not None:
        command += ["--simulate-providers", *arguments.simulate_providers]
    secret = found.server.secret or secrets.token_urlsafe(32)
    with listen(found) as listening:
        port = listening.getsockname()[1]

        def greet() -> None:
            tell("\n".join(greeting(found, Tokens(secret, "session"), port)))

        return Supervisor(listening, [*command, "--channel"], found.server.workers, secret, greet).run()
