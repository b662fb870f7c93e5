"""Time that stretches: it jumps where nothing real is waited for, and keeps step with the world where something is."""

import asyncio
import socket
import time

import pytest

from engine.core.policy import Setup
from engine.core.state import Cause, Ear, Response, Run, State, Turn
from engine.runtime.elastic import JUMP, LISTENING, REAL_TIME, ElasticLoop, speed_of
from tests.fakes import virtually

RUN = Run(number=1, cause=Cause.TURN, began_at=0)


@virtually
async def test_an_hour_passes_at_once() -> None:
    began = time.monotonic()
    await asyncio.sleep(3_600)
    assert time.monotonic() - began < 1
    loop = asyncio.get_running_loop()
    assert isinstance(loop, ElasticLoop)
    assert loop.time_ns() == 3_600 * 10**9


@virtually
async def test_timers_fire_in_their_order() -> None:
    order: list[int] = []
    loop = asyncio.get_running_loop()
    for delay in (3, 1, 2):
        loop.call_later(delay, order.append, delay)
    await asyncio.sleep(5)
    assert order == [1, 2, 3]


@virtually
async def test_nothing_to_wait_for_is_said_and_not_waited_for() -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, ElasticLoop)
    with pytest.raises(AssertionError, match="nothing will ever happen"):
        loop._elastic.select(None)


@virtually
async def test_at_a_finite_speed_the_clock_keeps_step() -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, ElasticLoop)
    loop.follow(lambda: 100.0)
    began = time.monotonic_ns()
    await asyncio.sleep(2)
    real_ns = time.monotonic_ns() - began
    assert real_ns >= 20_000_000
    assert loop.time_ns() >= 2_000_000_000


@virtually
async def test_what_comes_from_outside_ends_a_wait() -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, ElasticLoop)
    near, far = socket.socketpair()
    with near, far:
        near.setblocking(False)
        loop.follow(lambda: REAL_TIME)
        reading = asyncio.create_task(loop.sock_recv(near, 10))
        await asyncio.sleep(0)
        far.send(b"hello")
        async with asyncio.timeout(60):
            assert await reading == b"hello"
        assert loop.time() < 1


@pytest.mark.parametrize(
    ("state", "waiting", "speed"),
    [
        (State(), False, JUMP),
        (State(), True, REAL_TIME),
        (State(ear=Ear(number=1)), False, REAL_TIME),
        (State(ear=Ear(number=1, open=True)), False, JUMP),
        (State(ear=Ear(number=1, open=True), turn=Turn(speaking=True)), False, LISTENING),
        (
            State(ear=Ear(number=1, open=True), turn=Turn(speaking=True), response=Response(run=RUN), setup=Setup()),
            False,
            REAL_TIME,
        ),
        (State(ear=Ear(number=1, open=True), turn=Turn(quiet_ns=5)), False, REAL_TIME),
        (State(ear=Ear(number=1, open=True), turn=Turn(quiet_ns=5, text="done")), False, JUMP),
        (State(ear=Ear(number=1, open=True), turn=Turn(quiet_ns=5, text="one", partial="two")), False, REAL_TIME),
    ],
)
def test_the_clock_waits_for_what_is_real(state: State, waiting: bool, speed: float) -> None:
    assert speed_of(state, waiting) == speed
