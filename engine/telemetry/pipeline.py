"""From a live call to a collector, at a distance.

Spans and lines go into the outbox, numbers into the SDK's instruments; both leave from threads. A call never waits for the network: a
collector that is down, slow or refusing costs the records that found no room, and nothing else.

The spans are not made by the SDK's tracer (16 µs each, with random ids and times from the clock): they are finished when they come
here, and are handed on as what the exporter reads.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping

from opentelemetry.context import Context
from opentelemetry.metrics import CallbackOptions, Counter, Histogram, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

from engine.core.commands import Commands
from engine.core.events import Event
from engine.core.state import State
from engine.core.units import SECOND
from engine.telemetry import names
from engine.telemetry.exporters import Exporters, Maker, Settings, context_of, exporters, resource
from engine.telemetry.fold import Fold
from engine.telemetry.outbox import Outbox
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


class Telemetry:
    """One process's way out. Made once; `observer` for each call; `close` at the end."""

    def __init__(self, settings: Settings, version: str, ways: Exporters | None = None) -> None:
        """ways: the exporters; None: OTLP, as the settings say."""
        self.settings = settings
        ways = ways or exporters(settings)
        made_by = resource(settings.service, version)
        maker = Maker(made_by, version)
        self._outbox = Outbox(ways, maker, size=settings.queue, interval_s=settings.interval_s)
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
        self._watch(names.M_LOST, lambda: self._outbox.lost, "Spans and lines that no collector took", grows=True)

    def observer(self, call: Call) -> "CallObserver":
        """What watches one call."""
        return CallObserver(self, call)

    def watch_host(self, *, active: Callable[[], int], refused: Callable[[], int]) -> None:
        """Report the host's own counts. They are asked for from another thread: reading an int is all they may do."""

        self._watch(names.M_ACTIVE, active, "Calls under way", grows=False)
        self._watch(names.M_REFUSED, refused, "Calls turned away", grows=True)

    def _watch(self, name: str, count: Callable[[], int], why: str, *, grows: bool) -> None:
        def ask(options: CallbackOptions) -> Iterator[Observation]:
            yield Observation(count())

        if grows:
            self._meter.create_observable_counter(name, [ask], "1", why)
        else:
            self._meter.create_observable_gauge(name, [ask], "1", why)

    def note_lag(self, late_ns: int) -> None:
        """The event loop ran a callback this late."""
        self._histograms[names.M_LOOP_LAG].record(late_ns / SECOND)

    def note_tick(self, late_ns: int) -> None:
        """The pump of a call's sound turned this late."""
        self._histograms[names.M_TICK_LATE].record(late_ns / SECOND)

    def put(self, record: Span | Line) -> None:
        """Send a record when there is time. Never blocks."""
        self._outbox.put(record)

    def record(self, measure: Measure, context: Context) -> None:
        """Count a number in."""
        histogram = self._histograms.get(measure.name)
        if histogram is not None:
            histogram.record(measure.value, measure.labels, context)
        else:
            self._counters[measure.name].add(measure.value, measure.labels, context)

    def close(self, timeout_s: float = 5.0) -> bool:
        """Send what is queued and stop. False: the collector did not take it in time, and the rest is lost."""
        until = time.monotonic() + timeout_s
        closing = threading.Thread(target=self._metrics.shutdown, name="telemetry-close", daemon=True)
        closing.start()
        sent = self._outbox.close(timeout_s)
        closing.join(max(0.0, until - time.monotonic()))
        return sent and not closing.is_alive()


class CallObserver:
    """Watches one call: an observer of its session, closed when the call is over."""

    def __init__(self, telemetry: Telemetry, call: Call) -> None:
        self._telemetry = telemetry
        settings = telemetry.settings
        self._lines = settings.lines
        self._fold = Fold(call, content=settings.content, sample=settings.sample)
        self._context = Context()
        self._place = (0, 0)

    def __call__(self, event: Event, before: State, after: State, commands: Commands) -> None:
        self._send(self._fold(event, before, after, commands))

    def note_tick(self, late_ns: int) -> None:
        """The pump of the call's sound turned this late."""
        self._telemetry.note_tick(late_ns)

    def headers(self, run: int, request: int) -> tuple[tuple[str, str], ...]:
        """Trace context for the provider that is asked."""
        return self._fold.headers(run, request)

    def close(self) -> None:
        """The call is over, however it ended."""
        self._send(self._fold.finish())

    def _send(self, records: list[Record]) -> None:
        for record in records:
            if isinstance(record, Measure):
                self._telemetry.record(record, self._exemplar(record))
            elif self._lines or isinstance(record, Span):
                self._telemetry.put(record)

    def _exemplar(self, measure: Measure) -> Context:
        """Where a number came from. Several come from one place, so the last one is kept."""
        place = (measure.trace_id, measure.span_id)
        if place != self._place:
            self._place = place
            self._context = context_of(*place, sampled=self._fold.samples(measure.trace_id))
        return self._context
