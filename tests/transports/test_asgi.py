import asyncio

import pytest

from engine.transports.asgi import MESSAGE_BYTES_MAX, REJECTED_MAX, SILENT, SLOW, UNUSABLE, Allowance, Outbox, Socket
from tests.transports.wires import Ear, Wire, run, settle

PLENTY = Allowance(1e9, 1e9)


def text(word: str) -> dict[str, str]:
    return {"type": "websocket.send", "text": word}


def test_what_can_leave_leaves_before_put_returns() -> None:
    async def main() -> None:
        wire = Wire()
        Outbox(wire.send, pytest.fail).put(text("now"), 3)
        assert wire.sent == ["now"]

    run(main())


def test_what_cannot_leave_waits_in_order() -> None:
    async def main() -> None:
        wire = Wire()
        box = Outbox(wire.send, pytest.fail)
        wire.stall()
        for word in "abc":
            box.put(text(word), 1, run=1)
        await settle()
        assert wire.sent == []
        assert box.waiting_bytes == 2  # the first is the server's already
        wire.read_on()
        await settle()
        assert wire.sent == ["a", "b", "c"]
        box.put(text("d"), 1)
        assert wire.sent[-1] == "d"

    run(main())


def test_an_overtaking_message_drops_waiting_sound_of_dead_runs_and_goes_first() -> None:
    async def main() -> None:
        wire = Wire()
        box = Outbox(wire.send, pytest.fail)
        wire.stall()
        box.put(text("first"), 5, run=1)
        for word, number in (("r1", 1), ("r2", 2), ("caption", 0), ("r3", 3)):
            box.put(text(word), 2, run=number)
        box.overtake(text("clear"), run=2)
        wire.read_on()
        await settle()
        assert wire.sent == ["first", "clear", "caption", "r3"]
        assert box.waiting_bytes == 0

    run(main())


def test_a_peer_that_does_not_read_is_let_go_at_the_bound() -> None:
    async def main() -> None:
        wire = Wire()
        socket = Socket(wire.receive, wire.send)
        reading = asyncio.create_task(socket.read(lambda given: "", quiet_seconds=60, allowed=PLENTY))
        await settle()
        wire.stall()
        for _ in range(300):
            socket.outbox.put(text("x" * 1024), 1024, run=1)
        assert socket.outbox.waiting_bytes == 0
        assert await reading == SLOW
        wire.leave()
        wire.read_on()
        await socket.close(SLOW)

    run(main())


def test_close_says_the_code_that_fits_and_says_it_once() -> None:
    async def main() -> None:
        wire = Wire()
        socket = Socket(wire.receive, wire.send)
        await socket.close(SILENT)
        wire.sent.clear()
        await socket.close(SLOW)
        socket.outbox.put(text("late"), 4)
        assert wire.closed == (1001, SILENT)
        assert wire.sent == []

    run(main())


def test_close_lets_what_waits_go_first() -> None:
    async def main() -> None:
        wire = Wire()
        box = Outbox(wire.send, pytest.fail)
        wire.stall()
        box.put(text("a"), 1)
        box.put(text("b"), 1)
        closing = asyncio.create_task(box.close(1000, "done"))
        await settle()
        wire.read_on()
        await closing
        assert wire.sent == ["a", "b"]
        assert wire.closed == (1000, "done")

    run(main())


def test_a_send_after_the_peer_has_gone_is_nothing() -> None:
    async def main() -> None:
        wire = Wire()
        box = Outbox(wire.send, pytest.fail)
        wire.leave()
        box.put(text("a"), 1)
        box.put(text("b"), 1)
        assert box.closed

    run(main())


def test_a_peer_that_goes_while_something_waits_is_nothing() -> None:
    async def main() -> None:
        wire = Wire()
        box = Outbox(wire.send, pytest.fail)
        wire.stall()
        box.put(text("a"), 1)
        box.put(text("b"), 1)
        wire.leave()
        wire.read_on()
        await settle()
        assert wire.sent == []
        assert box.closed

    run(main())


def test_reading_ends_when_the_peer_is_silent() -> None:
    async def main() -> None:
        wire = Wire()
        assert (
            await Socket(wire.receive, wire.send).read(lambda given: "", quiet_seconds=0.001, allowed=PLENTY) == SILENT
        )

    run(main())


def test_an_oversized_message_is_counted_and_the_call_goes_on() -> None:
    async def main() -> None:
        wire, ear = Wire(), Ear()
        socket = Socket(wire.receive, wire.send)
        socket.tell(ear)
        wire.say("x" * (MESSAGE_BYTES_MAX + 1), "stop")
        assert await socket.read(lambda given: str(given), quiet_seconds=5, allowed=PLENTY) == "stop"
        assert ear.refusals == ["oversized message"]

    run(main())


def test_what_was_refused_before_there_was_a_line_is_told_to_it() -> None:
    async def main() -> None:
        wire, ear = Wire(), Ear()
        socket = Socket(wire.receive, wire.send)
        socket.reject("early")
        socket.tell(ear)
        socket.reject("late")
        assert ear.refusals == ["early", "late"]

    run(main())


def test_a_connection_that_is_only_noise_is_ended() -> None:
    async def main() -> None:
        wire, ear = Wire(), Ear()
        socket = Socket(wire.receive, wire.send)
        socket.tell(ear)

        def refuse(given: str | bytes) -> str:
            socket.reject("noise")
            return ""

        wire.say(*["noise"] * (REJECTED_MAX + 50))
        assert await socket.read(refuse, quiet_seconds=5, allowed=PLENTY) == UNUSABLE
        assert len(ear.refusals) == REJECTED_MAX
        assert await socket.read(refuse, quiet_seconds=5, allowed=PLENTY) == UNUSABLE

    run(main())


def test_an_allowance_is_a_rate_with_a_store() -> None:
    now = [0.0]
    allowance = Allowance(per_second=10, at_once=5, clock=lambda: now[0])
    assert [allowance.wait_seconds(2) for _ in range(3)] == [0, 0, 0.1]
    now[0] = 0.2
    assert allowance.wait_seconds(1) == 0
    now[0] = 60.0
    assert allowance.wait_seconds(5) == 0
    assert allowance.wait_seconds(1) == 0.1


def test_a_flood_is_read_slowly_and_nothing_of_it_is_lost() -> None:
    async def main() -> None:
        wire, ear, taken = Wire(), Ear(), list[str | bytes]()
        socket = Socket(wire.receive, wire.send)
        socket.tell(ear)
        wire.say(*["x"] * 99, "stop")

        def take(given: str | bytes) -> str:
            taken.append(given)
            return "stop" if given == "stop" else ""

        assert await socket.read(take, quiet_seconds=9, allowed=Allowance(257_000, 257 * 50)) == "stop"
        assert len(taken) == 100
        assert ear.refusals == ["faster than sound"]

    run(main())
