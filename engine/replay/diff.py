"""Where two calls part, or a call and today's rules on the same facts."""

from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

import msgspec
from msgspec import Struct

from engine.replay.delta import Change, changes
from engine.replay.journal import Step
from engine.replay.reader import Journal
from engine.replay.verify import Replayed, differs, replay

_TIMES = ("at", "_ns", "_at")


class Parting(Struct, frozen=True):
    """The first difference."""

    what: str
    """fact, orders, phase, state, or which call ended first."""
    left: Step | None
    right: Step | None
    """For today's rules: the step as they take it."""
    changed: tuple[Change, ...] = ()
    """What the facts or orders differ in; for today's rules what they changed in the state."""


def between(left: Journal, right: Journal, *, exact: bool = False) -> Iterator[Step | Parting]:
    """The steps both calls share, then the parting if there is one. `exact`: times count too."""
    seen = _plain if exact else _timeless
    for one, other in zip_longest(left.steps(), right.steps()):
        if one is None or other is None:
            yield Parting("the second call ended" if other is None else "the first call ended", one, other)
            return
        for what, old, new in (
            ("fact", one.event, other.event),
            ("orders", one.commands, other.commands),
            ("phase", one.after, other.after),
        ):
            if seen(old) != seen(new):
                yield Parting(what, one, other, tuple(_differences(seen(old), seen(new))))
                return
        yield one


def with_rules(journal: Journal) -> Iterator[Step | Parting]:
    """The steps that today's rules take alike, then the first one they do not."""
    strict = True
    for step in replay(journal):
        if differs(step, strict=strict):
            yield Parting(_what(step), step.step, _retaken(step), tuple(changes(step.before, step.after)))
            return
        yield step.step


def _what(replayed: Replayed) -> str:
    if replayed.step.commands != replayed.commands:
        return "orders"
    if (replayed.step.before, replayed.step.after) != (replayed.before.phase, replayed.after.phase):
        return "phase"
    return "state"


def _retaken(replayed: Replayed) -> Step:
    return msgspec.structs.replace(
        replayed.step, before=replayed.before.phase, after=replayed.after.phase, commands=replayed.commands
    )


def _plain(value: Any) -> Any:
    return msgspec.to_builtins(value)


def _timeless(value: Any) -> Any:
    """Plain data without times and positions, and without timers set: two calls never agree in these."""
    return _without_times(msgspec.to_builtins(value))


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: _without_times(each) for name, each in value.items() if not name.endswith(_TIMES) and name != "digest"
        }
    if isinstance(value, list | tuple):
        return [
            _without_times(each) for each in value if not (isinstance(each, dict) and each.get("type") == "SetTimer")
        ]
    return value


def _differences(old: Any, new: Any, path: str = "") -> Iterator[Change]:
    """The leaves in which two pieces of plain data differ."""
    if isinstance(old, dict) and isinstance(new, dict) and old.get("type") == new.get("type"):
        for name in {**old, **new}:
            yield from _differences(old.get(name), new.get(name), f"{path}.{name}" if path else name)
    elif isinstance(old, list) and isinstance(new, list):
        for index, (one, other) in enumerate(zip_longest(old, new)):
            yield from _differences(one, other, f"{path}[{index}]")
    elif old != new:
        yield Change(path, old, new)
