"""`engine redact CALL.jsonl`: a copy of a recorded call without anything that was said."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from engine.cli import readable
from engine.errors import ConfigError
from engine.replay.redact import redact


def options(parser: ArgumentParser) -> None:
    parser.add_argument("journal", metavar="CALL.jsonl", type=Path)
    parser.add_argument("--out", metavar="FILE", type=Path, help="where to (CALL.redacted.jsonl beside it)")


def run(arguments: Namespace) -> int:
    source: Path = readable(arguments.journal)
    target: Path = arguments.out or source.with_suffix(".redacted.jsonl")
    try:
        events = redact(source, target)
    except FileExistsError as error:
        raise ConfigError(f"{target} exists; name another with --out") from error
    print(f"{target}: {events} events, the words taken out; sound recorded beside {source.name} is not part of it")
    return 0
