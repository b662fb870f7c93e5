"""Strangers of every bad kind at once, in a process of their own: `python besiegers.py PORT SEED [KIND …]`, until it is killed.

Each kind tries again and again for as long as the siege lasts. Once a second the number of attempts of each is printed.
"""

import asyncio
import os
import random
import struct
import sys
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress

KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
HELLO = b'{"type":"hello","rate":16000}'
START = b'{"event":"start","start":{"streamSid":"MZ1","callSid":"CA1"}}'
TEXT, BINARY, PING = 0x81, 0x82, 0x89

chance = random.Random()


class Stranger:
    """One connection, byte by byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def upgrade(self, path: str = "/session", extra: str = "") -> None:
        head = (
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{KEY}{extra}\r\n"
        )
        await self.send(head.encode())
        await self.reader.readuntil(b"\r\n\r\n")

    async def greet(self) -> None:
        await self.upgrade()
        await self.send(frame(TEXT, HELLO))

    async def listen(self, seconds: float) -> None:
        """Read what comes for so long, or until the server has had enough."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while await self.reader.read(65_536):
                    pass


def frame(first: int, body: bytes, *, claims: int | None = None, masked: bool = True) -> bytes:
    """A WebSocket frame; `claims`: the length it says it has."""
    size = len(body) if claims is None else claims
    mask = 0x80 if masked else 0
    if size < 126:
        head = bytes((first, mask | size))
    elif size < 65_536:
        head = bytes((first, mask | 126)) + struct.pack(">H", size)
    else:
        head = bytes((first, mask | 127)) + struct.pack(">Q", size)
    return head + (bytes(4) if masked else b"") + body


async def noise(it: Stranger) -> None:
    await it.send(chance.randbytes(chance.randrange(1, 4_096)))
    await it.listen(0.05)


async def noise_after_the_upgrade(it: Stranger) -> None:
    await it.upgrade()
    await it.send(chance.randbytes(chance.randrange(1, 4_096)))
    await it.listen(0.05)


async def broken_head(it: Stranger) -> None:
    path = chance.choice(["/", "/session", "/twilio/voice", "/inspect/api/calls", "/web/../../etc/passwd", "*", "\\"])
    lines = [
        "Host: [bad",
        "Host:",
        "Content-Length: -1",
        "Content-Length: 9\r\nContent-Length: 8",
        "Transfer-Encoding: x",
    ]
    head = f"{chance.choice(['GET', 'POST', 'PRI', 'CONNECT'])} {path} HTTP/1.1\r\n{chance.choice(lines)}\r\n\r\n"
    await it.send(head.encode())
    await it.listen(0.1)


