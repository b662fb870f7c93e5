"""A WebSocket client for hundreds of connections: the handshake, frames both ways, pings. No queues and no tasks.

What it leaves out: compression (never offered), and real masking. A mask protects proxies from pages' scripts; a key of zeros is as
good for a server, which unmasks all the same, and spares the work here. Source: RFC 6455, sections 4.1, 5.2 and 5.5.
"""

import asyncio
import base64
import functools
import secrets
import ssl
import struct
from collections.abc import Callable, Mapping
from typing import cast
from urllib.parse import urlsplit

from engine.errors import EngineError

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
FINAL, MASKED = 0x80, 0x80
SHORT_MAX, MEDIUM_MAX = 125, 65_535
NO_MASK = bytes(4)
SHORT = struct.Struct("!BB4s")
MEDIUM = struct.Struct("!BBH4s")
HEAD_BYTES_MAX = 16 * 1024
FRAME_BYTES_MAX = 4 * 1024 * 1024
CONNECT_SECONDS = 15.0
NORMAL = (1000).to_bytes(2, "big")


class Refused(EngineError):
    """The server did not let a caller in. The text says how."""


def frame(opcode: int, payload: bytes) -> bytes:
    """A whole message as a client sends it, up to 64 KiB."""
    size = len(payload)
    if size <= SHORT_MAX:
        return SHORT.pack(FINAL | opcode, MASKED | size, NO_MASK) + payload
    return MEDIUM.pack(FINAL | opcode, MASKED | 126, size, NO_MASK) + payload


async def dial(
    url: str, headers: Mapping[str, str], take: Callable[[int, bytes], None], gone: Callable[[str], None]
) -> "Wire":
    """A connection that the server has let in. Raises Refused, OSError, TimeoutError."""
    parts = urlsplit(url)
    tls = ssl.create_default_context() if parts.scheme == "wss" else None
    async with asyncio.timeout(CONNECT_SECONDS):
        _, wire = await asyncio.get_running_loop().create_connection(
            functools.partial(Wire, url, headers, take, gone),
            parts.hostname or "",
            parts.port or (443 if tls else 80),
            ssl=tls,
        )
        try:
            await wire.opened
        except BaseException:
            wire.abort()
            raise
        return wire


class Wire(asyncio.Protocol):
    """One connection. `take` is given each message, `gone` is called once when it has closed."""

    def __init__(
        self, url: str, headers: Mapping[str, str], take: Callable[[int, bytes], None], gone: Callable[[str], None]
    ) -> None:
        """take: (TEXT or BINARY, payload)."""
        parts = urlsplit(url)
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._host = parts.netloc
        self._headers = headers
        self._take = take
        self._gone = gone
        self._buffer = bytearray()
        self._upgraded = False
        self._message = bytearray()
        self._message_opcode = 0
        self._reason = "the connection was lost"
        self._transport: asyncio.Transport | None = None
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the server has let us in; Refused when it has not."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        key = base64.b64encode(secrets.token_bytes(16)).decode()
        lines = [f"GET {self._path} HTTP/1.1", f"Host: {self._host}", "Upgrade: websocket", "Connection: Upgrade"]
        lines += [f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13"]
        lines += [f"{name}: {value}" for name, value in self._headers.items()]
        self._transport.write(("\r\n".join(lines) + "\r\n\r\n").encode())

    def send(self, data: bytes) -> None:
        """One or more frames."""
        if self._transport is not None:
            self._transport.write(data)

    def send_text(self, text: bytes) -> None:
        self.send(frame(TEXT, text))

    def close(self) -> None:
        """Say goodbye and leave."""
        if self._transport is not None:
            if self._upgraded:
                self._transport.write(frame(CLOSE, NORMAL))
            self._transport.close()

    def abort(self) -> None:
        """Be gone without a word, as a broken line is."""
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._upgraded and not self._upgrade():
            return
        buffer = self._buffer
        position = 0
        while (end := self._next(buffer, position)) > 0:
            position = end
        if end < 0:
            self._reason = "the server sent what is no WebSocket frame"
            self.abort()
        del buffer[:position]

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if not self.opened.done():
            self.opened.set_exception(Refused(self._reason))
        self._gone(self._reason)

    def _upgrade(self) -> bool:
        """Read the answer to the handshake. False: not whole yet, or a refusal."""
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > HEAD_BYTES_MAX:
                self.abort()
            return False
        head = bytes(self._buffer[:end]).split(b"\r\n", 1)[0].decode("latin-1")
        if " 101 " not in f"{head} ":
            body = bytes(self._buffer[end + 4 :])[:200].decode(errors="replace")
            self._reason = f"{head.partition(' ')[2]} {body}".strip()
            self.abort()
            return False
        del self._buffer[: end + 4]
        self._upgraded = True
        if not self.opened.done():
            self.opened.set_result(None)
        return True

    def _next(self, buffer: bytearray, position: int) -> int:
        """Take the frame that begins here. Returns where it ends; 0: it is not whole yet; -1: it cannot be read."""
        have = len(buffer) - position
        if have < 2:
            return 0
        first, size = buffer[position], buffer[position + 1]
        body = position + 2
        if size & MASKED or first & 0x70:
            return -1
        if size == 126:
            size = int.from_bytes(buffer[body : body + 2], "big")
            body += 2
        elif size == 127:
            size = int.from_bytes(buffer[body : body + 8], "big")
            body += 8
        if size > FRAME_BYTES_MAX:
            return -1
        if len(buffer) < body + size:
            return 0
        self._frame(first, bytes(buffer[body : body + size]))
        return body + size

    def _frame(self, first: int, payload: bytes) -> None:
        opcode = first & 0x0F
        if opcode == PING:
            self.send(frame(PONG, payload))
        elif opcode == CLOSE:
            code = int.from_bytes(payload[:2], "big")
            self._reason = f"closed by the server: {code} {payload[2:].decode(errors='replace')}".strip()
            self.close()
        elif opcode in (TEXT, BINARY) and first & FINAL:
            self._take(opcode, payload)
        elif opcode in (TEXT, BINARY, CONTINUATION):
            self._message_opcode = opcode or self._message_opcode
            self._message += payload
            if first & FINAL:
                whole = bytes(self._message)
                self._message.clear()
                self._take(self._message_opcode, whole)
