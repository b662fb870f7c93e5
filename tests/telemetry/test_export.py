"""A recorded call gives the traces that the live call gave."""

from engine.telemetry import Call, Settings, Telemetry, export
from tests.calls import BARGE_IN, steps_of
from tests.telemetry.collector import Collector, collector, nobody

CALL = Call(session="abc", began_ns=1_700_000_000_000_000_000, agent="reception")


def contents(server: Collector) -> tuple[list[bytes], list[bytes]]:
    spans = sorted(span.SerializeToString(deterministic=True) for span in server.spans())
    return spans, sorted(line.SerializeToString(deterministic=True) for line in server.lines())


def test_a_recording_gives_the_very_spans_and_lines_of_the_live_call() -> None:
    steps = steps_of(BARGE_IN)
    with collector() as server:
        telemetry = Telemetry(Settings(endpoint=server.endpoint), "1.2.3")
        observer = telemetry.observer(CALL)
        for step in steps:
            observer(*step)
        observer.close()
        assert telemetry.close()
        live = contents(server)
    with collector() as server:
        exported = export(CALL, steps, Settings(endpoint=server.endpoint), "1.2.3")
        assert contents(server) == live
        assert server.metrics == []
    assert (exported.spans, exported.lines, exported.lost) == (len(live[0]), len(live[1]), 0)


def test_lines_can_be_left_out() -> None:
    with collector() as server:
        exported = export(CALL, steps_of(BARGE_IN), Settings(endpoint=server.endpoint, lines=False), "1.2.3")
        assert (exported.lines, server.logs) == (0, [])


def test_what_the_collector_did_not_take_is_counted() -> None:
    exported = export(CALL, steps_of(BARGE_IN), Settings(endpoint=nobody(), timeout_s=0.2), "1.2.3")
    assert (exported.spans, exported.lines) == (0, 0)
    assert exported.lost > 50
