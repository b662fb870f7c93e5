"""The bytes of an open WebSocket as a client: whole messages out of what comes, whole frames for what goes.

A message that came in one frame is read where it lies, and one that goes is written once, masked on the way, from as many parts as it
has. Everything rare is left to others: control frames, fragments, and whatever is no frame at all.
Source: RFC 6455, section 5.
"""

import os
from collections.abc import Callable

from engine._codec import websocket_frame

TEXT, BINARY = 0x81, 0x82
"""First bytes of whole data frames. Source: section 5.2."""
FINAL, CONTROL = 0x80, 0x08
TWO_BYTES, EIGHT_BYTES, MASKED = 126, 127, 128

Take = Callable[[bool, memoryview], None]


def frame(parts: tuple[str | bytes, ...]) -> bytes:
    """One message, text where its first part is a text, as the frame that carries it."""
    # The mask must be a stranger's guess no better than chance (section 5.3).
    return websocket_frame(TEXT if isinstance(parts[0], str) else BINARY, os.urandom(4), parts)


class Reader:
    """Cuts what a server sends, in pieces of any size.

    take:  told whether a whole message is a text, and shown its bytes, which are good until it returns.
    rare:  given every other frame, whole; and from the first on that no server may send, everything.
    """

    def __init__(self, take: Take, rare: Callable[[bytes], None], *, message_bytes_max: int) -> None:
        self._take = take
        self._rare = rare
        self._max = message_bytes_max
        self._kept = bytearray()
        """A frame that has begun."""
        self._whole = 0
        """How many bytes it needs to be looked at again."""
        self._fragmented = False
        """Between the first and the last fragment of a message."""
        self._lost = False
        """Something came that is no frame of a server."""

    def feed(self, data: bytes) -> None:
        """Take some more bytes."""
        if self._lost:
            self._rare(data)
        elif not self._kept:
            with memoryview(data) as view:
                read = self._cut(view)
            self._kept += data[read:]
        else:
            self._kept += data
            if len(self._kept) >= self._whole:
                with memoryview(self._kept) as view:
                    read = self._cut(view)
                del self._kept[:read]

    def _cut(self, data: memoryview) -> int:
        """Take the whole frames. Returns where the rest begins."""
        position, have = 0, len(data)
        while have - position >= 2:
            first, size = data[position], data[position + 1]
            body = position + 2
            if size == TWO_BYTES:
                body += 2
            elif size == EIGHT_BYTES:
                body += 8
            if have >= body and size in (TWO_BYTES, EIGHT_BYTES):
                size = int.from_bytes(data[position + 2 : body], "big")
            if size > self._max or data[position + 1] & MASKED:
                self._lost = True
                self._rare(bytes(data[position:]))
                return have
            end = body + size
            if have < end:
                self._whole = end - position
                return position
            if first in (TEXT, BINARY) and not self._fragmented:
                with data[body:end] as payload:
                    self._take(first == TEXT, payload)
            else:
                if not first & CONTROL:
                    self._fragmented = not first & FINAL
                self._rare(bytes(data[position:end]))
            position = end
        self._whole = 2
        return position
