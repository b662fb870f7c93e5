"""The whole way: a call, the real collector with our own configuration, the real Jaeger, and back through its query API."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.__main__ import main
from engine.core.policy import ToolSpec
from engine.core.state import RunEnd
from engine.replay.journal import Recorder
from engine.replay.reader import Journal
from engine.replay.sheet import Sheet
from engine.telemetry import Call, Protocol, Settings, Telemetry, export, names
from engine.telemetry.export import records
from engine.telemetry.records import Span, trace_of
from tests import fakes
from tests import jaeger as real
from tests.calls import BARGE_IN, Step, steps_of

BUILT = real.binaries()
if BUILT is None:
    pytest.skip(
        "THE REAL COLLECTOR AND JAEGER WERE NOT ASKED: they are not built here; run deploy/build.sh (Go; ten minutes, once)",
        allow_module_level=True,
    )
COLLECTOR, JAEGER = BUILT


@pytest.fixture
def viewer() -> Iterator[real.Jaeger]:
    with real.jaeger(JAEGER) as started:
        yield started


OURS = ("voice.", "gen_ai.", "error.")


def shown(span: dict[str, Any]) -> dict[str, Any]:
    """A span of Jaeger's, as far as it is compared."""
    references = {
        (kind, int(reference["traceID"], 16), int(reference["spanID"], 16))
        for reference in span["references"]
        for kind in [reference["refType"]]
    }
    tags = {tag["key"]: tag["value"] for tag in span["tags"]}
    return {
        "name": span["operationName"],
        "id": int(span["spanID"], 16),
        "references": references,
        "start_us": span["startTime"],
        "duration_us": span["duration"],
        "kind": tags["span.kind"],
        "tags": {key: value for key, value in tags.items() if key.startswith(OURS)},
        "error": tags.get("otel.status_description", ""),
    }


def expected(span: Span) -> dict[str, Any]:
    """What Jaeger should show of a span of ours."""
    references = {("FOLLOWS_FROM", trace_id, span_id) for trace_id, span_id in span.links}
    if span.parent_id:
        references.add(("CHILD_OF", span.trace_id, span.parent_id))
    return {
        "name": span.name,
        "id": span.span_id,
        "references": references,
        "start_us": span.start_ns // 1000,
        "duration_us": (span.end_ns - span.start_ns) // 1000,
        "kind": "client" if span.client else "internal",
        "tags": {
            key: json.dumps(value, separators=(",", ":")) if isinstance(value, tuple) else value
            for key, value in span.attributes.items()
        },
        "error": span.error,
    }


def check(viewer: real.Jaeger, steps: list[Step], call: Call, *, others: int = 0) -> None:
    """Jaeger has every span of the call and no other, in the right traces, with its parent and its links."""
    made: dict[int, list[dict[str, Any]]] = {}
    for record in records(call, steps, SETTINGS):
        if isinstance(record, Span):
            made.setdefault(record.trace_id, []).append(expected(record))
    assert len(made) == steps[-1][2].response.runs + 1
    for trace_id, spans in made.items():
        found = sorted(map(shown, viewer.spans(trace_id)), key=lambda span: span["id"])
        assert found == sorted(spans, key=lambda span: span["id"])
    assert len(viewer.traces("engine")) == len(made) + others


SETTINGS = Settings(endpoint="")
CALL = Call(session="abc", began_ns=1_700_000_000_000_000_000, agent="engine")


