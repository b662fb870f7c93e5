"""What one step changed in the state: as a digest for the journal, and as paths and values for people."""

from collections.abc import Iterator
from hashlib import blake2b
from typing import Any

import msgspec
from msgspec import Struct

from engine.core.state import State

_pack = msgspec.msgpack.Encoder(order="deterministic").encode
_FIELDS = tuple(name for name in State.__struct_fields__ if name != "at")
"""The clock is the fact's own."""


def state_digest(before: State, after: State) -> str:
    """Digest of the parts of the state that changed: 16 hexadecimal digits, the same on every Python.

    Values are compared, never identities, and packed as MessagePack: no hash, no order of a set, no decimal of a float is in it.
    """
    return blake2b(_pack(_changed(before, after)), digest_size=8).hexdigest()


def _changed(before: State, after: State) -> list[Any]:
    """Slice, field and value of what changed, flat; of a history only what follows the part that both share."""
    found: list[Any] = []
    for name in _FIELDS:
        old, new = getattr(before, name), getattr(after, name)
        if old is new:
            continue
        if not isinstance(new, Struct):
            if old != new:
                found += (name, new)
            continue
        for field in new.__struct_fields__:
            past, now = getattr(old, field), getattr(new, field)
            if past is now:
                continue
            if type(now) is tuple:
                same = _common(past, now)
                if same < len(now) or same < len(past):
                    found += (name, field, same, now[same:])
            elif past != now:
                found += (name, field, now)
    return found


def _common(old: tuple[Any, ...], new: tuple[Any, ...]) -> int:
    """How many entries two histories share from the beginning."""
    same = 0
    for past, now in zip(old, new, strict=False):
        if past is not now and past != now:
            break
        same += 1
    return same


class Change(Struct, frozen=True):
    """One value that differs between two states."""

    path: str
    """As one would write it: response.run.text, playout.ledgers[2].heard_ns."""
    before: Any
    """Plain data; None where it was not there."""
    after: Any


def changes(before: Any, after: Any, path: str = "") -> Iterator[Change]:
    """Every leaf that differs, deepest first path by path, in the order of the fields."""
    if before is after or (type(before) is type(after) and before == after):
        return
    if isinstance(before, Struct) and type(before) is type(after):
        for name in before.__struct_fields__:
            yield from changes(getattr(before, name), getattr(after, name), f"{path}.{name}" if path else name)
    elif isinstance(before, tuple) and isinstance(after, tuple) and (before or after) and _deep(before, after):
        for index in range(max(len(before), len(after))):
            old = before[index] if index < len(before) else None
            new = after[index] if index < len(after) else None
            yield from changes(old, new, f"{path}[{index}]")
    else:
        yield Change(path, msgspec.to_builtins(before), msgspec.to_builtins(after))


def _deep(before: tuple[Any, ...], after: tuple[Any, ...]) -> bool:
    """Whether two histories are worth walking entry by entry."""
    return any(isinstance(each, Struct) for each in (*before[:1], *after[:1]))
