"""Two calls are walked side by side until they part."""

from pathlib import Path

from engine.replay.diff import Parting, between, with_rules
from engine.replay.journal import Step
from engine.replay.reader import Journal
from tests.replay.record import CALL, record
from tests.replay.test_verify import rewritten


def parted(steps: list[Step | Parting]) -> Parting | None:
    return steps[-1] if steps and isinstance(steps[-1], Parting) else None


def compare(tmp_path: Path, other: str, *, exact: bool = False) -> Parting | None:
    left, right = record(tmp_path / "a.jsonl"), record(tmp_path / "b.jsonl", other)
    with Journal(left) as one, Journal(right) as two:
        return parted(list(between(one, two, exact=exact)))


def test_a_call_does_not_part_from_itself(tmp_path: Path) -> None:
    assert compare(tmp_path, CALL, exact=True) is None


def test_times_do_not_count_unless_asked_for(tmp_path: Path) -> None:
    later = CALL.replace("2600    asr partial", "2611    asr partial")
    assert compare(tmp_path / "", later) is None
    (tmp_path / "exact").mkdir()
    parting = compare(tmp_path / "exact", later, exact=True)
    assert parting
    assert parting.what == "fact"
    assert parting.changed[0].path == "at"


def test_another_fact_is_named_with_the_fields_that_differ(tmp_path: Path) -> None:
    parting = compare(tmp_path, CALL.replace("I need a slot on Monday.", "I need a slot on Sunday."))
    assert parting
    assert parting.left
    assert (parting.what, parting.left.seq) == ("fact", 8)
    assert [(change.path, change.after) for change in parting.changed] == [("text", "I need a slot on Sunday.")]


def test_a_call_that_ends_sooner_is_said_so(tmp_path: Path) -> None:
    parting = compare(tmp_path, CALL.partition("    4800")[0])
    assert parting
    assert parting.what == "the second call ended"
    assert parting.right is None


def test_todays_rules_agree_with_todays_journal(tmp_path: Path) -> None:
    with Journal(record(tmp_path / "call.jsonl")) as journal:
        assert parted(list(with_rules(journal))) is None


def test_todays_rules_are_shown_where_they_decide_otherwise(tmp_path: Path) -> None:
    path = rewritten(record(tmp_path / "call.jsonl"), {11: {"commands": ()}})
    with Journal(path) as journal:
        parting = parted(list(with_rules(journal)))
    assert parting
    assert parting.left
    assert parting.right
    assert parting.what == "orders"
    assert parting.left.commands == ()
    assert parting.right.commands
    assert any(change.path == "turn.taken" for change in parting.changed)


def test_a_step_of_other_state_alone_is_told_apart(tmp_path: Path) -> None:
    path = rewritten(record(tmp_path / "call.jsonl"), {4: {"state": "0" * 16}, 6: {"after": "Speaking"}})
    with Journal(path) as journal:
        parting = parted(list(with_rules(journal)))
    assert parting
    assert parting.what == "state"
