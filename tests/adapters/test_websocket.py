"""The WebSocket under the adapters, against a server of another make than ours."""

import asyncio
import base64
import hashlib
import re
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.server import serve

from engine.adapters import websocket
from engine.adapters.websocket import Socket
from engine.core.units import MS
from engine.errors import AdapterError, FailureKind

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""Of RFC 6455, section 1.3."""

pytestmark = pytest.mark.anyio


class Ends:
    """What came out of a socket."""

    def __init__(self):
        self.messages = []
        self.error = asyncio.get_running_loop().create_future()
        self.some = asyncio.Event()

    def socket(self, **options):
        return Socket("acme", receive=self.take, lost=self.error.set_result, **options)

    def take(self, message):
        self.messages.append(message)
        self.some.set()


@asynccontextmanager
async def connected(handler, **options):
    async with serve(handler, "127.0.0.1", 0) as server:
        ends = Ends()
        socket = ends.socket(**options)
        await socket.connect(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/x", headers={"X-Key": "k"})
        try:
            yield ends, socket
        finally:
            socket.close()


async def test_text_and_binary_go_both_ways():
    async def echo(connection):
        assert connection.request.headers["X-Key"] == "k"
        async for message in connection:
            await connection.send(message)

    async with connected(echo) as (ends, socket):
        for message in ("zwölf", b"\x00\x01"):
            ends.some.clear()
            socket.send(message)
            await ends.some.wait()
    assert ends.messages == ["zwölf", b"\x00\x01"]
    assert not ends.error.done()


@pytest.mark.parametrize("cuts", [(), (127, 2), (128, 1), (128, 3), (129, 1, 1, 1, 1, 5), (40, 90, 6), (1,) * 140])
async def test_what_comes_with_the_upgrade_is_read_however_it_is_cut(cuts):
    async def answer(reader, writer):
        key = re.search(rb"Sec-WebSocket-Key: (.*)\r\n", await reader.readuntil(b"\r\n\r\n"))[1].decode()
        accept = base64.b64encode(hashlib.sha1((key + GUID).encode()).digest()).decode()
        head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        answer = f"{head}Sec-WebSocket-Accept: {accept}\r\n\r\n".encode() + b"\x81\x03one\x81\x03two\x81\x05three"
        for cut in cuts:
            writer.write(answer[:cut])
            answer = answer[cut:]
            for _ in range(5):
                await asyncio.sleep(0)
        writer.write(answer)
        await reader.read()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    ends = Ends()
    socket = ends.socket()
    await socket.connect(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/x", headers={})
    while len(ends.messages) < 3:
        ends.some.clear()
        await ends.some.wait()
    socket.close()
    server.close()
    assert ends.messages == ["one", "two", "three"]


async def test_a_message_in_pieces_is_one_message():
    async def pieces(connection):
        await connection.send(["ein ", "zwei ", "drei"])
        await connection.wait_closed()

    async with connected(pieces) as (ends, _):
        await ends.some.wait()
    assert ends.messages == ["ein zwei drei"]


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (1000, FailureKind.CLOSED),
        (1002, FailureKind.PROTOCOL),
        (1008, FailureKind.REJECTED),
        (1011, FailureKind.UNAVAILABLE),
        (1013, FailureKind.RATE_LIMITED),
        (4001, FailureKind.CLOSED),
        (4002, FailureKind.TIMEOUT),
    ],
)
async def test_a_close_code_is_a_kind(code, kind):
    async def leave(connection):
        await connection.close(code, "the reason may repeat the caller")

    async with connected(leave, kinds={4002: FailureKind.TIMEOUT}) as (ends, _):
        error = await ends.error
    assert error.kind is kind
    assert str(code) in error.detail
    assert "reason" not in str(error)


async def test_a_line_that_breaks_is_closed():
    async def break_off(connection):
        connection.transport.abort()

    async with connected(break_off) as (ends, _):
        assert (await ends.error).kind is FailureKind.CLOSED


async def test_an_error_in_the_reader_ends_the_connection_once():
    async def chatter(connection):
        async for message in connection:
            await connection.send(message)

    async with connected(chatter) as (ends, socket):
        assert socket.open
        socket._receive = int
        socket.send("1")
        socket.send("words")
        socket.send("more words")
        error = await ends.error
    assert error.kind is FailureKind.PROTOCOL
    assert "words" not in str(error)
    assert not socket.open


@asynccontextmanager
async def deaf():
    """A connection whose peer takes nothing off the line."""
    over = asyncio.Event()

    async def play_dead(connection):
        connection.transport.pause_reading()
        await over.wait()
        connection.transport.abort()

    async with connected(play_dead) as (ends, socket):
        try:
            yield ends, socket
        finally:
            over.set()


async def test_a_peer_that_answers_no_ping_is_gone(monkeypatch):
    monkeypatch.setattr(websocket, "PING_NS", 20 * MS)
    async with deaf() as (ends, _):
        assert (await ends.error).kind is FailureKind.TIMEOUT


async def test_a_peer_that_takes_nothing_is_given_up(monkeypatch):
    monkeypatch.setattr(websocket, "UNSENT_BYTES_MAX", 100_000)
    async with deaf() as (ends, socket):
        while not ends.error.done():
            socket.send(bytes(100_000))
            await asyncio.sleep(0)
        assert ends.error.result().kind is FailureKind.TIMEOUT


@asynccontextmanager
async def plain(answer=b""):
    """A server that is no WebSocket's: it says one thing and listens. Gives its url and what tells that the client came and went."""
    came, gone = asyncio.Event(), asyncio.Event()

    async def talk(reader, writer):
        await reader.readline()
        came.set()
        writer.write(answer)
        await reader.read()
        writer.close()
        await writer.wait_closed()
        gone.set()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}", came, gone
        await gone.wait()


async def test_an_upgrade_that_is_never_answered_times_out():
    async with plain() as (url, _, _):
        with pytest.raises(AdapterError) as caught:
            await Ends().socket().connect(url, headers={}, timeout_ns=50 * MS)
    assert caught.value.kind is FailureKind.TIMEOUT


async def test_an_upgrade_answered_with_nonsense_is_a_protocol_error():
    async with plain(b"220 mail.example ESMTP\r\n\r\n") as (url, _, _):
        with pytest.raises(AdapterError) as caught:
            await Ends().socket().connect(url, headers={})
    assert caught.value.kind is FailureKind.PROTOCOL


async def test_cancelling_a_connect_leaves_no_connection():
    async with plain() as (url, came, gone):
        task = asyncio.create_task(Ends().socket().connect(url, headers={}))
        await came.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await gone.wait()


@pytest.mark.parametrize(
    ("url", "kind"),
    [("ws://nowhere.invalid/", FailureKind.UNAVAILABLE), ("http://127.0.0.1/", FailureKind.REJECTED)],
)
async def test_an_address_that_leads_nowhere_is_a_kind(url, kind):
    with pytest.raises(AdapterError) as caught:
        await Ends().socket().connect(url, headers={})
    assert caught.value.kind is kind
