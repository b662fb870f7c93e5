"""A real peer for a WebRTC call: aiortc as the page, with a microphone that says what it is given and an ear that keeps what it hears."""

import asyncio
import json
from collections import deque
from fractions import Fraction
from typing import Any

import av
import numpy as np
from aiortc import RTCConfiguration, RTCDataChannel, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, MediaStreamError, MediaStreamTrack

RATE_HZ = 48_000
FRAME = RATE_HZ // 50
ARRIVAL_FRAMES = 10


class Microphone(AudioStreamTrack):
    """20 ms at a time, in real time: what was put, then silence."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: deque[bytes] = deque()
        self._quiet = 0
        self._silent = asyncio.Event()

    def say(self, pcm: bytes) -> None:
        """PCM16 at 48 kHz, whole frames."""
        self.waiting.extend(pcm[at : at + 2 * FRAME] for at in range(0, len(pcm), 2 * FRAME))

    async def said(self) -> None:
        """Until all of it has left, and has had the time to arrive."""
        self._silent.clear()
        await self._silent.wait()

    async def recv(self) -> av.AudioFrame:
        self._quiet = 0 if self.waiting else self._quiet + 1
        if self._quiet > ARRIVAL_FRAMES:
            self._silent.set()
        beat = await super().recv()  # keeps the time; its sound is silence at 8 kHz
        assert isinstance(beat, av.AudioFrame)
        frame = av.AudioFrame(format="s16", layout="mono", samples=FRAME)
        frame.planes[0].update(self.waiting.popleft() if self.waiting else bytes(2 * FRAME))
        frame.sample_rate = RATE_HZ
        frame.pts = (beat.pts or 0) * RATE_HZ // 8_000
        frame.time_base = Fraction(1, RATE_HZ)
        return frame


class Page:
    """The page's end."""

    def __init__(self, *, label: str = "engine.v1") -> None:
        self.peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.microphone = Microphone()
        self.peer.addTrack(self.microphone)
        self.channel: RTCDataChannel = self.peer.createDataChannel(label)
        self.channel.on("open", lambda: self.opened.set())
        self.channel.on("message", self._read)
        self.channel.on("close", lambda: self.closed.set())
        self.peer.on("track", self._listen)
        self.opened = asyncio.Event()
        self.closed = asyncio.Event()
        self.messages: list[dict[str, Any]] = []
        self.heard = bytearray()
        """What came to the ear: PCM16 at 48 kHz, one channel."""
        self._changed = asyncio.Event()
        self._ear: asyncio.Task[None] | None = None

    async def offer(self) -> str:
        await self.peer.setLocalDescription(await self.peer.createOffer())
        return self.peer.localDescription.sdp

    async def take(self, answer: str) -> None:
        await self.peer.setRemoteDescription(RTCSessionDescription(answer, "answer"))

    def say(self, **message: object) -> None:
        self.channel.send(json.dumps(message))

    async def until(self, **wanted: object) -> dict[str, Any]:
        """The first message, old or new, with these values."""
        while True:
            for message in self.messages:
                if all(message.get(key) == value for key, value in wanted.items()):
                    return message
            await self._change()

    async def until_heard(self, samples: int, over: int = 0) -> np.ndarray[Any, np.dtype[np.int16]]:
        """What was heard, once so many samples of it are louder than `over`."""
        while True:
            sound = np.frombuffer(bytes(self.heard), np.int16)
            if np.count_nonzero(np.abs(sound.astype(np.int32)) > over) >= samples:
                return sound
            await self._change()

    async def until_longer(self, samples: int) -> None:
        """Until so many samples more have come."""
        target = len(self.heard) + 2 * samples
        while len(self.heard) < target:
            await self._change()

    async def close(self) -> None:
        """Go. Idempotent."""
        await self.peer.close()
        if self._ear is not None:
            await asyncio.wait([self._ear])

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    def _read(self, text: str | bytes) -> None:
        self.messages.append(json.loads(text))
        self._changed.set()

    def _listen(self, track: MediaStreamTrack) -> None:
        self._ear = asyncio.create_task(self._hear(track))

    async def _hear(self, track: MediaStreamTrack) -> None:
        try:
            while True:
                frame = await track.recv()
                assert isinstance(frame, av.AudioFrame)
                self.heard += frame.to_ndarray().reshape(-1, 2)[:, 0].tobytes()
                self._changed.set()
        except MediaStreamError:
            self._changed.set()
