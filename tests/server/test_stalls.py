import asyncio
import logging
import tempfile
import threading

import pytest

from engine.core.units import MS, SECOND
from engine.server.stalls import BUSY_MAX, WINDOW_BEATS, Stall, Stalls, Teller, stack_of

STALL = Stall(late_ns=250 * MS, ran_ns=240 * MS, collected_ns=0, stack="  agent.py:7 book")


@pytest.mark.parametrize(
    ("stall", "cause"),
    [
        (STALL, "one callback"),
        (Stall(250 * MS, 240 * MS, 200 * MS, ""), "the garbage collector"),
        (Stall(250 * MS, 20 * MS, 0, ""), "the machine did not run it, or a system call waited"),
    ],
)
def test_a_stall_has_a_cause(stall: Stall, cause: str) -> None:
    assert stall.cause == cause


def test_a_stall_is_told_with_its_stack_and_many_are_told_once_a_second(caplog: pytest.LogCaptureFixture) -> None:
    now = 0
    tell = Teller(lambda: now)
    with caplog.at_level(logging.WARNING):
        tell(STALL)
        now = SECOND // 2
        tell(STALL)
        now = SECOND
        tell(STALL)
    assert [record.message.splitlines()[0] for record in caplog.records] == [
        "the event loop was held up for 250 ms by one callback",
        "the event loop was held up for 250 ms by one callback (1 more since the last)",
    ]
    assert "agent.py:7 book" in caplog.records[0].message


def test_the_innermost_call_comes_last() -> None:
    with tempfile.TemporaryFile() as file:
        for _ in range(2):
            *_, caller, innermost = stack_of(threading.get_ident(), file).splitlines()
    assert innermost.endswith("stack_of")
    assert caller.endswith("test_the_innermost_call_comes_last")
    assert caller.startswith(f"  {__file__}:")


def test_a_thread_that_has_ended_is_nowhere() -> None:
    with tempfile.TemporaryFile() as file:
        assert stack_of(1, file) == ""


def test_what_held_the_loop_up_is_named_from_another_thread() -> None:
    told: list[Stall] = []

    def hold_up(stalls: Stalls) -> None:
        while not stalls._seen:
            pass

    async def main() -> None:
        stalls = Stalls(asyncio.get_running_loop(), tell=told.append)
        stalls.start()
        stalls._due_ns -= 200 * MS
        hold_up(stalls)
        stalls._beat()
        stalls.stop()

    asyncio.run(main())
    assert " hold_up" in told[0].stack.splitlines()[-1]


def judged(late_ns: int, busy: float, *, late_ns_max: int = 60 * MS, strained: bool = False) -> bool:
    """What a process decides when all its recent beats were like this."""

    async def main() -> bool:
        stalls = Stalls(asyncio.get_running_loop(), late_ns_max)
        stalls.strained = strained
        stalls._late.extend([late_ns] * WINDOW_BEATS)
        stalls._busy.extend([busy] * WINDOW_BEATS)
        stalls._judge()
        return stalls.strained

    return asyncio.run(main())


def test_a_process_whose_loop_is_late_takes_no_more_calls() -> None:
    assert judged(70 * MS, 0.5)
    assert not judged(10 * MS, 0.5)


def test_a_process_whose_core_is_used_up_takes_no_more_calls() -> None:
    assert judged(0, BUSY_MAX + 0.01)


def test_it_takes_calls_again_when_that_is_over_for_good() -> None:
    assert judged(40 * MS, 0.5, strained=True)
    assert not judged(20 * MS, 0.5, strained=True)
    assert judged(0, 0.8, strained=True)


def test_one_late_beat_is_no_strain() -> None:
    async def main() -> int:
        stalls = Stalls(asyncio.get_running_loop(), 60 * MS)
        stalls._late.extend([0] * (WINDOW_BEATS - 5) + [SECOND] * 5)
        return stalls.late_ns

    assert asyncio.run(main()) == 0


def test_a_watched_loop_beats_and_lets_go() -> None:
    told: list[Stall] = []

    async def main() -> None:
        stalls = Stalls(asyncio.get_running_loop(), tell=told.append)
        stalls.start()
        stalls._due_ns -= 200 * MS  # as if the loop had been held up since then
        stalls._beat()
        stalls.stop()
        stalls.stop()

    asyncio.run(main())
    assert len(told) == 1
    assert told[0].late_ns > 100 * MS
