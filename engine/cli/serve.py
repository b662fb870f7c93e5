"""`engine serve`: the page, the browser's and the telephone's calls, until it is told to stop."""

import asyncio
import functools
from argparse import ArgumentParser, Namespace

import uvloop

from engine import config
from engine.cli import add_config
from engine.server.serve import serve


def options(parser: ArgumentParser) -> None:
    parser.add_argument("--host", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, help="port to listen on, 0 for a free one (default: 8080)")
    add_config(parser)


def run(arguments: Namespace) -> int:
    found = config.load(arguments.config, flags={"server.host": arguments.host, "server.port": arguments.port})
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(found, functools.partial(print, flush=True)))
    return 0
