"""`engine serve`: the page, the browser's and the telephone's calls, until it is told to stop."""

import asyncio
import functools
import secrets
import socket
import sys
from argparse import SUPPRESS, ArgumentParser, Namespace

import uvloop

from engine import config
from engine.cli import add_config
from engine.config import Config
from engine.server.serve import forbid_core_dumps, greeting, listen, serve
from engine.server.tokens import Tokens
from engine.server.worker import work
from engine.server.workers import Supervisor


def options(parser: ArgumentParser) -> None:
    parser.add_argument("--host", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, help="port to listen on, 0 for a free one (default: 8080)")
    parser.add_argument("--workers", type=int, metavar="N", help="processes that share the port (default: 1)")
    parser.add_argument("--channel", type=int, help=SUPPRESS)
    add_config(parser)


def run(arguments: Namespace) -> int:
    flags = {
        "server.host": arguments.host,
        "server.port": arguments.port,
        "server.workers": arguments.workers,
    }
    found = config.load(arguments.config, flags=flags)
    forbid_core_dumps()
    if arguments.channel is None and found.server.workers > 1:
        return supervise(found, arguments)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        if arguments.channel is None:
            runner.run(serve(found, functools.partial(print, flush=True)))
        else:
            with socket.socket(fileno=arguments.channel) as channel:
                runner.run(work(found, channel))
    return 0


def supervise(found: Config, arguments: Namespace) -> int:
    """Several processes behind one port. Each is this command again, with a channel to us instead of a port."""
    command = [sys.executable, "-m", "engine", "serve", "--host", found.server.host]
    command += ["--config", str(arguments.config)] if arguments.config else []
    secret = found.server.secret or secrets.token_urlsafe(32)
    with listen(found) as listening:
        port = listening.getsockname()[1]

        def tell() -> None:
            print("\n".join(greeting(found, Tokens(secret, "session"), port)), flush=True)

        return Supervisor(listening, [*command, "--channel"], found.server.workers, secret, tell).run()
