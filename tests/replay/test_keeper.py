"""A folder of journals keeps what it is told to keep."""

import os
from pathlib import Path

import msgspec

from engine.core.events import SessionStarted
from engine.core.reduce import begin, reduce
from engine.replay.keeper import DAY_NS, Keeper, file_name, prune, sound_of
from engine.replay.reader import is_live
from engine.replay.sheet import Sheet
from engine.replay.verify import verify
from tests.replay.record import SETUP, STARTED_NS, record


class Called(msgspec.Struct, frozen=True):
    call_id: str
    began_ns: int = STARTED_NS
    traceparent: str = ""


def aged(path: Path, days: float) -> Path:
    moment = STARTED_NS - int(days * DAY_NS)
    os.utime(path, ns=(moment, moment))
    return path


def test_each_call_has_a_file_of_its_own_named_by_time(tmp_path: Path) -> None:
    keeper = Keeper(tmp_path / "calls", lambda: STARTED_NS)
    recorder = keeper(Called("CA/../../etc"))
    event = SessionStarted(setup=SETUP)
    state, commands = reduce(begin(), event)
    recorder(event, begin(), state, commands)
    recorder.close()
    keeper.close()
    (path,) = (tmp_path / "calls").iterdir()
    assert path.name == "20261123T150000.000Z-CA-etc.jsonl"
    assert verify(path).events == 1
    assert (tmp_path / "calls").stat().st_mode & 0o777 == 0o700


def test_a_call_without_a_name_is_a_call() -> None:
    assert file_name(STARTED_NS, "") == "20261123T150000.000Z-call.jsonl"


def test_old_calls_are_deleted_with_their_sound(tmp_path: Path) -> None:
    old, young = aged(record(tmp_path / "old.jsonl"), 31), aged(record(tmp_path / "young.jsonl"), 29)
    sound_of(old).write_bytes(b"RIFF")
    sound_of(young).write_bytes(b"RIFF")
    assert prune(tmp_path, STARTED_NS, days=30) == [old]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["young.jsonl", "young.wav"]


def test_the_oldest_go_first_when_there_is_too_much(tmp_path: Path) -> None:
    paths = [aged(record(tmp_path / f"{n}.jsonl"), days) for n, days in enumerate((2, 5, 1))]
    size = paths[0].stat().st_size
    assert prune(tmp_path, STARTED_NS, bytes_max=2 * size) == [paths[1]]
    sound_of(paths[0]).write_bytes(b"x" * size)
    assert prune(tmp_path, STARTED_NS, bytes_max=2 * size) == [paths[0]]


def test_without_limits_everything_stays(tmp_path: Path) -> None:
    aged(record(tmp_path / "old.jsonl"), 9_999)
    assert prune(tmp_path, STARTED_NS) == []


def test_a_live_call_is_never_deleted(tmp_path: Path) -> None:
    sheet = Sheet(tmp_path / "live.jsonl")
    aged(sheet.path, 99)
    assert is_live(sheet.path)
    assert prune(tmp_path, STARTED_NS, days=1, bytes_max=1) == []
    sheet.close(b"")


def test_a_keeper_prunes_while_it_keeps(tmp_path: Path) -> None:
    old = aged(record(tmp_path / "old.jsonl"), 31)
    keeper = Keeper(tmp_path, lambda: STARTED_NS, days=30)
    keeper.prune()
    keeper.close()
    assert not old.exists()
