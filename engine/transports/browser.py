"""A conversation with a web page over a WebSocket: sound as binary messages both ways, everything else as JSON text.

docs/transports.md describes this wire for those who write their own page. The page reports how far it has played each run, and
drops what it holds when told to `flush`. The connection keeps order, so sound that comes after a flush was sent after it: a run
that was only paused goes on under its old number.
"""

import asyncio
import struct
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from engine.core.units import LIMITS, MS, RATES_HZ, SECOND, AudioFormat, Encoding
from engine.errors import TransportClosed
from engine.transports.asgi import GONE, HUNG_UP, Allowance, Direct, Receive, Send, Socket
from engine.transports.base import Capabilities, Line

SPEAKER = AudioFormat(24_000, Encoding.PCM16)
"""What the page plays: the rate of most voices, so that nothing is resampled twice."""
SUBPROTOCOL = "engine.v1"

UP = struct.Struct("<I")
"""Before a page's sound: the place of its first sample since the connection began."""
DOWN = struct.Struct("<II")
"""Before ours: the run, and the place of the first sample in it."""
GAP_NS_MAX = 1 * SECOND
"""Missing sound that is filled with silence, so that the caller's clock keeps step."""
QUIET_SECONDS = 30.0
"""A page pings every 5 s; browsers slow the timers of hidden pages to one a minute at worst, but not while sound flows."""
BYTES_PER_SECOND, BYTES_AT_ONCE = 180_000.0, 2_700_000.0
"""A page sends at most 50 messages of 1.9 KB and 20 reports a second, which count as 120 KB: half as much again, and 15 s of it
after a stall."""

U32 = Annotated[int, Meta(ge=0, le=2**32 - 1)]


class Hello(Struct, tag_field="type", tag="hello", frozen=True):
    """The page's first message."""

    rate: int
    """Sample rate of its microphone, one of RATES_HZ."""
    resume: Annotated[str, Meta(max_length=200)] = ""
    """What an earlier `ready` gave, to go on with that session."""


class Played(Struct, tag_field="type", tag="played"):
    run: U32
    samples: U32


class Text(Struct, tag_field="type", tag="text"):
    text: Annotated[str, Meta(min_length=1, max_length=LIMITS.transcript_chars)]


class Key(Struct, tag_field="type", tag="key"):
    digit: Annotated[str, Meta(pattern="^[0-9*#A-D]$")]


class Ping(Struct, tag_field="type", tag="ping"):
    id: U32


class Bye(Struct, tag_field="type", tag="bye"):
    pass


class Named(Struct):
    type: str = ""


read_message = msgspec.json.Decoder(Hello | Played | Text | Key | Ping | Bye).decode
read_name = msgspec.json.Decoder(Named).decode
KNOWN = frozenset(("hello", "played", "text", "key", "ping", "bye"))
encode = msgspec.json.Encoder().encode


