"""Small scripted servers on Twilio's wire, good and bad, on the same virtual clock as the lines that call them."""

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from random import Random
from typing import Any

import numpy as np

from engine._codec import pcm16_to_ulaw, ulaw_to_pcm16
from engine.load.doors import Way, new_sid
from engine.load.wire import TEXT, Refused
from engine.runtime.elastic import JUMP, ElasticLoop

VOICE_RMS = 500
PIECE_BYTES = 800


def jumping() -> ElasticLoop:
    loop = ElasticLoop()
    loop.follow(lambda: JUMP)
    return loop


def tune(seconds: float, seed: int = 1) -> bytes:
    """Speech that is like itself nowhere: μ-law notes of 100 ms."""
    random = Random(seed)
    time = np.arange(PIECE_BYTES) / 8_000
    notes = [np.sin(2 * np.pi * random.choice(range(200, 900, 50)) * time) for _ in range(round(10 * seconds))]
    return pcm16_to_ulaw((np.concatenate(notes) * 6_000).astype("<i2").tobytes()) if notes else b""


class Door:
    """A way in that needs no network."""

    async def knock(self) -> Way:
        return Way("", {}, new_sid(), {})


class Peer:
    """A server for one call: it greets with a speech, and what it does when it hears somebody is a subclass's. It sends at once what it
    says, as servers do that trust in `clear`."""

    greeting_s = 12.0

    def __init__(self, loop: ElasticLoop, take: Callable[[int, bytes], None], gone: Callable[[str], None]) -> None:
        self.loop = loop
        self.take = take
        self.gone = gone
        self.sid = ""
        self.voiced = self.quiet = 0
        """Frames in a row."""
        self.heard = False
        self.said = b""
        self.began = 0.0
        self.marks: list[str] = []

    # What a line sees.

    def send(self, data: bytes) -> None:
        for message in messages(data):
            if message["event"] == "start":
                self.sid = message["streamSid"]
                self.greet()
            elif message["event"] == "media":
                self.hear(base64.b64decode(message["media"]["payload"]))
            elif message["event"] == "mark":
                self.marks.append(message["mark"]["name"])

    def close(self) -> None:
        self.gone("left")

    abort = close

    # What a server does.

    def greet(self) -> None:
        self.speak(tune(self.greeting_s))

    def hear(self, sound: bytes) -> None:
        samples = np.frombuffer(ulaw_to_pcm16(sound), np.int16).astype(float)
        loud = bool(np.sqrt(np.mean(samples**2)) > VOICE_RMS)
        self.voiced = self.voiced + 1 if loud else 0
        self.quiet = 0 if loud else self.quiet + 1
        if self.voiced == 6:
            self.heard = True
            self.voice_heard()
        if self.quiet == 20 and self.heard:
            self.heard = False
            self.voice_over()

    def voice_heard(self) -> None:
        """120 ms of voice."""

    def voice_over(self) -> None:
        """400 ms of quiet."""

    def speak(self, sound: bytes) -> None:
        self.said, self.began = sound, self.loop.time()
        for start in range(0, len(sound), PIECE_BYTES):
            payload = base64.b64encode(sound[start : start + PIECE_BYTES]).decode()
            self.tell({"event": "media", "streamSid": self.sid, "media": {"payload": payload}})

    def clear(self) -> bytes:
        """Order silence; returns what was not yet played."""
        self.tell({"event": "clear", "streamSid": self.sid})
        left, self.said = self.said[round((self.loop.time() - self.began) * 8_000) :], b""
        return left

    def tell(self, message: Mapping[str, Any]) -> None:
        self.take(TEXT, json.dumps(message).encode())


class Polite(Peer):
    """Falls silent for a voice, and answers when it is over."""

    def voice_heard(self) -> None:
        self.clear()

    def voice_over(self) -> None:
        self.loop.call_later(0.3, self.speak, tune(2.0, seed=2))


class Patient(Peer):
    """Falls silent for a voice, and goes on from the sample last heard."""

    left = b""
    skips_s = 0.0

    def voice_heard(self) -> None:
        self.left = self.clear()

    def voice_over(self) -> None:
        if self.left:
            self.speak(self.left[round(self.skips_s * 8_000) :])
            self.left = b""


class Forgetful(Patient):
    """Goes on, with a piece of its speech lost."""

    skips_s = 0.3


class Deaf(Peer):
    """Never yields."""


class Late(Polite):
    """Falls silent, and then lets out a second of what it was saying."""

    def voice_heard(self) -> None:
        left = self.clear()
        self.loop.call_later(0.3, self.speak, left[:8_000])


class Fickle(Peer):
    """Falls silent after two seconds, in every call but the first."""

    calls = 0

    def greet(self) -> None:
        super().greet()
        Fickle.calls += 1
        if Fickle.calls > 1:
            self.loop.call_later(2.0, self.clear)


class Hasty(Polite):
    """Speaks the moment it hears somebody."""

    greeting_s = 1.0

    def voice_heard(self) -> None:
        self.speak(tune(2.0, seed=3))

    def voice_over(self) -> None:
        return


class Mute(Peer):
    """Never makes a sound."""

    greeting_s = 0.0


class Endless(Peer):
    """Never stops."""

    greeting_s = 90.0


class Leaving(Peer):
    """Hangs up in the middle of its greeting."""

    def greet(self) -> None:
        super().greet()
        self.loop.call_later(2.0, self.gone, "closed by the server: 1011")


class Garbling(Polite):
    """Sends what Twilio ignores."""

    def greet(self) -> None:
        for text in ("", "{", "[]", '{"event":"media"}', '{"event":"media","streamSid":"MZ0","media":{"payload":""}}'):
            self.take(TEXT, text.encode())
        self.take(TEXT, b"\xff\xfe")
        self.tell({"event": "media", "streamSid": self.sid, "media": {"payload": "no base64"}})
        self.tell({"event": "media", "stream_sid": self.sid, "media": {"payload": ""}})
        super().greet()


class Refusing(Peer):
    """Lets nobody in."""


def dialled(kind: type[Peer], loop: ElasticLoop, made: list[Peer]) -> Any:
    """How a line reaches such a server."""

    async def dial(url: str, headers: Mapping[str, str], take: Any, gone: Any) -> Peer:
        if kind is Refusing:
            raise Refused("403 Forbidden")
        made.append(kind(loop, take, gone))
        return made[-1]

    return dial


def messages(data: bytes) -> Iterator[dict[str, Any]]:
    """The messages in a client's unmasked WebSocket frames."""
    while data:
        size, body = data[1] & 0x7F, 6
        if size == 126:
            size, body = int.from_bytes(data[2:4], "big"), 8
        yield json.loads(data[body : body + size])
        data = data[body + size :]
