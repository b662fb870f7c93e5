"""Server-sent events: bytes in any pieces -> whole events. Shared by every adapter that streams over HTTP.

It reads what the standard allows (LF, CRLF and CR, comments, several data lines, a byte order mark, no space after the colon) and
holds two bounds, so that a provider that never ends a line cannot fill the memory. Beyond the standard it reads two ways in which
errors come: as a field of that name (llama.cpp), and as bare JSON in the place of events (Google).
Source: WHATWG HTML, section 9.2.6 "Interpreting an event stream".
"""

import re
from collections.abc import AsyncGenerator, AsyncIterator

from msgspec import Struct

from engine.errors import AdapterError, FailureKind

LINE_BYTES_MAX = 256 * 1024
"""A whole tool call or the final object of a long answer comes on one line; 16,000 characters of arguments, escaped twice, fit."""
EVENT_BYTES_MAX = 1024 * 1024
"""All data lines of one event."""

LINE_END = re.compile(rb"\r\n|\n|\r")
BOM = b"\xef\xbb\xbf"
ERROR = "error"
"""The name of an event that tells of trouble, whatever its data look like."""


class ServerEvent(Struct, frozen=True, gc=False):
    """One event of a stream."""

    data: str
    name: str = ""
    """The `event:` field; empty where the provider does not name its events."""


class EventParser:
    """Turns the bytes of one response into events. Raises AdapterError (PROTOCOL) where a bound is passed."""

    def __init__(self, provider: str, *, line_bytes: int = LINE_BYTES_MAX, event_bytes: int = EVENT_BYTES_MAX) -> None:
        self._provider = provider
        self._line_bytes = line_bytes
        self._event_bytes = event_bytes
        self._rest = b""
        """The line that has begun."""
        self._data: list[str] = []
        self._size = 0
        self._name = ""
        self._bare: list[str] = []
        """Lines of JSON that are in no field."""
        self._begun = False
        self._after_cr = False
        """The last piece ended in CR: an LF that follows belongs to it."""

    def feed(self, piece: bytes) -> list[ServerEvent]:
        """Take some more bytes; returns the events they complete."""
        if not piece:
            return []
        if self._after_cr:
            piece = piece.removeprefix(b"\n")
        self._after_cr = piece.endswith(b"\r")
        lines = LINE_END.split(self._rest + piece)
        self._rest = lines.pop()
        if len(self._rest) > self._line_bytes:
            raise AdapterError(self._provider, FailureKind.PROTOCOL, f"a line of over {self._line_bytes} bytes")
        return [event for line in lines if (event := self._take(line)) is not None]

    def close(self) -> list[ServerEvent]:
        """The stream has ended: the last event, where the server left its blank line out."""
        last = [self._take(self._rest), self._take(b"")]
        self._rest = b""
        if self._bare:
            last.append(ServerEvent("\n".join(self._bare), ERROR))
        return [event for event in last if event is not None]

    def _take(self, line: bytes) -> ServerEvent | None:
        """Take one line; returns the event that a blank one completes."""
        if not self._begun:
            self._begun = True
            line = line.removeprefix(BOM)
        if not line:
            return self._dispatch()
        if len(line) > self._line_bytes:
            raise AdapterError(self._provider, FailureKind.PROTOCOL, f"a line of over {self._line_bytes} bytes")
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._grow(value)
            self._data.append(value.decode("utf-8", "replace"))
        elif field == b"event":
            self._name = value.decode("utf-8", "replace")
        elif field == b"error":
            self._name = ERROR
            self._data.append(value.decode("utf-8", "replace"))
        elif self._bare or line.lstrip().startswith((b"{", b"[")):
            self._grow(line)
            self._bare.append(line.decode("utf-8", "replace"))
        # An empty field name is a comment (keep-alive); `id`, `retry` and unknown fields mean nothing to us.
        return None

    def _grow(self, value: bytes) -> None:
        self._size += len(value)
        if self._size > self._event_bytes:
            raise AdapterError(self._provider, FailureKind.PROTOCOL, f"an event of over {self._event_bytes} bytes")

    def _dispatch(self) -> ServerEvent | None:
        event = ServerEvent("\n".join(self._data), self._name) if self._data else None
        self._data, self._size, self._name = [], 0, ""
        return event


async def read_events(provider: str, pieces: AsyncIterator[bytes]) -> AsyncGenerator[ServerEvent, None]:
    """The events of a response's body, as they come. Raises AdapterError (PROTOCOL), and whatever `pieces` raises."""
    parser = EventParser(provider)
    try:
        async for piece in pieces:
            for event in parser.feed(piece):
                yield event
        for event in parser.close():
            yield event
    finally:
        if isinstance(pieces, AsyncGenerator):
            # Now, and not when the garbage collector comes by: the connection hangs on it.
            await pieces.aclose()
