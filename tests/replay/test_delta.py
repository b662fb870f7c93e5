"""What a step changed, as a digest and as a list."""

from msgspec.structs import replace

from engine.core.reduce import begin
from engine.core.state import Chunk, Ledger, Phase
from engine.replay.delta import Change, changes, state_digest

START = begin()


def test_equal_states_have_one_digest_whatever_they_are_made_of() -> None:
    again = replace(START, turn=replace(START.turn))
    assert again.turn is not START.turn
    assert state_digest(START, again) == state_digest(START, START)


def test_the_digest_is_a_constant_of_the_change() -> None:
    after = replace(START, phase=Phase.LISTENING, turn=replace(START.turn, speaking=True, text="hm", complete_prob=0.1))
    assert state_digest(START, after) == "03d79d29cecb0f74"


def test_the_clock_alone_is_no_change() -> None:
    assert state_digest(START, replace(START, at=7)) == state_digest(START, START)


def test_only_what_was_added_to_a_history_counts() -> None:
    one = replace(START, playout=replace(START.playout, ledgers=(Ledger(run=1),)))
    two = replace(START, playout=replace(START.playout, ledgers=(Ledger(run=1), Ledger(run=2))))
    other = replace(START, playout=replace(START.playout, ledgers=(Ledger(run=1), Ledger(run=3))))
    assert state_digest(one, two) != state_digest(one, other)
    assert state_digest(two, one) != state_digest(one, one)


def test_changes_are_told_leaf_by_leaf() -> None:
    chunk = Chunk(number=1, start_char=0, text="Hello.", asked_at=5)
    before = replace(START, playout=replace(START.playout, ledgers=(Ledger(run=1, chunks=(chunk,)),)))
    after = replace(
        before,
        phase=Phase.SPEAKING,
        playout=replace(before.playout, ledgers=(Ledger(run=1, chunks=(replace(chunk, duration_ns=7),), heard_ns=9),)),
    )
    assert list(changes(before, after)) == [
        Change("phase", "Idle", "Speaking"),
        Change("playout.ledgers[0].chunks[0].duration_ns", None, 7),
        Change("playout.ledgers[0].heard_ns", 0, 9),
    ]


def test_what_was_not_there_before_is_told_whole() -> None:
    after = replace(START, playout=replace(START.playout, ledgers=(Ledger(run=1),)))
    (change,) = changes(START, after)
    assert change.path == "playout.ledgers[0]"
    assert change.before is None
    assert change.after["run"] == 1
