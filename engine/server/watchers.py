"""What watches calls besides those who hold them: telemetry, where a collector is named."""

from typing import TYPE_CHECKING

from engine import __version__
from engine.runtime.host import CallInfo, ObserverFactory
from engine.runtime.session import Observer
from engine.settings import TelemetrySettings

if TYPE_CHECKING:
    from engine.telemetry import Telemetry


def open_telemetry(settings: TelemetrySettings) -> "Telemetry | None":
    """The way to the collector; None: none is named. OpenTelemetry is imported for those who use it."""
    if not settings.endpoint:
        return None
    from engine.telemetry import Protocol, Settings, Telemetry

    return Telemetry(
        Settings(
            endpoint=settings.endpoint,
            protocol=Protocol(settings.protocol),
            service=settings.service_name,
            sample=settings.sample,
            content=settings.content,
            lines=settings.lines,
        ),
        __version__,
    )


def traced(telemetry: "Telemetry") -> ObserverFactory:
    """Every call as traces."""
    from engine.telemetry import Call

    def begin(info: CallInfo) -> Observer:
        call = Call(
            session=info.call_id,
            began_ns=info.began_ns,
            agent=telemetry.settings.service,
            traceparent=info.traceparent,
        )
        return telemetry.observer(call)

    return begin
