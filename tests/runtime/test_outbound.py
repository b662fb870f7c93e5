"""The agent's sound: gathered, paced, taken back without losing a sample, and never sent once its run is cleared."""

import asyncio
from array import array

from engine.core.events import Fact, PlayoutAdvanced, PlayoutCleared, PlayoutDone, PlayoutPaused, PlayoutStarted
from engine.core.units import MS, AudioFormat, Encoding
from engine.runtime.outbound import Outbound
from engine.transports.base import Capabilities
from engine.transports.memory import MemoryTransport
from tests.fakes import virtually

TICK_MS = 10


class Line:
    """An outbound with a peer that plays in step with the clock."""

    def __init__(self, **given: object) -> None:
        known: dict[str, object] = {"name": "memory", "inbound": AudioFormat(8_000), "outbound": AudioFormat(8_000)}
        self.loop = asyncio.get_running_loop()
        self.capabilities = Capabilities(**(known | given))  # type: ignore[arg-type]
        self.transport = MemoryTransport(self.capabilities)
        self.peer = self.transport.peer
        self.peer.follow(lambda: round(self.loop.time() * 1e9))
        self.facts: list[Fact] = []
        self.out = Outbound(self.transport, self.facts.append, lambda: round(self.loop.time() * 1e9), self.loop)
        self.peer.line = self  # type: ignore[assignment]

    def marked(self, name: str) -> None:
        self.out.marked(name)

    def played(self, run: int, samples: int) -> None:
        self.out.played(run, samples)

    async def pass_ms(self, ms: int) -> None:
        for _ in range(ms // TICK_MS):
            await asyncio.sleep(TICK_MS / 1000)
            self.peer.catch_up()

    @property
    def heard(self) -> "array[int]":
        return array("h", b"".join(piece.sound for piece in self.peer.played))


def ramp(start: int, ms: int, hz: int = 8_000) -> bytes:
    """Every sample its own number, so that losses and repetitions show."""
    return array("h", range(start, start + ms * hz // 1000)).tobytes()


@virtually
async def test_all_sound_arrives_once_and_in_order() -> None:
    line = Line()
    line.out.open(1)
    await line.out.write(1, ramp(0, 1_000))
    await line.pass_ms(1_200)
    assert line.heard == array("h", range(8_000))
    assert [type(fact) for fact in line.facts] == [PlayoutStarted, *[PlayoutAdvanced] * 4, PlayoutDone]
    assert line.facts[-1] == PlayoutDone(run=1, heard_ns=1_000 * MS)


@virtually
async def test_sound_before_the_opening_is_gathered() -> None:
    line = Line()
    await line.out.write(1, ramp(0, 500))
    await line.pass_ms(500)
    assert not line.peer.sent
    line.out.open(1)
    assert line.peer.sent


@virtually
async def test_every_piece_carries_its_run_and_place() -> None:
    line = Line()
    line.out.open(1)
    line.out.open(2)
    await line.out.write(1, ramp(0, 150))
    await line.out.write(2, ramp(0, 150))
    await line.pass_ms(500)
    places = [(piece.run, piece.start_sample) for piece in line.peer.sent]
    assert places == sorted(places)
    assert {run for run, _ in places} == {1, 2}


@virtually
async def test_a_resume_loses_nothing_and_repeats_nothing() -> None:
    line = Line()
    line.out.open(1)
    await line.out.write(1, ramp(0, 1_000))
    await line.pass_ms(330)
    line.out.pause(1)
    await line.pass_ms(700)
    assert line.heard == array("h", range(330 * 8))
    line.out.resume(1)
    await line.pass_ms(900)
    heard, fade = line.heard, 5 * 8
    assert heard[: 330 * 8] == array("h", range(330 * 8))
    assert len(heard) == 8_000
    assert heard[330 * 8 + fade :] == array("h", range(330 * 8 + fade, 8_000))
    paused = next(fact for fact in line.facts if isinstance(fact, PlayoutPaused))
    assert paused.heard_ns == 330 * MS


@virtually
async def test_the_peer_is_cleared_in_the_callback_that_asked_for_it() -> None:
    line = Line()
    line.out.open(1)
    await line.out.write(1, ramp(0, 1_000))
    await line.pass_ms(100)
    assert line.peer.waiting_ns > 0
    line.out.pause(1)
    assert line.peer.waiting_ns == 0


@virtually
async def test_nothing_of_a_cleared_run_leaves_again() -> None:
    line = Line()
    line.out.open(1)
    await line.out.write(1, ramp(0, 1_000))
    await line.pass_ms(250)
    line.out.clear(1)
    sent = len(line.peer.sent)
    await line.out.write(1, ramp(0, 1_000))
    line.out.open(1)
    line.out.resume(1)
    line.out.pause(1)
    line.out.clear(1)
    await line.pass_ms(2_000)
    assert len(line.peer.sent) == sent
    assert [fact for fact in line.facts if isinstance(fact, PlayoutCleared)] == [
        PlayoutCleared(run=1, heard_ns=250 * MS)
    ]


@virtually
async def test_clearing_a_guess_does_not_silence_what_is_heard() -> None:
    line = Line()
    line.out.open(1)
    await line.out.write(1, ramp(0, 500))
    await line.out.write(2, ramp(0, 500))
    await line.pass_ms(100)
    line.out.clear(2)
    assert line.peer.waiting_ns > 0
    await line.pass_ms(600)
    assert line.heard == array("h", range(4_000))


@virtually
async def test_a_full_ring_makes_the_writer_wait() -> None:
    line = Line(ahead_ns=20 * MS)
    line.out.open(1)
    writing = asyncio.create_task(line.out.write(1, ramp(0, 1_000) * 70))
    await line.pass_ms(5_000)
    assert not writing.done()
    await line.pass_ms(10_000)
    assert writing.done()


@virtually
async def test_a_writer_that_waits_is_let_go_when_its_run_is_cleared() -> None:
    line = Line()
    writing = asyncio.create_task(line.out.write(1, ramp(0, 1_000) * 70))
    await line.pass_ms(100)
    assert not writing.done()
    line.out.clear(1)
    await line.pass_ms(20)
    assert writing.done()


@virtually
async def test_there_is_no_timer_while_nothing_plays() -> None:
    line = Line()
    line.out.open(1)
    assert line.out._timer is None
    await line.out.write(1, ramp(0, 100))
    assert line.out._timer is not None
    await line.pass_ms(200)
    assert line.out._timer is None


@virtually
async def test_a_telephone_gets_its_own_encoding() -> None:
    line = Line(outbound=AudioFormat(8_000, Encoding.ULAW))
    line.out.open(1)
    await line.out.write(1, bytes(160))
    assert line.peer.sent[0].sound == b"\xff" * 80


@virtually
async def test_marks_that_a_clear_sets_free_do_not_count_as_heard() -> None:
    line = Line(marks=True)
    line.out.open(1)
    await line.out.write(1, ramp(0, 1_000))
    await line.pass_ms(250)
    line.out.pause(1)
    await line.pass_ms(100)
    paused = next(fact for fact in line.facts if isinstance(fact, PlayoutPaused))
    assert 240 * MS <= paused.heard_ns <= 250 * MS
    line.out.resume(1)
    await line.pass_ms(1_500)
    assert line.facts[-1] == PlayoutDone(run=1, heard_ns=1_000 * MS)


@virtually
async def test_a_report_after_the_flush_corrects_the_place_to_go_on_from() -> None:
    line = Line(reports=True)
    line.out.open(1)
    await line.out.write(1, ramp(0, 1_000))
    await line.pass_ms(250)
    line.out.pause(1)
    line.out.played(1, 100 * 8)
    line.out.resume(1)
    assert line.peer.sent[-1].start_sample >= 100 * 8
    assert next(piece for piece in reversed(line.peer.sent) if piece.start_sample == 100 * 8)


@virtually
async def test_a_lying_report_neither_raises_nor_runs_past_the_sound() -> None:
    line = Line(reports=True)
    line.out.open(1)
    await line.out.write(1, ramp(0, 1_000) * 5)
    await line.pass_ms(3_000)
    line.out.pause(1)
    for sample in (0, 2**31, 10, 39_999, 1):
        line.out.played(1, sample)
    line.out.played(7, 5)
    line.out.resume(1)
    await line.pass_ms(6_000)
    done = [fact for fact in line.facts if isinstance(fact, PlayoutDone)]
    assert done[-1].heard_ns == 5_000 * MS


@virtually
async def test_what_was_under_way_on_a_broken_wire_is_sent_again_on_the_next() -> None:
    line = Line(reports=True)
    line.out.open(1)
    await line.out.write(1, ramp(0, 1_000))
    await line.pass_ms(300)
    line.out.disconnect()
    await asyncio.sleep(2)
    again = MemoryTransport(line.capabilities)
    line.out.reconnect(again)
    assert again.peer.sent[0].start_sample == 300 * 8


@virtually
async def test_a_run_that_was_heard_gives_way_at_once_and_may_be_played_out() -> None:
    line = Line()
    line.out.open(1)
    await line.out.write(1, ramp(0, 1_000))
    line.out.open(2)
    await line.out.write(2, ramp(0, 100))
    await line.pass_ms(100)
    line.out.forget(1)
    waiting = line.peer.waiting_ns
    assert waiting > 0
    await line.pass_ms(600)
    assert [piece.run for piece in line.peer.sent][-1] == 2
    assert len(line.heard) == (400 + 100) * 8
