"""The short way of a connection, against websockets' own parser: the same messages whatever way the bytes are cut."""

import asyncio
import itertools
from typing import Any

import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st
from uvicorn.server import ServerState
from websockets.frames import Frame, Opcode

from engine.server.direct import DirectWebSocket
from engine.transports.asgi import DIRECT

REQUEST = (
    b"GET /twilio/media HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


class Pipe(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)})
        self.written = bytearray()
        self.closing = False
        self.reading = True

    def write(self, data: Any) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


class Accepted:
    """A connection whose app has let it in and attached to it."""

    def __init__(self) -> None:
        self.heard: list[str | bytes] = []
        self.codes: list[int] = []
        self.pipe = Pipe()
        self.attached = asyncio.Event()

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        direct = scope["extensions"][DIRECT]
        await receive()
        await send({"type": "websocket.accept"})
        direct.attach(self.heard.append, self.codes.append)
        self.attached.set()
        await asyncio.Event().wait()

    async def open(self) -> DirectWebSocket:
        config = uvicorn.Config(
            self.app, interface="asgi3", log_config=None, lifespan="off", ws_ping_interval=None, ws_max_size=100_000
        )
        config.load()
        protocol = DirectWebSocket(config, ServerState(), {})
        protocol.connection_made(self.pipe)
        protocol.data_received(REQUEST)
        await self.attached.wait()
        self.pipe.written.clear()
        return protocol


def wire(opcode: Opcode, data: bytes, fin: bool = True) -> bytes:
    return Frame(opcode, data, fin).serialize(mask=True)


def heard_of(chunks: list[bytes]) -> tuple[list[str | bytes], list[int], bytes]:
    async def main() -> tuple[list[str | bytes], list[int], bytes]:
        there = Accepted()
        protocol = await there.open()
        for chunk in chunks:
            protocol.data_received(chunk)
        return there.heard, there.codes, bytes(there.pipe.written)

    return asyncio.run(main())


messages = st.lists(st.one_of(st.text(max_size=200), st.binary(max_size=70_000)), max_size=5)


@given(messages, st.lists(st.integers(0, 80_000), max_size=6), st.booleans())
def test_messages_arrive_whole_however_the_bytes_are_cut(
    said: list[str | bytes], cuts: list[int], fragmented: bool
) -> None:
    sent = b""
    for message in said:
        opcode, data = (Opcode.BINARY, message) if isinstance(message, bytes) else (Opcode.TEXT, message.encode())
        if fragmented and len(data) > 1:
            sent += wire(opcode, data[:1], fin=False) + wire(Opcode.PING, b"?") + wire(Opcode.CONT, data[1:])
        else:
            sent += wire(opcode, data)
    places = [0, *sorted(min(cut, len(sent)) for cut in cuts), len(sent)]
    heard, codes, _ = heard_of([sent[start:end] for start, end in itertools.pairwise(places)])
    assert heard == said
    assert codes == []


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (Frame(Opcode.TEXT, b"unmasked").serialize(mask=False), 1002),
        (wire(Opcode.TEXT, b"\xff\xfe"), 1007),
        (bytes((0xC1, 0x80, 0, 0, 0, 0)), 1002),
        (bytes((0x83, 0x80, 0, 0, 0, 0)), 1002),
        (wire(Opcode.CONT, b"nothing before it"), 1002),
        (wire(Opcode.TEXT, b"a", fin=False) + wire(Opcode.TEXT, b"b"), 1002),
        (bytes((0x82, 0xFF)) + (1 << 40).to_bytes(8, "big"), 1009),
        (bytes((0x82, 0xFF)) + (100_001).to_bytes(8, "big"), 1009),
    ],
)
def test_what_is_no_websocket_ends_the_connection(frame: bytes, code: int) -> None:
    heard, codes, _ = heard_of([wire(Opcode.TEXT, b"before"), frame, wire(Opcode.TEXT, b"after")])
    assert heard == ["before"]
    assert codes[:1] == [code]


def test_a_ping_is_answered_and_a_close_is_told() -> None:
    heard, codes, written = heard_of([wire(Opcode.PING, b"abc") + wire(Opcode.CLOSE, b"\x03\xe9")])
    assert heard == []
    assert codes == [1001]
    assert written.startswith(b"\x8a\x03abc\x88")


@pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536])
def test_what_is_sent_at_once_is_a_frame(size: int) -> None:
    async def main() -> bytes:
        there = Accepted()
        protocol = await there.open()
        assert protocol.send_now(bytes(size))
        return bytes(there.pipe.written)

    assert asyncio.run(main()) == Frame(Opcode.BINARY, bytes(size)).serialize(mask=False)


def test_nothing_is_sent_at_once_while_the_peer_does_not_read_or_is_leaving() -> None:
    async def main() -> None:
        there = Accepted()
        protocol = await there.open()
        protocol.pause_writing()
        assert not protocol.send_now("late")
        protocol.resume_writing()
        protocol.data_received(wire(Opcode.CLOSE, b""))
        assert not protocol.send_now("too late")

    asyncio.run(main())


def test_whoever_is_attached_can_stop_the_reading_and_a_ping_does_not_undo_it() -> None:
    async def main() -> None:
        there = Accepted()
        protocol = await there.open()
        protocol.pause()
        protocol.data_received(wire(Opcode.PING, b""))
        assert not there.pipe.reading
        protocol.resume()
        assert there.pipe.reading

    asyncio.run(main())


def test_messages_wait_for_receive_when_nobody_is_attached() -> None:
    async def main() -> None:
        there = Accepted()
        protocol = await there.open()
        protocol.detach()
        protocol.data_received(wire(Opcode.TEXT, b"one") + wire(Opcode.BINARY, b"two"))
        assert not there.pipe.reading
        assert (await protocol.receive())["text"] == "one"
        assert (await protocol.receive())["bytes"] == b"two"
        assert there.pipe.reading
        protocol.data_received(wire(Opcode.TEXT, b"three"))
        protocol.attach(there.heard.append, there.codes.append)
        assert there.heard == ["three"]

    asyncio.run(main())
