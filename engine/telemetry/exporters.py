"""How records leave: what to set, and the three OTLP exporters of OpenTelemetry's SDK, over HTTP or gRPC.

Over HTTP spans and lines are encoded by `otlp`, at a seventh of the SDK's cost, and sent by the SDK's exporters. The standard
OTEL_EXPORTER_OTLP_* variables for headers, certificates and compression are read by the exporters themselves.
"""

from collections.abc import Callable, Sequence
from enum import StrEnum
from functools import cached_property
from typing import Any

from msgspec import Struct
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.context import Context
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.metrics.export import MetricExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from engine.telemetry import names
from engine.telemetry.otlp import Origin, lines_request, spans_request
from engine.telemetry.records import Line, Span


class Protocol(StrEnum):
    """How OTLP is spoken. The values are those of OTEL_EXPORTER_OTLP_PROTOCOL."""

    HTTP = "http/protobuf"
    """Port 4318 by custom."""
    GRPC = "grpc"
    """Port 4317 by custom."""


class Settings(Struct, frozen=True, kw_only=True):
    """What is exported, and where to."""

    endpoint: str
    """The collector, such as http://localhost:4318."""
    protocol: Protocol = Protocol.HTTP
    service: str = "engine"
    sample: float = 1.0
    """Share of traces exported, 0 to 1, unless a traceparent from outside has decided it."""
    content: bool = False
    """Whether words of callers and agents are exported, under keys with a `pii` segment."""
    lines: bool = True
    """Whether log lines are exported."""
    queue: int = 8_192
    """Records waiting for a collector at most; the oldest go first. About 10 MB when full; a call makes four a second."""
    interval_s: float = 5.0
    """How long a record waits for others, at most. A request costs a millisecond of CPU, however small."""
    metric_interval_s: float = 15.0
    timeout_s: float = 5.0
    """How long one batch is tried."""


class Exporters(Struct, frozen=True):
    """One for each signal."""

    spans: SpanExporter
    lines: LogRecordExporter
    metrics: MetricExporter


def exporters(settings: Settings) -> Exporters:
    """Connect to nothing yet: the first batch does. The library of the other protocol is not imported."""
    timeout_s = settings.timeout_s
    if settings.protocol is Protocol.GRPC:
        from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GRPCLogs
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GRPCMetrics
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GRPCSpans

        plain, where = settings.endpoint.startswith("http://"), settings.endpoint
        return Exporters(
            GRPCSpans(where, insecure=plain, timeout=timeout_s),
            GRPCLogs(where, insecure=plain, timeout=timeout_s),
            GRPCMetrics(where, insecure=plain, timeout=timeout_s),
        )
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HTTPLogs
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HTTPMetrics
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HTTPSpans

    base = settings.endpoint.rstrip("/")
    return Exporters(
        HTTPSpans(f"{base}/v1/traces", timeout=timeout_s),
        HTTPLogs(f"{base}/v1/logs", timeout=timeout_s),
        HTTPMetrics(f"{base}/v1/metrics", timeout=timeout_s),
    )


class OneResource(Resource):
    """The process as the exporter's batches name it. Hashed for every span of a batch, so the hash is made once."""

    @cached_property
    def _hash(self) -> int:
        return super().__hash__()

    def __hash__(self) -> int:
        return self._hash


def resource(service: str, version: str) -> Resource:
    """Who is speaking. OTEL_RESOURCE_ATTRIBUTES adds to it."""
    known = Resource.create({SERVICE_NAME: service, SERVICE_VERSION: version})
    return OneResource(known.attributes, known.schema_url)


SAMPLED = TraceFlags(TraceFlags.SAMPLED)
OK = Status(StatusCode.UNSET)
SEVERITIES = {"INFO": SeverityNumber.INFO, "WARN": SeverityNumber.WARN}


