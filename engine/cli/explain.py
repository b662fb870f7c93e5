"""`engine explain CALL.jsonl`: who owned each millisecond, and what went wrong."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from engine.cli import readable, reservations
from engine.errors import JournalError
from engine.replay.explain import explain
from engine.replay.reader import Journal
from engine.replay.teller import Teller
from engine.replay.verify import differs, replay


def options(parser: ArgumentParser) -> None:
    parser.add_argument("journal", metavar="CALL.jsonl", type=Path)


def run(arguments: Namespace) -> int:
    with Journal(readable(arguments.journal)) as journal:
        if journal.header.redacted:
            raise JournalError(
                "the words were taken out of this journal, and what the rules did with them cannot be told without them"
            )
        teller, parted = Teller(), -1
        for step in replay(journal):
            if differs(step, strict=False):
                parted = step.step.seq
                break
            teller(step.step.event, step.before, step.after, step.orders)
        print(f"{journal.header.session}, {journal.header.started}, {journal.header.transport or 'no transport'}")
        for line in explain(teller.story):
            print(line)
        if parted >= 0:
            print(f"! From step {parted} on today's rules decide otherwise; told up to there (engine diff says more).")
        for line in reservations(journal):
            print(f"! {line}")
        return 1 if journal.changed else 0
