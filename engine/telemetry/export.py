"""A recorded call to a collector, after the fact: the spans and log lines that the live call gave, under the same ids.

Metrics are not exported: they count calls as they happen, and an old call does not happen again.
"""

from collections.abc import Iterable, Iterator

from msgspec import Struct

from engine.core.commands import Commands
from engine.core.events import Event
from engine.core.state import State
from engine.telemetry.exporters import Exporters, Maker, Settings, exporters, resource
from engine.telemetry.fold import Fold
from engine.telemetry.outbox import BATCH, Sender
from engine.telemetry.records import Call, Line, Record, Span

Step = tuple[Event, State, State, Commands]


class Exported(Struct, frozen=True):
    """What came of it."""

    spans: int
    lines: int
    lost: int
    """Records that the collector did not take."""


def export(
    call: Call, steps: Iterable[Step], settings: Settings, version: str, ways: Exporters | None = None
) -> Exported:
    """Fold a recorded call and send all of it, sampled or not when it was live. Waits for the collector, at most `settings.timeout_s` for each batch.

    steps:  (event, before, after, commands) of the whole call in order, as a replay gives them.
    """
    ways = ways or exporters(settings)
    sender = Sender(ways, Maker(resource(settings.service, version), version))
    batch: list[Span | Line] = []
    try:
        for record in records(call, steps, settings):
            if isinstance(record, Span) or (isinstance(record, Line) and settings.lines):
                batch.append(record)
            if len(batch) >= BATCH:
                sender.send(batch)
                batch = []
        sender.send(batch)
    finally:
        ways.spans.shutdown()
        ways.lines.shutdown()  # type: ignore[no-untyped-call]  # The SDK forgot.
        ways.metrics.shutdown()
    return Exported(sender.spans, sender.lines, sender.lost)


def records(call: Call, steps: Iterable[Step], settings: Settings) -> Iterator[Record]:
    """Everything a recorded call gives, in order. A recording that breaks off ends there."""
    fold = Fold(call, content=settings.content)
    for event, before, after, commands in steps:
        yield from fold(event, before, after, commands)
    yield from fold.finish()
