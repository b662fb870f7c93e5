"""The heartbeat tells by how much the loop was late."""

import asyncio

from engine.core.units import MS, SECOND
from engine.runtime.elastic import JUMP, ElasticLoop
from engine.runtime.heartbeat import BEAT_NS, Heartbeat


class HeldLoop(ElasticLoop):
    """A loop that can be held up, as by a callback that computes for long."""

    held_ns = 0

    def time(self) -> float:
        return super().time() + self.held_ns / SECOND


async def beats(loop: HeldLoop, count: float) -> None:
    """Virtual time passes."""
    over = loop.create_future()
    loop.call_later(count * BEAT_NS / SECOND, over.set_result, None)
    await over


def test_a_loop_on_time_is_not_late_and_one_that_was_held_up_is() -> None:
    late: list[int] = []

    async def work() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, HeldLoop)
        loop.follow(lambda: JUMP)
        heartbeat = Heartbeat(late.append, loop)
        await beats(loop, 2.5)
        loop.held_ns += BEAT_NS
        await beats(loop, 1.1)
        heartbeat.stop()
        await beats(loop, 3)

    with asyncio.Runner(loop_factory=HeldLoop) as runner:
        runner.run(work())
    assert [round(each / MS) for each in late] == [0, 0, 125, 0]
