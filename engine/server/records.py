"""What is kept of calls: a journal each, and traces and numbers for a collector. As configured; nothing here is needed for a call."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

from engine import __version__
from engine._codec import Resampler
from engine.config import Config
from engine.core.units import ENGINE_HZ
from engine.errors import ConfigError
from engine.replay.journal import Recorder
from engine.replay.keeper import Keeper
from engine.replay.tape import SoundRecorder
from engine.runtime.heartbeat import Heartbeat
from engine.runtime.host import CallInfo, Host, ObserverFactory
from engine.server.stalls import Stall, Teller
from engine.settings import TelemetrySettings
from engine.telemetry import Call, CallObserver, Protocol, Settings, Telemetry


class Records:
    """The observers of a process's calls. `start` before the first call, `stop` after the last."""

    def __init__(self, config: Config) -> None:
        self._journal = config.journal
        self._telemetry = config.telemetry
        self._keeper: Keeper | None = None
        self._pipeline: Telemetry | None = None
        self._heartbeat: Heartbeat | None = None
        self._tell_stall = Teller()

    @property
    def factories(self) -> Sequence[ObserverFactory]:
        """What a host makes each call's observers with."""
        journal = (self._recorder,) if self._journal.folder else ()
        traces = (self._watcher,) if self._telemetry.endpoint else ()
        sound = (self._tape,) if self._journal.folder and self._journal.sound else ()
        return (*journal, *sound, *traces)

    def start(self, host: Host) -> None:
        """Open what is written to. Raises ConfigError."""
        if self._journal.folder:
            try:
                self._keeper = Keeper(
                    Path(self._journal.folder).expanduser(),
                    time.time_ns,
                    days=self._journal.keep_days,
                    bytes_max=self._journal.keep_mb * 1_000_000,
                )
            except OSError as error:
                raise ConfigError(f"journal.folder is {self._journal.folder!r}: {error.strerror}") from error
        if self._telemetry.endpoint:
            self._pipeline = Telemetry(exported_as(self._telemetry), __version__)
            self._pipeline.watch_host(
                active=lambda: host.calls,
                refused=lambda: host.counts.refused,
                breakers=lambda: [(each.stage.value, each.name, int(each.position)) for each in host.breakers],
            )
            self._heartbeat = Heartbeat(self._pipeline.meters.note_beat, asyncio.get_running_loop())

    async def stop(self) -> None:
        """Write and send what is still in memory, for a bounded time, without holding the loop up."""
        if self._keeper is not None:
            await asyncio.to_thread(self._keeper.close)
        if self._heartbeat is not None:
            self._heartbeat.stop()
        if self._pipeline is not None:
            await asyncio.to_thread(self._pipeline.close)

    def note_stall(self, stall: Stall) -> None:
        """The loop was held up."""
        self._tell_stall(stall)
        if self._pipeline is not None:
            self._pipeline.meters.note_stall(stall.late_ns, stall.cause)

    def _recorder(self, info: CallInfo) -> Recorder:
        assert self._keeper is not None, "a call before the start"
        return self._keeper(info)

    def _tape(self, info: CallInfo) -> SoundRecorder:
        assert self._keeper is not None, "a call before the start"
        return self._keeper.sound(info, lambda rate_hz: Resampler(rate_hz, ENGINE_HZ))

    def _watcher(self, info: CallInfo) -> CallObserver:
        assert self._pipeline is not None, "a call before the start"
        agent, traceparent = self._telemetry.service_name, info.traceparent
        call = Call(session=info.call_id, began_ns=info.began_ns, agent=agent, traceparent=traceparent)
        return self._pipeline.observer(call)


def exported_as(configured: TelemetrySettings) -> Settings:
    """The settings of telemetry, as it wants them."""
    return Settings(
        endpoint=configured.endpoint,
        protocol=Protocol(configured.protocol),
        service=configured.service_name,
        sample=configured.sample,
        content=configured.content,
        lines=configured.lines,
    )
