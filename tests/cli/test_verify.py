"""`engine verify`: one journal or a folder of them."""

import sys
from pathlib import Path

import pytest

from engine.__main__ import main
from tests.replay.record import record


def test_a_good_journal_is_said_to_be_good(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = record(tmp_path / "call.jsonl")
    assert main(["verify", str(path)]) == 0
    assert capsys.readouterr().out.startswith(f"{path}: good, 19 events, digest ")


def test_a_folder_is_verified_whole_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad, torn = (record(tmp_path / f"{name}.jsonl") for name in ("good", "bad", "torn"))
    bad.write_bytes(bad.read_bytes().replace(b"Monday", b"Sunday", 1))
    torn.write_bytes(torn.read_bytes()[:5_000])
    assert main(["verify", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert f"{good}: good" in out
    assert "step 8 (ASRFinal) is not what was written" in out
    assert f"{torn}: torn, good up to there" in out
    assert "3 journals, 1 good, 2 bad" in out


def test_quiet_says_only_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = record(tmp_path / "call.jsonl")
    assert main(["verify", "--quiet", str(path)]) == 0
    assert capsys.readouterr().out == ""


def test_a_folder_without_journals_is_bad_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(tmp_path)]) == 2
    assert "holds no journal" in capsys.readouterr().err


def test_a_terminal_sees_progress(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    record(tmp_path / "a.jsonl")
    record(tmp_path / "b.jsonl")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert main(["verify", str(tmp_path)]) == 0
    shown = capsys.readouterr().err
    assert " 50% of 2 journals" in shown
    assert "100% of 2 journals" in shown
