"""A conversation with a web page over WebRTC: Opus both ways, everything else as JSON text on a data channel.

The messages are those of the browser's WebSocket (`browser.py`), but for sound's: instead of positions the page sends `delay`, how
long sound takes from here to its ear, and positions are what had left by then. docs/transports.md describes this wire.

ICE, DTLS, SRTP, SCTP and the jitter buffer are aiortc's, of the extra `webrtc`.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Annotated

import av
import msgspec
import numpy as np
from aiortc import (
    RTCConfiguration,
    RTCDataChannel,
    RTCIceServer,
    RTCPeerConnection,
    RTCRtpCodecCapability,
    RTCRtpReceiver,
    RTCSessionDescription,
)
from aiortc.jitterbuffer import JitterBuffer
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from msgspec import Meta, Struct

from engine._codec import Concealer
from engine.core.units import MS, SECOND, AudioFormat
from engine.errors import TransportClosed
from engine.transports.asgi import (
    GONE,
    HUNG_UP,
    LOST,
    MESSAGE_BYTES_MAX,
    MESSAGE_COST_BYTES,
    REJECTED_MAX,
    SILENT,
    SLOW,
    UNUSABLE,
    WAITING_BYTES_MAX,
    Allowance,
)
from engine.transports.base import Capabilities, Line
from engine.transports.browser import Bye, Hello, Key, Ping, Text, shape_of
from engine.transports.webrtc_voice import DELAY_NS, RATE_HZ, Voice

log = logging.getLogger("engine.transports")

CHANNEL = "engine.v1"
"""The label of the data channel that the page makes."""
MICROPHONE_HZ = 48_000
"""What aiortc's decoder gives, whatever the page's microphone."""
GAP_NS_MAX = 1 * SECOND
"""Missing sound that is made up for, so that the caller's clock keeps step."""
QUIET_SECONDS = 5.0
"""A page pings every second, and its sound comes 50 times a second: without either it is gone. ICE itself notices after 30 s."""
GATHER_SECONDS = 8.0
"""For our own candidates. A STUN server that does not answer costs 5."""
CLOSE_SECONDS = 1.0
"""For the page to take our goodbye and close first."""
SDP_LINES_MAX, CANDIDATES_MAX = 600, 40
"""Of an offer. Chromium's for one microphone and a data channel has 70 lines, and a candidate for each of a machine's addresses."""
BYTES_PER_SECOND, BYTES_AT_ONCE = 16_000.0, 256_000.0
"""A page sends two small messages a second, and a typed turn now and then."""
SAMPLES_PER_SECOND, SAMPLES_AT_ONCE = 1.1 * MICROPHONE_HZ, 15 * MICROPHONE_HZ
"""Of the page's sound: a little more than time brings, and what a stall may have held back."""
OPUS = [RTCRtpCodecCapability(mimeType="audio/opus", clockRate=48_000, channels=2)]
"""The one codec that is agreed to: the voice is sent as packets of it."""
PACKETS_HELD = 4
"""The caller's packets that wait for one that is missing: 80 ms. aiortc's own buffer holds back four always and sixteen after a loss."""


class Delay(Struct, tag_field="type", tag="delay", frozen=True):
    """The page has measured how long sound takes from us to its ear."""

    ms: Annotated[int, Meta(ge=0, le=2_000)]
    buffer_ms: Annotated[int, Meta(ge=0, le=2_000)] = 0
    """The part that lies in its jitter buffer, which it silences when told to flush."""


read_message = msgspec.json.Decoder(Hello | Delay | Text | Key | Ping | Bye).decode
encode = msgspec.json.Encoder().encode


