"""Twilio's side of a call, as the wire has it: a signed webhook, a signed stream, 50 messages a second, marks that are echoed when
what came before them has been played, and a clear that echoes the rest at once."""

import asyncio
import base64
import hmac
import json
from collections import deque
from collections.abc import Callable, Mapping
from typing import Self
from urllib.parse import urlencode
from xml.etree.ElementTree import fromstring

import httpx
from msgspec import Struct
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from engine.errors import EngineError

FRAME_BYTES = 160
SILENCE = b"\xff" * FRAME_BYTES
FIELDS = {
    "media": {"event", "streamSid", "media"},
    "mark": {"event", "streamSid", "mark"},
    "clear": {"event", "streamSid"},
}


def sign(auth_token: str, url: str, form: Mapping[str, str] | None = None) -> str:
    """X-Twilio-Signature, written anew: what checks it must not be what makes it."""
    text = url + "".join(name + value for name, value in sorted((form or {}).items()))
    return base64.b64encode(hmac.new(auth_token.encode(), text.encode(), "sha1").digest()).decode()


class Refused(EngineError):
    """Twilio was not let in. The text is the answer's."""


class Instruction(Struct, frozen=True):
    """What the webhook said."""

    verb: str
    media_url: str = ""
    after_url: str = ""
    parameters: dict[str, str] = {}
    text: str = ""
    answered_url: str = ""
    """Of a <Dial>: told when the target answers."""


class Webhook:
    """Twilio's HTTP side, for one account and one number."""

    def __init__(self, auth_token: str, base: str, public: str = "", added: Mapping[str, str] | None = None) -> None:
        """base: where the server listens; public: the address the number is configured with, which is what gets signed.

        added: headers that a gateway between Twilio and the server puts on every webhook.
        """
        self._added = added or {}
        self.auth_token = auth_token
        self._base = base
        self._public = public or base

    async def post(self, path: str, form: dict[str, str], *, signed: str | None = None) -> Instruction:
        """Ask what to do with a call. Raises Refused."""
        return read_twiml(await self.tell(path, form, signed=signed))

    async def tell(self, path: str, form: dict[str, str], *, signed: str | None = None) -> str:
        """Say something of a call; gives the answer's text. Raises Refused."""
        given = sign(self.auth_token, self._public + path, form) if signed is None else signed
        headers = {"content-type": "application/x-www-form-urlencoded; charset=UTF-8", "x-twilio-signature": given}
        headers |= self._added
        if self._public != self._base:
            headers["host"] = self._public.partition("://")[2].partition("/")[0]
        async with httpx.AsyncClient() as client:
            answer = await client.post(self._base + path, content=urlencode(form), headers=headers)
        if not answer.is_success:
            raise Refused(f"{answer.status_code} {answer.text}")
        return answer.text

    async def incoming(self, call_sid: str) -> Instruction:
        """Somebody calls the number."""
        form = {
            "AccountSid": "AC" + 32 * "0",
            "ApiVersion": "2010-04-01",
            "CallSid": call_sid,
            "CallStatus": "ringing",
            "Direction": "inbound",
            "From": "+15550001111",
            "FromCity": "",
            "To": "+15550002222",
        }
        return await self.post("/twilio/voice", form)


def read_twiml(text: str) -> Instruction:
    """The first verb of a document. Raises ParseError."""
    verb = fromstring(text)[0]  # noqa: S314 - of a server on this machine
    stream = verb.find("Stream")
    if stream is None:
        told = verb.find("./*[@statusCallback]")
        answered = "" if told is None else told.attrib["statusCallback"]
        text = "".join(verb.itertext())
        return Instruction(verb.tag, after_url=verb.attrib.get("action", ""), text=text, answered_url=answered)
    parameters = {each.attrib["name"]: each.attrib["value"] for each in stream}
    return Instruction(verb.tag, stream.attrib["url"], verb.attrib.get("action", ""), parameters)


class Sent(Struct, frozen=True):
    """One message of ours as Twilio got it."""

    event: str
    at: float
    sound: bytes = b""
    mark: str = ""


