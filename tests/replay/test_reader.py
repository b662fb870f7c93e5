"""What is no journal, or only part of one, is said so."""

from pathlib import Path

import pytest

from engine.errors import JournalCorrupt, JournalTooNew
from engine.replay.journal import LINE_BYTES_MAX
from engine.replay.reader import Journal, journals
from tests.replay.record import record


def read(path: Path) -> Journal:
    with Journal(path) as journal:
        list(journal.lines())
        return journal


def test_a_whole_journal_has_a_footer_and_no_tear(tmp_path: Path) -> None:
    journal = read(record(tmp_path / "call.jsonl"))
    assert journal.footer
    assert journal.footer.events == journal.events == 19
    assert journal.tear == ""
    assert journal.offset == journal.size_bytes - len(b"")


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"RIFF....WAVE", b"{}", b'{"kind":"header"}', b"[" * 100_000, b"\xff\xfe\n"]
)
def test_a_file_that_is_no_journal_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "call.jsonl"
    path.write_bytes(content)
    with pytest.raises(JournalCorrupt, match="byte 0"):
        Journal(path)


def test_a_header_with_a_wrong_field_is_refused(tmp_path: Path) -> None:
    path = record(tmp_path / "call.jsonl")
    path.write_bytes(path.read_bytes().replace(b'"session":"CA123"', b'"session":12345678', 1))
    with pytest.raises(JournalCorrupt, match="its header is wrong"):
        Journal(path)


def test_a_newer_format_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "call.jsonl"
    path.write_bytes(b'{"kind":"header","format":99,"engine":"7.0","shape":"unknown"}\n')
    with pytest.raises(JournalTooNew, match=r"format 99, written by engine 7\.0"):
        Journal(path)


def test_a_file_cut_inside_a_line_is_torn_there(tmp_path: Path) -> None:
    path = record(tmp_path / "call.jsonl")
    path.write_bytes(path.read_bytes()[:-40])
    journal = read(path)
    assert "torn off" in journal.tear
    assert journal.footer is None


def test_a_file_cut_between_lines_lacks_its_footer(tmp_path: Path) -> None:
    path = record(tmp_path / "call.jsonl")
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:5]))
    journal = read(path)
    assert journal.tear == "it ends without a footer"
    assert journal.events == 4


@pytest.mark.parametrize(
    ("extra", "complaint"),
    [
        (b'{"kind":"activity","at":0,"source":"x","what":"y","data":{},"digest":""}\n', "follows the end"),
    ],
)
def test_nothing_may_follow_the_footer(extra: bytes, complaint: str, tmp_path: Path) -> None:
    path = record(tmp_path / "call.jsonl")
    path.write_bytes(path.read_bytes() + extra)
    with pytest.raises(JournalCorrupt, match=complaint):
        read(path)


def test_a_second_header_is_refused(tmp_path: Path) -> None:
    path = record(tmp_path / "call.jsonl")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[0])
    with pytest.raises(JournalCorrupt, match="second header"):
        read(path)


def test_nonsense_in_the_middle_names_the_step(tmp_path: Path) -> None:
    path = record(tmp_path / "call.jsonl")
    lines = path.read_bytes().splitlines(keepends=True)
    lines[4] = lines[4].replace(b'"PlayoutStarted"', b'"PlayoutStarred"')
    path.write_bytes(b"".join(lines))
    with pytest.raises(JournalCorrupt, match="step 3 cannot be read"):
        read(path)


def test_a_line_without_end_is_refused_before_it_fills_the_memory(tmp_path: Path) -> None:
    path = record(tmp_path / "call.jsonl", close=False)
    with path.open("wb") as file:
        file.write(record(tmp_path / "other.jsonl").read_bytes().splitlines(keepends=True)[0])
        file.truncate(file.tell() + 2 * LINE_BYTES_MAX)
    with pytest.raises(JournalCorrupt, match="a line without end"):
        read(path)


def test_journals_of_a_folder_are_found_below_it_too(tmp_path: Path) -> None:
    (tmp_path / "2026").mkdir()
    paths = [record(tmp_path / "2026" / "b.jsonl"), record(tmp_path / "a.jsonl")]
    (tmp_path / "notes.txt").write_text("no journal")
    assert journals(tmp_path) == sorted(paths)
