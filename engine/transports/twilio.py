"""A telephone call over Twilio Media Streams (bidirectional, `<Connect><Stream>`).

It speaks the wire and nothing else: who may open one, and the webhook before it, are the server's.
Source: Twilio's Media Streams documentation, WebSocket messages (2026); numbers come as text there, and are read either way.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from engine import _codec
from engine.core.units import MS, SECOND, TARGET, AudioFormat, Encoding
from engine.errors import TransportClosed
from engine.transports.asgi import GONE, HUNG_UP, Allowance, Direct, Receive, Send, Socket
from engine.transports.base import Capabilities, Line

TELEPHONE = AudioFormat(8_000, Encoding.ULAW)
SILENCE = b"\xff" * 160
"""20 ms of nothing in μ-law."""
GAP_CHUNKS_MAX = 50
"""Missing chunks that are filled with silence, so that the caller's clock keeps step: 1 s. Beyond it the count is not believed."""
QUIET_SECONDS = 10.0
"""Twilio sends 50 messages a second, silence included; none for 1 to 2 s is a broken path, and it is given time to recover."""
BYTES_PER_SECOND, BYTES_AT_ONCE = 60_000.0, 900_000.0
"""Twilio sends 50 messages of 350 bytes a second, which count as 30 KB: twice that, and 30 s of it after a stall."""
DIGITS = frozenset("0123456789*#ABCD")

HANDOVER_NS = 45 * SECOND
"""After a caller was handed over, until the server is told whether somebody took them: ringing, and the way of the news."""
TRANSFERRED = "transferred"

Number = int | str
Transferring = Callable[[str, str], Awaitable[bool]]
"""`transfer(call_sid, target)` has Twilio dial the target. True: it ends the stream itself; False: it does so when the stream has been
left. Raises TransportClosed where it cannot."""


class Format(Struct, frozen=True, rename="camel"):
    encoding: str = ""
    sample_rate: Number = 0
    channels: Number = 1


class Opening(Struct, frozen=True, rename="camel"):
    """What `start` carries."""

    stream_sid: str = ""
    call_sid: str = ""
    account_sid: str = ""
    custom_parameters: dict[str, str] = {}
    media_format: Format = Format("audio/x-mulaw", 8_000, 1)


class Connected(Struct, tag_field="event", tag="connected"):
    pass


class Start(Struct, tag_field="event", tag="start", rename="camel"):
    start: Opening
    stream_sid: str = ""


class Piece(Struct):
    payload: str
    track: str = "inbound"
    chunk: Number = 0


class Media(Struct, tag_field="event", tag="media", rename="camel"):
    media: Piece
    stream_sid: str = ""


class Key(Struct):
    digit: str


class DTMF(Struct, tag_field="event", tag="dtmf", rename="camel"):
    dtmf: Key
    stream_sid: str = ""


class Label(Struct):
    name: str


class Mark(Struct, tag_field="event", tag="mark", rename="camel"):
    mark: Label
    stream_sid: str = ""


class Stop(Struct, tag_field="event", tag="stop", rename="camel"):
    stream_sid: str = ""


class Named(Struct):
    event: str = ""


read_event = msgspec.json.Decoder(Connected | Start | Media | DTMF | Mark | Stop).decode
read_name = msgspec.json.Decoder(Named).decode
KNOWN = frozenset(("connected", "start", "media", "dtmf", "mark", "stop"))


