"""Spans and lines on their way out: a bounded queue and the one thread that empties it.

A thread, because the exporters block; one, because they share the collector. The SDK's own batch processors would do, but they convert
each record where it is made (30 µs of a call's time for a log line), drop without counting, and take up to 30 s to stop.
"""

import logging
import threading
from collections import deque
from collections.abc import Sequence

from opentelemetry.sdk._logs.export import LogRecordExportResult
from opentelemetry.sdk.trace.export import SpanExportResult

from engine.telemetry.exporters import Exporters, Maker
from engine.telemetry.records import Line, Span

log = logging.getLogger("engine.telemetry")

BATCH = 128
"""Records sent at a time. The sending thread and the calls share one interpreter: converting 128 takes about 5 ms of it."""


class Sender:
    """Sends batches and counts what became of them."""

    def __init__(self, ways: Exporters, maker: Maker) -> None:
        self.spans = 0
        """Sent."""
        self.lines = 0
        """Sent."""
        self.lost = 0
        """Refused by the collector, or thrown away for want of room."""
        self._ways = ways
        self._maker = maker

    def send(self, batch: Sequence[Span | Line]) -> None:
        """Send a batch now. Blocks for as long as the exporters try."""
        spans = [self._maker.span(record) for record in batch if isinstance(record, Span)]
        lines = [self._maker.line(record) for record in batch if isinstance(record, Line)]
        if spans:
            if self._ways.spans.export(spans) is SpanExportResult.SUCCESS:
                self.spans += len(spans)
            else:
                self.lost += len(spans)
        if lines:
            if self._ways.lines.export(lines) is LogRecordExportResult.SUCCESS:
                self.lines += len(lines)
            else:
                self.lost += len(lines)


class Outbox(Sender):
    """Takes records and sees to it that they leave. When it is full the oldest go."""

    def __init__(self, ways: Exporters, maker: Maker, *, size: int, interval_s: float) -> None:
        super().__init__(ways, maker)
        self._waiting: deque[Span | Line] = deque(maxlen=size)
        self._interval_s = interval_s
        self._awake = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="telemetry", daemon=True)
        self._thread.start()

    def put(self, record: Span | Line) -> None:
        """Never blocks."""
        waiting = self._waiting
        if len(waiting) == waiting.maxlen:
            self.lost += 1
        waiting.append(record)
        if len(waiting) >= BATCH and not self._awake.is_set():
            self._awake.set()

    def close(self, timeout_s: float) -> bool:
        """Send what waits, then stop. False: it took too long, and the rest is lost."""
        self._closing = True
        self._awake.set()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _work(self) -> None:
        while not self._closing:
            self._awake.wait(self._interval_s)
            self._awake.clear()
            self._send_all()
        self._send_all()

    def _send_all(self) -> None:
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
            try:
                self.send(batch)
            except Exception:
                # A record that the exporter cannot write must not end the exporting of all others.
                log.exception("a batch could not be exported")
                self.lost += len(batch)