def hold(tmp_path: Path, endpoint: str) -> tuple[Path, list[Step]]:
    """A call through the whole engine, in virtual time: a tool, a barge-in, a journal. Returns its journal and steps."""
    telemetry = Telemetry(Settings(endpoint=endpoint), "1.2.3")
    journal, steps = tmp_path / "call.jsonl", []
    recorder = Recorder(Sheet(journal), session=CALL.session, started_ns=CALL.began_ns)
    observer = telemetry.observer(CALL)

    async def work() -> None:
        observers = [recorder, observer, lambda *step: steps.append(step)]
        call = fakes.Call(observers=observers, tools=(ToolSpec("find_slots"),), greeting="Hello, how can I help you?")
        call.tools.delay_ms = 200
        call.brain.scripts = [
            [(400, ("find_slots", '{"day":"monday"}'))],
            [(400, "Nine and ten are free. "), (50, "Which one do you want? "), (50, "Take your time.")],
            [(300, "Ten it is.")],
        ]
        async with call:
            await call.pass_ms(3_000)
            await call.say("what is free on monday?")
            await call.pass_ms(2_500)
            await call.say("ten please")
            await call.pass_ms(3_000)

    fakes.virtually(work)()
    recorder.close()
    observer.close()
    assert telemetry.close(timeout_s=30)
    return journal, steps


def transitions(journal: Path) -> list[tuple[int, str, str]]:
    """The moves of the phase, as the journal has them."""
    with Journal(journal) as opened:
        return [(step.seq, step.before.value, step.after.value) for step in opened.steps() if step.before != step.after]


def test_every_run_and_every_transition_of_a_call_is_in_jaeger_live_and_from_its_journal(
    viewer: real.Jaeger, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with real.collector(COLLECTOR, viewer) as endpoint:
        journal, steps = hold(tmp_path, endpoint)
    moves = transitions(journal)
    ends = [run.end for run in steps[-1][2].response.past]
    assert ends == [RunEnd.FINISHED, RunEnd.INTERRUPTED, RunEnd.FINISHED]
    assert len(moves) >= 10

    def in_jaeger(asked: real.Jaeger) -> list[tuple[int, str, str]]:
        """Compares every span, then picks the transitions."""
        check(asked, steps, CALL)
        spans = [span for trace_id in asked.traces("engine") for span in asked.spans(trace_id)]
        tags = [{tag["key"]: tag["value"] for tag in span["tags"]} for span in spans]
        keys = (names.SEQ, names.PHASE_FROM, names.PHASE_TO)
        return sorted(tuple(each[key] for key in keys) for each in tags if each[names.SPAN_KIND] == "transition")

    assert in_jaeger(viewer) == moves
    with real.jaeger(JAEGER) as another:
        with real.collector(COLLECTOR, another) as endpoint:
            assert main(["export", str(journal), "--endpoint", endpoint]) == 0
        assert f"{journal}: " in capsys.readouterr().out
        assert in_jaeger(another) == moves


def test_a_call_arrives_over_grpc_too(viewer: real.Jaeger) -> None:
    steps = steps_of(BARGE_IN)
    with real.collector(COLLECTOR, viewer, protocol="grpc") as endpoint:
        exported = export(CALL, steps, Settings(endpoint=endpoint, protocol=Protocol.GRPC), "1.2.3")
    assert exported.lost == 0
    check(viewer, steps, CALL)


def test_a_collector_that_comes_back_has_the_calls_that_follow(viewer: real.Jaeger) -> None:
    steps, later = steps_of(BARGE_IN), Call(session="later", began_ns=CALL.began_ns)
    for call in (CALL, later):
        with real.collector(COLLECTOR, viewer) as endpoint:
            assert export(call, steps, Settings(endpoint=endpoint), "1.2.3").lost == 0
    check(viewer, steps, later, others=4)


def test_production_keeps_what_went_wrong_and_none_of_the_words(viewer: real.Jaeger) -> None:
    steps = steps_of(BARGE_IN)
    with real.collector(COLLECTOR, viewer, "deploy/sampling.yaml") as endpoint:
        exported = export(CALL, steps, Settings(endpoint=endpoint, content=True), "1.2.3")
    assert exported.lost == 0
    session, cut = trace_of(CALL.key, 0).trace_id, trace_of(CALL.key, 2).trace_id
    assert {session, cut} <= viewer.traces("engine")
    keys = {tag["key"] for span in viewer.spans(cut) for tag in span["tags"]}
    assert names.ONSET_TO_STOP_MS in keys
    assert not any("pii" in key for key in keys)
