"""`engine export`: recorded calls as traces."""

from pathlib import Path

import pytest

from engine.__main__ import main
from tests.replay.record import record
from tests.telemetry.collector import collector, nobody


def test_a_folder_of_calls_is_sent_to_the_collector(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = (record(tmp_path / f"{name}.jsonl") for name in ("first", "second"))
    with collector() as server:
        assert main(["export", str(tmp_path), "--endpoint", server.endpoint]) == 0
        spans = len(server.spans())
    out = capsys.readouterr().out
    assert f"{first}: {spans // 2} spans, " in out
    assert f"{second}: {spans // 2} spans, " in out
    assert spans > 20


def test_words_are_sent_only_when_asked_for(tmp_path: Path) -> None:
    path = record(tmp_path / "call.jsonl")
    with collector() as server:
        assert main(["export", str(path), "--endpoint", server.endpoint]) == 0
        assert b"Monday" not in b"".join(batch.SerializeToString() for batch in server.traces + server.logs)
        assert main(["export", str(path), "--content", "--endpoint", server.endpoint]) == 0
        assert b"Monday" in b"".join(batch.SerializeToString() for batch in server.traces)


def test_a_collector_that_takes_nothing_is_a_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = record(tmp_path / "call.jsonl")
    with collector(403) as server:
        assert main(["export", str(path), "--endpoint", server.endpoint]) == 1
    assert "did not take" in capsys.readouterr().err


def test_without_a_collector_it_is_bad_use(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    assert main(["export", str(record(tmp_path / "call.jsonl"))]) == 2
    assert "no collector is named" in capsys.readouterr().err


def test_a_journal_that_was_changed_is_not_exported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = record(tmp_path / "call.jsonl")
    path.write_bytes(path.read_bytes().replace(b"Monday", b"Sunday", 1))
    assert main(["export", str(path), "--endpoint", nobody()]) == 1
    assert "is not what was written" in capsys.readouterr().err


def test_a_journal_that_cannot_be_sent_does_not_keep_the_others_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed, whole = record(tmp_path / "changed.jsonl"), record(tmp_path / "whole.jsonl")
    changed.write_bytes(changed.read_bytes().replace(b"Monday", b"Sunday", 1))
    with collector() as server:
        assert main(["export", str(tmp_path), "--endpoint", server.endpoint]) == 1
        assert server.spans()
    told = capsys.readouterr()
    assert f"{changed}: not sent: the journal is corrupt at byte" in told.out
    assert f"{whole}: " in told.out
    assert "1 of 2 calls were not sent" in told.err
