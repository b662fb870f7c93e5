"""The command line: one sentence for each mistake, and an exit code that says whose it was."""

import subprocess
import sys
from argparse import ArgumentParser, Namespace
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from engine import ConfigError, __version__
from engine.__main__ import FAILED, GOOD, INTERRUPTED, MISUSED, main
from engine.cli import COMMANDS, readable
from engine.errors import JournalCorrupt


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Put a command of our own into the table; it does what it is given."""

    def install(act: Any) -> None:
        module = ModuleType("engine.cli.act")

        def options(parser: ArgumentParser) -> None:
            parser.add_argument("--times", type=int, default=1)

        def run(arguments: Namespace) -> int:
            result: int = act() if callable(act) else act
            return result

        module.__dict__.update(options=options, run=run)
        monkeypatch.setitem(sys.modules, "engine.cli.act", module)
        monkeypatch.setitem(COMMANDS, "act", "act as told")

    return install


def raising(error: BaseException) -> Any:
    def act() -> int:
        raise error

    return act


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_of_the_table_can_be_asked_for_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == GOOD
    assert COMMANDS[name] in " ".join(capsys.readouterr().out.split())
    assert (import_module(f"engine.cli.{name}").__doc__ or "").startswith(f"`engine {name}")


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == GOOD
    shown = " ".join(capsys.readouterr().out.split())
    assert all(f"{name} {line}" in shown for name, line in COMMANDS.items())


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == GOOD
    assert capsys.readouterr().out == f"engine {__version__}\n"


@pytest.mark.parametrize(
    ("argv", "complaint"),
    [
        ([], "engine: the following arguments are required: COMMAND (try 'engine --help')"),
        (["act", "--speed", "3"], "engine: unrecognized arguments: --speed 3 (try 'engine --help')"),
        (["act", "--times", "x"], "engine act: argument --times: invalid int value: 'x' (try 'engine act --help')"),
        (["act", "--tim", "3"], "engine: unrecognized arguments: --tim 3 (try 'engine --help')"),
    ],
)
def test_bad_use_is_one_sentence(
    argv: list[str], complaint: str, command: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    command(0)
    assert main(argv) == MISUSED
    assert capsys.readouterr().err == f"{complaint}\n"


def test_an_unknown_command_is_answered_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["srve"]) == MISUSED
    complaint = capsys.readouterr().err
    assert complaint.count("\n") == 1
    assert all(name in complaint for name in COMMANDS)


@pytest.mark.parametrize(
    ("act", "code", "complaint"),
    [
        (0, GOOD, ""),
        (1, FAILED, ""),
        (raising(ConfigError("a is wrong", "b is wrong")), MISUSED, "engine act: a is wrong\nengine act: b is wrong\n"),
        (raising(JournalCorrupt(7, "no line")), FAILED, "engine act: the journal is corrupt at byte 7: no line\n"),
        (raising(FileNotFoundError(2, "No such file", "a.wav")), FAILED, "engine act: a.wav: No such file\n"),
        (raising(OSError(98, "Address in use")), FAILED, "engine act: Address in use\n"),
        (raising(OSError("odd")), FAILED, "engine act: odd\n"),
        (raising(KeyboardInterrupt()), INTERRUPTED, ""),
        (raising(AssertionError("x")), FAILED, "engine act: a fault of the engine: AssertionError: x (ENGINE_TRACEBACK=1 shows where)\n"),
    ],
)  # fmt: skip
def test_every_road_out_of_a_command_is_an_exit_code(
    act: Any, code: int, complaint: str, command: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    command(act)
    assert main(["act"]) == code
    assert capsys.readouterr().err == complaint


def test_those_who_mend_the_engine_see_where_it_broke(command: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGINE_TRACEBACK", "1")
    command(raising(AssertionError("x")))
    with pytest.raises(AssertionError):
        main(["act"])


def test_a_file_that_cannot_be_read_is_bad_use(tmp_path: Path) -> None:
    assert readable(Path(__file__)) == Path(__file__)
    with pytest.raises(ConfigError, match=r"cannot read .*a\.wav: No such file"):
        readable(tmp_path / "a.wav")


def run(*argv: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *argv], text=True, capture_output=True, check=False, timeout=60, **options)


def test_without_assertions_it_does_not_run() -> None:
    done = run("-O", "-m", "engine", "config")
    assert (done.returncode, done.stdout) == (MISUSED, "")
    assert (
        done.stderr
        == "engine: the engine does not run with assertions off; start Python without -O and PYTHONOPTIMIZE\n"
    )


def test_as_a_module_it_is_the_same() -> None:
    assert run("-m", "engine", "--version").stdout == f"engine {__version__}\n"


def test_a_reader_who_has_seen_enough_is_no_error() -> None:
    script = "import sys; from engine.__main__ import main; sys.exit(main(['config']))"
    piped = f'{sys.executable} -c "{script}" | head -c 1'
    done = run("-c", f"import subprocess, sys; sys.exit(subprocess.run({piped!r}, shell=True).returncode)")
    assert done.stderr == ""
