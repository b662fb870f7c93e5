"""A sound card whose frames are turned by hand."""

from engine.core.units import MS
from engine.transports.microphone import Exchange


class HandCard:
    rate_hz = 48_000
    latency_ns = 40 * MS

    def __init__(self) -> None:
        self.exchange: Exchange | None = None
        self.closed = False

    def start(self, exchange: Exchange) -> None:
        self.exchange = exchange

    def close(self) -> None:
        self.closed = True

    def turn(self, frames: int = 1, heard: bytes = bytes(1_920)) -> bytes:
        """So many frames go by. Returns what was played."""
        assert self.exchange is not None
        return b"".join(self.exchange(heard) for _ in range(frames))