class Stream:
    """One media stream. Use as an async context manager; `say` is the caller speaking."""

    def __init__(
        self, auth_token: str, url: str, connect_to: str, call_sid: str, parameters: dict[str, str], *, sid: str = ""
    ) -> None:
        """url: as in the TwiML, which is what gets signed; connect_to: where that is on this machine. sid: of the stream."""
        self._headers = {"x-twilio-signature": sign(auth_token, url)}
        self._connect_to = connect_to
        self._call_sid = call_sid
        self._parameters = parameters
        self.sid = sid or "MZ" + call_sid[2:]
        self.sent: list[Sent] = []
        """Everything the server sent."""
        self.ignored: list[str] = []
        """Messages Twilio would warn about (31951) and ignore."""
        self.played = bytearray()
        """What the caller has heard."""
        self.closed = False
        self._moved = asyncio.Condition()
        self._queue: deque[bytes | str] = deque()
        self._speech = bytearray()
        self._sequence = 0
        self._chunk = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._socket: ClientConnection

    async def __aenter__(self) -> Self:
        self._socket = await connect(
            self._connect_to, additional_headers=self._headers, compression=None, max_size=None
        )
        await self._socket.send(json.dumps({"event": "connected", "protocol": "Call", "version": "1.0.0"}))
        start = {
            "accountSid": "AC" + 32 * "0",
            "callSid": self._call_sid,
            "streamSid": self.sid,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": self._parameters,
        }
        await self.send("start", start=start)
        self._tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._tick())]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._socket.close()

    async def send(self, event: str, **body: object) -> None:
        """One message of Twilio's, with its sequence number as text."""
        self._sequence += 1
        message = {"event": event, "sequenceNumber": str(self._sequence), "streamSid": self.sid, **body}
        await self._socket.send(json.dumps(message))

    async def send_raw(self, message: str | bytes) -> None:
        await self._socket.send(message)

    async def stop(self) -> None:
        """The caller hangs up."""
        await self.send("stop", stop={"accountSid": "AC" + 32 * "0", "callSid": self._call_sid})

    def say(self, sound: bytes) -> None:
        """Let the caller say this μ-law sound, after what is being said."""
        self._speech += sound

    def abort(self) -> None:
        """The network breaks: no stop, no close."""
        self._socket.transport.abort()

    async def press(self, digit: str) -> None:
        await self.send("dtmf", dtmf={"track": "inbound_track", "digit": digit})

    @property
    def speaking(self) -> bool:
        """The caller is still saying what `say` was given."""
        return bool(self._speech)

    @property
    def queued(self) -> bool:
        """Something waits to be played."""
        return bool(self._queue)

    @property
    def close_reason(self) -> str:
        return self._socket.close_reason or ""

    async def until_closed(self) -> None:
        """Wait until the server has closed the stream."""
        async with self._moved:
            await self._moved.wait_for(lambda: self.closed)

    async def until(self, found: Callable[[], bool]) -> None:
        """Wait until the condition holds. Raises Refused when the stream closes before."""
        async with self._moved:
            await self._moved.wait_for(lambda: found() or self.closed)
        if not found():
            raise Refused(f"the stream closed: {self._socket.close_code} {self._socket.close_reason}")

    async def _tick(self) -> None:
        """20 ms of the call, each time: one frame of the caller's, one frame played."""
        clock = asyncio.get_running_loop().time
        due = clock()
        while True:
            due += 0.02
            await asyncio.sleep(max(0.0, due - clock()))
            frame = bytes(self._speech[:FRAME_BYTES]).ljust(FRAME_BYTES, b"\xff")
            del self._speech[:FRAME_BYTES]
            self._chunk += 1
            media = {
                "track": "inbound",
                "chunk": str(self._chunk),
                "timestamp": str(155 + 20 * self._chunk),
                "payload": base64.b64encode(frame).decode(),
            }
            try:
                await self.send("media", media=media)
                await self._play()
            except ConnectionClosed:
                return
            async with self._moved:
                self._moved.notify_all()

    async def _play(self) -> None:
        left = FRAME_BYTES
        while self._queue:
            head = self._queue[0]
            if isinstance(head, str):
                self._queue.popleft()
                await self.send("mark", mark={"name": head})
                continue
            if not left:
                return
            self.played += head[:left]
            if len(head) > left:
                self._queue[0] = head[left:]
                return
            left -= len(head)
            self._queue.popleft()

    async def _listen(self) -> None:
        clock = asyncio.get_running_loop().time
        try:
            async for text in self._socket:
                message = json.loads(text)
                event = message.get("event")
                if FIELDS.get(event) != set(message) or message["streamSid"] != self.sid or isinstance(text, bytes):
                    self.ignored.append(str(text))
                    continue
                if event == "media":
                    sound = base64.b64decode(message["media"]["payload"], validate=True)
                    self._queue.append(sound)
                    self.sent.append(Sent(event, clock(), sound))
                elif event == "mark":
                    self._queue.append(message["mark"]["name"])
                    self.sent.append(Sent(event, clock(), mark=message["mark"]["name"]))
                else:
                    self.sent.append(Sent(event, clock()))
                    pending = [each for each in self._queue if isinstance(each, str)]
                    self._queue.clear()
                    for name in pending:
                        await self.send("mark", mark={"name": name})
        except ConnectionClosed:
            return
        finally:
            self.closed = True
            async with self._moved:
                self._moved.notify_all()
