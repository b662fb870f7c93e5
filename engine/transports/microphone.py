"""A conversation at this machine's own microphone and loudspeaker, through PortAudio (`sounddevice`, of the extra `microphone`).

PortAudio calls from a thread of its own, 50 times a second: there the next frame is taken from the queue and the microphone's handed to
the event loop, nothing else. So the queue has a lock, and it is the only thing that two threads touch.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from engine.audio import level
from engine.core.units import FRAME_NS, MS, RATES_HZ, SECOND, AudioFormat
from engine.errors import ConfigError, TransportClosed
from engine.transports.asgi import GONE
from engine.transports.base import Capabilities, Line
from engine.transports.echo import EchoGate
from engine.transports.pieces import Pieces

Device = int | str | None
"""A number, a part of a name, or the system's default."""
Exchange = Callable[[bytes], bytes]
"""Given a frame of the microphone's, gives one for the loudspeaker: PCM16, one channel, 20 ms each. Called from any thread."""
RATE_HZ = 48_000
"""Tried first: the rate nearly every sound card runs at."""
LATENCY_NS_MAX = 1 * SECOND
SILENT_SECONDS = 3.0
"""A sound card that gives no frame for so long has been unplugged."""
RESTARTS_MAX = 3
"""Of a stream that stops by itself, as ALSA's do where the machine was too busy to feed them, without a frame in SILENT_SECONDS between."""
MISSING = "talking here needs the extra: pip install 'engine[microphone]'"
PORTAUDIO = "PortAudio is not installed; on Debian: apt-get install libportaudio2"


class Card(Protocol):
    """A microphone and a loudspeaker on one clock."""

    @property
    def rate_hz(self) -> int: ...
    @property
    def latency_ns(self) -> int:
        """From a frame's leaving to the ear."""

    def start(self, exchange: Exchange, stopped: Callable[[], None]) -> None:
        """stopped: called from any thread when the stream ends by itself."""

    def restart(self) -> None:
        """Go on after that. Raises TransportClosed when the devices are gone."""

    def close(self) -> None: ...


def portaudio() -> Any:
    """The library. Raises ConfigError that says what is to be installed."""
    try:
        import sounddevice
    except ModuleNotFoundError as error:
        raise ConfigError(MISSING) from error
    except OSError as error:
        raise ConfigError(PORTAUDIO) from error
    return sounddevice


class SoundCard:
    """This machine's devices, through PortAudio."""

    def __init__(self, input_device: Device = None, output_device: Device = None) -> None:
        """Raises ConfigError for devices that cannot be used."""
        self._library = portaudio()
        self._devices = (input_device, output_device)
        self._exchange: Exchange = bytes
        self._stopped: Callable[[], None] = lambda: None
        try:
            self.rate_hz = self._usable_rate(input_device, output_device)
            self._stream = self._open()
        except (self._library.PortAudioError, ValueError) as error:
            raise ConfigError(
                f"these sound devices cannot be used: {error}; `engine talk --list` names them"
            ) from error

    @property
    def latency_ns(self) -> int:
        return int(self._stream.latency[1] * SECOND)

    def start(self, exchange: Exchange, stopped: Callable[[], None]) -> None:
        self._exchange, self._stopped = exchange, stopped
        self._stream.start()

    def restart(self) -> None:
        try:
            self._stream.close()
            self._stream = self._open()
            self._stream.start()
        except self._library.PortAudioError as error:
            raise TransportClosed(GONE) from error

    def close(self) -> None:
        self._stream.close()

    def _open(self) -> Any:
        return self._library.RawStream(
            samplerate=self.rate_hz,
            blocksize=self.rate_hz * FRAME_NS // SECOND,
            device=self._devices,
            channels=1,
            dtype="int16",
            latency="low",
            callback=self._call,
            finished_callback=lambda: self._stopped(),
        )

    def _call(self, heard: Any, played: Any, _samples: int, _time: object, _status: object) -> None:
        played[:] = self._exchange(bytes(heard))

    def _usable_rate(self, input_device: Device, output_device: Device) -> int:
        """A rate at which both devices run. Raises PortAudioError or ValueError where there is none or no such device."""
        own = round(self._library.query_devices(input_device, "input")["default_samplerate"])
        refused: Exception = ValueError("no rate that both devices share")
        for rate in (RATE_HZ, own, 44_100, 16_000):
            try:
                self._library.check_input_settings(input_device, channels=1, dtype="int16", samplerate=rate)
                self._library.check_output_settings(output_device, channels=1, dtype="int16", samplerate=rate)
            except self._library.PortAudioError as error:
                refused = error
            else:
                if rate in RATES_HZ:
                    return rate
        raise refused


