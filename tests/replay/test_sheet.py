"""A journal's file: gathered, written, torn when the disk is full."""

import errno
import os
import resource
from pathlib import Path

import pytest

from engine.replay import sheet
from engine.replay.reader import Journal, is_live
from engine.replay.sheet import Scribe, Sheet
from engine.replay.verify import Verdict, verify
from tests.replay.record import record


def test_an_existing_journal_is_never_overwritten(tmp_path: Path) -> None:
    record(tmp_path / "call.jsonl")
    with pytest.raises(FileExistsError):
        Sheet(tmp_path / "call.jsonl")


def test_only_the_owner_may_read_a_journal(tmp_path: Path) -> None:
    assert record(tmp_path / "call.jsonl").stat().st_mode & 0o777 == 0o600


def test_a_journal_is_live_while_it_is_being_written(tmp_path: Path) -> None:
    written = Sheet(tmp_path / "call.jsonl")
    written.write(b"{}\n")
    written.flush()
    assert is_live(written.path)
    written.close(b"{}\n")
    assert not is_live(written.path)


def test_lines_are_written_in_pieces(tmp_path: Path) -> None:
    written = Sheet(tmp_path / "call.jsonl")
    written.write(b"x" * 999 + b"\n")
    assert written.path.stat().st_size == 0
    for _ in range(70):
        written.write(b"x" * 999 + b"\n")
    assert written.path.stat().st_size > sheet.FLUSH_BYTES
    written.close(b"end\n")
    assert written.path.stat().st_size == 71_004


def test_a_scribe_writes_what_was_gathered_before_it_stops(tmp_path: Path) -> None:
    scribe = Scribe()
    sheets = [Sheet(tmp_path / f"{n}.jsonl", scribe=scribe) for n in range(3)]
    for each in sheets:
        each.write(b"a line\n")
    sheets[0].close(b"the end\n")
    scribe.close()
    assert sheets[0].path.read_bytes() == b"a line\nthe end\n"
    assert sheets[1].path.read_bytes() == b"a line\n"
    assert not is_live(sheets[0].path)


def test_a_full_disk_tears_the_recording_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk takes the first 5,000 bytes, half a line, and then no more."""
    room = 5_000
    real = os.write

    def write(file: int, data: bytes) -> int:
        nonlocal room
        if not room:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = real(file, data[:room])
        room -= written
        return written

    monkeypatch.setattr(sheet.os, "write", write)
    path = record(tmp_path / "call.jsonl")
    report = verify(path)
    assert report.verdict is Verdict.TORN
    assert "No space left on device" in report.detail
    assert 0 < report.events < 19
    assert path.read_bytes().endswith(b"}\n")


def test_a_file_over_its_limit_is_a_full_disk(tmp_path: Path) -> None:
    """The real thing: the kernel refuses to write beyond the limit, and the torn mark still fits in the room the half line left."""
    import signal

    lines = record(tmp_path / "whole.jsonl").read_bytes().splitlines(True)
    limit = sum(map(len, lines[:11])) + max(map(len, lines)) // 4
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
        path = record(tmp_path / "call.jsonl")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    with Journal(path) as journal:
        events = sum(1 for _ in journal.steps())
        assert "File too large" in journal.tear
        assert events > 0


def test_a_disk_that_hangs_tears_the_recording_before_memory_grows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sheet, "PENDING_BYTES_MAX", 100)
    monkeypatch.setattr(sheet, "FLUSH_BYTES", 1_000)
    written = Sheet(tmp_path / "call.jsonl")
    assert written.write(b"x" * 89 + b"\n")
    assert not written.write(b"x" * 89 + b"\n")
    assert not written.write(b"short\n")
    written.close(b"end\n", 2)
    lines = written.path.read_bytes().splitlines()
    assert lines[0] == b"x" * 89
    assert lines[1] == b'{"kind":"torn","reason":"the disk is too slow","lost":2}'