def context_of(trace_id: int, span_id: int, *, sampled: bool = True) -> Context:
    """A place in a trace, as the SDK's metrics and log records want it."""
    flags = SAMPLED if sampled else TraceFlags(TraceFlags.DEFAULT)
    return set_span_in_context(NonRecordingSpan(SpanContext(trace_id, span_id, False, flags)), Context())


class Maker:
    """Turns our records into what the exporters read."""

    def __init__(self, made_by: Resource, version: str) -> None:
        self.resource = made_by
        self._last = (0, 0)
        self._context = Context()
        self.scope = InstrumentationScope(names.SCOPE, version, names.SCHEMA_URL)

    def span(self, span: Span) -> ReadableSpan:
        parent = None
        if span.parent_id:
            parent = SpanContext(span.trace_id, span.parent_id, span.remote, SAMPLED)
        return ReadableSpan(
            name=span.name,
            context=SpanContext(span.trace_id, span.span_id, False, SAMPLED),
            parent=parent,
            resource=self.resource,
            attributes=span.attributes,
            links=tuple(Link(SpanContext(trace_id, span_id, True, SAMPLED)) for trace_id, span_id in span.links),
            kind=SpanKind.CLIENT if span.client else SpanKind.INTERNAL,
            status=Status(StatusCode.ERROR, span.error) if span.error else OK,
            start_time=span.start_ns,
            end_time=span.end_ns,
            instrumentation_scope=self.scope,
        )

    def _place(self, trace_id: int, span_id: int) -> Context:
        """Lines come from one place for a while, so the last one is kept."""
        if (trace_id, span_id) != self._last:
            self._last = (trace_id, span_id)
            self._context = context_of(trace_id, span_id)
        return self._context

    def line(self, line: Line) -> ReadableLogRecord:
        made = LogRecord(
            timestamp=line.at_ns,
            observed_timestamp=line.at_ns,
            context=self._place(line.trace_id, line.span_id),
            severity_text=line.severity,
            severity_number=SEVERITIES[line.severity],
            body=line.body,
            attributes=line.attributes,
            event_name=line.body,
        )
        return ReadableLogRecord(made, self.resource, self.scope)


def spans_way(exporter: SpanExporter, maker: Maker) -> Callable[[Sequence[Span]], bool]:
    """Sends spans; False: they were not taken."""
    post = post_of(exporter)
    if post is None:
        return lambda spans: exporter.export([maker.span(span) for span in spans]) is SpanExportResult.SUCCESS
    origin = origin_of(maker)
    return lambda spans: post(spans_request(origin, spans))


def lines_way(exporter: LogRecordExporter, maker: Maker) -> Callable[[Sequence[Line]], bool]:
    """Sends log lines; False: they were not taken."""
    post = post_of(exporter)
    if post is None:
        return lambda lines: exporter.export([maker.line(line) for line in lines]) is LogRecordExportResult.SUCCESS
    origin = origin_of(maker)
    return lambda lines: post(lines_request(origin, lines))


def post_of(exporter: object) -> Callable[[bytes], bool] | None:
    """The exporter's own way to send bytes: addresses, headers, certificates, compression and retries are its concern.

    None: gRPC, which takes messages; an exporter of somebody else's; or a version of the SDK that names it otherwise, for the name is
    not a public one. Then the exporter does all of it, at its own cost.
    """
    send: Callable[[bytes], Any] | None = getattr(getattr(exporter, "_client", None), "export", None)
    return None if send is None else lambda data: bool(send(data).success)


def origin_of(maker: Maker) -> Origin:
    """Resource and scope as the SDK encodes them."""
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

    blank = Span(name="", trace_id=1, span_id=1, start_ns=0, end_ns=0, attributes={})
    (sent,) = encode_spans([maker.span(blank)]).resource_spans
    (scoped,) = sent.scope_spans
    return Origin(
        sent.resource.SerializeToString(), scoped.scope.SerializeToString(), sent.schema_url, scoped.schema_url
    )