class Microphone:
    """This machine's sound, as a Transport."""

    def __init__(
        self,
        card: Card,
        *,
        gate: bool = True,
        show: Callable[[Mapping[str, object]], None] = lambda message: None,
        levels: Callable[[int, int], None] = lambda caller, agent: None,
    ) -> None:
        """gate:    whether echoes are held back; headphones need none.
        show:    told what a screen may show.
        levels:  told, 50 times a second, the RMS of what is heard and of what is played, in sample units.
        """
        self._loop = asyncio.get_running_loop()
        self._over: asyncio.Future[str] = self._loop.create_future()
        self._card = card
        self._rate_hz = card.rate_hz
        self._show = show
        self._levels = levels
        self._line: Line | None = None
        self._lock = threading.Lock()
        self._latency_frames = min(card.latency_ns, LATENCY_NS_MAX) // FRAME_NS
        self._queue = Pieces(2 * self._rate_hz)
        self._echo = EchoGate(self._rate_hz) if gate else None
        self._under_way: deque[dict[int, int]] = deque()
        self._frames = 0
        self._restarts = 0

    @property
    def capabilities(self) -> Capabilities:
        sound = AudioFormat(self._rate_hz)
        return Capabilities(
            name="microphone",
            inbound=sound,
            outbound=sound,
            ahead_ns=60 * MS,
            latency_ns=self._latency_frames * FRAME_NS,
            reports=True,
            screen=True,
        )

    async def carry(self, line: Line) -> str:
        """Raises TransportClosed when the devices vanish."""
        self._line = line
        self._card.start(self._exchange, self._stopped)  # blocks; a busy machine may take seconds over it
        self._watcher = self._loop.call_later(SILENT_SECONDS, self._watch, self._frames)
        try:
            reason = await asyncio.shield(self._over)
        finally:
            self._line = None
            self._watcher.cancel()
            self._card.close()
        if reason == GONE:
            raise TransportClosed("the sound device is gone")
        return reason

    def send_audio(self, run: int, start_sample: int, sound: bytes) -> None:
        with self._lock:
            self._queue.put(run, start_sample, sound)

    def send_mark(self, name: str) -> None:
        """Positions are told instead."""

    def clear(self, run: int) -> None:
        with self._lock:
            self._queue.clear(run)

    def send_message(self, message: Mapping[str, object]) -> None:
        if not self._over.done():
            self._show(message)

    async def transfer(self, target: str) -> None:
        raise TransportClosed("this machine's sound cannot be handed over to a telephone")

    async def hang_up(self, reason: str) -> None:
        self.end(reason)

    def end(self, reason: str) -> None:
        """Make `carry` return this reason. The first one stands."""
        if not self._over.done():
            self._over.set_result(reason)

    def _watch(self, frames: int) -> None:
        if frames == self._frames:
            self.end(GONE)
        else:
            self._restarts = 0
            self._watcher = self._loop.call_later(SILENT_SECONDS, self._watch, self._frames)

    def _stopped(self) -> None:
        """The card's thread: the stream has ended, by itself or because it was closed."""
        self._loop.call_soon_threadsafe(self._go_on)

    def _go_on(self) -> None:
        if self._line is None:
            return
        self._restarts += 1
        try:
            if self._restarts > RESTARTS_MAX:
                raise TransportClosed(GONE)
            self._card.restart()
        except TransportClosed:
            self.end(GONE)

    def _exchange(self, heard: bytes) -> bytes:
        """The card's thread: one frame in, one out."""
        with self._lock:
            sound, ends = self._queue.take(len(heard))
        self._loop.call_soon_threadsafe(self._take, heard, sound, ends)
        return sound or bytes(len(heard))

    def _take(self, heard: bytes, played: bytes, ends: dict[int, int]) -> None:
        """The event loop: what the microphone gave while this was handed to the loudspeaker."""
        self._frames += 1
        passes = self._echo is None or self._echo.passes(heard, played)
        self._levels(
            level(heard, self._rate_hz).rms if passes else 0, level(played, self._rate_hz).rms if played else 0
        )
        if self._line is None:
            return
        self._line.hear(heard if passes else bytes(len(heard)))
        self._under_way.append(ends)
        if len(self._under_way) > self._latency_frames:
            for run, samples in self._under_way.popleft().items():
                if self._line is not None:
                    self._line.played(run, samples)
