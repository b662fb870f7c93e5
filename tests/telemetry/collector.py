"""A collector for tests: speaks OTLP over HTTP on a real socket, keeps what it is sent, and misbehaves when told to."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Collector(ThreadingHTTPServer):
    """Answers every request with `status`; None: takes the connection and never answers."""

    daemon_threads = True

    def __init__(self, status: int | None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status = status
        self.traces: list[Any] = []
        self.logs: list[Any] = []
        self.metrics: list[Any] = []
        self.over = threading.Event()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def spans(self) -> list[Any]:
        return [
            span
            for batch in self.traces
            for resource in batch.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def lines(self) -> list[Any]:
        return [
            line
            for batch in self.logs
            for resource in batch.resource_logs
            for scope in resource.scope_logs
            for line in scope.log_records
        ]

    def points(self, name: str) -> list[Any]:
        return [
            point
            for batch in self.metrics
            for resource in batch.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in getattr(metric, metric.WhichOneof("data")).data_points
        ]


class _Handler(BaseHTTPRequestHandler):
    server: Collector
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.over.is_set():  # The process is gone, and its connections with it.
            self.close_connection = True
            return
        if self.server.status is None:
            self.server.over.wait()
            return
        if self.server.status == 200:
            self._keep(body)
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _keep(self, body: bytes) -> None:
        kept, kind = {
            "/v1/traces": (self.server.traces, ExportTraceServiceRequest),
            "/v1/logs": (self.server.logs, ExportLogsServiceRequest),
            "/v1/metrics": (self.server.metrics, ExportMetricsServiceRequest),
        }[self.path]
        kept.append(kind.FromString(body))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Quiet."""


@contextmanager
def collector(status: int | None = 200) -> Iterator[Collector]:
    server = Collector(status)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        server.shutdown()
        thread.join()
        server.server_close()


def nobody() -> str:
    """An endpoint at which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}"
