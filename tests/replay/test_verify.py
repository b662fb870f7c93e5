"""A journal verifies as long as neither it nor the rules have changed; what changed is named."""

import json
import random
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from engine.core.events import ASRFinal
from engine.errors import JournalCorrupt, ReplayDiverged
from engine.replay import verify as module
from engine.replay.journal import Chain, Footer, Header, Step
from engine.replay.reader import Journal
from engine.replay.sheet import Sheet
from engine.replay.verify import Verdict, replay, verify
from tests.replay.record import record


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return record(tmp_path / "call.jsonl")


def rewritten(path: Path, change: dict[int, dict[str, object]], header: dict[str, object] | None = None) -> Path:
    """The journal with some steps changed and every seal made anew, as one would forge it."""
    chain, lines = Chain(), []
    with Journal(path) as journal:
        lines.append(chain.seal(msgspec.structs.replace(journal.header, digest="", **(header or {}))))
        for line in journal.lines():
            entry = line.entry
            if isinstance(entry, Step):
                entry = msgspec.structs.replace(entry, **change.get(entry.seq, {}))
            assert isinstance(entry, Step | Footer | Header)
            lines.append(chain.seal(msgspec.structs.replace(entry, digest="")))
    path.write_bytes(b"".join(lines))
    return path


def test_what_was_recorded_verifies(path: Path) -> None:
    report = verify(path)
    assert (report.verdict, report.events, report.detail) == (Verdict.GOOD, 19, "")
    assert report.digest == json.loads(path.read_text().splitlines()[-1])["digest"]


def test_a_changed_byte_of_an_event_names_the_step(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"I need a slot on Monday.", b"I need a slot on Sunday.", 1))
    with pytest.raises(JournalCorrupt, match=r"step 8 \(ASRFinal\) is not what was written"):
        verify(path)


def test_any_changed_byte_of_any_line_is_found(path: Path) -> None:
    whole = path.read_bytes()
    chance = random.Random(7)
    for _ in range(150):
        at = chance.randrange(len(whole) - 1)
        other = bytes([chance.choice([byte for byte in range(32, 127) if byte != whole[at]])])
        path.write_bytes(whole[:at] + other + whole[at + 1 :])
        with pytest.raises((JournalCorrupt, msgspec.ValidationError)):
            verify(path)


@pytest.mark.parametrize("line", [1, 5, 12])
def test_a_missing_line_is_found(line: int, path: Path) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:line] + lines[line + 1 :]))
    with pytest.raises(JournalCorrupt, match="what stood before it is missing"):
        verify(path)


def test_a_torn_journal_is_verified_up_to_its_tear(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:6_000])
    report = verify(path)
    assert report.verdict is Verdict.TORN
    assert 5 < report.events < 19


def test_a_journal_still_being_written_is_live_not_torn(tmp_path: Path) -> None:
    whole = record(tmp_path / "whole.jsonl").read_bytes().splitlines(keepends=True)
    sheet = Sheet(tmp_path / "live.jsonl")
    for line in whole[:6]:
        sheet.write(line)
    sheet.flush()
    assert verify(sheet.path).verdict is Verdict.LIVE
    sheet.close(b"")


def test_a_forged_fact_diverges_where_the_rules_decide_otherwise(path: Path) -> None:
    forged = rewritten(path, {8: {"event": ASRFinal(at=3_400_000_000, ear=1, text="I need a slot and")}})
    with pytest.raises(ReplayDiverged, match=r"step 8 \(ASRFinal\) diverges: the journal has state"):
        verify(forged)


def test_a_forged_order_diverges_at_its_step(path: Path) -> None:
    with pytest.raises(ReplayDiverged, match=r"step 11 .* no orders, the rules give open r2"):
        verify(rewritten(path, {11: {"commands": ()}}))


def test_a_forged_phase_diverges_at_its_step(path: Path) -> None:
    with pytest.raises(ReplayDiverged, match=r"step 6 .* Idle → Speaking, the rules give Idle → Listening"):
        verify(rewritten(path, {6: {"after": "Speaking"}}))


def test_a_footer_that_counts_otherwise_is_refused(path: Path) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    chain = Chain()
    for line in lines[:-1]:
        chain.check(line)
    path.write_bytes(b"".join(lines[:-1]) + chain.seal(Footer(events=18, lines=20)))
    with pytest.raises(JournalCorrupt, match="counts 18 events, the journal has 19"):
        verify(path)


def test_a_step_out_of_its_place_is_refused(path: Path) -> None:
    with pytest.raises(JournalCorrupt, match="step 9 stands where step 2 should"):
        verify(rewritten(path, {2: {"seq": 9}}))


def test_other_rules_that_decide_alike_are_told_apart(path: Path) -> None:
    report = verify(rewritten(path, {3: {"state": "0" * 16}}, {"rules": 0}))
    assert report.verdict is Verdict.OLDER
    assert "rules 0" in report.detail


def test_other_rules_that_decide_otherwise_diverge(path: Path) -> None:
    with pytest.raises(ReplayDiverged):
        verify(rewritten(path, {11: {"commands": ()}}, {"rules": 0}))


def test_progress_runs_to_the_whole_file(path: Path) -> None:
    seen: list[tuple[int, int]] = []
    verify(path, lambda read, size: seen.append((read, size)))
    assert seen[-1] == (path.stat().st_size, path.stat().st_size)


def test_a_replay_gives_each_step_its_states(path: Path) -> None:
    with Journal(path) as journal:
        steps = list(replay(journal))
    assert len(steps) == 19
    assert steps[-1].after.response.run is not None
    assert all(step.commands == step.step.commands for step in steps)
    assert all(module.differs(step) is None for step in steps)


def test_a_replay_holds_no_provider(path: Path) -> None:
    """In a fresh interpreter: verifying imports neither adapters nor runtime nor transports, nor any client library."""
    program = (
        "import sys; from pathlib import Path; from engine.replay.verify import verify\n"
        f"print(verify(Path({str(path)!r})).verdict)\n"
        "names = {name.partition('.')[0] for name in sys.modules} | set(sys.modules)\n"
        "print(sorted(names & {'engine.adapters', 'engine.runtime', 'engine.transports', 'httpx', 'websockets', 'numpy'}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["good", "[]"]