async def endless_head(it: Stranger) -> None:
    await it.send(b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: ")
    while True:
        await it.send(b"a" * 4_096)


async def slow_loris(it: Stranger) -> None:
    for byte in b"GET /session HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: " + b"s" * 1_000:
        await it.send(bytes((byte,)))
        await asyncio.sleep(0.05)


async def silent_page(it: Stranger) -> None:
    await it.upgrade()
    await it.listen(2.0)


async def wrong_token(it: Stranger) -> None:
    token = f"Origin: https://evil.example\r\nSec-WebSocket-Protocol: engine.v1, engine.token.{chance.randbytes(9).hex()}\r\n"
    await it.upgrade(extra=token)
    await it.listen(0.2)


async def forged_stream(it: Stranger) -> None:
    await it.upgrade("/twilio/media", "X-Twilio-Signature: AAAA\r\n")
    await it.send(frame(TEXT, START))
    await it.listen(0.2)


async def forged_webhook(it: Stranger) -> None:
    body = zlib.compress(bytes(10_000_000)) if chance.random() < 0.5 else b"CallSid=%ff&" * 6_000
    await it.send(
        b"POST /twilio/voice HTTP/1.1\r\nHost: [bad\r\nContent-Encoding: deflate\r\nContent-Length: %d\r\n\r\n"
        % len(body)
    )
    await it.send(body)
    await it.listen(0.2)


async def truncated_frame(it: Stranger) -> None:
    await it.greet()
    await it.send(frame(BINARY, bytes(100), claims=chance.choice([101, 60_000, 500_000])))


async def oversized_frame(it: Stranger) -> None:
    await it.greet()
    await it.send(frame(BINARY, bytes(60_000), claims=chance.choice([1_500_000, 2**40, 2**63 - 1])))
    await it.listen(0.2)


async def oversized_messages(it: Stranger) -> None:
    await it.greet()
    for _ in range(20):
        await it.send(frame(TEXT, b"x" * 500_000))
    await it.listen(0.2)


async def compressed_bomb(it: Stranger) -> None:
    await it.upgrade(extra="Sec-WebSocket-Extensions: permessage-deflate\r\n")
    await it.send(frame(0xC1, zlib.compress(bytes(10_000_000))))
    await it.listen(0.2)


async def broken_frames(it: Stranger) -> None:
    await it.greet()
    await it.send(
        chance.choice(
            [
                frame(TEXT, b"{}", masked=False),
                frame(TEXT, b"\xff\xfe\xed\xa0\x80"),
                frame(0x80, b"a continuation of nothing"),
                frame(0x89, bytes(126)),
                frame(0xF3, b"no such opcode"),
                frame(0x88, b"\x00"),
            ]
        )
    )
    await it.listen(0.2)


async def malformed_messages(it: Stranger) -> None:
    await it.greet()
    texts = [
        b"{",
        b"[" * 60_000,
        b'{"type":"played","run":1e99}',
        b'{"type":"text","text":"\\ud800"}',
        b"\0" * 99,
        b"42",
    ]
    for _ in range(1_200):
        await it.send(frame(TEXT, chance.choice(texts)) + frame(BINARY, chance.randbytes(chance.randrange(9))))
    await it.listen(0.2)


async def flood_of_sound(it: Stranger) -> None:
    await it.greet()
    for place in range(0, 2**31, 16_000):
        await it.send(frame(BINARY, struct.pack("<I", place) + bytes(32_000)))


async def flood_of_pings(it: Stranger) -> None:
    await it.greet()
    while True:
        await it.send(frame(PING, b"") * 10_000)


async def flood_of_fragments(it: Stranger) -> None:
    await it.greet()
    await it.send(frame(0x01, b""))
    while True:
        await it.send(frame(0x00, b"") * 10_000)


async def flood_of_empty_messages(it: Stranger) -> None:
    await it.greet()
    while True:
        await it.send(frame(BINARY, b"") * 10_000)


KINDS: dict[Callable[[Stranger], Awaitable[None]], int] = {
    noise: 2, noise_after_the_upgrade: 2, broken_head: 2, endless_head: 2, slow_loris: 100, silent_page: 5, wrong_token: 2,
    forged_stream: 2, forged_webhook: 2, truncated_frame: 2, oversized_frame: 2, oversized_messages: 2, compressed_bomb: 2,
    broken_frames: 2, malformed_messages: 2, flood_of_sound: 2, flood_of_pings: 2, flood_of_fragments: 2, flood_of_empty_messages: 2,
}  # fmt: skip
"""Each kind, and how many of it there are at any time."""
ADDRESS = "127.0.0.66"
"""Where they come from. The healthy call comes from elsewhere: one address that takes all its room leaves other addresses theirs."""
REST_SECONDS = 0.05
"""Between two attempts of one stranger: about 600 connections a second in all."""


async def keep_trying(port: int, kind: Callable[[Stranger], Awaitable[None]], tries: Counter[str]) -> None:
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(ADDRESS, 0))
        except OSError:
            await asyncio.sleep(REST_SECONDS)
            continue
        tries[kind.__name__] += 1
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            await kind(Stranger(reader, writer))
        if chance.random() < 0.5:
            writer.transport.abort()
        writer.close()
        await asyncio.sleep(REST_SECONDS)


async def besiege(port: int, names: list[str]) -> None:
    tries: Counter[str] = Counter()
    async with asyncio.TaskGroup() as group:
        for kind, number in KINDS.items():
            for _ in range(number if not names or kind.__name__ in names else 0):
                group.create_task(keep_trying(port, kind, tries))
        while True:
            await asyncio.sleep(1)
            print(*(f"{name}={tries[name]}" for name in sorted(tries)), flush=True)


if __name__ == "__main__":
    os.nice(10)  # what is measured is what the server bears, not who wins the machine's cores
    chance.seed(int(sys.argv[2]))
    asyncio.run(besiege(int(sys.argv[1]), sys.argv[3:]))
