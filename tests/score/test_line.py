"""Twilio's end of a line: what it plays, echoes and ignores, on a clock of the test's own."""

import asyncio
import base64
import json
from typing import Any

import numpy as np
import pytest

from engine._codec import pcm16_to_ulaw
from engine.core.units import FRAME_NS, SECOND
from engine.load.doors import Way
from engine.load.wire import BINARY, TEXT, Refused
from engine.score.line import Line
from tests.score.peers import messages, tune

WAY = Way("", {}, "CA" + 32 * "1", {"token": "t"})
SID = "MZ" + 32 * "1"


class World:
    """A line on a clock that is turned by hand."""

    def __init__(self, background: Any = None) -> None:
        self.now_ns = 7 * SECOND
        self.sent: list[dict[str, Any]] = []
        self.aborted = False
        silence = np.zeros(0, np.int16)
        self.line = Line(WAY, silence if background is None else background, lambda: self.now_ns, self.dial)

    async def dial(self, url: str, headers: Any, take: Any, gone: Any) -> "World":
        return self

    def send(self, data: bytes) -> None:
        self.sent += messages(data)

    def close(self) -> None:
        self.aborted = True

    abort = close

    def pass_frames(self, count: int) -> None:
        for _ in range(count):
            self.now_ns += FRAME_NS
            self.line.tick(self.now_ns)

    def tell(self, event: str, **body: Any) -> None:
        self.line.take(TEXT, json.dumps({"event": event, "streamSid": SID, **body}).encode())

    def speak(self, sound: bytes) -> None:
        self.tell("media", media={"payload": base64.b64encode(sound).decode()})

    def named(self, event: str) -> list[dict[str, Any]]:
        return [message for message in self.sent if message["event"] == event]


def connected(background: Any = None) -> World:
    world = World(background)
    asyncio.run(world.line.connect())
    return world


def test_the_wire_is_twilios_to_the_letter() -> None:
    world = connected()
    world.pass_frames(2)
    world.line.hang_up()
    assert world.sent[0] == {"event": "connected", "protocol": "Call", "version": "1.0.0"}
    start = world.named("start")[0]
    assert (start["sequenceNumber"], start["streamSid"]) == ("1", SID)
    assert start["start"]["customParameters"] == {"token": "t"}
    assert start["start"]["mediaFormat"] == {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
    silence = base64.b64encode(b"\xff" * 160).decode()
    media = {"track": "inbound", "chunk": "2", "timestamp": "195", "payload": silence}
    assert world.named("media")[1] == {"event": "media", "sequenceNumber": "3", "media": media, "streamSid": SID}
    assert world.sent[-1]["event"] == "stop"
    assert world.sent[-1]["sequenceNumber"] == "4"


def test_sound_is_played_when_it_comes_and_after_what_is_queued() -> None:
    world = connected()
    world.pass_frames(5)
    world.speak(b"\x10" * 160)
    world.speak(b"\x20" * 160)
    world.pass_frames(10)
    world.speak(b"\x30" * 8)
    assert bytes(world.line.heard) == b"\xff" * 800 + b"\x10" * 160 + b"\x20" * 160 + b"\xff" * 1_280 + b"\x30" * 8


def test_a_mark_is_echoed_when_what_came_before_it_was_played() -> None:
    world = connected()
    world.pass_frames(1)
    world.speak(b"\x10" * 400)
    world.tell("mark", mark={"name": "a"})
    world.pass_frames(2)
    assert world.named("mark") == []
    world.pass_frames(1)
    world.tell("mark", mark={"name": "b"})
    world.pass_frames(1)
    assert [message["mark"]["name"] for message in world.named("mark")] == ["a", "b"]


def test_a_clear_takes_away_what_was_not_played_and_echoes_its_marks_at_once() -> None:
    world = connected()
    world.pass_frames(1)
    world.speak(b"\x10" * 1_600)
    world.tell("mark", mark={"name": "a"})
    world.pass_frames(2)
    world.tell("clear")
    assert bytes(world.line.heard) == b"\xff" * 160 + b"\x10" * 320
    assert world.line.clears == [480]
    assert [message["mark"]["name"] for message in world.named("mark")] == ["a"]


@pytest.mark.parametrize(
    ("opcode", "payload"),
    [
        (TEXT, b""),
        (TEXT, b"\xff"),
        (TEXT, b'{"event":"hello","streamSid":"%s"}' % SID.encode()),
        (TEXT, b'{"event":"clear"}'),
        (TEXT, b'{"event":"clear","streamSid":"MZ0"}'),
        (TEXT, b'{"event":"clear","streamSid":"%s","more":1}' % SID.encode()),
        (TEXT, b'{"event":"media","streamSid":"%s","media":{"payload":"%%"}}' % SID.encode()),
        (BINARY, b'{"event":"clear","streamSid":"%s"}' % SID.encode()),
    ],
)
def test_what_twilio_ignores_is_ignored_and_counted(opcode: int, payload: bytes) -> None:
    world = connected()
    world.speak(b"\x10" * 8)
    world.line.take(opcode, payload)
    assert (world.line.ignored, len(world.line.heard), world.line.clears) == (1, 8, [])


def test_a_server_that_sends_without_end_is_cut_off() -> None:
    world = connected()
    for _ in range(61):
        world.speak(bytes(80_000))
    assert world.aborted
    assert "more than can be played" in world.line.closed


def test_the_callers_words_lie_on_the_noise_of_the_line_where_it_says_they_do() -> None:
    world = connected(np.full(100, 1_000, np.int16))
    world.pass_frames(3)
    assert world.line.say(np.full(160, 2_000, np.int16)) == 3 * FRAME_NS
    assert world.line.saying
    world.pass_frames(2)
    assert not world.line.saying
    frames = [base64.b64decode(message["media"]["payload"]) for message in world.named("media")]
    levels = [pcm16_to_ulaw(np.full(1, level, np.int16).tobytes()) for level in (1_000, 3_000, 1_000)]
    assert [set(frame) for frame in frames[2:]] == [set(level) for level in levels]


def test_a_speech_lasts_through_its_breaths() -> None:
    world = connected()
    world.pass_frames(10)
    assert (world.line.speech_began, world.line.speech_ended) == (None, -1)
    world.speak(tune(0.5))
    world.pass_frames(50)
    world.speak(tune(0.5))
    world.pass_frames(5)
    assert world.line.speech_began == 1_600
    world.pass_frames(80)
    assert world.line.speech_began is None
    assert world.line.speech_ended == pytest.approx(1_600 + 8_000 + 4_000, abs=40)
    assert world.line.quiet_ns > SECOND


def test_whoever_waits_is_told_by_then_at_the_latest_and_when_the_line_closes() -> None:
    async def main() -> None:
        world = World()
        await world.line.connect()
        for found, answer in ((lambda: True, True), (lambda: False, False)):
            waiting = asyncio.ensure_future(world.line.until(found, 0.1))
            await asyncio.sleep(0)
            world.pass_frames(5)
            assert await waiting is answer
        waiting = asyncio.ensure_future(world.line.until(lambda: False, 0.1))
        await asyncio.sleep(0)
        world.line.lost("closed by the server: 1000")
        with pytest.raises(Refused, match="1000"):
            await waiting
        with pytest.raises(Refused, match="1000"):
            await world.line.until(lambda: True, 0.1)

    asyncio.run(main())
