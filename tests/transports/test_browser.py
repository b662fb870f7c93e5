import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core.units import AudioFormat
from engine.errors import TransportClosed
from engine.transports.asgi import HUNG_UP
from engine.transports.browser import DOWN, UP, Browser
from tests.transports.wires import Ear, Wire, run, settle

HELLO = '{"type":"hello","rate":48000}'
BYE = '{"type":"bye"}'


def told(*messages: str | bytes) -> tuple[str, Ear]:
    """Open a session, let the page say all this and then goodbye; what the line was told."""
    ear, reason = Ear(), ""

    async def main() -> None:
        nonlocal reason
        wire = Wire()
        wire.say(HELLO, *messages, BYE)
        browser = Browser(wire.receive, wire.send)
        await browser.open()
        reason = await browser.carry(ear)

    run(main())
    return reason, ear


@pytest.mark.parametrize("code", [1006, 1005])
def test_a_page_that_vanishes_is_lost_and_may_come_back(code: int) -> None:
    async def main() -> None:
        wire = Wire()
        browser = await opened(wire)
        wire.leave(code)
        with pytest.raises(TransportClosed, match="lost"):
            await browser.carry(Ear())

    run(main())


def test_a_page_that_is_closed_has_hung_up() -> None:
    async def main() -> None:
        wire = Wire()
        browser = await opened(wire)
        wire.leave(1001)
        assert await browser.carry(Ear()) == HUNG_UP

    run(main())


def test_the_microphone_keeps_its_own_rate() -> None:
    async def main() -> None:
        wire = Wire()
        wire.say('{"type":"hello","rate":44100,"resume":"abc"}')
        browser = Browser(wire.receive, wire.send)
        hello = await browser.open()
        assert hello.resume == "abc"
        assert browser.capabilities.inbound == AudioFormat(44_100)

    run(main())


def test_sound_reports_words_and_keys_are_told() -> None:
    reason, ear = told(
        UP.pack(0) + b"\1\0\2\0",
        UP.pack(2) + b"\3\0",
        '{"type":"played","run":3,"samples":4800}',
        '{"type":"text","text":"hello"}',
        '{"type":"key","digit":"5"}',
    )
    assert ear.sound == b"\1\0\2\0\3\0"
    assert ear.told == [("played", 3, 4800), ("typed", "hello"), ("pressed", "5")]
    assert reason == HUNG_UP


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"\1\2\3", "sound without its place"),
        ("{", "malformed JSON"),
        ('{"type":' + "[" * 60_000, "malformed JSON"),
        ("[]", "malformed message"),
        ('{"type":"surprise"}', "unknown message"),
        ('{"type":"played","run":-1,"samples":0}', "malformed played"),
        ('{"type":"played","run":1,"samples":5000000000}', "malformed played"),
        ('{"type":"text","text":""}', "malformed text"),
        (json.dumps({"type": "text", "text": "x" * 5_000}), "malformed text"),
        ('{"type":"key","digit":"11"}', "malformed key"),
        (HELLO, "second hello"),
        (b"x" * 70_000, "oversized message"),
    ],
)
def test_what_cannot_be_used_is_counted_and_the_call_goes_on(message: str | bytes, reason: str) -> None:
    ended, ear = told(message, UP.pack(0) + b"on")
    assert ear.told == [("rejected", reason)]
    assert ear.sound == b"on"
    assert ended == HUNG_UP


def test_an_odd_byte_is_dropped_and_counted() -> None:
    _, ear = told(UP.pack(0) + b"\1\0\2", UP.pack(1) + b"\3\0")
    assert ear.sound == b"\1\0\3\0"
    assert ear.refusals == ["odd number of bytes"]


def test_missing_sound_is_silence_so_that_the_clock_keeps_step() -> None:
    _, ear = told(UP.pack(0) + b"\1\0", UP.pack(3) + b"\2\0")
    assert ear.sound == b"\1\0" + bytes(4) + b"\2\0"
    assert ear.refusals == ["missing sound"]


def test_a_wild_position_costs_a_second_of_silence_at_most() -> None:
    assert len(told(UP.pack(2**32 - 2) + b"\1\0")[1].sound) == 96_000 + 2


def test_sound_that_comes_twice_is_heard_once() -> None:
    _, ear = told(UP.pack(0) + b"\1\0\2\0", UP.pack(0) + b"\1\0\2\0", UP.pack(2) + b"\3\0")
    assert ear.sound == b"\1\0\2\0\3\0"
    assert ear.refusals == ["sound out of order"]


@given(st.lists(st.one_of(st.text(max_size=40), st.binary(max_size=40), st.just(HELLO)), max_size=20))
def test_nothing_a_stranger_says_raises(messages: list[str | bytes]) -> None:
    assert told(*messages)[0] == HUNG_UP


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([], "no hello within"),
        ([UP.pack(0), BYE, "{"], "no hello within"),
        (['{"type":"hello","rate":47999}'], "47999 Hz cannot be used"),
    ],
)
def test_a_page_that_does_not_greet_is_not_opened(messages: list[str | bytes], reason: str) -> None:
    async def main() -> None:
        wire = Wire()
        wire.say(*messages)
        with pytest.raises(TransportClosed, match=reason):
            await Browser(wire.receive, wire.send).open(seconds=0.05)

    run(main())


async def opened(wire: Wire) -> Browser:
    wire.say(HELLO)
    browser = Browser(wire.receive, wire.send)
    await browser.open()
    return browser


def test_sound_leaves_with_its_run_and_place() -> None:
    async def main() -> None:
        wire = Wire()
        (await opened(wire)).send_audio(7, 480, b"\1\2")
        assert wire.sent == [DOWN.pack(7, 480) + b"\1\2"]

    run(main())


def test_a_flush_leaves_before_sound_that_waits_and_the_sound_never_leaves() -> None:
    async def main() -> None:
        wire = Wire()
        browser = await opened(wire)
        wire.stall()
        browser.send_audio(1, 0, b"aa")
        browser.send_audio(1, 1, b"bb")
        browser.send_message({"type": "phase", "phase": "Interrupted"})
        browser.clear(1)
        wire.read_on()
        await settle()
        assert wire.sent == [
            DOWN.pack(1, 0) + b"aa",
            '{"type":"flush","run":1}',
            '{"type":"phase","phase":"Interrupted"}',
        ]

    run(main())


def test_a_page_is_told_why_the_call_ended() -> None:
    async def main() -> None:
        wire = Wire()
        browser = await opened(wire)
        await browser.hang_up("ended by the agent")
        await browser.hang_up("again")
        assert [json.loads(each) for each in wire.sent] == [{"type": "bye", "reason": "ended by the agent"}]
        assert wire.closed == (1000, "ended by the agent")

    run(main())


def test_a_ping_is_answered() -> None:
    async def main() -> None:
        wire = Wire()
        browser = await opened(wire)
        wire.say('{"type":"ping","id":4}', BYE)
        await browser.carry(Ear())
        assert json.loads(wire.sent[-1]) == {"type": "pong", "id": 4}

    run(main())


def test_a_page_cannot_be_transferred() -> None:
    async def main() -> None:
        with pytest.raises(TransportClosed, match="cannot be handed"):
            await (await opened(Wire())).transfer("+15550001111")

    run(main())
