"""A sound card whose frames are turned by hand."""

from collections.abc import Callable

from engine.core.units import MS
from engine.errors import TransportClosed
from engine.transports.microphone import Exchange


class HandCard:
    rate_hz = 48_000
    latency_ns = 40 * MS

    def __init__(self) -> None:
        self.exchange: Exchange | None = None
        self.give_out: Callable[[], None] = lambda: None
        """The stream ends by itself."""
        self.restarts = 0
        self.unplugged = False
        self.closed = False

    def start(self, exchange: Exchange, stopped: Callable[[], None]) -> None:
        self.exchange, self.give_out = exchange, stopped

    def restart(self) -> None:
        if self.unplugged:
            raise TransportClosed("unplugged")
        self.restarts += 1

    def close(self) -> None:
        self.closed = True

    def turn(self, frames: int = 1, heard: bytes = bytes(1_920)) -> bytes:
        """So many frames go by. Returns what was played."""
        assert self.exchange is not None
        return b"".join(self.exchange(heard) for _ in range(frames))
