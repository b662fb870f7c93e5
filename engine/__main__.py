"""The command line: find the command in the table, run it, turn what went wrong into a sentence and an exit code.

Exit codes: 0 good; 1 the thing asked about failed; 2 bad use or configuration; 130 interrupted from the keyboard. Errors are
sentences on stderr, each on its own line, never a traceback (unless ENGINE_TRACEBACK is set, for those who mend the engine).
"""

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from engine import __version__
from engine.cli import COMMANDS
from engine.errors import ConfigError, EngineError

GOOD, FAILED, MISUSED, INTERRUPTED = 0, 1, 2, 130


class Parser(ArgumentParser):
    """An argument parser whose error is one sentence."""

    def error(self, message: str) -> NoReturn:
        self.exit(MISUSED, f"{self.prog}: {message} (try '{self.prog} --help')\n")


def parse(argv: Sequence[str]) -> Namespace:
    """Read the command line. Only the module of the command that is asked for is imported. Raises SystemExit."""
    parser = Parser(prog="engine", description="A real-time voice agent engine.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"engine {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=Parser)
    asked = next((word for word in argv if not word.startswith("-")), "")
    for name, help_line in COMMANDS.items():
        command = commands.add_parser(name, help=help_line, description=help_line, allow_abbrev=False)
        if name == asked:
            module = import_module(f"engine.cli.{name}")
            module.options(command)
            command.set_defaults(run=module.run, command=name)
    return parser.parse_args(argv)


def complain(prefix: str, *sentences: str) -> None:
    for sentence in sentences:
        print(f"{prefix}: {sentence}", file=sys.stderr)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    if not __debug__:
        complain("engine", "the engine does not run with assertions off; start Python without -O and PYTHONOPTIMIZE")
        return MISUSED
    try:
        arguments = parse(sys.argv[1:] if argv is None else argv)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else MISUSED
    return run(f"engine {arguments.command}", arguments)


def run(prefix: str, arguments: Namespace) -> int:
    """Run the command; every road out of it is an exit code."""
    try:
        code: int = arguments.run(arguments)
        sys.stdout.flush()
    except ConfigError as error:
        complain(prefix, *error.problems)
        return MISUSED
    except BrokenPipeError:
        # The reader of our output has seen enough (`engine show … | head`). Python would complain again while it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except (EngineError, OSError) as error:
        complain(prefix, sentence(error))
        return FAILED
    except Exception as error:
        if os.environ.get("ENGINE_TRACEBACK"):
            raise
        complain(prefix, f"a fault of the engine: {type(error).__name__}: {error} (ENGINE_TRACEBACK=1 shows where)")
        return FAILED
    return code


def sentence(error: Exception) -> str:
    """An error in the words of the command line."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


if __name__ == "__main__":
    sys.exit(main())
