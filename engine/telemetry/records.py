"""What a call becomes: spans, log lines and measures as plain data, with ids that follow from the call alone.

A trace is one run. Its id, and the ids of the spans in it, are computed from the session's id and beginning and the run's number, so that a journal
turned into traces later gives the very traces the live call gave, and so that a provider can be handed its parent before the span exists.
"""

from collections.abc import Mapping, Sequence
from enum import IntEnum
from functools import lru_cache
from hashlib import blake2b

from msgspec import Struct

from engine.telemetry import names

Value = str | int | float | bool | Sequence[str]
Attributes = dict[str, Value]

SESSION_RUN = 0
"""The number of the session's own trace; runs count from 1."""


class Part(IntEnum):
    """What a span is of; with a number, its place in the trace."""

    ROOT = 0
    USER_TURN = 1
    SPEECH_TO_TEXT = 2
    CHAT = 3
    TOOL = 4
    TEXT_TO_SPEECH = 5
    PLAYOUT = 6
    CONTEST = 7
    TRANSITION = 8


class Trace(Struct, frozen=True, gc=False):
    """One trace: its id, and what the ids of its spans are made from."""

    trace_id: int
    """128 bits, not 0."""
    base: int
    """64 bits."""

    def span_id(self, part: Part, number: int = 0) -> int:
        """64 bits, not 0. Distinct within the trace for every part and number below 2**32."""
        return self.base ^ (part << 32 | number) or 1


@lru_cache(maxsize=4096)
def trace_of(key: str, run: int) -> Trace:
    """The trace of a run, or with SESSION_RUN the session's own. key: see `Call.key`."""
    digest = blake2b(f"{key}\n{run}".encode(), digest_size=24).digest()
    return Trace(int.from_bytes(digest[:16]) or 1, int.from_bytes(digest[16:]))


class Parent(Struct, frozen=True, gc=False):
    """A span of somebody else's that ours hang under."""

    trace_id: int
    span_id: int
    sampled: bool = True


def parse_traceparent(header: str) -> Parent | None:
    """Read a `traceparent` header. None when it is not one: a bad header from outside starts a trace of our own.

    Source: W3C Trace Context, section 3.2.2: version, trace-id, parent-id and flags in lower-case hex; version ff is invalid, and
    later versions may append fields.
    """
    fields = header.strip().split("-")
    if len(fields) < 4 or [len(field) for field in fields[:4]] != [2, 32, 16, 2]:
        return None
    if fields[0] == "ff" or (fields[0] == "00" and len(fields) != 4):
        return None
    if not all(digit in "0123456789abcdef" for field in fields[:4] for digit in field):
        return None
    trace_id, span_id = int(fields[1], 16), int(fields[2], 16)
    if not trace_id or not span_id:
        return None
    return Parent(trace_id, span_id, bool(int(fields[3], 16) & 1))


def format_traceparent(trace_id: int, span_id: int, *, sampled: bool) -> str:
    """Write a `traceparent` header, version 00."""
    return f"00-{trace_id:032x}-{span_id:016x}-{int(sampled):02x}"


class Call(Struct, frozen=True, kw_only=True):
    """What telemetry is told of a call when it begins; the journal's header says the same."""

    session: str
    """The session's id, the key to all others."""
    began_ns: int
    """The wall clock when the session's clock read 0: nanoseconds since 1970."""
    agent: str = "agent"
    traceparent: str = ""
    """From the embedding service or the webhook. The session's span hangs under it. Empty or unreadable: a trace of our own."""

    @property
    def key(self) -> str:
        """What all ids are made from. The same call has the same; a name that is used again has not."""
        return f"{self.session} {self.began_ns}"


class Span(Struct, frozen=True, gc=False, kw_only=True):
    """One finished span."""

    name: str
    trace_id: int
    span_id: int
    parent_id: int = 0
    """0: a root."""
    remote: bool = False
    """The parent is another service's."""
    client: bool = False
    """A request to a provider, rather than work of our own."""
    start_ns: int
    end_ns: int
    attributes: Attributes
    links: tuple[tuple[int, int], ...] = ()
    """Trace and span ids."""
    error: str = ""
    """What went wrong. Empty: nothing."""


class Open(Struct, gc=False):
    """A span that has begun. Times are the session's, in nanoseconds."""

    name: str
    part: Part
    number: int
    at: int
    attributes: Attributes
    client: bool = False
    first_at: int | None = None
    """The first piece of the answer."""
    end_at: int | None = None
    """Where it ends, when that is known before it is closed."""
    error: str = ""

    def blame(self, kind: str) -> None:
        self.error = self.attributes[names.ERROR_TYPE] = kind

    def label(self, key: str) -> str:
        """An attribute as a metric's label."""
        return str(self.attributes[key])


class Line(Struct, frozen=True, gc=False, kw_only=True):
    """One log line."""

    at_ns: int
    trace_id: int
    span_id: int
    severity: str
    """INFO or WARN."""
    body: str
    attributes: Attributes


class Measure(Struct, frozen=True, gc=False):
    """One number for a metric, with the trace it came from as its exemplar."""

    name: str
    value: float
    trace_id: int
    span_id: int
    labels: Mapping[str, str] = {}
    sampled: bool = True
    """Whether that trace is exported."""


Record = Span | Line | Measure
