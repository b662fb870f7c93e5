"""`engine load`: many scripted callers at once, and what they met."""

import asyncio
import os
from argparse import ArgumentParser, Namespace
from pathlib import Path

import msgspec
import uvloop
from msgspec.structs import replace

from engine.errors import ConfigError
from engine.load.caller import Manner
from engine.load.doors import checked
from engine.load.figures import Report
from engine.load.run import Plan, measure
from engine.load.served import own_server
from engine.load.soak import Soaked, soak

BAD = 1


def options(parser: ArgumentParser) -> None:
    parser.add_argument("--calls", type=int, default=100, metavar="N", help="at once (default: 100)")
    parser.add_argument(
        "--seconds", type=float, default=30, metavar="S", help="measured, once all are answered (default: 30)"
    )
    parser.add_argument(
        "--transport", choices=("twilio", "browser"), default="twilio", help="the wire (default: twilio)"
    )
    parser.add_argument(
        "--against",
        metavar="URL",
        default="",
        help="http(s) address of a server or its webhook, or ws(s) address of a media stream (default: a server of our own)",
    )
    parser.add_argument(
        "--i-own-it", action="store_true", help="the server is on another machine, and it is mine to load"
    )
    parser.add_argument("--interrupts", type=float, default=0.5, metavar="SHARE", help="of answers (default: 0.5)")
    parser.add_argument("--rate", type=float, default=25, metavar="N", help="calls begun in a second (default: 25)")
    parser.add_argument("--seed", type=int, default=1, help="of what callers choose (default: 1)")
    parser.add_argument(
        "--config", metavar="FILE", type=Path, help="settings of our own server (default: rehearsal providers)"
    )
    parser.add_argument("--no-journals", action="store_true", help="our own server writes none")
    parser.add_argument("--pin", metavar="A,B", default="", help="cores: our own server's and the callers'")
    parser.add_argument(
        "--soak", type=float, default=0, metavar="MINUTES", help="calls with random ends; fails where anything leaks"
    )
    parser.add_argument("--json", action="store_true", help="the figures as JSON")


def run(arguments: Namespace) -> int:
    plan = plan_of(arguments)
    if arguments.no_journals and (arguments.config or arguments.against):
        raise ConfigError("--no-journals is for a server of our own without --config")
    cores = cores_of(arguments.pin)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(run_plan(plan, arguments.soak, arguments.config, cores, recording=not arguments.no_journals))
    if arguments.json:
        print(msgspec.json.encode(found).decode())
    else:
        print("\n".join(found.lines()))
    if isinstance(found, Soaked):
        return BAD if found.leaks() or found.refused or found.unexpected else 0
    return BAD if found.refused or found.lost else 0


def plan_of(arguments: Namespace) -> Plan:
    """Raises ConfigError."""
    if arguments.calls < 1 or arguments.seconds <= 0 or arguments.rate <= 0 or not 0 <= arguments.interrupts <= 1:
        raise ConfigError("--calls, --seconds and --rate must be above 0, --interrupts from 0 to 1")
    return Plan(
        url=checked(arguments.against, arguments.i_own_it) if arguments.against else "",
        token=os.environ.get("TWILIO_AUTH_TOKEN", ""),
        calls=arguments.calls,
        seconds=arguments.seconds,
        transport=arguments.transport,
        per_second=arguments.rate,
        manner=Manner(interrupts=arguments.interrupts),
        seed=arguments.seed,
    )


def cores_of(text: str) -> tuple[int, int] | None:
    """ "0,1" -> the server's core and the callers'. Raises ConfigError."""
    if not text:
        return None
    parts = text.split(",")
    if len(parts) != 2 or not all(part.isdigit() for part in parts):
        raise ConfigError(f"--pin is {text!r}; it must be two cores, such as 0,1")
    return int(parts[0]), int(parts[1])


async def run_plan(
    plan: Plan, minutes: float, config: Path | None, cores: tuple[int, int] | None, *, recording: bool
) -> Report | Soaked:
    """Against the server that is named, or one of our own."""
    if cores:
        os.sched_setaffinity(0, {cores[1]})
    if plan.url:
        return await (soak(plan, minutes, print) if minutes else measure(plan))
    server_cores = cores[:1] if cores else ()
    async with own_server(config, cores=server_cores, failing=minutes > 0, recording=recording) as served:
        plan = replace(plan, url=served.url, token=served.token)
        return await (soak(plan, minutes, print, served.journals) if minutes else measure(plan))
