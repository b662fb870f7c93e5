"""What recording costs: microseconds per event, beside the reducer's own; and how fast a journal is verified.

pytest bench/test_journal.py
"""

from pathlib import Path
from typing import Any

import pytest

from engine.core.commands import Commands
from engine.core.events import Event
from engine.core.reduce import begin, reduce
from engine.core.state import State
from engine.replay.activity import ActivityLog
from engine.replay.journal import Recorder
from engine.replay.sheet import Scribe, Sheet
from engine.replay.verify import verify
from tests.replay.record import STARTED_NS
from tests.replay.talk import talk
from tests.script import play

Steps = list[tuple[Event, State, State, Commands]]


@pytest.fixture(scope="module")
def steps() -> Steps:
    """A call of about five minutes: 20 turns with interruptions, tools, word times and a report of playout every 100 ms."""
    found: Steps = []
    play(talk(20), observer=lambda *step: found.append(step))
    return found


def test_reduce_an_event(benchmark: Any, steps: Steps) -> None:
    """For comparison: the rules alone."""

    def fold() -> None:
        state = begin()
        for event, _, _, _ in steps:
            state, _ = reduce(state, event)

    _per_event(benchmark, steps, fold)


def test_record_an_event(benchmark: Any, steps: Steps, tmp_path: Path) -> None:
    """Encode, digest, seal and hand over, with the activity beside the facts; a scribe writes the file meanwhile."""
    scribe = Scribe()
    numbers = iter(range(10**6))

    def write() -> None:
        sheet = Sheet(tmp_path / f"{next(numbers)}.jsonl", scribe=scribe)
        recorder = Recorder(sheet, session="s", started_ns=STARTED_NS, log=ActivityLog())
        for step in steps:
            recorder(*step)
        recorder.close()

    _per_event(benchmark, steps, write)
    scribe.close()


def test_verify_an_event(benchmark: Any, steps: Steps, tmp_path: Path) -> None:
    """Read, check the seal, reduce and compare."""
    path = tmp_path / "call.jsonl"
    recorder = Recorder(Sheet(path), session="s", started_ns=STARTED_NS)
    for step in steps:
        recorder(*step)
    recorder.close()
    _per_event(benchmark, steps, lambda: verify(path))
    benchmark.extra_info["bytes_per_event"] = round(path.stat().st_size / len(steps))


def _per_event(benchmark: Any, steps: Steps, work: Any) -> None:
    benchmark.pedantic(work, rounds=15, warmup_rounds=2)
    benchmark.extra_info["events"] = len(steps)
    benchmark.extra_info["us_per_event"] = round(benchmark.stats.stats.median / len(steps) * 1e6, 2)
