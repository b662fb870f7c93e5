"""Journals that are not what they should be, given to every command that reads one: a sentence and an exit code, never a fault."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.__main__ import main
from engine.replay.journal import LINE_BYTES_MAX
from tests.replay.record import record

READERS = ("show", "verify", "replay", "explain", "diff", "redact", "export")
Spoil = Callable[[bytes], bytes]


def tell(command: str, path: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """One command on one journal: its exit code, and what it said on both ways."""
    more = ["--endpoint", "http://127.0.0.1:9"] if command == "export" else []
    code = main([command, str(path), *more])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


NO_HEADER = "the journal is corrupt at byte 0: it does not begin with a journal's header"
TOO_NEW = "the journal has format 9, written by engine 0.1.0; this engine reads up to 1"


@pytest.mark.parametrize("command", READERS)
@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda good: b"", NO_HEADER),
        (lambda good: os.urandom(4_000), NO_HEADER),
        (lambda good: b"\xef\xbb\xbf" + good, NO_HEADER),
        (lambda good: b'{"kind":"event"}\n' + good, NO_HEADER),
        (lambda good: good.replace(b'"format":1', b'"format":9', 1), TOO_NEW),
    ],
    ids=["empty", "binary", "a mark of order", "no header", "too new"],
)
def test_what_is_no_journal_of_ours_is_one_sentence(
    command: str, spoil: Spoil, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = record(tmp_path / "call.jsonl")
    path.write_bytes(spoil(path.read_bytes()))
    code, out, err = tell(command, path, capsys)
    assert code == 1
    if command == "verify":
        assert (out, err) == (f"{path}: {why}\n", "")
    else:
        assert (out, err) == ("", f"engine {command}: {why}\n")


@pytest.mark.parametrize("command", READERS)
@pytest.mark.parametrize("kind", ["a line without end", "a hole", "twice"])
def test_what_is_wrong_inside_is_named_with_its_place(
    command: str, kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = record(tmp_path / "call.jsonl")
    good = path.read_bytes()
    if kind == "twice":
        path.write_bytes(good + good)
    elif kind == "a line without end":
        path.write_bytes(good + b"x" * (LINE_BYTES_MAX + 10))
    else:
        os.truncate(path, 2**30)  # Zeros that take no room on the disk.
    code, out, err = tell(command, path, capsys)
    assert code == 1
    what = "something follows the end" if kind == "twice" else "a line without end"
    assert f"the journal is corrupt at byte {len(good)}: {what}" in (out if command == "verify" else err)


CHANGES: dict[str, Spoil] = {
    "a word": lambda good: good.replace(b"I need a slot on Monday.", b"I need a slot on Sunday.", 1),
    "a line missing": lambda good: b"".join(line for line in good.splitlines(True) if b'"seq":5,' not in line),
    "other line ends": lambda good: good.replace(b"\n", b"\r\n"),
}


@pytest.mark.parametrize("command", READERS)
@pytest.mark.parametrize("kind", CHANGES)
def test_nothing_is_told_of_a_changed_journal_as_if_it_had_happened(
    command: str, kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = record(tmp_path / "call.jsonl")
    path.write_bytes(CHANGES[kind](path.read_bytes()))
    code, out, err = tell(command, path, capsys)
    assert code == 1
    assert "is not what was written" in out + err


@pytest.mark.parametrize("command", ["show", "replay", "explain", "diff"])
def test_what_is_told_of_a_torn_journal_says_so(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = record(tmp_path / "call.jsonl")
    header_and_ten = b"".join(path.read_bytes().splitlines(True)[:11])
    path.write_bytes(path.read_bytes()[: len(header_and_ten) + 55])
    code, out, _ = tell(command, path, capsys)
    assert code == 0
    assert out.splitlines()[-1].endswith(f"{path} is torn after 10 events: the last line is torn off after 55 bytes.")


@pytest.mark.parametrize("command", READERS)
def test_what_cannot_be_opened_is_bad_use(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = tell(command, tmp_path / "absent.jsonl", capsys)
    assert (code, out) == (2, "")
    assert err == f"engine {command}: cannot read {tmp_path / 'absent.jsonl'}: No such file or directory\n"


@pytest.mark.parametrize("command", ["verify", "export"])
def test_a_folder_without_journals_is_bad_use(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tell(command, tmp_path, capsys) == (2, "", f"engine {command}: {tmp_path} holds no journal (*.jsonl)\n")
