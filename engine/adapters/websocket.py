"""One WebSocket connection as a client, on the event loop's own callbacks: no task, no queue, no copy of its own.

`send` writes in the caller's callback and never blocks; a message that arrives is given to `receive` in the callback that read it.
Trouble of any kind (refused, closed, silent, malformed) reaches `lost` once, as one AdapterError. Messages pass by `frames`; the
upgrade, pings, fragments, closing and every error are the sans-I/O half of `websockets`.

Frames are not compressed (sound does not shrink), and environment proxies are not used.
Source: RFC 6455; close codes of section 7.4.1.
"""

import asyncio
import logging
import ssl
from collections.abc import Callable, Mapping
from functools import cache
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple, cast
from urllib.parse import urlencode

from msgspec import MsgspecError
from websockets.client import ClientProtocol
from websockets.exceptions import InvalidURI
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from engine.adapters.base import Options
from engine.adapters.frames import Reader, frame
from engine.adapters.http import status_failure
from engine.core.units import SECOND
from engine.errors import AdapterError, FailureKind

CONNECT_NS = 5 * SECOND
"""For name, TCP, TLS and upgrade together. Field medians are 100 to 300 ms; a caller does not wait longer than this."""
PING_NS = 4 * SECOND
"""A peer that says nothing for two of these, asked in between, is gone: a half-open socket is noticed within 8 s."""
MESSAGE_BYTES_MAX = 16 * 1024 * 1024
"""Precedent: pipecat raises its client's limit to this for ElevenLabs (2026-08)."""
UNSENT_BYTES_MAX = 2 * 1024 * 1024
"""A minute of 16 kHz sound that the peer has not taken."""

HEAD_END = b"\r\n\r\n"
QUIET = logging.Logger("engine.adapters.websocket", logging.CRITICAL)
"""For `websockets`, which at DEBUG would write headers, and so keys, and words of callers."""

CLOSE_KINDS = {
    1000: FailureKind.CLOSED,
    1001: FailureKind.CLOSED,
    1002: FailureKind.PROTOCOL,
    1003: FailureKind.PROTOCOL,
    1005: FailureKind.CLOSED,
    1006: FailureKind.CLOSED,
    1007: FailureKind.PROTOCOL,
    1008: FailureKind.REJECTED,
    1009: FailureKind.REJECTED,
    1010: FailureKind.PROTOCOL,
    1011: FailureKind.UNAVAILABLE,
    1012: FailureKind.UNAVAILABLE,
    1013: FailureKind.RATE_LIMITED,
    1014: FailureKind.UNAVAILABLE,
}
"""What a close code of the standard means to a rule. A provider's own codes come in beside these."""

Receive = Callable[[str | bytes], None]
Lost = Callable[[AdapterError], None]


@cache
def _tls() -> ssl.SSLContext:
    """Made once: reading the system's certificates takes about 20 ms."""
    return ssl.create_default_context()


class Dial(NamedTuple):
    """Where a provider is."""

    url: str
    headers: Mapping[str, str] = {}
    subprotocols: tuple[str, ...] = ()


