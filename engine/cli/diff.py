"""`engine diff A [B]`: where two calls part, or a call and today's rules on the same facts."""

from argparse import ArgumentParser, Namespace
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

from engine.cli import readable, reservations
from engine.replay.delta import Change
from engine.replay.diff import Parting, between, with_rules
from engine.replay.journal import Step, shown
from engine.replay.lexer import compact
from engine.replay.notation import Context, write_step
from engine.replay.reader import Journal

BEFORE = 8
"""Common lines shown before the difference."""
CHANGES_MAX = 20


def options(parser: ArgumentParser) -> None:
    parser.add_argument("first", metavar="A.jsonl", type=Path)
    parser.add_argument(
        "second", metavar="B.jsonl", type=Path, nargs="?", help="without it: today's rules on A's facts"
    )
    parser.add_argument("--exact", action="store_true", help="times and positions count too")


def run(arguments: Namespace) -> int:
    """0: alike; 1: they part."""
    with Journal(readable(arguments.first)) as first:
        if arguments.second is None:
            return _show(with_rules(first), "as recorded", "today's rules", first)
        with Journal(readable(arguments.second)) as second:
            steps = between(first, second, exact=arguments.exact)
            return _show(steps, str(arguments.first), str(arguments.second), first, second)


def _show(steps: Iterator[Step | Parting], left: str, right: str, *journals: Journal) -> int:
    context, common, count = Context(), deque[str](maxlen=BEFORE), 0
    for step in steps:
        if isinstance(step, Parting):
            print(f"{count} steps alike, then they part: {step.what}")
            print(f"--- {left}\n+++ {right}")
            print("\n".join(f"  {line}" for line in common))
            _show_sides(step, context)
            _reserve(journals)
            return 1
        common.append(_line(step, context))
        count += 1
    print(f"alike in all {count} steps")
    return _reserve(journals)


def _reserve(journals: Sequence[Journal]) -> int:
    """Say what must be said beside it; 1 where a file was changed."""
    for journal in journals:
        for line in reservations(journal):
            print(f"! {line}")
    return 1 if any(journal.changed for journal in journals) else 0


def _show_sides(parting: Parting, context: Context) -> None:
    other = context.copy()
    if parting.left:
        print(f"- {_line(parting.left, context)}")
    if parting.right:
        print(f"+ {_line(parting.right, other)}")
    for change in parting.changed[:CHANGES_MAX]:
        print(f"    {written(change)}")
    if len(parting.changed) > CHANGES_MAX:
        print(f"    … and {len(parting.changed) - CHANGES_MAX} more")


def _line(step: Step, context: Context) -> str:
    return write_step(
        step.event, shown(step.commands), context, step.after.value if step.after is not step.before else ""
    )


def written(change: Change) -> str:
    """One change on one line."""
    return f"{change.path}: {_short(change.before)} → {_short(change.after)}"


def _short(value: object, width: int = 60) -> str:
    text = compact(value)
    return text if len(text) <= width else text[: width - 1] + "…"
