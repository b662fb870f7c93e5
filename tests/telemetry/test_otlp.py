"""Our bytes are the SDK's messages."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.export import ConsoleSpanExporter

from engine.telemetry import Call, Protocol, Settings, names
from engine.telemetry.exporters import Maker, exporters, origin_of, post_of, resource
from engine.telemetry.fold import Fold
from engine.telemetry.otlp import KEPT_CHARS, _kept_pair, lines_request, spans_request
from engine.telemetry.records import Line, Record, Span
from tests.calls import BARGE_IN, EVENTFUL, RECEPTION, Step, steps_of
from tests.telemetry.collector import nobody

MAKER = Maker(resource("engine", "1.2.3"), "1.2.3")
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
VALUES = st.one_of(
    st.text(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.lists(st.text()).map(tuple),
)


def records_of(steps: list[Step]) -> list[Record]:
    fold = Fold(Call(session="abc", began_ns=1_700_000_000_000_000_000, traceparent=PARENT), content=True)
    return [record for step in steps for record in fold(*step)] + fold.finish()


def check(records: list[Record], maker: Maker = MAKER) -> None:
    spans = [record for record in records if isinstance(record, Span)]
    lines = [record for record in records if isinstance(record, Line)]
    origin = origin_of(maker)
    sent = ExportTraceServiceRequest.FromString(spans_request(origin, spans))
    told = ExportLogsServiceRequest.FromString(lines_request(origin, lines))
    assert sent == encode_spans([maker.span(span) for span in spans])
    assert told == encode_logs([maker.line(line) for line in lines])


@pytest.mark.parametrize("call", ["an interruption", "failures", "one that breaks off"])
def test_a_whole_call_is_encoded_as_the_sdk_encodes_it(call: str) -> None:
    steps = steps_of(BARGE_IN) if call != "failures" else steps_of(EVENTFUL, RECEPTION)
    records = records_of(steps[: len(steps) // 2] if call == "one that breaks off" else steps)
    kinds = {type(record) for record in records}
    assert {Span, Line} <= kinds
    check(records)


@given(st.dictionaries(st.text(min_size=1), VALUES), st.text(), st.text())
@example({"one": 1, "true": True, "half": 0.5, "long": "x" * 200, "many": ("a",) * 200}, "name " * 50, "")
def test_any_attribute_is_encoded_as_the_sdk_encodes_it(attributes: dict[str, Any], name: str, error: str) -> None:
    places = {"trace_id": 2**128 - 1, "span_id": 1}
    span = Span(
        name=name,
        start_ns=0,
        end_ns=2**63,
        attributes=attributes,
        error=error,
        links=((1, 2), (3, 4)),
        parent_id=5,
        **places,
    )
    line = Line(at_ns=1, severity="WARN", body=name, attributes=attributes, **places)
    check([span, line])


def test_the_schema_of_a_resource_is_told() -> None:
    made_by = Resource({"service.name": "engine"}, "https://opentelemetry.io/schemas/1.40.0")
    check(records_of(steps_of(BARGE_IN)), Maker(made_by, "1.2.3"))


@pytest.mark.parametrize(("key", "value"), [(names.PII_USER_TEXT, "yes"), ("voice.note", "w" * (KEPT_CHARS + 1))])
def test_what_somebody_said_is_not_kept(key: str, value: str) -> None:
    _kept_pair.cache_clear()
    said = Line(at_ns=1, trace_id=1, span_id=1, severity="INFO", body="x", attributes={key: value})
    lines_request(origin_of(MAKER), [said])
    assert _kept_pair.cache_info().currsize == 0


def test_the_sdks_exporters_over_http_send_bytes_and_no_others_do() -> None:
    over_http = exporters(Settings(endpoint=nobody()))
    assert post_of(over_http.spans)
    assert post_of(over_http.lines)
    over_grpc = exporters(Settings(endpoint=nobody(), protocol=Protocol.GRPC))
    assert post_of(over_grpc.spans) is None
    assert post_of(over_grpc.lines) is None
    assert post_of(ConsoleSpanExporter()) is None
    for ways in (over_http, over_grpc):
        ways.spans.shutdown()
        ways.lines.shutdown()
        ways.metrics.shutdown()