class Socket(asyncio.Protocol):
    """One connection, opened by `connect`.

    receive:  takes each message, text or binary. AdapterError, or an error of decoding, raised in it ends the connection.
    lost:     takes the one error that ended an open connection. Not called for `close`.
    kinds:    the provider's own close codes; they come before the standard's.
    reasons:  the same, by a name that stands in the close's reason; they come before all codes.
    """

    def __init__(
        self,
        provider: str,
        *,
        receive: Receive,
        lost: Lost,
        kinds: Mapping[int, FailureKind] = MappingProxyType({}),
        reasons: Mapping[str, FailureKind] = MappingProxyType({}),
    ) -> None:
        self._provider = provider
        self._receive = receive
        self._lost = lost
        self._kinds = kinds
        self._reasons = reasons
        self._wire: ClientProtocol
        self._transport: asyncio.Transport | None = None
        self._upgraded: asyncio.Future[None]
        self._reader: Reader | None = None
        """From the upgrade on."""
        self._head = b""
        """Of the answer to the upgrade, as far as it has come."""
        self._pieces: list[bytes] = []
        """Of a message that comes in several frames."""
        self._text = False
        self._over = False
        self._heard_from = True
        self._ping: asyncio.TimerHandle | None = None

    async def connect(
        self,
        url: str,
        *,
        headers: Mapping[str, str],
        subprotocols: tuple[str, ...] = (),
        timeout_ns: int = CONNECT_NS,
    ) -> None:
        """Open the connection. The peer's first message may reach `receive` before this returns.

        Raises AdapterError: UNAVAILABLE (refused, DNS, TLS), TIMEOUT, or the kind of the HTTP status that answered.
        """
        try:
            uri = parse_uri(url)
        except InvalidURI:
            raise AdapterError(self._provider, FailureKind.REJECTED, "its url is no WebSocket address") from None
        names = [Subprotocol(name) for name in subprotocols]
        self._wire = ClientProtocol(uri, subprotocols=names or None, max_size=MESSAGE_BYTES_MAX, logger=QUIET)
        request = self._wire.connect()
        for name, value in headers.items():
            request.headers[name] = value
        loop = asyncio.get_running_loop()
        self._upgraded = loop.create_future()
        options: dict[str, Any] = {"ssl": _tls(), "server_hostname": uri.host} if uri.secure else {}
        try:
            async with asyncio.timeout(timeout_ns / SECOND):
                await loop.create_connection(lambda: self, uri.host, uri.port, **options)
                self._wire.send_request(request)
                self._flush()
                await self._upgraded
        except TimeoutError:
            self._abandon()
            raise AdapterError(self._provider, FailureKind.TIMEOUT, "it did not answer the upgrade") from None
        except (OSError, UnicodeError) as error:
            # OSError covers refused connections, names that do not resolve and TLS that does not hold.
            self._abandon()
            raise AdapterError(self._provider, FailureKind.UNAVAILABLE, type(error).__name__) from None
        except BaseException:
            self._abandon()
            raise

    @property
    def open(self) -> bool:
        """Whether `send` reaches anyone."""
        return not self._over and self._transport is not None and not self._transport.is_closing()

    def send(self, *parts: str | bytes) -> None:
        """Write one message from its parts, text or binary by the first. Dropped when the connection is over: `lost` has told."""
        if self._transport is not None and self.open:
            self._transport.write(frame(parts))

    def close(self) -> None:
        """Say goodbye and leave, without waiting for an answer. `lost` is not called for it. Idempotent."""
        if self._over:
            return
        self._end()
        if self._transport is not None:
            self._wire.send_close(1000)
            self._flush()
            self._transport.close()

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not by isinstance: uvloop's transports have no base class.
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=UNSENT_BYTES_MAX)

    def data_received(self, data: bytes) -> None:
        self._heard_from = True
        if self._reader is not None:
            self._reader.feed(data)
        else:
            self._take_upgrade(data)

    def eof_received(self) -> bool:
        self._wire.receive_eof()
        self._take_events()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(self._closing_error())

    def pause_writing(self) -> None:
        self._fail(AdapterError(self._provider, FailureKind.TIMEOUT, "it takes no more of our sound"))

    # How it works inside.

    def _take_upgrade(self, data: bytes) -> None:
        """Some of the answer to the upgrade. What follows it, in the same packet even, is frames."""
        before = len(self._head)
        self._head += data
        end = self._head.find(HEAD_END)
        cut = end + len(HEAD_END) - before if end >= 0 else len(data)
        self._take_rare(data[:cut])
        if end >= 0 and self.open and self._upgraded.done():
            self._reader = Reader(self._deliver, self._take_rare, message_bytes_max=MESSAGE_BYTES_MAX)
            self._reader.feed(data[cut:])
        else:
            self._take_rare(data[cut:])

    def _take_rare(self, data: bytes) -> None:
        """Let `websockets` read this."""
        self._wire.receive_data(data)
        self._take_events()

    def _take_events(self) -> None:
        for event in self._wire.events_received():
            if isinstance(event, Frame):
                self._take_frame(event)
            else:
                self._take_response(event)
        if self._wire.handshake_exc is not None and not self._upgraded.done():
            self._fail(AdapterError(self._provider, FailureKind.PROTOCOL, "the upgrade was answered with nonsense"))
        self._flush()
        if self._wire.close_rcvd is not None or self._wire.close_sent is not None:
            self._fail(self._closing_error())

    def _take_response(self, response: Request | Response) -> None:
        assert isinstance(response, Response)
        if response.status_code == 101 and self._wire.handshake_exc is None:
            self._upgraded.set_result(None)
            self._schedule_ping()
            return
        if response.status_code < 300:
            self._fail(AdapterError(self._provider, FailureKind.PROTOCOL, "the upgrade was answered with nonsense"))
        else:
            self._fail(self._refusal(response))

    def _refusal(self, response: Response) -> AdapterError:
        body = bytes(response.body or b"")
        headers = {name.lower(): value for name, value in response.headers.raw_items()}
        return status_failure(self._provider, response.status_code, body, headers)

    def _take_frame(self, frame: Frame) -> None:
        """A fragment, or a control frame, which needs nothing more."""
        if frame.opcode not in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            return
        if frame.opcode is not Opcode.CONT:
            self._text = frame.opcode is Opcode.TEXT
        self._pieces.append(bytes(frame.data))
        if frame.fin:
            whole = memoryview(b"".join(self._pieces))
            self._pieces.clear()
            self._deliver(self._text, whole)

    def _deliver(self, text: bool, message: memoryview) -> None:
        """Give a whole message to whoever waits for it."""
        if self._over:
            return
        try:
            self._receive(str(message, "utf-8") if text else bytes(message))
        except AdapterError as error:
            self._fail(error)
        except (MsgspecError, ValueError):
            # The text of these errors may quote the message, and so the caller.
            self._fail(AdapterError(self._provider, FailureKind.PROTOCOL, "a message that cannot be read"))

    def _closing_error(self) -> AdapterError:
        close = self._wire.close_rcvd or self._wire.close_sent
        if close is None:
            return AdapterError(self._provider, FailureKind.CLOSED, "the connection broke")
        code = int(close.code)
        named = next((kind for name, kind in self._reasons.items() if name in close.reason), None)
        kind = named or self._kinds.get(code) or CLOSE_KINDS.get(code) or FailureKind.CLOSED
        return AdapterError(self._provider, kind, f"close code {code}")

    def _flush(self) -> None:
        transport = self._transport
        for data in self._wire.data_to_send():
            if data and transport is not None and not transport.is_closing():
                transport.write(data)

    def _schedule_ping(self) -> None:
        self._heard_from = False
        self._wire.send_ping(b"")
        self._flush()
        self._ping = asyncio.get_running_loop().call_later(PING_NS / SECOND, self._check_peer)

    def _check_peer(self) -> None:
        if self._heard_from:
            self._schedule_ping()
        else:
            self._fail(AdapterError(self._provider, FailureKind.TIMEOUT, "it answers no ping"))

    def _end(self) -> None:
        self._over = True
        if self._ping is not None:
            self._ping.cancel()

    def _abandon(self) -> None:
        """Nobody waits for this connection any more."""
        self._end()
        self._upgraded.cancel()
        if self._transport is not None:
            self._transport.abort()

    def _fail(self, error: AdapterError) -> None:
        """The connection is over: tell it once, and let the line go."""
        if self._over:
            return
        self._end()
        if self._transport is not None:
            self._transport.close()
        if self._upgraded.done():
            self._lost(error)
        else:
            self._upgraded.set_exception(error)


def query(values: Mapping[str, Any]) -> str:
    """A query string the way speech services want it: true and false in words, a list as a repeated key, None and "" left out."""
    pairs = (
        (name, item)
        for name, value in values.items()
        for item in (value if isinstance(value, list | tuple) else [value])
    )
    return urlencode(
        [
            (name, str(item).lower() if isinstance(item, bool) else str(item))
            for name, item in pairs
            if item not in (None, "")
        ]
    )


class SharedNothing:
    """A provider whose calls share nothing: each has its own connection, from its own options."""

    name: ClassVar[str]
    options: ClassVar[type[Options]]
    key_env: ClassVar[str] = ""

    async def start(self) -> None:
        """Nothing to make ready."""

    async def stop(self) -> None:
        """Nothing to release."""
