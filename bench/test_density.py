"""What a call costs the server among others, over the real wire: `engine load` in small. Latencies, reported and not gated.

The figures in docs/performance.md, "Many calls", are those of `engine load` with more calls, each process on a core of its own.
"""

import asyncio

import pytest
import uvloop
from msgspec.structs import replace

from engine.load.figures import Report
from engine.load.run import Plan, measure
from engine.load.served import own_server

SECONDS = 10.0


async def run(calls: int, transport: str) -> Report:
    async with own_server() as served:
        plan = Plan(url=served.url, token=served.token, seconds=SECONDS)
        return await measure(replace(plan, calls=calls, transport=transport))


@pytest.mark.parametrize("transport", ["twilio", "browser"])
@pytest.mark.parametrize("calls", [1, 50])
@pytest.mark.benchmark(group="many calls: seconds of the run; the figures are in extra_info")
def test_calls_at_once(benchmark, calls: int, transport: str) -> None:  # type: ignore[no-untyped-def]
    def once() -> Report:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(run(calls, transport))

    found: Report = benchmark.pedantic(once, rounds=1)
    benchmark.extra_info.update(found.as_dict(), response=str(found.response), clear=str(found.clear))
    print("\n" + "\n".join(found.lines()))
    assert found.answered == calls
    assert found.missed == 0
