"""What a way to carry a call must be, and what it is given.

A transport translates one wire: frames, control messages, positions. It never decides, never blocks in a `send_*`, and never
paces: `runtime/outbound` paces, so that every peer, with whatever buffer, behaves alike.
"""

from collections.abc import Mapping
from typing import Protocol

from msgspec import Struct

from engine.core.units import MS, AudioFormat


class Capabilities(Struct, frozen=True, kw_only=True):
    """What a transport can do. The runtime asks this record and never the transport's name."""

    name: str
    inbound: AudioFormat
    """The caller's sound as it arrives."""
    outbound: AudioFormat
    """The agent's sound as it must leave."""
    ahead_ns: int = 300 * MS
    """How far ahead of real time sound is sent. 0 where the peer has no buffer."""
    latency_ns: int = 0
    """Between sending and the ear at best, where nothing reports: network, jitter buffer, device."""
    marks: bool = False
    """The peer echoes marks when the sound before them has been played; after a clear it may echo the rest at once (generations)."""
    reports: bool = False
    """The peer reports the position it has played, by run."""
    screen: bool = False
    """The peer shows captions and phases."""
    grace_ns: int = 0
    """How long a broken connection may stay away before the call is over."""


class Line(Protocol):
    """The runtime's side of a call, as a transport sees it. Every method returns at once."""

    def hear(self, chunk: bytes) -> None:
        """The caller's sound, any length, in the inbound format."""

    def hear_base64(self, payload: str | bytes) -> None:
        """The same, still in base64: decoded in C, together with the rest."""

    def marked(self, name: str) -> None:
        """The peer echoed a mark."""

    def played(self, run: int, samples: int) -> None:
        """The peer has played this many samples of a run, in the outbound format, from the run's beginning."""

    def pressed(self, digit: str) -> None:
        """The caller pressed a key."""

    def typed(self, text: str) -> None:
        """The caller typed a whole turn."""

    def rejected(self, reason: str) -> None:
        """Something unusable came and was dropped."""


class Transport(Protocol):
    """One connection of one caller."""

    @property
    def capabilities(self) -> Capabilities: ...

    async def carry(self, line: Line) -> str:
        """Read the wire and tell `line`, until it closes. Returns the reason."""

    def send_audio(self, run: int, start_sample: int, sound: bytes) -> None:
        """Send a piece of a run in the outbound format; `start_sample` is its place in the run."""

    def send_mark(self, name: str) -> None:
        """Ask to be told when what was sent so far has been played. Only where `capabilities.marks`."""

    def clear(self, run: int) -> None:
        """Drop whatever the peer has not yet played, of this run and older ones."""

    def send_message(self, message: Mapping[str, object]) -> None:
        """Show something on the caller's screen. Only where `capabilities.screen`."""

    async def transfer(self, target: str) -> None:
        """Hand the caller over. Raises TransportClosed where this wire cannot."""

    async def hang_up(self, reason: str) -> None:
        """End the call from our side. Idempotent."""
