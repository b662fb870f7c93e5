"""Records on their way out: bounded queues and the one thread that empties them.

A thread, because the exporters block; one, because they share the collector. The SDK's own batch processors would do, but they convert
each record where it is made (30 µs of a call's time for a log line), drop without counting, and take up to 30 s to stop. Numbers
take the same road: an instrument that is met cold costs 60 µs, and 6 µs when a hundred are counted in a row.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeVar

from engine.telemetry.exporters import Exporters, Maker, lines_way, spans_way
from engine.telemetry.records import Line, Measure, Record, Span

log = logging.getLogger("engine.telemetry")

T = TypeVar("T", Span, Line)

BATCH = 512
"""Records sent at a time: what collectors are tuned to, and a request costs a millisecond, however small."""
NUMBERS = 65_536
"""Numbers waiting to be counted at most: minutes of a full process, while a batch blocks for seconds."""


class Sender:
    """Sends batches and counts what became of them."""

    def __init__(self, ways: Exporters, maker: Maker) -> None:
        self.spans = 0
        """Sent."""
        self.lines = 0
        """Sent."""
        self.lost = 0
        """Refused by the collector, or thrown away for want of room."""
        self._send_spans = spans_way(ways.spans, maker)
        self._send_lines = lines_way(ways.lines, maker)

    def send(self, batch: Sequence[Span | Line]) -> None:
        """Send a batch now. Blocks for as long as the exporters try."""
        spans = [record for record in batch if isinstance(record, Span)]
        lines = [record for record in batch if isinstance(record, Line)]
        self.spans += self._taken(spans, self._send_spans)
        self.lines += self._taken(lines, self._send_lines)

    def _taken(self, records: list[T], send: Callable[[list[T]], bool]) -> int:
        """How many the collector took. The others are lost."""
        if not records or send(records):
            return len(records)
        self.lost += len(records)
        return 0


class Outbox(Sender):
    """Takes records and sees to it that they leave. When it is full the oldest go."""

    def __init__(
        self, ways: Exporters, maker: Maker, count: Callable[[Measure], None], *, size: int, interval_s: float
    ) -> None:
        super().__init__(ways, maker)
        self._count = count
        self._numbers: deque[Measure] = deque(maxlen=NUMBERS)
        self._waiting: deque[Span | Line] = deque(maxlen=size)
        self._interval_s = interval_s
        self._awake = threading.Event()
        self._closing = False
        self._sending = threading.Lock()
        self._thread = threading.Thread(target=self._work, name="telemetry", daemon=True)
        self._thread.start()

    def put(self, record: Record) -> None:
        """Never blocks."""
        if isinstance(record, Measure):
            self.lost += len(self._numbers) == NUMBERS
            self._numbers.append(record)
            return
        waiting = self._waiting
        if len(waiting) == waiting.maxlen:
            self.lost += 1
        waiting.append(record)
        if len(waiting) >= BATCH and not self._awake.is_set():
            self._awake.set()

    def flush(self) -> None:
        """Send what waits from the caller's own thread. Blocks for as long as the exporters try."""
        with self._sending:
            self._count_all()
            while self._waiting:
                self._send_next()
                self._count_all()

    def _count_all(self) -> None:
        while self._numbers:
            self._count(self._numbers.popleft())

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
            self.flush()
        self.flush()

    def _send_next(self) -> None:
        batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
        try:
            self.send(batch)
        except Exception:
            # A record that the exporter cannot write must not end the exporting of all others.
            log.exception("a batch could not be exported")
            self.lost += len(batch)
