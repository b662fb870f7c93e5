"""Many seeds, one after the other; a failing one told as a person would want to read it."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from engine.core.commands import Commands
from engine.core.events import Event
from engine.core.state import State
from engine.simulate.faults import world_of
from engine.simulate.invariants import SOMETIMES, Broken
from engine.simulate.world import STEPS_MAX, Call

Step = tuple[Event, State, State, Commands]

ENOUGH = 1_000
"""Calls in which every situation should have come up."""


@dataclass
class Outcome:
    """What became of one seed."""

    seed: int
    call_ns: int
    steps: int
    seen: Counter[str]
    broken: str = ""
    at_step: int = 0


@dataclass
class Summary:
    """What became of many."""

    calls: int = 0
    call_ns: int = 0
    steps: int = 0
    seen: Counter[str] = field(default_factory=Counter)
    broken: list[Outcome] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        self.calls += 1
        self.call_ns += outcome.call_ns
        self.steps += outcome.steps
        self.seen.update(outcome.seen)
        if outcome.broken:
            self.broken.append(outcome)

    @property
    def never(self) -> list[str]:
        """Situations that no call reached."""
        return [name for name in SOMETIMES if not self.seen[name]]

    @property
    def failed(self) -> bool:
        """A call broke; or the world has stopped testing some rule."""
        return bool(self.broken or (self.never and self.calls >= ENOUGH))


def play(seed: int, *, steps_max: int = STEPS_MAX, record: list[Step] | None = None) -> Outcome:
    """Run the call of one seed."""
    observer = None if record is None else lambda *step: record.append(step)
    call = Call(world_of(seed), observer, steps_max)
    try:
        call.run()
        broken, at_step = "", 0
    except Broken as error:
        broken, at_step = error.what, error.step
    return Outcome(seed, call.now, call.steps, Counter(call.watch.seen), broken, at_step)


def play_many(first: int, count: int) -> Iterator[Outcome]:
    for seed in range(first, first + count):
        yield play(seed)


def shortest_prefix(outcome: Outcome) -> list[Step]:
    """The steps of a broken call up to the one that broke it: the world is deterministic, so nothing shorter fails the same way."""
    record: list[Step] = []
    play(outcome.seed, record=record)
    return record[: outcome.at_step]
