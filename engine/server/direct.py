"""uvicorn's WebSocket with a short way through it, for connections that carry fifty messages a second each way.

The ASGI way of one message is: a parser of generators, a queue, two system calls to stop and start reading, a future, a turn of the
event loop, a task. Here whole frames of data are read in the socket's own callback and given to whoever is attached, in the same
callback; what is sent leaves without a coroutine. Everything rare stays with uvicorn and websockets: the handshake, control frames,
fragments, oversized and malformed frames, pings, closing, and every connection to which nobody is attached.

An ASGI app finds it as `scope["extensions"]["engine.direct"]`; see `transports.asgi.Direct`.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request
from websockets.protocol import OPEN

from engine._codec import lone_text
from engine.transports.asgi import DIRECT

try:
    from websockets.speedups import apply_mask
except ImportError:
    from websockets.utils import apply_mask

TEXT, BINARY, CONTINUATION = 0x81, 0x82, 0x80
"""First bytes of whole data frames, and of a fragment that is the last. Source: RFC 6455, section 5.2."""
OPCODE, FINAL, MASKED = 0x0F, 0x80, 0x80
CONTROL = 0x08
TWO_BYTES, EIGHT_BYTES = 126, 127

Take = Callable[[str | bytes], None]
Gone = Callable[[int], None]


class Inbox(asyncio.Queue[Any]):
    """uvicorn's queue of messages for the app, which hands them over at once while somebody is attached."""

    def __init__(self) -> None:
        super().__init__()
        self.take: Take | None = None
        self._gone: Gone | None = None

    def attach(self, take: Take, gone: Gone) -> None:
        self.take, self._gone = take, gone
        while self.take is not None and not self.empty():
            self.put_nowait(self.get_nowait())

    def detach(self) -> None:
        self.take = self._gone = None

    def put_nowait(self, item: Any) -> None:
        if self.take is None or self._gone is None:
            super().put_nowait(item)
        elif item["type"] == "websocket.disconnect":
            self._gone(item.get("code", 0))
        elif item["type"] == "websocket.receive":
            text = item.get("text")
            self.take(item["bytes"] if text is None else text)


class DirectWebSocket(WebSocketsSansIOProtocol):
    """One connection."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._inbox: Inbox = Inbox()
        self.queue = self._inbox
        self._kept = b""
        """The beginning of a frame that is not whole yet."""
        self._slow = False
        """The peer was out of step: websockets parses all the rest."""
        self._fragmented = False
        """Between the first and the last fragment of a message."""
        self.held = False
        """Whoever is attached wants nothing more for now."""

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if not self.handshake_complete:
            self.scope["extensions"][DIRECT] = self  # type: ignore[assignment]

    # For whoever is attached.

    def attach(self, take: Take, gone: Gone) -> None:
        """Give messages to `take` from now on, first those that wait; `gone` is told the code when the peer closes. They do not raise."""
        self._inbox.attach(take, gone)
        if not self.held:
            self.resume()

    def detach(self) -> None:
        """Messages wait for `receive` again."""
        self._inbox.detach()

    def pause(self) -> None:
        """Read nothing until `resume`."""
        self.held = True
        self._stop_reading()

    def _stop_reading(self) -> None:
        if not self.read_paused:
            self.read_paused = True
            self.transport.pause_reading()

    def resume(self) -> None:
        self.held = False
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()

    def send_now(self, message: str | bytes) -> bool:
        """Send at once. False: it would have to wait, or the connection is closing; nothing was done."""
        if not self.writable.is_set() or self.close_sent or self.disconnected or self.conn.state is not OPEN:
            return False
        first, payload = (BINARY, message) if isinstance(message, bytes) else (TEXT, message.encode())
        size = len(payload)
        if size < TWO_BYTES:
            head = bytes((first, size))
        elif size < 1 << 16:
            head = bytes((first, TWO_BYTES, size >> 8, size & 0xFF))
        else:
            head = bytes((first, EIGHT_BYTES)) + size.to_bytes(8, "big")
        self.transport.write(head + payload)
        return True

    # From the socket.

    def data_received(self, data: bytes) -> None:
        if self._slow or not self.handshake_complete:
            self._slow = self._slow or self.handshake_initiated
            super().data_received(data)
            return
        if self._kept:
            data = self._kept + data
        elif self._is_open and self._inbox.take is not None and (text := lone_text(data)) is not None:
            self._inbox.take(text)
            return
        position = 0
        while not self._slow and (end := self._frame(data, position)):
            position = end
        self._kept = b"" if self._slow else data[position:]

    @property
    def _is_open(self) -> bool:
        """Whether a whole message may come now."""
        return not self._fragmented and not self.close_sent and self.conn.state is OPEN

    def _frame(self, data: bytes, position: int) -> int:
        """Take the frame that begins here. Returns where it ends; 0: it is not whole yet."""
        have = len(data)
        if have - position < 2:
            return 0
        first, size = data[position], data[position + 1]
        masked, size = size & MASKED, size & ~MASKED
        body = position + 2
        if size == TWO_BYTES:
            if have < body + 2:
                return 0
            size = data[body] << 8 | data[body + 1]
            body += 2
        elif size == EIGHT_BYTES:
            if have < body + 8:
                return 0
            size = int.from_bytes(data[body : body + 8], "big")
            body += 8
        if size > self.config.ws_max_size:
            self._slow = True
            super().data_received(data[position:])
            return have
        end = body + size + (4 if masked else 0)
        if have < end:
            return 0
        if first in (TEXT, BINARY) and masked and self._is_open:
            self._deliver(first, apply_mask(data[body + 4 : end], data[body : body + 4]))
        else:
            self._leave_to_websockets(first, data[position:end])
        return end

    def _leave_to_websockets(self, first: int, frame: bytes) -> None:
        if not first & CONTROL:
            self._fragmented = not first & FINAL
        super().data_received(frame)
        if self._inbox.take is not None and not self.held:
            self.resume()

    def _deliver(self, first: int, payload: bytes) -> None:
        message: str | bytes = payload
        if first == TEXT:
            try:
                message = payload.decode()
            except UnicodeDecodeError:
                self.conn.send_close(1007)
                self.handle_parser_exception()
                return
        if self._inbox.take is not None:
            self._inbox.take(message)
            return
        self.curr_msg_data_type = "text" if first == TEXT else "bytes"
        self._inbox.put_nowait({"type": "websocket.receive", self.curr_msg_data_type: message})
        self._stop_reading()
