"""Every instrument, and what is counted into it."""

from collections.abc import Callable, Iterable, Iterator, Mapping

from opentelemetry.context import Context
from opentelemetry.metrics import CallbackOptions, Counter, Histogram, Meter, Observation

from engine.core.units import SECOND
from engine.telemetry import names
from engine.telemetry.exporters import context_of
from engine.telemetry.records import Measure

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
    names.M_TICK_LATE: ("How late sound left, the worst of a quarter of a second", DELAYS_S),
    names.M_STALL: ("The event loop was held up, by cause", DELAYS_S),
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


class Meters:
    """The instruments of a process."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._histograms: Mapping[str, Histogram] = {
            name: meter.create_histogram(name, "s", why, explicit_bucket_boundaries_advisory=edges)
            for name, (why, edges) in HISTOGRAMS.items()
        }
        self._counters: Mapping[str, Counter] = {
            name: meter.create_counter(name, "1", why) for name, why in COUNTERS.items()
        }
        self._tick_late_ns = 0
        self._place = (0, 0, False)
        self._context = Context()

    def count(self, measure: Measure) -> None:
        """Count a number in, with the run it came from as its exemplar."""
        place = (measure.trace_id, measure.span_id, measure.sampled)
        if place != self._place:  # Several come from one place.
            self._place = place
            self._context = context_of(measure.trace_id, measure.span_id, sampled=measure.sampled)
        histogram = self._histograms.get(measure.name)
        if histogram is not None:
            histogram.record(measure.value, measure.labels, self._context)
        else:
            self._counters[measure.name].add(measure.value, measure.labels, self._context)

    def watch(self, name: str, count: Callable[[], int], why: str, *, grows: bool) -> None:
        """Report a count that somebody else keeps. It is asked for from another thread: reading an int is all it may do."""

        def ask(options: CallbackOptions) -> Iterator[Observation]:
            yield Observation(count())

        if grows:
            self._meter.create_observable_counter(name, [ask], "1", why)
        else:
            self._meter.create_observable_gauge(name, [ask], "1", why)

    def watch_each(self, name: str, counts: Callable[[], Iterable[tuple[int, dict[str, str]]]], why: str) -> None:
        """Report several values that somebody else keeps, each with its labels. Asked for from another thread."""

        def ask(options: CallbackOptions) -> Iterator[Observation]:
            for value, labels in counts():
                yield Observation(value, labels)

        self._meter.create_observable_gauge(name, [ask], "1", why)

    def note_tick(self, late_ns: int) -> None:
        """The pump of a call's sound turned this late. Only the worst between two beats is kept: there are many."""
        if late_ns > self._tick_late_ns:
            self._tick_late_ns = late_ns

    def note_beat(self, late_ns: int) -> None:
        """The event loop's heartbeat came this late."""
        self._histograms[names.M_LOOP_LAG].record(late_ns / SECOND)
        self._histograms[names.M_TICK_LATE].record(self._tick_late_ns / SECOND)
        self._tick_late_ns = 0

    def note_stall(self, late_ns: int, cause: str) -> None:
        """The event loop was held up, in a way that its log tells of."""
        self._histograms[names.M_STALL].record(late_ns / SECOND, {names.STALL_CAUSE: cause})