class WebRTC:
    """One connection of one page. `answer` its offer, then `open`; then it is a Transport."""

    def __init__(
        self,
        ice_servers: Sequence[dict[str, str]] = (),
        *,
        quiet_seconds: float = QUIET_SECONDS,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """ice_servers: {"urls": …, "username": …, "credential": …} each; aiortc uses the first STUN and the first TURN server."""
        servers = [RTCIceServer(**server) for server in ice_servers]
        self._quiet_seconds = quiet_seconds
        self._peer = RTCPeerConnection(RTCConfiguration(iceServers=servers))
        self._voice = Voice(self._played, clock)
        self._loop = asyncio.get_running_loop()
        self._hello: asyncio.Future[Hello] = self._loop.create_future()
        self._over: asyncio.Future[str] = self._loop.create_future()
        self._parting = False
        self._closing: asyncio.Task[None] | None = None
        self._gone = asyncio.Event()
        self.carried = asyncio.Event()
        """Set when this connection will carry no more."""
        self._channel: RTCDataChannel | None = None
        self._reader: asyncio.Task[None] | None = None
        self._line: Line | None = None
        self._allowed = Allowance(BYTES_PER_SECOND, BYTES_AT_ONCE)
        self._heard = Allowance(SAMPLES_PER_SECOND, SAMPLES_AT_ONCE)
        self._rejected = 0
        self._signs = 0
        self._watcher: asyncio.TimerHandle | None = None
        self._concealer = Concealer(MICROPHONE_HZ)
        self._next_pts: int | None = None

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            name="webrtc",
            inbound=AudioFormat(MICROPHONE_HZ),
            outbound=AudioFormat(RATE_HZ),
            ahead_ns=60 * MS,
            latency_ns=DELAY_NS,
            reports=True,
            screen=True,
            grace_ns=20 * SECOND,
        )

    # Beginning.

    async def answer(self, offer: str) -> str:
        """The SDP that answers a page's, with all our candidates in it. Raises ValueError for an offer that cannot be used."""
        check_offer(offer)
        peer = self._peer
        peer.on("track", self._take_track)
        peer.on("datachannel", self._take_channel)
        peer.on("connectionstatechange", self._follow_connection)
        try:
            transceiver = peer.addTransceiver(self._voice, "sendrecv")
            transceiver.setCodecPreferences(OPUS)
            async with asyncio.timeout(GATHER_SECONDS):
                await peer.setRemoteDescription(RTCSessionDescription(offer, "offer"))
                hold_back_little(transceiver.receiver)
                await peer.setLocalDescription(await peer.createAnswer())
        except (asyncio.CancelledError, TimeoutError):
            await self.hang_up(GONE)
            raise
        except Exception as error:  # aiortc's parser raises whatever a stranger's text makes it stumble over
            await self.hang_up("unusable offer")
            log.info("an offer could not be used: %s", type(error).__name__)
            raise ValueError("this offer cannot be used") from error
        return peer.localDescription.sdp

    async def open(self, seconds: float = 10.0) -> Hello:
        """Wait for the page's `hello` on the data channel. Raises TransportClosed when it does not come."""
        self._over.add_done_callback(lambda _: self._hello.cancel())
        try:
            async with asyncio.timeout(seconds):
                return await self._hello
        except TimeoutError:
            raise TransportClosed(f"no connection within {seconds:g} s") from None
        except asyncio.CancelledError:
            if not self._over.done():
                raise
            raise TransportClosed(self._over.result()) from None

    def ready(self, session: str, resume: str, resumed: bool) -> None:
        """Tell the page that the conversation begins, or goes on."""
        self.send_message(
            {"type": "ready", "session": session, "resume": resume, "resumed": resumed, "rate": MICROPHONE_HZ}
        )

    # A Transport.

    async def carry(self, line: Line) -> str:
        self._line = line
        self._watcher = self._loop.call_later(self._quiet_seconds, self._watch, self._signs)
        try:
            reason = await asyncio.shield(self._over)
        finally:
            self._line = None
            self._watcher.cancel()
            self.carried.set()
        if reason in LOST:
            raise TransportClosed(reason)
        return reason

    def lose(self) -> None:
        """Give this connection up as lost: its page has opened another."""
        self._end(GONE)

    def send_audio(self, run: int, start_sample: int, sound: bytes) -> None:
        self._voice.put(run, start_sample, sound)

    def send_mark(self, name: str) -> None:
        """Positions are told instead."""

    def clear(self, run: int) -> None:
        self._voice.clear(run)
        self.send_message({"type": "flush", "run": run})

    def send_message(self, message: Mapping[str, object]) -> None:
        channel = self._channel
        if channel is None or channel.readyState != "open":
            return
        if channel.bufferedAmount > WAITING_BYTES_MAX:
            self._end(SLOW)
            return
        channel.send(encode(message).decode())

    async def transfer(self, target: str) -> None:
        raise TransportClosed("a page cannot be handed over to a telephone")

    async def hang_up(self, reason: str) -> None:
        if not self._parting:
            self._parting = True
            self.send_message({"type": "bye", "reason": reason})
        self._end(reason)
        if self._closing is None:
            self._closing = self._loop.create_task(self._close())
        await asyncio.shield(self._closing)  # a connection that is closed by half holds its sockets for ever

    async def _close(self) -> None:
        if self._channel is not None and self._over.result() not in LOST:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._gone.wait(), CLOSE_SECONDS)
        await close_peer(self._peer)
        if self._reader is not None:
            self._reader.cancel()
        self.carried.set()

    def _end(self, reason: str) -> None:
        """Make `carry` return this reason. The first one stands."""
        if not self._over.done():
            self._over.set_result(reason)

    def _played(self, run: int, samples: int) -> None:
        if self._line is not None:
            self._line.played(run, samples)

    # The peer connection tells.

    def _follow_connection(self) -> None:
        if self._peer.connectionState in ("failed", "closed"):
            self._leave()

    def _leave(self) -> None:
        self._gone.set()
        self._end(GONE)

    def _watch(self, signs: int) -> None:
        if signs == self._signs:
            self._end(SILENT)
        else:
            self._watcher = self._loop.call_later(self._quiet_seconds, self._watch, self._signs)

    def _take_channel(self, channel: RTCDataChannel) -> None:
        if channel.label != CHANNEL or self._channel is not None:
            self._reject("a data channel that is not ours")
            channel.close()
            return
        self._channel = channel
        channel.on("message", self._take)
        channel.on("close", self._leave)

    def _take_track(self, track: MediaStreamTrack) -> None:
        if self._reader is None:
            self._reader = self._loop.create_task(self._read(track))

    # The page talks.

    def _take(self, given: str | bytes) -> None:
        self._signs += 1
        if self._over.done():
            return
        if self._allowed.wait_seconds(len(given) + MESSAGE_COST_BYTES):
            self._reject("messages faster than sound")
        elif isinstance(given, bytes):
            self._reject("binary message")
        elif len(given) > MESSAGE_BYTES_MAX:
            self._reject("oversized message")
        else:
            self._take_text(given)

    def _take_text(self, given: str) -> None:
        try:
            message = read_message(given)
        except msgspec.ValidationError:
            self._reject(shape_of(given))
            return
        except (msgspec.DecodeError, RecursionError, ValueError):
            self._reject("malformed JSON")
            return
        line = self._line
        match message:
            case Bye():
                self._end(HUNG_UP)
            case Ping(id=number):
                self.send_message({"type": "pong", "id": number})
            case Delay(ms=delay_ms, buffer_ms=buffer_ms):
                self._voice.measured(delay_ms * MS, buffer_ms * MS)
            case Hello() if not self._hello.done():
                self._hello.set_result(message)
            case Text(text=text) if line is not None:
                line.typed(text)
            case Key(digit=digit) if line is not None:
                line.pressed(digit)
            case _:
                self._reject("early or second message")

    def _reject(self, reason: str) -> None:
        """Count something unusable. A connection that sends little else is ended."""
        self._rejected += 1
        if self._line is not None:
            self._line.rejected(reason)
        if self._rejected >= REJECTED_MAX:
            self._end(UNUSABLE)

    # The page's microphone.

    async def _read(self, track: MediaStreamTrack) -> None:
        """Take every frame there is, heard or not: aiortc keeps without bound what nobody takes."""
        with suppress(MediaStreamError):
            while True:
                frame = await track.recv()
                assert isinstance(frame, av.AudioFrame)
                self._signs += 1
                if self._line is not None:
                    self._hear(self._line, frame)

    def _hear(self, line: Line, frame: av.AudioFrame) -> None:
        if self._heard.wait_seconds(frame.samples):
            self._reject("sound faster than sound")
            return
        pts = frame.pts or 0
        missing = 0 if self._next_pts is None else pts - self._next_pts
        self._next_pts = pts + frame.samples
        if missing > 0:
            line.hear(self._concealer.lost(min(missing, MICROPHONE_HZ * GAP_NS_MAX // SECOND)))
        line.hear(self._concealer.heard(mono(frame)))


def mono(frame: av.AudioFrame) -> bytes:
    """The mean of a stereo frame's channels, as PCM16."""
    both = frame.to_ndarray().reshape(-1, 2).astype(np.int32)
    return ((both[:, 0] + both[:, 1]) >> 1).astype("<i2").tobytes()


def hold_back_little(receiver: RTCRtpReceiver) -> None:
    """Give a receiver a jitter buffer for a recogniser, which wants sound soon, where aiortc's is for an ear, which wants it even."""
    name = "_RTCRtpReceiver__jitter_buffer"
    assert hasattr(receiver, name), "aiortc has changed"
    setattr(receiver, name, JitterBuffer(capacity=PACKETS_HELD, prefetch=0))


async def close_peer(peer: RTCPeerConnection) -> None:
    """Close a connection, and what aiortc leaves open of one that an odd offer did not let it put together."""
    try:
        await peer.close()
    except AttributeError:  # over a data section without a transport, before it came to the sockets
        for transceiver in peer.getTransceivers():
            if (encrypted := transceiver.receiver.transport) is not None:
                await encrypted.stop()
                await encrypted.transport.stop()


def check_offer(offer: str) -> None:
    """Raises ValueError for an offer that asks for more than a conversation: other media, or more of them, or a flood of candidates."""
    lines = offer.splitlines()
    media = sorted(line[2:].split(" ", 1)[0] for line in lines if line.startswith("m="))
    if len(lines) > SDP_LINES_MAX or sum(line.startswith("a=candidate") for line in lines) > CANDIDATES_MAX:
        raise ValueError("this offer is longer than any that is meant")
    if media != ["application", "audio"]:
        raise ValueError("an offer needs one audio section and one data channel, and nothing else")