class Twilio:
    """One media stream of one call. `open` first; then it is a Transport."""

    capabilities: Capabilities = Capabilities(
        name="twilio",
        inbound=TELEPHONE,
        outbound=TELEPHONE,
        latency_ns=50 * MS,
        marks=True,
        grace_ns=10 * SECOND,
    )

    def __init__(
        self,
        receive: Receive,
        send: Send,
        transfer: Transferring | None = None,
        direct: Direct | None = None,
    ) -> None:
        self._socket = Socket(receive, send, direct)
        self.carried = self._socket.carried
        self._transfer = transfer
        self._line: Line | None = None
        self._allowed = Allowance(BYTES_PER_SECOND, BYTES_AT_ONCE)
        self._next_chunk = 0
        self._sid = self._head = self._tail = ""
        self._handing_over = False
        self.opening = Opening()

    async def open(self, seconds: float = 10.0) -> Opening:
        """Wait for `start`. Raises TransportClosed when it does not come, or is no telephone's."""
        try:
            async with asyncio.timeout(seconds):
                reason = await self._socket.read(self._take_opening, quiet_seconds=QUIET_SECONDS, allowed=self._allowed)
        except TimeoutError:
            raise TransportClosed(f"no start within {seconds:g} s") from None
        if reason != "start":
            raise TransportClosed(reason)
        sound = self.opening.media_format
        if (sound.encoding, whole(sound.sample_rate), whole(sound.channels)) != ("audio/x-mulaw", 8_000, 1):
            raise TransportClosed("the stream is not μ-law at 8 kHz")
        return self.opening

    async def carry(self, line: Line) -> str:
        self._line = line
        reason = await self._socket.carry(line, self._take, quiet_seconds=QUIET_SECONDS, allowed=self._allowed)
        if self._handing_over:
            # The caller may come back, should nobody take them: until then the line is away, not gone.
            self.capabilities = replace(self.capabilities, grace_ns=HANDOVER_NS)
            raise TransportClosed(TRANSFERRED)
        return reason

    def lose(self) -> None:
        """Give this stream up as lost: Twilio has opened another for the same call."""
        self._socket.end(GONE)

    def send_audio(self, run: int, start_sample: int, sound: bytes) -> None:
        text = f'{self._head}"media","media":{{"payload":"{_codec.to_base64(sound)}"}}{self._tail}'
        self._socket.outbox.put({"type": "websocket.send", "text": text}, len(text), run)

    def send_mark(self, name: str) -> None:
        text = f'{self._head}"mark","mark":{{"name":"{name}"}}{self._tail}'
        self._socket.outbox.put({"type": "websocket.send", "text": text}, len(text))

    def clear(self, run: int) -> None:
        text = f'{self._head}"clear"{self._tail}'
        self._socket.outbox.overtake({"type": "websocket.send", "text": text}, run)

    def send_message(self, message: Mapping[str, object]) -> None:
        """A telephone has no screen."""

    async def transfer(self, target: str) -> None:
        """Have Twilio dial the target: at once, or when the stream has been left and it asks what to do next."""
        if self._transfer is None:
            raise TransportClosed("this line cannot hand a caller over")
        if not TARGET.fullmatch(target):
            raise TransportClosed("the target is neither a telephone number nor a SIP address")
        self._handing_over = True
        try:
            gone = await self._transfer(self.opening.call_sid, target)
        except BaseException:
            self._handing_over = False
            raise
        if not gone:
            await self.hang_up(TRANSFERRED)

    async def hang_up(self, reason: str) -> None:
        self._socket.end(reason)
        await self._socket.close(reason)

    # The wire.

    def _read(self, given: str | bytes) -> Any:
        """The event, or None where it cannot be used; then it has been counted."""
        if isinstance(given, bytes):
            self._socket.reject("binary message")
            return None
        try:
            return read_event(given)
        except msgspec.ValidationError:
            self._socket.reject(shape_of(given))
        except (msgspec.DecodeError, RecursionError, ValueError):
            self._socket.reject("malformed JSON")
        return None

    def _take_opening(self, given: str | bytes) -> str:
        event = self._read(given)
        if isinstance(event, Start):
            if not event.start.stream_sid and not event.stream_sid:
                return "a start without a stream"
            self._begin(event)
            return "start"
        if isinstance(event, Stop):
            return HUNG_UP
        if event is not None and not isinstance(event, Connected):
            self._socket.reject("before start")
        return ""

    def _begin(self, event: Start) -> None:
        self.opening = event.start
        self._sid = event.start.stream_sid or event.stream_sid
        self._head = '{"event":'
        self._tail = f',"streamSid":{msgspec.json.encode(self._sid).decode()}}}'

    def _take(self, given: str | bytes) -> str:
        line = self._line
        assert line is not None
        event = self._read(given)
        if event is None:
            return ""
        if isinstance(event, Media) and event.stream_sid == self._sid:  # fifty a second
            self._take_media(line, event.media)
        elif isinstance(event, Connected | Start):
            self._socket.reject("after start")
        elif event.stream_sid != self._sid:
            self._socket.reject("another stream's message")
        elif isinstance(event, Mark):
            line.marked(event.mark.name)
        elif isinstance(event, DTMF):
            if event.dtmf.digit in DIGITS:
                line.pressed(event.dtmf.digit)
            else:
                self._socket.reject("unknown key")
        else:
            return HUNG_UP
        return ""

    def _take_media(self, line: Line, piece: Piece) -> None:
        if piece.track != "inbound":
            self._socket.reject("another track")
            return
        chunk = whole(piece.chunk)
        if chunk:
            missing = chunk - self._next_chunk if self._next_chunk else 0
            if missing < 0:
                self._socket.reject("chunk out of order")
                return
            if missing:
                self._socket.reject("missing chunks")
                line.hear(SILENCE * min(missing, GAP_CHUNKS_MAX))
            self._next_chunk = chunk + 1
        line.hear_base64(piece.payload)


def whole(number: Number) -> int:
    """Twilio writes numbers as text; others do not. 0 for what is no number."""
    if isinstance(number, int):
        return number
    return int(number) if number.isascii() and number.isdigit() and len(number) < 16 else 0


def shape_of(given: str) -> str:
    """What was wrong with JSON that is no event of ours: a few fixed words, none of the peer's own."""
    try:
        name = read_name(given).event
    except msgspec.DecodeError:
        return "malformed message"
    return f"malformed {name}" if name in KNOWN else "unknown event"
