"""`engine simulate`: thousands of made-up calls, with everything going wrong, against the real rules."""

import sys
import time
from argparse import ArgumentParser, Namespace

from engine.core.reduce import RULES_VERSION
from engine.core.units import SECOND
from engine.errors import ConfigError
from engine.replay.notation import Context, write_commands, write_event, write_line
from engine.replay.script import RECORDED
from engine.simulate.explore import explore
from engine.simulate.invariants import SOMETIMES
from engine.simulate.runs import Outcome, Step, Summary, play, play_many, shortest_prefix

BAR = 30


def options(parser: ArgumentParser) -> None:
    parser.add_argument("--seeds", type=int, default=1_000, metavar="N", help="how many calls (default 1000)")
    parser.add_argument("--from", dest="first", type=int, default=0, metavar="SEED", help="the first seed (default 0)")
    parser.add_argument("--seed", type=int, metavar="S", help="this one call only")
    parser.add_argument("--show", action="store_true", help="with --seed: write the call in the notation")
    parser.add_argument("--minutes", type=float, metavar="M", help="go on for this long instead of counting seeds")
    parser.add_argument(
        "--explore", type=int, metavar="DEPTH", help="instead: every order of a small alphabet of facts, this deep"
    )


def run(arguments: Namespace) -> int:
    if arguments.seeds < 1 or (arguments.minutes is not None and arguments.minutes <= 0):
        raise ConfigError("--seeds and --minutes must be above zero")
    if arguments.explore is not None:
        return _explore(arguments.explore)
    if arguments.seed is not None:
        return _one(arguments.seed, show=arguments.show)
    return _many(arguments.first, arguments.seeds, arguments.minutes)


def _one(seed: int, *, show: bool) -> int:
    record: list[Step] = []
    outcome = play(seed, record=record)
    if show:
        print(written(seed, record))
    print(
        f"seed {seed}: {outcome.steps} facts in {outcome.call_ns / SECOND:.1f} s of call; {outcome.broken or 'nothing broken'}"
    )
    return 1 if outcome.broken else 0


def _many(first: int, seeds: int, minutes: float | None) -> int:
    began, cpu = time.monotonic(), time.process_time()
    summary = Summary()
    until = None if minutes is None else began + 60 * minutes
    for outcome in play_many(first, seeds if until is None else sys.maxsize - first):
        summary.add(outcome)
        elapsed = time.monotonic() - began
        if outcome.broken:
            _tell(outcome)
        if sys.stderr.isatty() and (summary.calls % 10 == 0):
            done = summary.calls / seeds if until is None else elapsed / (until - began)
            _progress(min(1.0, done), summary, elapsed)
        if until is not None and time.monotonic() >= until:
            break
    _report(summary, time.process_time() - cpu)
    return 1 if summary.failed else 0


def _progress(done: float, summary: Summary, elapsed: float) -> None:
    filled = int(done * BAR)
    rate = summary.calls / elapsed if elapsed else 0.0
    bar = "#" * filled + "." * (BAR - filled)
    print(f"\r[{bar}] {summary.calls} calls, {rate:.0f}/s, {len(summary.broken)} broken", end="", file=sys.stderr)


def _report(summary: Summary, cpu: float) -> None:
    if sys.stderr.isatty():
        print(file=sys.stderr)
    for name in SOMETIMES:
        print(f"  {summary.seen[name]:>8}  {name}")
    if summary.never:
        print(f"never: {'; '.join(summary.never)}")
    speed = summary.call_ns / SECOND / cpu if cpu else 0.0
    print(
        f"{summary.calls} calls, {summary.steps} facts, {summary.call_ns / SECOND / 3600:.1f} hours of call in {cpu:.1f} s of CPU "
        f"({speed:.0f} x real time, {summary.steps / cpu if cpu else 0:.0f} facts/s); {len(summary.broken)} broken"
    )


def _tell(outcome: Outcome) -> None:
    """A failing seed, and the call up to the step that failed."""
    print(f"seed {outcome.seed} breaks at step {outcome.at_step}: {outcome.broken}")
    print(written(outcome.seed, shortest_prefix(outcome)))


def written(seed: int, steps: list[Step]) -> str:
    """A call in the notation: a test as it stands, for every timer is in it."""
    context = Context()
    lines = [f"{RECORDED} by engine simulate, rules {RULES_VERSION}  # seed {seed}"]
    for event, _, after, commands in steps:
        fact = write_event(event, context, None)
        context.saw(event)
        lines.append(write_line(event.at, fact, write_commands(commands, context), after.phase.value))
    return "\n".join(lines)


def _explore(depth: int) -> int:
    found = explore(depth)
    print(
        f"depth {found.depth}: {found.states} states, {found.transitions} transitions, {found.phases} of the legal moves taken; "
        f"{len(found.broken)} broken"
    )
    for path, what in found.broken[:5]:
        print(f"  {what}: {' | '.join(path)}")
    return 1 if found.broken else 0
