"""`engine dial +15550003333 --from +15550002222`: place one call, let the agent talk to whoever picks up, and say how it ended."""

import asyncio
import functools
import os
from argparse import ArgumentParser, Namespace

import msgspec
import uvloop
from msgspec.structs import replace

from engine import config
from engine.cli import add_config
from engine.config import Config
from engine.sandbox.twilio import Callee, TwilioServer
from engine.server.app import create_app
from engine.server.dialling import COMPLETED, RING_SECONDS, OutboundCall, Progress
from engine.server.serve import listen, make_server

SIMULATED_CALLER = "+15550002222"
GOOD, FAILED = 0, 1
tell = functools.partial(print, flush=True)


def options(parser: ArgumentParser) -> None:
    parser.add_argument("target", metavar="NUMBER", help="whom to call: +15550003333, or a SIP address")
    parser.add_argument("--from", dest="caller", default="", metavar="NUMBER", help="the number it comes from")
    parser.add_argument("--machine", choices=("detect", "message"), default="", help="tell an answering machine")
    parser.add_argument("--ring", type=int, default=RING_SECONDS, metavar="SECONDS", help="to wait for an answer")
    parser.add_argument("--port", type=int, help="port to listen on (default: 8080)")
    parser.add_argument(
        "--simulate",
        nargs="?",
        const="answer",
        choices=("answer", "machine", "busy", "no-answer"),
        help="call nobody: a simulated Twilio on this machine, whose callee does this; needs no account",
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="the simulated callee hangs up after this")
    parser.add_argument("--json", action="store_true", help="the outcome as JSON")
    add_config(parser)


def run(arguments: Namespace) -> int:
    port = 0 if arguments.simulate else arguments.port
    found = config.load(arguments.config, environ=os.environ, flags={"server.port": port})
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        ended = runner.run(rehearse(found, arguments) if arguments.simulate else place(found, arguments))
    tell(msgspec.json.encode(ended).decode() if arguments.json else sentence(ended))
    return GOOD if ended.status == COMPLETED else FAILED


async def rehearse(found: Config, arguments: Namespace) -> Progress:
    """The call on a simulated Twilio."""
    here: list[str] = []
    takes = "answer" if arguments.simulate == "machine" else arguments.simulate
    judged = "machine_end_beep" if arguments.simulate == "machine" else "human"
    twilio = TwilioServer(route=lambda: here[0])
    twilio.callees[arguments.target] = Callee(
        takes=takes, rings_ms=1_000, answered_by=judged, judged_ms=1_500, stays_ms=int(1_000 * arguments.seconds)
    )
    async with twilio.serve():
        account = replace(found.twilio, number=SIMULATED_CALLER, **twilio.settings())
        try:
            return await place(replace(found, twilio=account), arguments, here)
        finally:
            await twilio.stop()


async def place(found: Config, arguments: Namespace, here: list[str] | None = None) -> Progress:
    """Serve as long as the call lasts. here: is told where we listen. Raises EngineError."""
    app = create_app(config=found)
    server = make_server(app, found)
    with listen(found) as listening:
        if here is not None:
            here.append(f"http://127.0.0.1:{listening.getsockname()[1]}")
        await app.switchboard.ready()
        serving = asyncio.create_task(server.serve([listening]))
        try:
            call = await app.dialler.dial(
                arguments.target, caller=arguments.caller, machine=arguments.machine, ring_seconds=arguments.ring
            )
            if not arguments.json:
                tell(f"Calling {arguments.target}: {call.sid}")
            return await until_over(call, serving)
        finally:
            server.should_exit = True
            await serving
            await app.switchboard.stop()


async def until_over(call: OutboundCall, serving: "asyncio.Task[None]") -> Progress:
    """The outcome. Ctrl-C stops the server first, which hangs up."""
    ended = asyncio.create_task(call.ended())
    await asyncio.wait((ended, serving), return_when=asyncio.FIRST_COMPLETED)
    if not ended.done():
        ended.cancel()
        await call.hang_up()
        return call.progress
    return await ended


def sentence(ended: Progress) -> str:
    """How it went, in words."""
    by = f", taken by {ended.answered_by}" if ended.answered_by else ""
    lasted = f", {ended.seconds} s" if ended.seconds else ""
    sip = f" (SIP {ended.sip_code})" if ended.sip_code and ended.status != COMPLETED else ""
    return f"{ended.status}{sip}{by}{lasted}"
