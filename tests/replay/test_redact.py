"""A redacted journal holds nothing that was said, and is sealed."""

import json
from pathlib import Path

import pytest

from engine.errors import JournalCorrupt
from engine.replay.redact import redact
from engine.replay.verify import Verdict, verify
from tests.replay.record import CALL, record


def test_no_word_of_the_call_is_left(tmp_path: Path) -> None:
    source = record(tmp_path / "call.jsonl", CALL + '    5400  key 4\n    5500  typed "my name is Alice"\n')
    assert redact(source, tmp_path / "out.jsonl") == 21
    text = (tmp_path / "out.jsonl").read_text()
    for word in ("Monday", "slot on", "14:00", "Let me look", "Alice", "help?", "book", '"digit":"4"', "CA123"):
        assert word in source.read_text()
        assert word not in text


def test_what_happened_when_is_still_there(tmp_path: Path) -> None:
    source = record(tmp_path / "call.jsonl")
    redact(source, tmp_path / "out.jsonl")
    before = [json.loads(line) for line in source.read_text().splitlines()]
    after = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [line["kind"] for line in before] == [line["kind"] for line in after]
    for old, new in zip(before[1:-1], after[1:-1], strict=True):
        assert (old["at"], old["before"], old["after"], old["run"]) == (
            new["at"],
            new["before"],
            new["after"],
            new["run"],
        )
        assert [order["type"] for order in old["commands"]] == [order["type"] for order in new["commands"]]
    assert after[9]["event"]["text"] == "[24 characters]"


def test_digests_made_over_words_are_gone_too(tmp_path: Path) -> None:
    source = record(tmp_path / "call.jsonl")
    redact(source, tmp_path / "out.jsonl")
    for line in (tmp_path / "out.jsonl").read_text().splitlines()[1:-1]:
        entry = json.loads(line)
        assert entry["state"] == ""
        assert all(order["messages"]["digest"] == "" for order in entry["commands"] if order["type"] == "StartLLM")


def test_a_redacted_journal_is_unchanged_as_far_as_can_be_known(tmp_path: Path) -> None:
    redact(record(tmp_path / "call.jsonl"), tmp_path / "out.jsonl")
    report = verify(tmp_path / "out.jsonl")
    assert (report.verdict, report.events) == (Verdict.REDACTED, 19)
    (tmp_path / "out.jsonl").write_bytes((tmp_path / "out.jsonl").read_bytes().replace(b"[24 ch", b"[25 ch", 1))
    with pytest.raises(JournalCorrupt, match="step 8"):
        verify(tmp_path / "out.jsonl")


def test_a_changed_journal_is_not_sealed_anew(tmp_path: Path) -> None:
    source = record(tmp_path / "call.jsonl")
    source.write_bytes(source.read_bytes().replace(b"Monday", b"Sunday", 1))
    with pytest.raises(JournalCorrupt):
        redact(source, tmp_path / "out.jsonl")
    assert not (tmp_path / "out.jsonl").exists()


def test_a_torn_journal_stays_torn(tmp_path: Path) -> None:
    source = record(tmp_path / "call.jsonl")
    source.write_bytes(source.read_bytes()[:6_000])
    events = redact(source, tmp_path / "out.jsonl")
    report = verify(tmp_path / "out.jsonl")
    assert (report.verdict, report.events) == (Verdict.TORN, events)
