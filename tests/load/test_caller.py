"""A scripted caller, walked through its call frame by frame."""

from base64 import b64encode
from random import Random

import msgspec
import pytest

from engine.core.units import FRAME_NS, MS, SECOND
from engine.load.browser import DOWN, BrowserCaller
from engine.load.caller import HOLE_NS_MIN, Caller, Manner
from engine.load.figures import Figures
from engine.load.twilio import TwilioCaller
from engine.load.voice import Voice
from engine.load.wire import BINARY, TEXT

VOICE = Voice(turn=(b"T",) * 5, interruption=(b"I",) * 10, silence=(b".",) * 3)
ALWAYS = Manner(interrupts=1.0, interrupts_after_ns=(60 * MS, 60 * MS + 1), thinks_ns=(40 * MS, 40 * MS + 1))
NEVER = Manner(interrupts=0.0, thinks_ns=(40 * MS, 40 * MS + 1))


class Tape:
    """A wire that keeps what was sent."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.closed = False

    def send(self, data: bytes) -> None:
        self.sent.append(data)

    def send_text(self, text: bytes) -> None:
        self.sent.append(text)

    def close(self) -> None:
        self.closed = True

    abort = close


class World:
    """One caller on a clock of its own."""

    def __init__(self, manner: Manner, browser: bool = False) -> None:
        self.now = SECOND
        self.figures = Figures(measuring=True)
        self.gone: list[Caller] = []
        given = (VOICE, manner, self.figures, lambda: self.now, Random(1), self.gone.append)
        self.caller: Caller = BrowserCaller(*given) if browser else TwilioCaller(*given, call_sid="CA1", parameters={})
        self.tape = Tape()
        self.caller.wire = self.tape  # type: ignore[assignment]

    def pass_frames(self, count: int) -> bytes:
        """What the caller said meanwhile, a letter a frame."""
        before = len(self.tape.sent)
        for _ in range(count):
            self.now += FRAME_NS
            self.caller.tick(self.now)
        return b"".join(frame.partition(b'"payload":"')[2][:1] for frame in self.tape.sent[before:])

    def agent(self, frames: int) -> None:
        """The agent's sound arrives."""
        payload = b64encode(bytes(160 * frames)).decode()
        self.caller.take(TEXT, msgspec.json.encode({"event": "media", "media": {"payload": payload}}))

    def mark(self, name: str) -> None:
        self.caller.take(TEXT, msgspec.json.encode({"event": "mark", "mark": {"name": name}}))

    def clear(self) -> None:
        self.caller.take(TEXT, b'{"event":"clear"}')

    @property
    def echoed(self) -> list[bytes]:
        return [frame.partition(b'"name":"')[2].partition(b'"')[0] for frame in self.tape.sent if b'"mark"' in frame]


def test_a_caller_waits_for_the_greeting_and_then_asks() -> None:
    world = World(NEVER)
    assert world.pass_frames(10) == b"." * 10
    world.agent(5)
    assert world.figures.greeting_ns == [10 * FRAME_NS]
    said = world.pass_frames(20)
    assert said.strip(b".") == b"TTTTT"
    assert said.index(b"T") >= 5 + 1


def test_the_answer_is_timed_from_the_last_voiced_frame() -> None:
    world = World(NEVER)
    world.agent(1)
    while world.pass_frames(1) != b"T":
        pass
    world.pass_frames(4)
    world.pass_frames(35)
    world.agent(1)
    assert world.figures.response_ns == [35 * FRAME_NS]


def test_an_interruption_is_timed_to_the_order_to_be_silent() -> None:
    world = World(ALWAYS)
    world.agent(50)
    while world.pass_frames(1) != b"I":
        pass
    world.pass_frames(6)
    world.clear()
    world.clear()
    assert world.figures.clear_ns == [6 * FRAME_NS]
    assert world.figures.missed == 0


def test_an_interruption_that_nobody_heeds_is_missed() -> None:
    world = World(ALWAYS)
    world.agent(100)
    world.pass_frames(30)
    assert (world.figures.missed, world.figures.clear_ns) == (1, [])


@pytest.mark.parametrize(("late_frames", "underruns"), [(0, 0), (3, 1), (60, 0)])
def test_a_hole_in_an_answer_is_an_underrun_and_a_pause_is_none(late_frames: int, underruns: int) -> None:
    world = World(Manner(interrupts=0.0, thinks_ns=(5 * SECOND, 6 * SECOND)))
    world.agent(5)
    world.pass_frames(5 + late_frames)
    world.agent(5)
    assert world.figures.underruns == underruns
    assert world.figures.underrun_ns == (late_frames * FRAME_NS if underruns else 0)
    assert HOLE_NS_MIN < FRAME_NS


def test_a_mark_is_echoed_when_what_came_before_it_was_played() -> None:
    world = World(NEVER)
    world.agent(3)
    world.mark("m")
    world.pass_frames(2)
    assert world.echoed == []
    world.pass_frames(1)
    assert world.echoed == [b"m"]
    world.mark("empty")
    assert world.echoed == [b"m", b"empty"]


def test_a_clear_echoes_the_marks_at_once() -> None:
    world = World(NEVER)
    world.agent(30)
    world.mark("one")
    world.mark("two")
    world.clear()
    assert world.echoed == [b"one", b"two"]


def test_a_turn_without_an_answer_is_counted_and_asked_again() -> None:
    world = World(NEVER)
    world.agent(1)
    said = world.pass_frames(530)
    assert world.figures.unanswered == 1
    assert said.count(b"T") == 10


def test_a_call_that_the_server_ends_is_lost_and_one_that_hangs_up_is_not() -> None:
    lost, left = World(NEVER), World(NEVER)
    lost.caller.lost("closed by the server: 1011")
    left.caller.hang_up()
    left.caller.lost("gone")
    assert (lost.figures.lost, lost.figures.reasons) == (1, {"closed by the server: 1011": 1})
    assert (left.figures.lost, left.figures.hung_up, left.tape.closed) == (0, 1, True)
    assert b'"stop"' in left.tape.sent[-1]
    assert left.gone == [left.caller]


def test_a_page_reports_what_it_has_played() -> None:
    world = World(NEVER, browser=True)
    world.caller.take(BINARY, DOWN.pack(7, 0) + bytes(2 * 4_800))
    world.pass_frames(5)
    world.caller.take(TEXT, b'{"type":"flush","run":7}')
    world.pass_frames(10)
    played = [frame for frame in world.tape.sent if b"played" in frame]
    assert b'"run":7' in played[0]
    assert played[-1].endswith(b'"samples":2400}')
