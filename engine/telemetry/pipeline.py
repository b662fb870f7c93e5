"""From a live call to a collector, at a distance.

Everything goes into the outbox and leaves from its thread; numbers go from there into the SDK's instruments. A call never waits for
the network: a collector that is down, slow or refusing costs the records that found no room, and nothing else.

The spans are not made by the SDK's tracer (16 µs each, with random ids and times from the clock): they are finished when they come
here, and are handed on as what the exporter reads.
"""

import threading
import time
from collections.abc import Callable, Iterable

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

from engine.core.commands import Commands
from engine.core.events import Event, Stage
from engine.core.state import State
from engine.telemetry import names
from engine.telemetry.exporters import Exporters, Maker, Settings, exporters, resource
from engine.telemetry.fold import Fold
from engine.telemetry.metrics import Meters
from engine.telemetry.outbox import Outbox
from engine.telemetry.records import Call, Line, Record


class Telemetry:
    """One process's way out. Made once; `observer` for each call; `close` at the end."""

    def __init__(self, settings: Settings, version: str, ways: Exporters | None = None) -> None:
        """ways: the exporters; None: OTLP, as the settings say."""
        self.settings = settings
        ways = ways or exporters(settings)
        made_by = resource(settings.service, version)
        maker = Maker(made_by, version)
        reader = PeriodicExportingMetricReader(ways.metrics, settings.metric_interval_s * 1e3, settings.timeout_s * 1e3)
        self._metrics = MeterProvider([reader], resource=made_by, shutdown_on_exit=False)
        self.meters = Meters(self._metrics.get_meter(names.SCOPE, version, names.SCHEMA_URL))
        self._outbox = Outbox(ways, maker, self.meters.count, size=settings.queue, interval_s=settings.interval_s)
        self.meters.watch(names.M_LOST, lambda: self._outbox.lost, "Records that no collector took", grows=True)

    @property
    def lost(self) -> int:
        """Spans, lines and numbers that no collector took, so far."""
        return self._outbox.lost

    def observer(self, call: Call) -> "CallObserver":
        """What watches one call."""
        return CallObserver(self, call)

    def watch_host(
        self,
        *,
        active: Callable[[], int],
        refused: Callable[[], int],
        breakers: Callable[[], Iterable[tuple[str, str, int]]],
    ) -> None:
        """Report the host's own counts. breakers: stage, provider, and 0 for closed, 1 for half open, 2 for open."""
        self.meters.watch(names.M_ACTIVE, active, "Calls under way", grows=False)
        self.meters.watch(names.M_REFUSED, refused, "Calls turned away", grows=True)

        def positions() -> Iterable[tuple[int, dict[str, str]]]:
            return [(value, {names.STAGE: stage, names.PROVIDER: provider}) for stage, provider, value in breakers()]

        why = "Whether a provider is asked first (0), is tried by one call (1) or is asked last (2)"
        self.meters.watch_each(names.M_BREAKER, positions, why)

    def put(self, record: Record) -> None:
        """Send or count a record when there is time. Never blocks."""
        self._outbox.put(record)

    def flush(self) -> None:
        """Send the spans and lines that wait, now, from this thread. For processes that are about to be frozen."""
        self._outbox.flush()

    def close(self, timeout_s: float = 5.0) -> bool:
        """Send what is queued and stop. False: the collector did not take it in time, and the rest is lost."""
        until = time.monotonic() + timeout_s
        sent = self._outbox.close(timeout_s)
        closing = threading.Thread(target=self._metrics.shutdown, name="telemetry-close", daemon=True)
        closing.start()
        closing.join(max(0.0, until - time.monotonic()))
        return sent and not closing.is_alive()


class CallObserver:
    """Watches one call: an observer of its session, closed when the call is over."""

    def __init__(self, telemetry: Telemetry, call: Call) -> None:
        self._telemetry = telemetry
        settings = telemetry.settings
        self._lines = settings.lines
        self._fold = Fold(call, content=settings.content, sample=settings.sample)

    def __call__(self, event: Event, before: State, after: State, commands: Commands) -> None:
        self._send(self._fold(event, before, after, commands))

    def note_tick(self, late_ns: int) -> None:
        """The pump of the call's sound turned this late."""
        self._telemetry.meters.note_tick(late_ns)

    def headers(self, stage: Stage, run: int, number: int) -> tuple[tuple[str, str], ...]:
        """Trace context for the provider that is asked: the request of a model, or the chunk of a synthesizer."""
        return self._fold.headers(stage, run, number)

    def close(self) -> None:
        """The call is over, however it ended."""
        self._send(self._fold.finish())

    def _send(self, records: list[Record]) -> None:
        for record in records:
            if self._lines or not isinstance(record, Line):
                self._telemetry.put(record)
