"""A recorded call to a collector, after the fact: the spans and log lines that the live call gave, under the same ids.

Metrics are not exported: they count calls as they happen, and an old call does not happen again.
"""

from collections.abc import Iterable, Iterator

from msgspec import Struct
from opentelemetry.context import Context
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExportResult
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.trace import NonRecordingSpan, SpanContext, set_span_in_context

from engine.core.commands import Commands
from engine.core.events import Event
from engine.core.state import State
from engine.telemetry.exporters import SAMPLED, Exporters, Maker, Settings, exporters, resource
from engine.telemetry.fold import Fold
from engine.telemetry.pipeline import log_record
from engine.telemetry.records import Call, Line, Record, Span

BATCH = 512
"""Records in one request: what collectors are tuned to."""

Step = tuple[Event, State, State, Commands]


class Exported(Struct, frozen=True):
    """What came of it."""

    spans: int
    lines: int
    refused: int
    """Records that the collector did not take."""


def export(
    call: Call, steps: Iterable[Step], settings: Settings, version: str, ways: Exporters | None = None
) -> Exported:
    """Fold a recorded call and send what it gives. Waits for the collector, at most `settings.timeout_s` for each batch.

    steps:  (event, before, after, commands) of the whole call in order, as a replay gives them.
    """
    ways = ways or exporters(settings)
    maker = Maker(resource(settings.service, version), version)
    sender = _Sender(ways, maker)
    try:
        for record in records(call, steps, settings):
            if settings.lines or not isinstance(record, Line):
                sender.take(record)
        return sender.finished()
    finally:
        ways.spans.shutdown()
        ways.lines.shutdown()  # type: ignore[no-untyped-call]  # The SDK forgot.
        ways.metrics.shutdown()


def records(call: Call, steps: Iterable[Step], settings: Settings) -> Iterator[Record]:
    """Everything a recorded call gives, in order. A recording that breaks off ends there."""
    fold = Fold(call, content=settings.content, sample=settings.sample)
    for event, before, after, commands in steps:
        yield from fold(event, before, after, commands)
    yield from fold.finish()


class _Sender:
    """Sends in batches, one after the other: nothing is dropped but what is refused."""

    def __init__(self, ways: Exporters, maker: Maker) -> None:
        self._ways = ways
        self._maker = maker
        self._spans: list[ReadableSpan] = []
        self._lines: list[ReadableLogRecord] = []
        self._sent_spans = self._sent_lines = self._refused = 0

    def take(self, record: Record) -> None:
        if isinstance(record, Span):
            self._spans.append(self._maker.span(record))
            if len(self._spans) >= BATCH:
                self._send_spans()
        elif isinstance(record, Line):
            context = SpanContext(record.trace_id, record.span_id, False, SAMPLED)
            made = log_record(record, set_span_in_context(NonRecordingSpan(context), Context()))
            self._lines.append(ReadableLogRecord(made, self._maker.resource, self._maker.scope))
            if len(self._lines) >= BATCH:
                self._send_lines()

    def finished(self) -> Exported:
        self._send_spans()
        self._send_lines()
        return Exported(self._sent_spans, self._sent_lines, self._refused)

    def _send_spans(self) -> None:
        if self._spans:
            if self._ways.spans.export(self._spans) is SpanExportResult.SUCCESS:
                self._sent_spans += len(self._spans)
            else:
                self._refused += len(self._spans)
            self._spans = []

    def _send_lines(self) -> None:
        if self._lines:
            if self._ways.lines.export(self._lines) is LogRecordExportResult.SUCCESS:
                self._sent_lines += len(self._lines)
            else:
                self._refused += len(self._lines)
            self._lines = []
