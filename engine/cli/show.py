"""`engine show CALL.jsonl`: a recorded call as text, in the notation that tests are written in."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from engine.cli import readable, reservations
from engine.core.state import Phase
from engine.replay.journal import Activity, Footer, Header, Step, Torn, shown
from engine.replay.lexer import milliseconds, quoted
from engine.replay.notation import Context, write_step
from engine.replay.reader import Journal
from engine.replay.script import RECORDED


def options(parser: ArgumentParser) -> None:
    parser.add_argument("journal", metavar="CALL.jsonl", type=Path)
    parser.add_argument("--all", action="store_true", help="what adapters, sound and clocks did, too")


def run(arguments: Namespace) -> int:
    with Journal(readable(arguments.journal)) as journal:
        print(_head(journal.header))
        context, phase = Context(), Phase.IDLE
        for line in journal.lines():
            match line.entry:
                case Step() as step:
                    moved = step.after.value if step.after is not phase else ""
                    phase = step.after
                    print(write_step(step.event, shown(step.commands), context, moved))
                case Activity() as activity if arguments.all:
                    print(_note(activity))
                case Footer() | Torn() | _:
                    continue
        for sentence in reservations(journal):
            print(f"# {sentence}")
        return 1 if journal.changed else 0


def _head(header: Header) -> str:
    words = ", the words taken out" if header.redacted else ""
    return f"{RECORDED} by engine {header.engine}, rules {header.rules}  # {header.session}, {header.started}{words}"


def _note(activity: Activity) -> str:
    run = f" r{activity.run}" if activity.run else ""
    data = " ".join(
        f"{name}={quoted(value) if isinstance(value, str) else value}" for name, value in activity.data.items()
    )
    return f"# {milliseconds(activity.at):<8} {activity.source} {activity.what}{run} {data}".rstrip()
