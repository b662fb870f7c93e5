import asyncio
from contextlib import suppress

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from engine.server import protocols
from engine.transports.browser import UP
from tests.server.servers import Served, make_config, serving
from tests.server.test_sessions import page
from tests.transports.wires import run

PING = bytes((0x89, 0x80, 0, 0, 0, 0))
PONG = bytes((0x8A, 0x80, 0, 0, 0, 0))
BEGINNING = bytes((0x02, 0x80, 0, 0, 0, 0))
FRAGMENT = bytes((0x00, 0x80, 0, 0, 0, 0))
BINARY = bytes((0x82, 0x80, 0, 0, 0, 0))


@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "])
def test_a_request_that_never_ends_is_cut_off(said: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocols, "HEAD_SECONDS", 0.05)

    async def main() -> None:
        async with serving(make_config()) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(said)
            with suppress(ConnectionResetError):
                assert await reader.read() == b""
            writer.close()

    run(main())


def test_a_call_outlives_the_patience_for_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocols, "HEAD_SECONDS", 0.05)

    async def main() -> None:
        async with serving(make_config()) as server, page(server.ws) as visitor:
            await visitor.until(type="agent", state="done")

    run(main())


async def upgraded(server: Served) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A session's socket, byte by byte."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    head = f"GET /session HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{key}\r\n"
    hello = b'{"type":"hello","rate":16000}'
    writer.write(head.encode())
    await reader.readuntil(b"\r\n\r\n")
    writer.write(bytes((0x81, 0x80 | len(hello), 0, 0, 0, 0)) + hello)
    return reader, writer


@pytest.mark.parametrize("frame", [PING, BINARY])
def test_a_flood_of_small_frames_is_parsed_in_turns(frame: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocols, "TURN_SECONDS", 0.0)  # a slice a turn
    monkeypatch.setattr(protocols, "CONTROLS_AT_ONCE", 10_000)
    turns: list[int] = []
    go_on = protocols.WebSocket._go_on

    def counted(self: protocols.WebSocket) -> None:
        turns.append(len(self._unparsed))
        go_on(self)

    async def main() -> None:
        async with serving(make_config(ENGINE_SERVER_DRAIN_MS="0")) as server, page(server.ws) as healthy:
            await healthy.until(type="ready")
            _, writer = await upgraded(server)
            monkeypatch.setattr(protocols.WebSocket, "_go_on", counted)
            with suppress(ConnectionError):
                writer.write(frame * 5_000)
                await writer.drain()
            # The neighbour's call goes on.
            await healthy.say(type="ping", id=7)
            await healthy.until(type="pong", id=7)
            writer.transport.abort()

    run(main())
    assert len(turns) > 1


@pytest.mark.parametrize("frame", [PING, PONG, FRAGMENT])
def test_a_flood_of_what_is_no_message_ends_its_connection(frame: bytes) -> None:
    async def main() -> None:
        async with serving(make_config(ENGINE_SERVER_DRAIN_MS="0")) as server:
            reader, writer = await upgraded(server)
            writer.write(BEGINNING + frame * int(protocols.CONTROLS_AT_ONCE * 1.5))
            with suppress(ConnectionError):
                while await reader.read(4_096):
                    pass
            writer.close()

    run(main())


def test_a_refusal_is_no_fault_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with serving(make_config()) as server:
            with pytest.raises(InvalidStatus, match="403"):
                await connect(server.ws + "/twilio/media").__aenter__()

    run(main())
    assert [record.levelname for record in caplog.records if record.name.startswith("uvicorn")] == []


def test_a_peer_that_pings_and_does_not_read_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with serving(make_config(ENGINE_SERVER_DRAIN_MS="0")) as server:
            reader, writer = await upgraded(server)
            monkeypatch.setattr(protocols, "UNREAD_BYTES_MAX", -1)  # nothing may be unread
            writer.write(PING)
            with suppress(ConnectionError):
                while await reader.read(4_096):
                    pass
            writer.close()

    run(main())


def test_large_messages_cut_anywhere_arrive_whole() -> None:
    async def main() -> None:
        async with serving(make_config(ENGINE_SERVER_DRAIN_MS="0")) as server, page(server.ws) as visitor:
            for at in range(0, 4 * 16_000, 16_000):
                await visitor.socket.send(UP.pack(at) + bytes(32_000))
            await visitor.say(type="ping", id=1)
            await visitor.until(type="pong", id=1)
            session = server.app.switchboard.host.session(visitor.messages[0]["session"])
            assert session is not None
            rejected = session.state.counters.rejected
            assert rejected == 0

    run(main())
