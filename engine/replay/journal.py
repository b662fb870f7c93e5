"""The recording of a call: one JSON line for each fact, sealed to the line before it. The format is described in docs/journal.md.

    header      format, engine, rules, session, when, providers
    event       a fact, the phase before and after, the orders it led to, a digest of what it changed in the state
    activity    what adapters, sound and clocks did meanwhile; no fact, so nothing depends on it
    footer      how many, and that nothing is missing; or torn, and why

Each line ends in `digest`: BLAKE2b of the digest before it and of the line's own bytes. So one changed byte is found, and named,
without knowing any rule. `state` is apart from it, so that a file that was changed and a rule that was changed look different.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from hashlib import blake2b
from typing import TYPE_CHECKING, Protocol, Union, get_args

import msgspec
from msgspec import Struct

from engine import __version__
from engine.core.commands import Command, Commands, Message, Order, StartLLM
from engine.core.events import Event, SessionStarted
from engine.core.policy import Setup
from engine.core.reduce import RULES_VERSION
from engine.core.state import Phase, State
from engine.core.units import MS
from engine.replay.delta import state_digest

FORMAT = 1
"""Raised when a reader of the last one would misread this one."""
LINE_BYTES_MAX = 16 * 1024 * 1024
"""A line longer than this is no journal's: the longest fact is a SessionStarted with its instructions and tools."""
SEAL_BYTES = 16
LATE_NS = 40 * MS
"""Two frames. Peers' buffers hold more; a wake-up this late is the first sign of a process without time."""


class Sealed(Struct, frozen=True, gc=False):
    """The messages of a question to a model, without repeating a history that the journal already tells."""

    count: int
    digest: str
    last: Message | None = None


class Asked(Command, frozen=True, gc=False, kw_only=True, tag="StartLLM"):
    """StartLLM as it is written."""

    run: int
    request: int
    provider: str
    messages: Sealed


if TYPE_CHECKING:
    Written = Order | Asked
else:
    Written = Union[tuple(Asked if cls is StartLLM else cls for cls in get_args(Order))]  # noqa: UP007


class Header(Struct, frozen=True, kw_only=True, tag_field="kind", tag="header"):
    """What a reader must know first."""

    format: int
    engine: str
    rules: int
    session: str
    started: str
    """Wall time of the call's first moment, UTC, ISO 8601."""
    started_ns: int
    """The same, nanoseconds since 1970."""
    asr: tuple[str, ...] = ()
    llm: tuple[str, ...] = ()
    tts: tuple[str, ...] = ()
    transport: str = ""
    redacted: bool = False
    """The words are gone; what depends on them can no longer be checked."""
    traceparent: str = ""
    """The trace of whoever sent the caller, as W3C Trace Context writes it: the session's span hangs under it."""
    digest: str = ""


class Step(Struct, frozen=True, kw_only=True, tag_field="kind", tag="event"):
    """One fact and what came of it."""

    seq: int
    at: int
    event: Event
    before: Phase
    after: Phase
    run: int
    """The run it is about, or the one that lived after it. 0: none."""
    commands: tuple[Written, ...]
    state: str
    """Digest of the changed parts of the state."""
    digest: str = ""


class Activity(Struct, frozen=True, kw_only=True, tag_field="kind", tag="activity"):
    """Something that happened beside the facts."""

    at: int
    source: str
    """adapter, audio or timing."""
    what: str
    run: int = 0
    data: dict[str, int | float | str | bool] = {}
    digest: str = ""


class Footer(Struct, frozen=True, kw_only=True, tag_field="kind", tag="footer"):
    """The end of a whole recording."""

    events: int
    lines: int
    """Before this one."""
    complete: bool = True
    digest: str = ""


class Torn(Struct, frozen=True, kw_only=True, tag_field="kind", tag="torn"):
    """The end of a recording that could not be finished. Not sealed: what is missing cannot vouch for itself."""

    reason: str
    lost: int
    """Events that were not written."""


Entry = Header | Step | Activity | Footer | Torn

encode = msgspec.json.Encoder().encode
_pack = msgspec.msgpack.Encoder(order="deterministic").encode
_SEAL = b',"digest":"'
SEAL_WIDTH = len(_SEAL) + 2 * SEAL_BYTES + 2
"""Bytes of a line's end, from `,"digest":"` to the brace."""
_UNSEALED = b',"digest":""}'


def sealed(commands: Iterable[Order]) -> tuple[Written, ...]:
    """Orders as they are written."""
    return tuple(_asked(command) if isinstance(command, StartLLM) else command for command in commands)


def _asked(command: StartLLM) -> Asked:
    digest = blake2b(_pack(command.messages), digest_size=8).hexdigest()
    last = command.messages[-1] if command.messages else None
    messages = Sealed(len(command.messages), digest, last)
    return Asked(run=command.run, request=command.request, provider=command.provider, messages=messages)


def shown(commands: Iterable[Written]) -> Commands:
    """Orders as they can be shown: of a question's messages only the last is there."""
    return tuple(
        StartLLM(
            run=command.run,
            request=command.request,
            provider=command.provider,
            messages=(command.messages.last,) if command.messages.last else (),
        )
        if isinstance(command, Asked)
        else command
        for command in commands
    )


