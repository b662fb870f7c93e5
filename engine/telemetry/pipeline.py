"""From a live call to a collector, at a distance.

Records go into bounded queues and leave in batches, from the SDK's own threads. A call never waits for the network: a collector
that is down, slow or refusing costs the records that found no room, and nothing else.

The spans are not made by the SDK's tracer (16 µs each, with random ids and times from the clock): they are finished when they come
here, and are handed on as what the exporter reads.
"""

import threading
from collections.abc import Callable, Iterator, Mapping

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.context import Context
from opentelemetry.metrics import CallbackOptions, Counter, Histogram, Observation
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from engine.core.commands import Commands
from engine.core.events import Event
from engine.core.state import State
from engine.telemetry import names
from engine.telemetry.exporters import SAMPLED, Exporters, Maker, Settings, exporters, resource
from engine.telemetry.fold import Fold
from engine.telemetry.records import Call, Line, Measure, Record, Span

WAITS_S = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0)
"""Edges for what a caller waits for: fine where people notice (200 ms to 1.5 s)."""
DELAYS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Edges for what should not be there at all."""
LASTS_S = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0)

HISTOGRAMS: dict[str, tuple[str, tuple[float, ...]]] = {
    names.M_V2V: ("From the caller's last sound to the agent's first", WAITS_S),
    names.M_FIRST_BYTE: ("From asking a provider to the first of its answer", WAITS_S),
    names.M_STOP: ("From the caller's voice to the agent's silence", WAITS_S),
    names.M_LOOP_LAG: ("How late the event loop runs a callback", DELAYS_S),
    names.M_TICK_LATE: ("How late a piece of sound left", DELAYS_S),
    names.M_CHAT: ("A language model's whole answer", WAITS_S),
    names.M_FIRST_CHUNK: ("To the first token", WAITS_S),
    names.M_RUN: ("A run of the agent", LASTS_S),
    names.M_TOOL: ("A tool call", WAITS_S),
}
COUNTERS: dict[str, str] = {
    names.M_UNDERRUNS: "Times the ear caught up with sound still being made",
    names.M_STALE: "Facts of dead runs, dropped",
    names.M_FALSE_INTERRUPTIONS: "Floors taken back after a false alarm",
    names.M_INTERRUPTIONS: "Floors lost to the caller",
    names.M_ERRORS: "Failures of providers",
    names.M_FALLBACKS: "Another provider asked to go on",
    names.M_INPUT_TOKENS: "Tokens read",
    names.M_OUTPUT_TOKENS: "Tokens written",
}

SEVERITIES = {"INFO": SeverityNumber.INFO, "WARN": SeverityNumber.WARN}


class Telemetry:
    """One process's way out. Made once; `observer` for each call; `close` at the end."""

    def __init__(self, settings: Settings, version: str, ways: Exporters | None = None) -> None:
        """ways: the exporters; None: OTLP, as the settings say."""
        self.settings = settings
        ways = ways or exporters(settings)
        made_by = resource(settings.service, version)
        self._maker = Maker(made_by, version)
        queue, batch = settings.queue, min(512, settings.queue)
        self._spans = BatchSpanProcessor(ways.spans, max_queue_size=queue, max_export_batch_size=batch)
        self._logs = LoggerProvider(resource=made_by, shutdown_on_exit=False)
        self._logs.add_log_record_processor(
            BatchLogRecordProcessor(ways.lines, max_queue_size=queue, max_export_batch_size=batch)
        )
        self._logger = self._logs.get_logger(names.SCOPE, version, names.SCHEMA_URL)
        reader = PeriodicExportingMetricReader(ways.metrics, settings.metric_interval_s * 1e3, settings.timeout_s * 1e3)
        self._metrics = MeterProvider([reader], resource=made_by, shutdown_on_exit=False)
        self._meter = self._metrics.get_meter(names.SCOPE, version, names.SCHEMA_URL)
        self._histograms: Mapping[str, Histogram] = {
            name: self._meter.create_histogram(name, "s", why, explicit_bucket_boundaries_advisory=edges)
            for name, (why, edges) in HISTOGRAMS.items()
        }
        self._counters: Mapping[str, Counter] = {
            name: self._meter.create_counter(name, "1", why) for name, why in COUNTERS.items()
        }
        self._closed = False

    def observer(self, call: Call) -> "CallObserver":
        """What watches one call."""
        return CallObserver(self, call)

    def watch_host(self, *, active: Callable[[], int], refused: Callable[[], int]) -> None:
        """Report the host's own counts. They are asked for from another thread: reading an int is all they may do."""

        def observe(count: Callable[[], int]) -> Callable[[CallbackOptions], Iterator[Observation]]:
            def ask(options: CallbackOptions) -> Iterator[Observation]:
                yield Observation(count())

            return ask

        self._meter.create_observable_gauge(names.M_ACTIVE, [observe(active)], "1", "Calls under way")
        self._meter.create_observable_counter(names.M_REFUSED, [observe(refused)], "1", "Calls turned away")

    def note_loop_lag(self, late_s: float) -> None:
        """A callback ran this late."""
        self._histograms[names.M_LOOP_LAG].record(late_s)

    def note_tick(self, late_s: float) -> None:
        """A piece of sound left this late."""
        self._histograms[names.M_TICK_LATE].record(late_s)

    def send(self, record: Record, context: Context) -> None:
        """Put a record into its queue. Never blocks."""
        if isinstance(record, Span):
            self._spans.on_end(self._maker.span(record))
        elif isinstance(record, Measure):
            self._record(record, context)
        elif self.settings.lines:
            self._logger.emit(log_record(record, context))

    def _record(self, measure: Measure, context: Context) -> None:
        histogram = self._histograms.get(measure.name)
        if histogram is not None:
            histogram.record(measure.value, measure.labels, context)
        else:
            self._counters[measure.name].add(measure.value, measure.labels, context)

    def close(self, timeout_s: float = 5.0) -> bool:
        """Send what is queued and stop. False: the collector did not take it in time, and the rest is lost."""
        if self._closed:
            return True
        self._closed = True
        # The SDK's own bounds are 30 s for each signal; whoever stops a server does not wait for a dead collector.
        closing = threading.Thread(target=self._shut_down, name="telemetry-close", daemon=True)
        closing.start()
        closing.join(timeout_s)
        return not closing.is_alive()

    def _shut_down(self) -> None:
        self._spans.shutdown()  # type: ignore[no-untyped-call]  # The SDK forgot.
        self._logs.shutdown()
        self._metrics.shutdown()


