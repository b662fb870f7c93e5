"""`engine show`: what it prints is a script, and runs as one."""

from pathlib import Path

import pytest

from engine.__main__ import main
from engine.replay.journal import Recorder
from engine.replay.sheet import Sheet
from tests.replay.record import SETUP, STARTED_NS, record
from tests.script import check


def test_a_printed_call_is_a_script_that_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(record(tmp_path / "call.jsonl"))]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("recorded by engine ")
    assert '3400       asr final "I need a slot on Monday."' in printed
    assert '-> llm r2 "I need a slot on Monday."' in printed
    check(printed)


def test_what_happened_beside_the_facts_is_shown_when_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recorder = Recorder(Sheet(tmp_path / "call.jsonl"), session="s", started_ns=STARTED_NS)
    check("1000 asr open", SETUP, observer=recorder)
    recorder.note(1_500_000, "adapter", "llm connected", run=1, data={"ms": 12.5, "host": "a\x1b[31mb"})
    recorder.close()
    main(["show", str(tmp_path / "call.jsonl")])
    assert "connected" not in capsys.readouterr().out
    main(["show", "--all", str(tmp_path / "call.jsonl")])
    assert r'# 1.5      adapter llm connected r1 ms=12.5 host="a\u001b[31mb"' in capsys.readouterr().out


def test_a_torn_journal_is_shown_up_to_its_tear(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = record(tmp_path / "call.jsonl")
    path.write_bytes(path.read_bytes()[:5_000])
    assert main(["show", str(path)]) == 0
    assert "call.jsonl is torn after" in capsys.readouterr().out.splitlines()[-1]


def test_a_file_that_cannot_be_read_is_bad_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(tmp_path / "none.jsonl")]) == 2
    assert "No such file" in capsys.readouterr().err


def test_a_file_that_is_no_journal_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.jsonl").write_text("hello\n")
    assert main(["show", str(tmp_path / "x.jsonl")]) == 1
    assert "does not begin with a journal's header" in capsys.readouterr().err