def run_of(event: Event, after: State) -> int:
    """The run a step is about, or the one that lives after it; 0 for none."""
    run: int = getattr(event, "run", 0)
    return run or (after.response.run.number if after.response.run else 0)


class Chain:
    """The seal that joins each line to the one before."""

    def __init__(self) -> None:
        self.last = b""

    def seal(self, entry: Struct) -> bytes:
        """An entry as a line with its digest and its newline."""
        return self._close(encode(entry).removesuffix(_UNSEALED))

    def seal_data(self, data: dict[str, object]) -> bytes:
        """The same for a line taken apart, whose digest is its last key."""
        return self._close(encode({**data, "digest": ""}).removesuffix(_UNSEALED))

    def _close(self, line: bytes) -> bytes:
        self.last = blake2b(line, key=self.last, digest_size=SEAL_BYTES).digest()
        return line + _SEAL + self.last.hex().encode() + b'"}\n'

    def check(self, line: bytes) -> bool:
        """Whether a line (with or without its newline) follows the one before, unchanged."""
        line = line.rstrip(b"\n")
        body, seal = line[:-SEAL_WIDTH], line[-SEAL_WIDTH:]
        self.last = blake2b(body, key=self.last, digest_size=SEAL_BYTES).digest()
        return seal == _SEAL + self.last.hex().encode() + b'"}'


class Sink(Protocol):
    """Where lines go. Never raises and never waits."""

    def write(self, line: bytes) -> bool:
        """Take a line. False: it is not kept, nor will any be after it."""

    def tear(self, reason: str) -> None:
        """Keep nothing more: something could not be written."""

    def close(self, last: bytes, lost: int) -> None:
        """Write the last line and close. Where writing failed before, a torn mark takes its place; `lost` lines were not even sent."""


Log = Callable[[Event, State, State, Commands], Iterable[Activity]]


class Recorder:
    """Writes a session down. An observer: call it with each step; `note` what else happens; `close` at the end."""

    def __init__(
        self, sink: Sink, *, session: str, started_ns: int, traceparent: str = "", log: Log | None = None
    ) -> None:
        """log: what is said beside the facts (see `activity`)."""
        self.session = session
        self.started_ns = started_ns
        self.traceparent = traceparent
        self.torn = False
        """Something could not be written; the rest of the call is not recorded."""
        self._events = 0
        self._lines = 0
        self._lost = 0
        self._at = 0
        self._log = log
        self._sink = sink
        self._chain = Chain()

    def __call__(self, event: Event, before: State, after: State, commands: Commands) -> None:
        """Write one step."""
        if self.torn:
            self._lost += 1
            return
        if not self._lines:
            self._write(self._header(event))
        try:
            self._write(self._step(event, before, after, commands))
            for activity in self._log(event, before, after, commands) if self._log else ():
                self._write(activity)
        except UnicodeEncodeError:
            # A lone surrogate in a text: neither JSON nor a digest can carry it. The call matters more than its recording.
            self.torn = True
            self._lost += 1
            self._sink.tear("a text cannot be encoded")
        self._events += 1
        self._at = after.at

    def note_tick(self, late_ns: int) -> None:
        """How late a turn of the sound's pump came: written down when it can be heard."""
        if late_ns >= LATE_NS:
            self.note(self._at, "timing", "late", data={"ms": late_ns / MS})

    def note(
        self, at: int, source: str, what: str, run: int = 0, data: Mapping[str, int | float | str | bool] | None = None
    ) -> None:
        """Write down something beside the facts. Before the first fact there is no call to write it to."""
        if self._lines and not self.torn:
            self._write(Activity(at=at, source=source, what=what, run=run, data=dict(data or {})))

    def close(self) -> None:
        """Write the end. A call in which nothing happened leaves no file."""
        last = self._chain.seal(Footer(events=self._events, lines=self._lines)) if self._lines else b""
        self._sink.close(last, self._lost)

    def _header(self, event: Event) -> Header:
        setup = event.setup if isinstance(event, SessionStarted) else Setup()
        return Header(
            format=FORMAT,
            engine=__version__,
            rules=RULES_VERSION,
            session=self.session,
            started=datetime.fromtimestamp(self.started_ns / 1e9, UTC).isoformat(timespec="milliseconds"),
            started_ns=self.started_ns,
            asr=setup.asr,
            llm=setup.llm,
            tts=setup.tts,
            transport=setup.transport,
            traceparent=self.traceparent,
        )

    def _step(self, event: Event, before: State, after: State, commands: Commands) -> Step:
        return Step(
            seq=self._events,
            at=after.at,
            event=event,
            before=before.phase,
            after=after.phase,
            run=run_of(event, after),
            commands=sealed(commands),
            state=state_digest(before, after),
        )

    def _write(self, entry: Struct) -> None:
        line = self._chain.seal(entry)
        self._lines += 1
        if not self._sink.write(line):
            self.torn = True
            self._lost += 1