class CallObserver:
    """Watches one call: an observer of its session, closed when the call is over."""

    def __init__(self, telemetry: Telemetry, call: Call) -> None:
        self._telemetry = telemetry
        settings = telemetry.settings
        self._fold = Fold(call, content=settings.content, sample=settings.sample)
        self._contexts: dict[int, Context] = {}

    def __call__(self, event: Event, before: State, after: State, commands: Commands) -> None:
        for record in self._fold(event, before, after, commands):
            self._telemetry.send(record, self._context(record))

    def headers(self, run: int, request: int) -> tuple[tuple[str, str], ...]:
        """Trace context for the provider that is asked."""
        return self._fold.headers(run, request)

    def close(self) -> None:
        """The call is over, however it ended."""
        for record in self._fold.finish():
            self._telemetry.send(record, self._context(record))

    def _context(self, record: Record) -> Context:
        """The trace of a record, as the SDK's metrics and logs want it. Kept for the runs of the moment."""
        context = self._contexts.get(record.trace_id)
        if context is None:
            if len(self._contexts) >= 8:
                self._contexts.clear()
            flags = SAMPLED if self._fold.samples(record.trace_id) else TraceFlags(0)
            root_id = record.parent_id or record.span_id if isinstance(record, Span) else record.span_id
            context = set_span_in_context(
                NonRecordingSpan(SpanContext(record.trace_id, root_id, False, flags)), Context()
            )
            self._contexts[record.trace_id] = context
        return context


def log_record(line: Line, context: Context) -> LogRecord:
    """A line as the SDK wants it."""
    return LogRecord(
        timestamp=line.at_ns,
        observed_timestamp=line.at_ns,
        context=context,
        severity_text=line.severity,
        severity_number=SEVERITIES[line.severity],
        body=line.body,
        attributes=line.attributes,
        event_name=line.body,
    )
