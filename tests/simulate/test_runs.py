"""The seeded world: it repeats itself, it finds what is broken, and it reaches what it is for."""

from collections import Counter

import pytest

from engine.core import interruption, reduce
from engine.core.commands import Commands
from engine.core.state import State
from engine.simulate.faults import FAULTS, world_of
from engine.simulate.invariants import SOMETIMES
from engine.simulate.runs import Step, Summary, play, play_many, shortest_prefix


def test_a_seed_always_makes_the_same_call() -> None:
    first: list[Step] = []
    again: list[Step] = []
    assert play(17, record=first) == play(17, record=again)
    assert first == again
    assert len(first) > 50


def test_seeds_differ_in_what_goes_wrong() -> None:
    worlds = [world_of(seed) for seed in range(200)]
    assert {fault for world in worlds for fault in world.faults} == set(FAULTS)
    assert all(any(fault not in world.faults for world in worlds) for fault in FAULTS)


def test_a_hundred_and_fifty_calls_break_nothing_and_reach_most_situations() -> None:
    summary = Summary()
    for outcome in play_many(0, 150):
        summary.add(outcome)
    assert [(one.seed, one.broken) for one in summary.broken] == []
    assert len(summary.never) < len(SOMETIMES) // 4
    assert summary.call_ns > 3_600 * 10**9


def test_a_situation_that_a_thousand_calls_never_reach_fails_the_run() -> None:
    seen = Counter(dict.fromkeys(SOMETIMES, 1))
    assert not Summary(calls=1_000, seen=seen).failed
    del seen["a hedge wins"]
    assert Summary(calls=1_000, seen=seen).failed
    assert not Summary(calls=999, seen=seen).failed


def test_a_rule_that_lets_dead_sound_out_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """The net catches fish: take the floor, but forget to say so to the wire."""
    whole = interruption.take_floor

    def forgetful(state: State, run: object) -> tuple[State, Commands]:
        after, commands = whole(state, run)  # type: ignore[arg-type]
        return after, commands[1:]

    monkeypatch.setattr(interruption, "take_floor", forgetful)
    broken = [outcome for outcome in play_many(0, 60) if outcome.broken]
    assert broken
    assert any("without the floor" in outcome.broken for outcome in broken)
    prefix = shortest_prefix(broken[0])
    assert len(prefix) <= broken[0].at_step


def test_a_wait_without_a_deadline_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reduce, "deadlines", lambda state: reduce.NEVER)
    assert any("deadline" in outcome.broken for outcome in play_many(0, 5))
