"""uvicorn's two protocols, with the patience of a server that strangers reach.

Rule 1  A request has to come to its end in a bounded time.
Rule 2  One peer's bytes are parsed for a bounded time, then the neighbours have their turn.
Rule 3  What is no message (pings, pongs, fragments) is rare, or the connection ends.
Rule 4  What is written for a peer that does not read is bounded, also what the protocol writes by itself.
"""

import asyncio
import time
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol
from websockets.frames import Frame

from engine.server.direct import DirectWebSocket
from engine.transports.asgi import Allowance

HEAD_SECONDS = 10.0
"""A connection that asks for nothing this long, twice over, is closed, however slowly it dribbles."""
SLICE_BYTES = 2_048
"""Parsed between two looks at the clock: 340 of the smallest frames, about 2 ms."""
TURN_SECONDS = 0.002
"""Parsed in one turn of the loop. 256 KiB of sound, the most a socket gives at once, take about that."""
UNPARSED_BYTES_MAX = 2 * 1024 * 1024
"""Received and not yet parsed: a burst of 20 s of sound after a stall."""
CONTROLS_PER_SECOND, CONTROLS_AT_ONCE = 20.0, 500.0
"""Frames that are no whole message: browsers and Twilio answer our ping every 15 s and send none; a message may come in fragments."""
UNREAD_BYTES_MAX = 1024 * 1024
"""Written and not yet read by the peer. Our own messages stop far below; a peer that pings without reading gets here."""


class Http(H11Protocol):
    """Waits for a request, but not for ever."""

    _idle = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.loop.call_later(HEAD_SECONDS, self._check)

    def _check(self) -> None:
        if self.transport.is_closing() or self.transport.get_protocol() is not self:
            return  # it ended, or is a WebSocket now
        idle = self.cycle is None or self.cycle.response_complete
        if idle and self._idle:
            self.transport.abort()
            return
        self._idle = idle
        self.loop.call_later(HEAD_SECONDS, self._check)


class WebSocket(DirectWebSocket):
    """Parses a flood of small frames in turns."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._unparsed = b""
        self._controls = Allowance(CONTROLS_PER_SECOND, CONTROLS_AT_ONCE)

    def handle_ping(self) -> None:
        self._count_control()
        super().handle_ping()

    def handle_pong(self, event: Frame) -> None:
        self._count_control()
        super().handle_pong(event)

    def handle_cont(self, event: Frame) -> None:
        self._count_control()
        super().handle_cont(event)

    def _count_control(self) -> None:
        if self._controls.wait_seconds(1):
            self.transport.abort()

    async def send(self, message: Any) -> None:
        await super().send(message)
        if message["type"] == "websocket.http.response.body":
            # A refusal has been answered in full. uvicorn would call it a fault of ours, once for each stranger.
            self.handshake_complete = True

    def data_received(self, data: bytes) -> None:
        if not self._unparsed:
            if len(data) > SLICE_BYTES:
                self._parse(data)
                return
            super().data_received(data)
            if self.transport.get_write_buffer_size() > UNREAD_BYTES_MAX:
                self.transport.abort()
        elif len(self._unparsed) + len(data) > UNPARSED_BYTES_MAX:
            self.transport.abort()
        else:
            self._unparsed += data

    def _parse(self, data: bytes) -> None:
        until = time.perf_counter() + TURN_SECONDS
        for at in range(0, len(data), SLICE_BYTES):
            super().data_received(data[at : at + SLICE_BYTES])
            if self.transport.is_closing():
                return
            if self.transport.get_write_buffer_size() > UNREAD_BYTES_MAX:
                self.transport.abort()
                return
            if time.perf_counter() > until and at + SLICE_BYTES < len(data):
                self._unparsed = data[at + SLICE_BYTES :]
                self.read_paused = True
                self.transport.pause_reading()
                self.loop.call_soon(self._go_on)
                return

    def _go_on(self) -> None:
        data, self._unparsed = self._unparsed, b""
        if self.transport.is_closing():
            return
        self._parse(data)
        # With messages waiting, the application's next `receive` resumes the reading.
        if not self._unparsed and not self.held and self.queue.empty() and not self.transport.is_closing():
            self.read_paused = False
            self.transport.resume_reading()
