"""The commands, one file each.

A command is a line in the table and a module of the same name with two functions:

    def options(parser: argparse.ArgumentParser) -> None     adds its arguments
    def run(arguments: argparse.Namespace) -> int            does it; returns the exit code

`run` raises ConfigError for what the operator must mend (exit 2), any other EngineError or OSError for what failed (exit 1), and
never prints an error itself. A file named on the command line that cannot be read is bad use: see `readable`. Results go to
stdout. A module is imported when its command is asked for, so that `engine --help` is quick and an unused part costs nothing.
"""

from argparse import ArgumentParser
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import ConfigError

if TYPE_CHECKING:
    from engine.replay.reader import Journal

COMMANDS: dict[str, str] = {
    "call": "hold one conversation with a recorded caller",
    "dial": "call a telephone number, and let the agent talk to whoever picks up",
    "talk": "talk to the agent at this machine's microphone",
    "serve": "take calls from a browser and the telephone",
    "score": "labelled scenes through the real pipeline, and a card of how well turns were taken",
    "load": "many scripted callers at once, and what they met",
    "simulate": "made-up calls, with everything going wrong, against the real rules",
    "check": "hold a real session with each configured provider, and say how it went",
    "config": "check the configuration and show what it comes to",
    "diff": "show where two recorded calls part, or a call and today's rules",
    "explain": "say who owned each millisecond of a recorded call, and what went wrong",
    "inspect": "walk recorded and running calls on a page",
    "redact": "copy a recorded call without anything that was said",
    "replay": "walk a recorded call again, step by step, with what each step changes",
    "show": "print a recorded call as text",
    "verify": "check that journals are unchanged and that today's rules decide the same",
    "export": "send recorded calls to a collector as traces",
}
"""Name -> one line of help. The module is engine.cli.<name>."""


def add_config(parser: ArgumentParser) -> None:
    """The option that every command with a configuration has."""
    parser.add_argument("--config", metavar="FILE", type=Path, help="settings in TOML (see docs/configuration.md)")


def reservations(journal: "Journal") -> list[str]:
    """What must be said beside anything that was told from a journal, once it has been read: changed, torn."""
    found = []
    if journal.changed:
        found.append(f"{journal.path} was changed: {journal.changed}; what is told may not be what happened.")
    if journal.tear:
        found.append(f"{journal.path} is torn after {journal.events} events: {journal.tear}.")
    return found


def readable(path: Path) -> Path:
    """The same path, if it is a file that can be read. Raises ConfigError."""
    try:
        with path.open("rb"):
            return path
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error


def journals_named(asked: list[Path]) -> list[Path]:
    """The journals meant by files and folders. Raises ConfigError for a path that is neither journal nor folder with journals."""
    from engine.replay.reader import journals

    found: list[Path] = []
    for path in asked:
        inside = journals(path) if path.is_dir() else [readable(path)]
        if not inside:
            raise ConfigError(f"{path} holds no journal (*.jsonl)")
        found += inside
    return found
