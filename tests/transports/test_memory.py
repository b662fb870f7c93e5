"""A call between two objects: a peer that plays in time, echoes, reports, hangs up and vanishes."""

import asyncio

import pytest

from engine.core.units import MS, AudioFormat, Encoding
from engine.errors import TransportClosed
from engine.transports.base import Capabilities, Line
from engine.transports.memory import MemoryTransport
from tests.fakes import virtually


class Told(Line):
    """A line that remembers."""

    def __init__(self) -> None:
        self.said: list[tuple[str, object]] = []

    def hear(self, chunk: bytes) -> None:
        self.said.append(("heard", chunk))

    def marked(self, name: str) -> None:
        self.said.append(("marked", name))

    def played(self, run: int, samples: int) -> None:
        self.said.append(("played", (run, samples)))

    def typed(self, text: str) -> None:
        self.said.append(("typed", text))


def transport(**given: object) -> MemoryTransport:
    known: dict[str, object] = {
        "name": "memory",
        "inbound": AudioFormat(8_000),
        "outbound": AudioFormat(8_000, Encoding.ULAW),
    }
    made = MemoryTransport(Capabilities(**(known | given)))  # type: ignore[arg-type]
    made.peer.line = Told()
    return made


def told(made: MemoryTransport) -> list[tuple[str, object]]:
    assert isinstance(made.peer.line, Told)
    return made.peer.line.said


@virtually
async def test_the_caller_is_heard_until_they_hang_up() -> None:
    made, line = transport(), Told()
    carrying = asyncio.create_task(made.carry(line))
    await asyncio.sleep(0)
    made.peer.speak(b"ab")
    made.peer.hang_up()
    assert await carrying == "the caller hung up"
    assert line.said == [("heard", b"ab")]


@virtually
async def test_a_caller_who_vanishes_may_come_back() -> None:
    made = transport()
    made.peer.drop("no network")
    with pytest.raises(TransportClosed, match="no network"):
        await made.carry(Told())


@virtually
async def test_the_first_reason_for_the_end_stands() -> None:
    made = transport()
    await made.hang_up("ours")
    await made.hang_up("ours again")
    made.peer.hang_up("theirs")
    made.peer.drop()
    assert await made.carry(Told()) == "ours"


@virtually
async def test_sound_is_played_as_time_passes() -> None:
    made = transport()
    made.send_audio(1, 0, bytes(800))
    made.peer.pass_time(30 * MS)
    made.peer.pass_time(30 * MS)
    assert [(piece.run, piece.start_sample, len(piece.sound)) for piece in made.peer.played] == [
        (1, 0, 240),
        (1, 240, 240),
    ]
    assert made.peer.waiting_ns == 40 * MS


@virtually
async def test_time_without_sound_is_not_saved_up() -> None:
    made = transport()
    made.peer.pass_time(1_000 * MS)
    made.send_audio(1, 0, bytes(800))
    made.peer.pass_time(10 * MS)
    assert made.peer.waiting_ns == 90 * MS


@virtually
async def test_a_peer_with_a_clock_plays_by_it() -> None:
    made = transport(reports=True)
    loop = asyncio.get_running_loop()
    made.peer.follow(lambda: round(loop.time() * 1e9))
    made.send_audio(1, 0, bytes(800))
    await asyncio.sleep(0.025)
    made.peer.catch_up()
    assert told(made) == [("played", (1, 200))]


@virtually
async def test_a_mark_comes_back_when_the_sound_before_it_was_played() -> None:
    made = transport()
    made.send_mark("now")
    made.send_audio(1, 0, bytes(80))
    made.send_mark("then")
    await asyncio.sleep(0)
    assert told(made) == [("marked", "now")]
    made.peer.pass_time(10 * MS)
    await asyncio.sleep(0)
    assert told(made) == [("marked", "now"), ("marked", "then")]


@virtually
async def test_a_clear_drops_the_sound_and_frees_the_marks() -> None:
    made = transport()
    made.send_audio(1, 0, bytes(800))
    made.send_mark("never heard")
    made.clear(1)
    made.peer.pass_time(1_000 * MS)
    await asyncio.sleep(0)
    assert made.peer.played == []
    assert told(made) == [("marked", "never heard")]


@virtually
async def test_nothing_is_sent_after_the_end() -> None:
    made = transport()
    made.close("done")
    made.send_audio(1, 0, bytes(80))
    made.send_mark("late")
    made.clear(1)
    made.send_message({"type": "late"})
    await asyncio.sleep(0)
    assert (made.peer.sent, made.peer.messages, told(made)) == ([], [], [])


@virtually
async def test_there_is_nobody_to_hand_over_to() -> None:
    with pytest.raises(TransportClosed):
        await transport().transfer("+15551234")


def show(made: MemoryTransport, run: int, state: str, text: str) -> None:
    made.send_message({"type": "agent", "run": run, "text": text, "heard": 0, "state": state})


@virtually
async def test_a_question_is_answered_by_the_first_run_after_it() -> None:
    made = MemoryTransport()
    carrying = asyncio.create_task(made.carry(Told()))
    show(made, 1, "speaking", "Hello")
    asking = asyncio.create_task(made.peer.ask("who are you?"))
    await asyncio.sleep(1)
    show(made, 1, "interrupted", "Hel")
    show(made, 2, "thinking", "")
    show(made, 2, "done", "An engine.")
    show(made, 3, "done", "Anything else?")
    assert await asking == "An engine."
    assert told(made) == [("typed", "who are you?")]
    made.peer.hang_up()
    await carrying


@virtually
async def test_a_question_to_a_call_that_ends_is_not_waited_for() -> None:
    made = MemoryTransport()
    asking = asyncio.create_task(made.peer.ask("who are you?"))
    carrying = asyncio.create_task(made.carry(Told()))
    await asyncio.sleep(0)
    made.peer.hang_up()
    with pytest.raises(TransportClosed, match="before there was an answer"):
        await asking
    await carrying


@virtually
async def test_a_question_to_a_call_that_is_refused_is_not_waited_for() -> None:
    made = MemoryTransport()
    asking = asyncio.create_task(made.peer.ask("who are you?"))
    await made.hang_up("no room")
    with pytest.raises(TransportClosed, match="before there was an answer"):
        await asking
