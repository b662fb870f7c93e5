"""What strangers send over WebRTC, as functions of bytes like those of `strangers`: offers with their candidates, messages on the data
channel, and sound in RTP. ICE, DTLS and SRTP before them are aiortc's and libraries'; a stranger has an offer answered before any of it.
"""

import asyncio
import contextlib
import functools
import os
import struct

from aiortc.codecs.opus import OpusDecoder
from aiortc.jitterbuffer import JitterBuffer
from aiortc.rtcpeerconnection import RTCPeerConnection
from aiortc.rtp import HeaderExtensionsMap, RtcpPacket, RtpPacket
from av import AudioFrame, FFmpegError

from engine.transports.webrtc import PACKETS_HELD, WebRTC, check_offer
from fuzz.far_end import SEPARATOR, Ear, run

BINARY = b"\x01"
TASKS_MAX, FILES_MAX = 20, 60
"""Of this process, after any number of offers. Linux."""


def sdp(data: bytes) -> None:
    """An offer: answered with an answer, or refused in words, and nothing of it stays open."""

    async def ask() -> None:
        peer = WebRTC()
        answer = ""
        with contextlib.suppress(ValueError):
            answer = await peer.answer(data.decode(errors="replace"))
        if answer:
            check_offer(answer)
        await peer.hang_up("over")
        assert len(asyncio.all_tasks()) < TASKS_MAX
        assert len(os.listdir("/proc/self/fd")) < FILES_MAX

    run(ask())


def channel(data: bytes) -> None:
    """Messages of a page on its data channel, before and in a call, text and binary."""

    async def call() -> None:
        peer = WebRTC()
        for number, part in enumerate(data.split(SEPARATOR)):
            if number == 1:
                peer._line = Ear("pcm16", 48_000)
            peer._take(part[1:] if part.startswith(BINARY) else part.decode(errors="replace"))
        await peer.hang_up("over")

    run(call())


def rtp(data: bytes) -> None:
    """Packets of sound and of reports: parsed, put in order, decoded, and heard with their gaps made up for."""

    async def call() -> None:
        peer = WebRTC()
        peer._line = Ear("pcm16", 48_000)
        buffer, decoder, known = JitterBuffer(capacity=PACKETS_HELD, prefetch=0), OpusDecoder(), HeaderExtensionsMap()
        for part in data.split(SEPARATOR):
            with contextlib.suppress(ValueError):
                RtcpPacket.parse(part)
            with contextlib.suppress(ValueError, FFmpegError):
                packet = RtpPacket.parse(part, known)
                packet._data = packet.payload  # type: ignore[attr-defined]
                _, whole = buffer.add(packet)
                for frame in decoder.decode(whole) if whole is not None else []:
                    assert isinstance(frame, AudioFrame)
                    peer._hear(peer._line, frame)
        await peer.hang_up("over")

    run(call())


TARGETS = {each.__name__: each for each in (sdp, channel, rtp)}


@functools.cache
def offer() -> str:
    """What a page sends."""

    async def make() -> str:
        page = RTCPeerConnection()
        page.addTransceiver("audio")
        page.createDataChannel("engine.v1")
        await page.setLocalDescription(await page.createOffer())
        made: str = page.localDescription.sdp
        await page.close()
        return made

    found: str = run(make())
    return found


def packet(sequence: int, stamp: int, payload: bytes, first: int = 0x80) -> bytes:
    """RFC 3550, section 5.1."""
    return struct.pack("!BBHII", first, 96, sequence & 0xFFFF, stamp & 0xFFFFFFFF, 7) + payload


def seeds(target: str) -> list[bytes]:
    """Inputs that get far, to begin with."""
    match target:
        case "sdp":
            own = offer()
            lines = own.replace("a=candidate", "a=candidate:9 1 udp 1 192.0.2.1 9 typ host\r\na=candidate", 1)
            return [own.encode(), lines.encode(), own.replace("opus/48000/2", "PCMU/8000").encode(), b"v=0\r\n"]
        case "channel":
            told = [
                b'{"type":"hello","rate":48000}', b'{"type":"delay","ms":95,"buffer_ms":40}', b'{"type":"text","text":"hello"}',
                b'{"type":"key","digit":"5"}', b'{"type":"ping","id":7}', BINARY + bytes(40), b'{"type":"bye"}',
            ]  # fmt: skip
            return [SEPARATOR.join(told), SEPARATOR.join(told[::-1])]
        case "rtp":
            quiet = [packet(n, 960 * n, b"\xf8\xff\xfe") for n in range(6)]
            report = struct.pack("!BBHIIIIII", 0x80, 200, 6, 7, 0, 0, 0, 1, 1)
            return [
                SEPARATOR.join([*quiet, report]),
                SEPARATOR.join([quiet[4], quiet[0], packet(5, 2**31, b"\xf8\xff\xfe"), quiet[5]]),
                SEPARATOR.join([packet(1, 1, b"\0\0\0\2\xf8\xff\xfe\2", 0xB1), bytes(12)]),
            ]
    raise AssertionError(target)
