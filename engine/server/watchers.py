"""What watches calls besides those who hold them: telemetry, where a collector is named."""

from typing import TYPE_CHECKING

from engine import __version__
from engine.runtime.host import CallInfo, ObserverFactory
from engine.runtime.session import Observer
from engine.settings import TelemetrySettings

if TYPE_CHECKING:
    from engine.telemetry import Settings, Telemetry


def settings_of(configured: TelemetrySettings) -> "Settings | None":
    """What to export and where to; None: no collector is named. OpenTelemetry is imported for those who use it."""
    if not configured.endpoint:
        return None
    from engine.telemetry import Protocol, Settings

    return Settings(
        endpoint=configured.endpoint,
        protocol=Protocol(configured.protocol),
        service=configured.service_name,
        sample=configured.sample,
        content=configured.content,
        lines=configured.lines,
    )


def open_telemetry(configured: TelemetrySettings) -> "Telemetry | None":
    """The way to the collector, if one is named."""
    settings = settings_of(configured)
    if settings is None:
        return None
    from engine.telemetry import Telemetry

    return Telemetry(settings, __version__)


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
