"""A recorded caller: a WAV file is the microphone, and what the agent says can be written to another.

The recording is played once, in step with the event loop's clock, from the moment the call begins; then the line stays quiet until the
agent has been. There is no buffer behind it: what is sent is heard at once, so that what the agent's file holds is what was heard.
"""

import asyncio
from collections.abc import Mapping

from engine.core.units import FRAME_NS, MS, SECOND, AudioFormat
from engine.errors import TransportClosed
from engine.transports.base import Capabilities, Line
from engine.transports.wav import Sound

SPEAKER_HZ = 24_000
"""Of the agent's file: the rate of most voices."""
QUIET_NS = 6 * SECOND
"""After the recording, a line this quiet is hung up: longer than a model may think."""
LONGEST_NS = 120 * SECOND
"""After the recording, no call goes on longer than this."""
STEP_NS = 60 * MS
"""A hole in the agent's sound shorter than this is a late timer, not a silence."""

ENDED = "the recording ended"


class FileTransport:
    """One call with a recorded caller. `agent_sound` is what the caller heard, from the call's first moment on."""

    def __init__(self, caller: Sound, *, lead_ns: int = 0, quiet_ns: int = QUIET_NS) -> None:
        """lead_ns: silence before the recording. quiet_ns: how long to wait for the agent after it."""
        self._caller = AudioFormat(caller.rate_hz).bytes_in(lead_ns) * b"\0" + caller.pcm
        self._quiet_ns = quiet_ns
        self._capabilities = Capabilities(
            name="file", inbound=AudioFormat(caller.rate_hz), outbound=AudioFormat(SPEAKER_HZ), ahead_ns=0
        )
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._agent = bytearray()
        self._ended: asyncio.Future[str] = self._loop.create_future()

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    @property
    def agent_sound(self) -> Sound:
        return Sound(SPEAKER_HZ, bytes(self._agent))

    async def carry(self, line: Line) -> str:
        self._began = self._loop.time()
        sound = self._capabilities.inbound
        length_ns = sound.duration_ns(len(self._caller))
        at_ns = 0
        while not self._ended.done():
            until_ns = at_ns + FRAME_NS
            start, end = sound.bytes_in(at_ns), sound.bytes_in(until_ns)
            await self._wait_until(until_ns)
            if self._ended.done():
                break
            line.hear(self._caller[start:end].ljust(end - start, b"\0"))
            at_ns = until_ns
            if at_ns > length_ns and (
                at_ns - max(length_ns, self._heard_ns()) > self._quiet_ns or at_ns - length_ns > LONGEST_NS
            ):
                return ENDED
        return self._ended.result()

    async def _wait_until(self, at_ns: int) -> None:
        """Wait for a moment of the call, or its end."""
        delay = self._began + at_ns / SECOND - self._loop.time()
        if delay > 0:
            await asyncio.wait([self._ended], timeout=delay)

    def _heard_ns(self) -> int:
        return AudioFormat(SPEAKER_HZ).duration_ns(len(self._agent))

    def _now_bytes(self) -> int:
        return round((self._loop.time() - self._began) * SPEAKER_HZ) * 2

    def send_audio(self, run: int, start_sample: int, sound: bytes) -> None:
        hole = self._now_bytes() - len(self._agent)
        if hole > AudioFormat(SPEAKER_HZ).bytes_in(STEP_NS):
            self._agent += bytes(hole)
        self._agent += sound

    def send_mark(self, name: str) -> None:
        """Nobody asks: there is no buffer."""

    def clear(self, run: int) -> None:
        """What was sent and lies ahead of this moment was not heard."""
        del self._agent[self._now_bytes() :]

    def send_message(self, message: Mapping[str, object]) -> None:
        """There is no screen."""

    async def transfer(self, target: str) -> None:
        raise TransportClosed("a recording cannot be handed over")

    async def hang_up(self, reason: str) -> None:
        if not self._ended.done():
            self._ended.set_result(reason)