class Browser:
    """One connection of one page. `open` first; then it is a Transport."""

    def __init__(self, receive: Receive, send: Send, direct: Direct | None = None) -> None:
        self._socket = Socket(receive, send, direct)
        self.carried = self._socket.carried
        self._line: Line | None = None
        self._hello: Hello | None = None
        self._next_sample = 0
        self._allowed = Allowance(BYTES_PER_SECOND, BYTES_AT_ONCE)
        self._capabilities = Capabilities(
            name="browser",
            inbound=AudioFormat(48_000),
            outbound=SPEAKER,
            latency_ns=60 * MS,
            reports=True,
            screen=True,
            grace_ns=20 * SECOND,
        )

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    async def open(self, seconds: float = 10.0) -> Hello:
        """Wait for `hello`. Raises TransportClosed when it does not come or asks for what cannot be."""
        try:
            async with asyncio.timeout(seconds):
                reason = await self._socket.read(self._take_hello, quiet_seconds=QUIET_SECONDS, allowed=self._allowed)
        except TimeoutError:
            raise TransportClosed(f"no hello within {seconds:g} s") from None
        if self._hello is None:
            raise TransportClosed(reason)
        rate = self._hello.rate
        if rate not in RATES_HZ:
            raise TransportClosed(
                f"a microphone at {rate} Hz cannot be used; the rates are {', '.join(map(str, RATES_HZ))}"
            )
        self._capabilities = replace(self._capabilities, inbound=AudioFormat(rate))
        return self._hello

    def ready(self, session: str, resume: str, resumed: bool) -> None:
        """Tell the page that the conversation begins, or goes on."""
        self.send_message(
            {"type": "ready", "session": session, "resume": resume, "resumed": resumed, "rate": SPEAKER.rate_hz}
        )

    async def carry(self, line: Line) -> str:
        self._line = line
        return await self._socket.carry(line, self._take, quiet_seconds=QUIET_SECONDS, allowed=self._allowed)

    def lose(self) -> None:
        """Give this connection up as lost: its page has opened another."""
        self._socket.end(GONE)

    def send_audio(self, run: int, start_sample: int, sound: bytes) -> None:
        data = DOWN.pack(run, start_sample) + sound
        self._socket.outbox.put({"type": "websocket.send", "bytes": data}, len(data), run)

    def send_mark(self, name: str) -> None:
        """A page reports positions instead."""

    def clear(self, run: int) -> None:
        self._socket.outbox.overtake({"type": "websocket.send", "text": f'{{"type":"flush","run":{run}}}'}, run)

    def send_message(self, message: Mapping[str, object]) -> None:
        text = encode(message).decode()
        self._socket.outbox.put({"type": "websocket.send", "text": text}, len(text))

    async def transfer(self, target: str) -> None:
        raise TransportClosed("a page cannot be handed over to a telephone")

    async def hang_up(self, reason: str) -> None:
        self.send_message({"type": "bye", "reason": reason})
        self._socket.end(reason)
        await self._socket.close(reason)

    # The wire.

    def _read(self, given: str) -> Any:
        """The message, or None where it cannot be used; then it has been counted."""
        try:
            return read_message(given)
        except msgspec.ValidationError:
            self._socket.reject(shape_of(given))
        except (msgspec.DecodeError, RecursionError, ValueError):
            self._socket.reject("malformed JSON")
        return None

    def _take_hello(self, given: str | bytes) -> str:
        message = self._read(given) if isinstance(given, str) else None
        if isinstance(message, Hello):
            self._hello = message
            return "hello"
        if isinstance(given, bytes) or message is not None:
            self._socket.reject("before hello")
        return ""

    def _take(self, given: str | bytes) -> str:
        line = self._line
        assert line is not None
        if isinstance(given, bytes):
            self._take_sound(line, given)
            return ""
        match self._read(given):
            case Played(run=run, samples=samples):
                line.played(run, samples)
            case Text(text=text):
                line.typed(text)
            case Key(digit=digit):
                line.pressed(digit)
            case Ping(id=number):
                self.send_message({"type": "pong", "id": number})
            case Bye():
                return HUNG_UP
            case Hello():
                self._socket.reject("second hello")
        return ""

    def _take_sound(self, line: Line, data: bytes) -> None:
        if len(data) < UP.size:
            self._socket.reject("sound without its place")
            return
        (start_sample,) = UP.unpack_from(data)
        end = len(data)
        if (end - UP.size) % 2:
            self._socket.reject("odd number of bytes")
            end -= 1
        missing = start_sample - self._next_sample
        if missing < 0:
            self._socket.reject("sound out of order")
            return
        if missing:
            self._socket.reject("missing sound")
            gap_max = self._capabilities.inbound.bytes_in(GAP_NS_MAX)
            line.hear(bytes(min(2 * missing, gap_max)))
        self._next_sample = start_sample + (end - UP.size) // 2
        line.hear(data[UP.size : end])


def shape_of(given: str) -> str:
    """What was wrong with JSON that is no message of ours: a few fixed words, none of the peer's own."""
    try:
        name = read_name(given).type
    except msgspec.DecodeError:
        return "malformed message"
    return f"malformed {name}" if name in KNOWN else "unknown message"
