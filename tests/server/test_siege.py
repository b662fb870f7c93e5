"""A healthy call beside a siege: strangers of every bad kind at once, and what the call notices of them."""

import asyncio
import json
import logging
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from statistics import median

import pytest

from engine.agent import Agent
from engine.transports.browser import DOWN, SPEAKER
from tests.server import besiegers
from tests.server.servers import AUTH_TOKEN, Served, make_config, serving
from tests.server.test_sessions import Page, page
from tests.transports.wires import run

GREETING = " ".join(f"This is sentence number {n} of a long greeting." for n in range(1, 3))
PONG_SECONDS_MAX = 0.1
"""Of the median ping. Alone it takes 1 ms, besieged 25 ms on two cores; the rest is for a machine that has other work."""
LATE_SECONDS_MAX = 0.2
"""How late sound may come after its turn to be played: what a page's own buffer and a loaded machine's scheduler account for."""


class Healthy:
    """A caller who listens and pings, and notes when what comes."""

    def __init__(self, visitor: Page) -> None:
        self._visitor = visitor
        self._clock = asyncio.get_running_loop().time
        self._began: dict[int, float] = {}
        self.late: list[float] = []
        """Of each piece of sound: seconds after its turn. Negative: before it."""
        self.pongs: list[float] = []
        """Seconds."""

    async def hear_out(self) -> None:
        """Until the agent has said everything. Plays at the speaker's pace, and pings at each piece of sound."""
        asked: dict[int, float] = {}
        async for data in self._visitor.socket:
            now = self._clock()
            if isinstance(data, bytes):
                number, start = DOWN.unpack_from(data)
                began = self._began.setdefault(number, now)
                self.late.append(now - began - start / SPEAKER.rate_hz)
                held = start + (len(data) - DOWN.size) // 2
                played = min(held, int((now - began) * SPEAKER.rate_hz))
                await self._visitor.say(type="played", run=number, samples=played)
                asked[len(asked)] = now
                await self._visitor.say(type="ping", id=len(asked) - 1)
                continue
            message = json.loads(data)
            if message["type"] == "pong":
                self.pongs.append(now - asked[message["id"]])
            elif message["type"] == "agent" and message["state"] == "done":
                return
            elif message["type"] == "bye":
                pytest.fail(f"the healthy call was ended: {message}")


def test_a_siege_of_strangers_is_not_noticed_by_a_healthy_call(caplog: pytest.LogCaptureFixture) -> None:
    config = make_config(
        Agent("Be brief.", asr=(), llm=("scripted",), tts=("espeak",), greeting=GREETING),
        TWILIO_AUTH_TOKEN=AUTH_TOKEN,
        ENGINE_LIMITS_CALLS_PER_ADDRESS="90",
        # The door would turn most of them away: it is opened wide, so that what lies behind it is besieged too.
        ENGINE_LIMITS_CALLS_PER_MINUTE="1000000",
        ENGINE_SERVER_DRAIN_MS="0",
    )

    async def main() -> None:
        async with serving(config) as server, besieged(server) as tries, page(server.ws) as visitor:
            healthy = Healthy(visitor)
            await healthy.hear_out()
            assert len(healthy.pongs) > 40
            assert median(healthy.pongs) < PONG_SECONDS_MAX
            assert max(healthy.late) < LATE_SECONDS_MAX
            await visitor.say(type="bye")
            await visitor.until(type="bye")

            assert set(tries) == {kind.__name__ for kind in besiegers.KINDS}, "a kind of stranger did not come"

    run(main())
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


@asynccontextmanager
async def besieged(server: Served) -> AsyncIterator[dict[str, int]]:
    """Strangers at the door. Gives how often each kind has tried."""
    command = (sys.executable, besiegers.__file__, str(server.port), "1")
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    tries: dict[str, int] = {}
    there = asyncio.Event()

    async def count() -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            tries.update(
                (name, int(number)) for name, _, number in (each.partition("=") for each in line.decode().split())
            )
            there.set()

    counting = asyncio.create_task(count())
    try:
        await there.wait()
        yield tries
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        await counting
