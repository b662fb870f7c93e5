"""The real OpenTelemetry Collector and the real Jaeger, started with the repository's own configuration, on ports of their own.

Built beforehand by `deploy/build.sh`; where they are not, `missing()` says why and what to do.
"""

import json
import os
import queue
import signal
import socket
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from msgspec import Struct

ROOT = Path(__file__).parent.parent
READY = "Everything is ready"
READY_S = 60.0
"""Both say so within two seconds on an idle machine."""


def binaries() -> tuple[str, str] | None:
    """The collector and Jaeger; None: not built."""
    built = subprocess.run([ROOT / "deploy/build.sh", "--cached"], capture_output=True, text=True, check=False)
    collector, _, jaeger = built.stdout.strip().partition("\n")
    return (collector, jaeger) if built.returncode == 0 else None


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


@contextmanager
def running(command: list[str], end: signal.Signals, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """A process of either, from the moment it is ready until it has ended.

    end:  SIGTERM lets the collector hand on what it has; Jaeger has nothing to hand on, and takes ten seconds over it.
    """
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ | variables)
    assert process.stderr is not None
    lines: queue.Queue[str] = queue.Queue()
    reader = threading.Thread(target=lambda: [lines.put(line) for line in process.stderr or ()])
    reader.start()
    said: list[str] = []
    try:
        while READY not in (said[-1] if said else ""):
            said.append(lines.get(timeout=READY_S))
        yield process
    except queue.Empty:
        raise AssertionError(f"{command[0]} is not ready:\n{''.join(said)}") from None
    finally:
        process.send_signal(end)
        process.wait(timeout=READY_S)
        reader.join()
        process.stderr.close()


class Jaeger(Struct, frozen=True):
    """Jaeger's query API."""

    otlp_port: int
    query_port: int

    def ask(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.query_port}{path}", timeout=10) as answer:
            return json.load(answer)

    def spans(self, trace_id: int) -> list[dict[str, Any]]:
        """The spans of one trace, as Jaeger shows them."""
        (trace,) = self.ask(f"/api/traces/{trace_id:032x}")["data"]
        spans: list[dict[str, Any]] = trace["spans"]
        return spans

    def traces(self, service: str) -> set[int]:
        found = self.ask(f"/api/traces?service={service}&limit=1000&start=1600000000000000&end=4000000000000000")
        return {int(trace["traceID"], 16) for trace in found["data"]}


@contextmanager
def jaeger(binary: str) -> Iterator[Jaeger]:
    """Jaeger with deploy/jaeger.yaml."""
    ports = {name: free_port() for name in ("otlp", "http", "grpc", "health")}
    command = [
        binary,
        f"--config={ROOT / 'deploy/jaeger.yaml'}",
        f"--set=receivers.otlp.protocols.grpc.endpoint=127.0.0.1:{ports['otlp']}",
        f"--set=extensions.jaeger_query.http.endpoint=127.0.0.1:{ports['http']}",
        f"--set=extensions.jaeger_query.grpc.endpoint=127.0.0.1:{ports['grpc']}",
        f"--set=extensions.healthcheckv2.http.endpoint=127.0.0.1:{ports['health']}",
    ]
    with running(command, signal.SIGKILL):
        yield Jaeger(ports["otlp"], ports["http"])


@contextmanager
def collector(binary: str, viewer: Jaeger, *more: str, protocol: str = "http") -> Iterator[str]:
    """The collector with otel-collector.yaml and what is laid over it. When this is left, all it took has been handed on.

    protocol:  http or grpc; gives the endpoint for it.
    """
    ports = {name: free_port() for name in ("grpc", "http", "health")}
    command = [
        binary,
        f"--config={ROOT / 'otel-collector.yaml'}",
        *(f"--config={ROOT / path}" for path in more),
        f"--set=receivers.otlp.protocols.grpc.endpoint=127.0.0.1:{ports['grpc']}",
        f"--set=receivers.otlp.protocols.http.endpoint=127.0.0.1:{ports['http']}",
        f"--set=extensions.health_check.endpoint=127.0.0.1:{ports['health']}",
    ]
    with running(command, signal.SIGTERM, JAEGER_ENDPOINT=f"127.0.0.1:{viewer.otlp_port}"):
        yield f"http://127.0.0.1:{ports[protocol]}"
