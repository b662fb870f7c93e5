"""What leaves a live call arrives at a collector; a collector that is dead, slow or refusing is not noticed by the call."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest
from msgspec.structs import replace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from engine.core.units import MS
from engine.telemetry import Call, Settings, Telemetry, names
from engine.telemetry.exporters import Exporters, exporters
from engine.telemetry.fold import Fold
from engine.telemetry.metrics import COUNTERS, HISTOGRAMS
from engine.telemetry.outbox import BATCH
from engine.telemetry.records import Line, Measure, Span, trace_of
from tests.calls import BARGE_IN, EVENTFUL, RECEPTION, Step, steps_of
from tests.telemetry.collector import collector, nobody

CALL = Call(session="abc", began_ns=1_700_000_000_000_000_000)


def watched(telemetry: Telemetry, steps: list[Step], session: str = "abc") -> None:
    observer = telemetry.observer(Call(session=session, began_ns=CALL.began_ns))
    for step in steps:
        observer(*step)
    observer.close()


def test_spans_lines_and_metrics_arrive_joined_by_trace() -> None:
    steps = steps_of(BARGE_IN)
    fold = Fold(CALL)
    records = [record for step in steps for record in fold(*step)]
    with collector() as server:
        telemetry = Telemetry(Settings(endpoint=server.endpoint), "1.2.3")
        watched(telemetry, steps)
        assert telemetry.close()
        made = {(span.trace_id, span.span_id, span.parent_id) for span in records if isinstance(span, Span)}
        assert {
            (int.from_bytes(span.trace_id), int.from_bytes(span.span_id), int.from_bytes(span.parent_span_id))
            for span in server.spans()
        } == made
        lines = {(line.trace_id, line.span_id, line.body) for line in records if isinstance(line, Line)}
        assert {
            (int.from_bytes(line.trace_id), int.from_bytes(line.span_id), line.event_name) for line in server.lines()
        } == lines
        resource = server.traces[0].resource_spans[0].resource
        known = {pair.key: pair.value.string_value for pair in resource.attributes}
        assert (known["service.name"], known["service.version"]) == ("engine", "1.2.3")


def test_a_histogram_carries_the_trace_of_a_run_as_its_exemplar() -> None:
    with collector() as server:
        telemetry = Telemetry(Settings(endpoint=server.endpoint), "1.2.3")
        watched(telemetry, steps_of(BARGE_IN))
        assert telemetry.close()
        (point,) = server.points(names.M_V2V)
        assert (point.count, point.sum) == (2, 2.6)
        traces = {int.from_bytes(exemplar.trace_id) for exemplar in point.exemplars}
        assert traces == {trace_of(CALL.key, 2).trace_id, trace_of(CALL.key, 3).trace_id}


def test_every_number_of_a_call_arrives_with_its_trace_as_exemplar() -> None:
    """All there are but those of the process, which belong to no call."""
    ours = (HISTOGRAMS.keys() | COUNTERS.keys()) - {names.M_LOOP_LAG, names.M_TICK_LATE, names.M_STALL}
    steps = steps_of(EVENTFUL, replace(RECEPTION, llm=("one", "two")))
    runs = {trace_of(CALL.key, number).trace_id for number in range(1, steps[-1][2].response.runs + 1)}
    with collector() as server:
        telemetry = Telemetry(Settings(endpoint=server.endpoint), "1.2.3")
        watched(telemetry, steps)
        assert telemetry.close()
        for name in ours:
            points = server.points(name)
            assert points, name
            for point in points:
                assert {int.from_bytes(each.trace_id) for each in point.exemplars} & runs, name
        (fallback,) = server.points(names.M_FALLBACKS)
        assert [(pair.key, pair.value.string_value) for pair in fallback.attributes] == [("voice.stage", "llm")]


def test_the_hosts_own_counts_are_reported() -> None:
    with collector() as server:
        telemetry = Telemetry(Settings(endpoint=server.endpoint), "1.2.3")
        telemetry.watch_host(active=lambda: 3, refused=lambda: 2, breakers=lambda: [("llm", "openai", 2)])
        for late_ns in (0, 1 * MS, 0):
            telemetry.meters.note_tick(late_ns)
        telemetry.meters.note_beat(4 * MS)
        telemetry.meters.note_stall(250 * MS, "one callback")
        assert telemetry.close()
        assert [point.as_int for point in server.points(names.M_ACTIVE)] == [3]
        assert [point.as_int for point in server.points(names.M_REFUSED)] == [2]
        assert [point.sum for point in server.points(names.M_LOOP_LAG)] == [0.004]
        assert [point.sum for point in server.points(names.M_TICK_LATE)] == [0.001]
        (stall,) = server.points(names.M_STALL)
        assert (stall.sum, stall.attributes[0].value.string_value) == (0.25, "one callback")


@contextmanager
def trouble(kind: str) -> Iterator[str]:
    if kind == "down":
        yield nobody()
        return
    with collector({"slow": None, "refusing": 503, "forbidding": 403}[kind]) as server:
        yield server.endpoint


@pytest.mark.parametrize("kind", ["down", "slow", "refusing", "forbidding"])
def test_a_collector_in_trouble_is_not_waited_for(kind: str) -> None:
    steps = steps_of(BARGE_IN)
    with trouble(kind) as endpoint:
        telemetry = Telemetry(Settings(endpoint=endpoint, queue=64, timeout_s=0.2), "1.2.3")
        # The slow one answers nothing before this block is left: if a call waited for it, this would never end.
        for number in range(50):
            watched(telemetry, steps, str(number))
        telemetry.close(timeout_s=3.0)


def test_a_collector_that_dies_in_mid_call_costs_what_it_was_not_yet_sent() -> None:
    steps = steps_of(BARGE_IN)
    half = len(steps) // 2
    with collector() as server:
        telemetry = Telemetry(Settings(endpoint=server.endpoint, timeout_s=0.2), "1.2.3")
        observer = telemetry.observer(CALL)
        for step in steps[:half]:
            observer(*step)
        telemetry.flush()
        sent = len(server.spans()) + len(server.lines())
    for step in steps[half:]:
        observer(*step)
    observer.close()
    telemetry.close(timeout_s=3.0)
    fold = Fold(CALL)
    made = sum(not isinstance(record, Measure) for step in steps for record in fold(*step))
    assert 0 < sent < made
    assert telemetry.lost == made - sent


class Gate(SpanExporter):
    """Takes nothing until it is opened."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.taken = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.open.wait()
        self.taken += len(spans)
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Holds nothing."""


def test_what_waits_for_a_slow_collector_is_bounded_and_what_was_lost_is_counted() -> None:
    gate, steps, fold = Gate(), steps_of(BARGE_IN), Fold(CALL)
    made = [record for step in steps for record in fold(*step) if not isinstance(record, Measure)]
    with collector() as server:
        settings = Settings(endpoint=server.endpoint, queue=64)
        ways = exporters(settings)
        telemetry = Telemetry(settings, "1.2.3", Exporters(gate, ways.lines, ways.metrics))
        for number in range(50):
            watched(telemetry, steps, str(number))
        gate.open.set()
        assert telemetry.close()
        taken = gate.taken + len(server.lines())
        (lost,) = server.points(names.M_LOST)
        assert taken <= 64 + BATCH  # What waited, and the batch that was under way.
        assert taken + lost.as_int == 50 * len(made)


def test_an_exporter_that_breaks_does_not_stop_the_others(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Gate):
        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            raise ValueError("broken")

    with collector() as server:
        settings = Settings(endpoint=server.endpoint)
        ways = exporters(settings)
        telemetry = Telemetry(settings, "1.2.3", Exporters(Broken(), ways.lines, ways.metrics))
        watched(telemetry, steps_of(BARGE_IN))
        assert telemetry.close()
        assert len(server.points(names.M_V2V)) == 1
    assert "a batch could not be exported" in caplog.text


def test_an_unsampled_run_gives_no_exemplar() -> None:
    with collector() as server:
        telemetry = Telemetry(Settings(endpoint=server.endpoint, sample=0.0), "1.2.3")
        watched(telemetry, steps_of(BARGE_IN))
        assert telemetry.close()
        (point,) = server.points(names.M_V2V)
        assert (point.count, list(point.exemplars), server.spans()) == (2, [], [])


def test_every_measure_of_the_fold_has_an_instrument() -> None:
    written = {value for name, value in vars(names).items() if name.startswith("M_")}
    assert (
        written - {names.M_ACTIVE, names.M_REFUSED, names.M_LOST, names.M_BREAKER}
        == HISTOGRAMS.keys() | COUNTERS.keys()
    )
