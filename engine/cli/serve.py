"""`engine serve`: the page, the browser's and the telephone's calls, until it is told to stop."""

import asyncio
import functools
import os
from argparse import ArgumentParser, Namespace

import uvloop

from engine import config
from engine.cli import add_config
from engine.server.rehearsal import Behaviours, behaviours, rehearsing, with_keys
from engine.server.serve import serve


def options(parser: ArgumentParser) -> None:
    parser.add_argument("--host", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, help="port to listen on, 0 for a free one (default: 8080)")
    parser.add_argument(
        "--simulate-providers",
        nargs="*",
        metavar="WISH",
        help="put simulated servers in the providers' place, so that no key is needed; "
        "a wish like llm.first_ms=800 or tts.cartesia.fault=stall makes them slow or faulty (see docs/providers.md)",
    )
    add_config(parser)


def run(arguments: Namespace) -> int:
    wishes: list[str] | None = arguments.simulate_providers
    environ = os.environ if wishes is None else with_keys(os.environ)
    flags = {"server.host": arguments.host, "server.port": arguments.port}
    found = config.load(arguments.config, environ=environ, flags=flags)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(found, tell) if wishes is None else rehearse(found, behaviours(wishes)))
    return 0


tell = functools.partial(print, flush=True)


async def rehearse(found: config.Config, wished: Behaviours) -> None:
    """Serve with the providers' doubles."""
    async with rehearsing(found, wished) as (rehearsed, told):
        for line in told:
            tell(line)
        await serve(rehearsed, tell)
