"""A journal as columns: what the page draws, in a form that a browser takes in without parsing.

A row is a fact or an order. A piece of the table on the wire is: its length (u32), the length of its head (u32), the head (JSON,
padded with spaces to a multiple of 8), then the columns one after the other in the order of `COLUMNS`, each padded to 8 bytes, then
the texts as UTF-8. Little-endian throughout. Types are numbers; the head names those that are new.
"""

import sys
from array import array
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from engine.core.state import Phase
from engine.core.units import MS

COLUMNS = (
    ("at", "d"),  # milliseconds of the session
    ("value", "d"),  # milliseconds: heard, duration, or place in the caller's sound; NaN where there is none
    ("offset", "d"),  # of the line in the file, bytes
    ("seq", "I"),
    ("text", "I"),  # where the row's text ends in the texts
    ("run", "H"),
    ("number", "H"),  # of the request, chunk, ear or tool call
    ("type", "B"),
    ("phase", "B"),  # after the step
)
TEXT_CHARS_MAX = 400
"""Of one row; the rest is in its detail."""
ROWS_MAX = 20_000
"""In one piece: the first is on the screen while the others are on their way."""
PHASES = {phase.value: number for number, phase in enumerate(Phase)}
NAN = float("nan")
U16_MAX = 2**16 - 1

U32 = Annotated[int, Meta(ge=0, le=2**32 - 1)]
I64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
"""Numbers as wide as their columns: a file that holds others is no journal of ours."""

assert sys.byteorder == "little" or all(code == "B" for _, code in COLUMNS), "columns are sent as they lie in memory"


class Fact(Struct, gc=False):
    """As much of a fact as a row shows."""

    type: str
    run: U32 = 0
    request: U32 = 0
    chunk: U32 = 0
    ear: U32 = 0
    call: U32 = 0
    text: str = ""
    output: str = ""
    name: str = ""
    arguments: str = ""
    digit: str = ""
    reason: str = ""
    by: str = ""
    kind: str = ""
    stage: str = ""
    provider: str = ""
    target: str = ""
    source: str = ""
    clock: str = ""
    heard_ns: I64 | None = None
    audio_ns: I64 | None = None
    duration_ns: I64 | None = None


class Last(Struct, gc=False):
    text: str = ""


class Messages(Struct, gc=False):
    last: Last | None = None


class Order(Struct, gc=False):
    """As much of an order as a row shows."""

    type: str
    run: U32 = 0
    request: U32 = 0
    chunk: U32 = 0
    ear: U32 = 0
    call: U32 = 0
    text: str = ""
    name: str = ""
    arguments: str = ""
    provider: str = ""
    reason: str = ""
    target: str = ""
    messages: Messages | None = None


class StepRow(Struct, tag_field="kind", tag="event", gc=False):
    seq: U32
    at: I64
    event: Fact
    after: str
    commands: list[Order]


class ActivityRow(Struct, tag_field="kind", tag="activity"):
    at: I64
    source: str = ""
    what: str = ""
    run: U32 = 0
    data: dict[str, Any] = {}


class FooterRow(Struct, tag_field="kind", tag="footer"):
    pass


class TornRow(Struct, tag_field="kind", tag="torn"):
    reason: str = ""


class HeaderRow(Struct, tag_field="kind", tag="header"):
    pass


_decode = msgspec.json.Decoder(StepRow | ActivityRow | FooterRow | TornRow | HeaderRow).decode


class Rows:
    """Takes lines, gives pieces of the table. One for each reader of a journal, since types are numbered as they are met."""

    def __init__(self) -> None:
        self._types: dict[str, int] = {}
        self._told = 0
        self.over = ""
        """complete, or why not; empty while more may come."""
        self._clear()

    def _clear(self) -> None:
        self._cells: list[float] = []
        self._texts: list[str] = []
        self._text_bytes = 0

    def __len__(self) -> int:
        return len(self._cells) // len(COLUMNS)

    def take(self, raw: bytes, offset: int) -> None:
        """Add one line. Raises msgspec.DecodeError for a line that is no journal's."""
        entry = _decode(raw)
        if type(entry) is StepRow:
            self._step(entry, offset)
        elif type(entry) is ActivityRow:
            self._add(f"~{entry.source}", entry.at, 0, entry.run, 0, NAN, _activity_text(entry), offset, 0)
        elif type(entry) is FooterRow:
            self.over = "complete"
        elif type(entry) is TornRow:
            self.over = f"torn: {entry.reason}"

    def _step(self, step: StepRow, offset: int) -> None:
        fact, at, seq, phase = step.event, step.at, step.seq, PHASES.get(step.after, 0)
        self._add(fact.type, at, seq, fact.run, _number(fact), _value(fact), _text(fact), offset, phase)
        for order in step.commands:
            if order.type != "SetTimer":
                text = _order_text(order)
                self._add(f">{order.type}", at, seq, order.run, _number(order), NAN, text, offset, phase)

    def _add(
        self, name: str, at: int, seq: int, run: int, number: int, value: float, text: str, offset: int, phase: int
    ) -> None:
        kind = self._types.get(name)
        if kind is None:
            kind = self._types[name] = min(len(self._types), 255)
        if text:
            text = text[:TEXT_CHARS_MAX]
            if not text.isascii():
                text = text.encode("utf-8", "replace").decode()
                self._text_bytes += len(text.encode()) - len(text)
            self._texts.append(text)
            self._text_bytes += len(text)
        if run > U16_MAX or number > U16_MAX:
            run, number = min(run, U16_MAX), min(number, U16_MAX)
        self._cells += (at / MS, value, offset, seq, self._text_bytes, run, number, kind, phase)

    def piece(self, **head: object) -> bytes:
        """What was added since the last piece, as bytes. `head`: more to be said in the head."""
        names = list(self._types)
        head |= {"rows": len(self), "types": names[self._told :], "first_type": self._told, "over": self.over}
        self._told = len(names)
        encoded = msgspec.json.encode(head)
        encoded += b" " * (-len(encoded) % 8)
        parts = [len(encoded).to_bytes(4, "little"), encoded]
        for place, (_, code) in enumerate(COLUMNS):
            data = array(code, self._cells[place :: len(COLUMNS)]).tobytes()
            parts += [data, b"\0" * (-len(data) % 8)]
        parts.append("".join(self._texts).encode())
        self._clear()
        body = b"".join(parts)
        body += b"\0" * ((-len(body) - 4) % 8)
        return len(body).to_bytes(4, "little") + body


def _number(row: Fact | Order) -> int:
    return row.request or row.chunk or row.call or row.ear


def _value(fact: Fact) -> float:
    value = fact.heard_ns if fact.heard_ns is not None else fact.duration_ns
    if value is None or fact.type.startswith("UserSpeech"):
        value = fact.audio_ns
    return NAN if value is None else value / MS


def _text(fact: Fact) -> str:
    if fact.text:
        return fact.text
    if fact.name:
        return f"{fact.name} {fact.arguments}"
    if fact.kind:
        return f"{fact.stage} {fact.provider}: {fact.kind}"
    return fact.output or fact.digit or fact.reason or fact.by or fact.target or fact.clock


def _activity_text(entry: ActivityRow) -> str:
    values = (
        f"{name}={value:.1f}" if type(value) is float else f"{name}={value}" for name, value in entry.data.items()
    )
    return " ".join((entry.what, *values))


def _order_text(order: Order) -> str:
    if order.messages and order.messages.last:
        return f"{order.provider}\n{order.messages.last.text}"
    if order.name:
        return f"{order.name} {order.arguments}"
    return order.text or order.reason or order.target or order.provider
