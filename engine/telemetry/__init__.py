"""Traces, metrics and log lines over OTLP, from live calls and from recorded ones.

    telemetry = Telemetry(Settings(endpoint="http://localhost:4318"), version)
    session = Session(..., observers=[telemetry.observer(Call(session=call_id, began_ns=time.time_ns()))])

`names` has every name, `records` the data and the ids, `fold` and `runs` turn a call's steps into records, `otlp` writes them as
bytes, `pipeline` sends them live, `export` sends them from a recording. Only `pipeline`, `export` and `exporters` import OpenTelemetry.
"""

from engine.telemetry.export import Exported, Step, export
from engine.telemetry.exporters import Protocol, Settings
from engine.telemetry.pipeline import CallObserver, Telemetry
from engine.telemetry.records import Call, parse_traceparent

__all__ = [
    "Call",
    "CallObserver",
    "Exported",
    "Protocol",
    "Settings",
    "Step",
    "Telemetry",
    "export",
    "parse_traceparent",
]
