"""Hours in minutes: calls that begin, misbehave and end at random, and a server that must be none the worse for it.

What may not grow is looked at from outside, when nobody calls: memory, open files (sockets and journals among them), tasks, threads.
The first look is taken after a while of the same, so that what a server keeps for good is not taken for a leak.
"""

import asyncio
from collections.abc import Callable
from random import Random

from msgspec import Struct

from engine.load import machine
from engine.load.caller import Caller
from engine.load.crowd import Crowd
from engine.load.figures import Figures
from engine.load.run import Plan, crowd_for, pids_of, tasks_of
from engine.load.wire import BINARY, TEXT, frame

QUIET_SECONDS = 25.0
"""After the last call, before a look: a call whose line broke is kept for its caller for a while, and journals are written."""
CALL_SECONDS = (1.0, 25.0)
WARM_SECONDS = 60.0
RSS_KB_GROWTH_MAX = 8 * 1024
"""Between two quiet moments. Allocators keep some of what they had; a leak goes on."""
NONSENSE = (
    frame(TEXT, b"{"),
    frame(TEXT, b'{"event":"media"}'),
    frame(BINARY, bytes(320)),
    frame(TEXT, b'{"event":"dtmf","streamSid":"","dtmf":{"digit":"5"}}'),
)


class Look(Struct, frozen=True):
    """A server at rest."""

    rss_kb: int
    files: int
    tasks: int
    calls: int
    """That it still thinks are under way."""


class Soaked(Struct, frozen=True, kw_only=True):
    """How it went."""

    minutes: float
    calls: int
    answered: int
    refused: int
    unexpected: int
    """Calls that ended otherwise than their caller wanted."""
    before: Look
    after: Look
    reasons: dict[str, int]

    def leaks(self) -> list[str]:
        """What has grown. Empty: nothing."""
        before, after = self.before, self.after
        found = [
            f"{name}: {getattr(before, name)} before, {getattr(after, name)} after"
            for name in ("files", "tasks", "calls")
            if getattr(after, name) > getattr(before, name)
        ]
        if after.rss_kb - before.rss_kb > RSS_KB_GROWTH_MAX:
            found.append(f"memory: {before.rss_kb} KB before, {after.rss_kb} KB after")
        return found

    def lines(self) -> list[str]:
        """For people."""
        counts = f"{self.calls} calls, {self.answered} answered, {self.refused} refused, {self.unexpected} ended unexpectedly"
        told = [f"soaked        {self.minutes:.0f} min: {counts}"]
        told += [f"because       {count} x {reason}" for reason, count in sorted(self.reasons.items())]
        told += [
            f"at rest       {look.rss_kb // 1024} MB, {look.files} files, {look.tasks} tasks, {look.calls} calls"
            for look in (self.before, self.after)
        ]
        return told + [f"leak          {leak}" for leak in self.leaks()]


class Fate(Struct, frozen=True):
    """What becomes of a call."""

    seconds: float
    end: Callable[[Caller], None]
    nonsense: bytes = b""
    """Sent somewhere on the way."""


def fate(random: Random) -> Fate:
    """Most hang up; some break off, in the greeting too; some send what no caller sends."""
    seconds = random.uniform(*CALL_SECONDS) if random.random() < 0.8 else random.uniform(0.0, 0.5)
    end = Caller.break_off if random.random() < 0.4 else Caller.hang_up
    return Fate(seconds, end, random.choice(NONSENSE) if random.random() < 0.2 else b"")


async def live(crowd: Crowd, random: Random, until: float) -> None:
    """One line, on which one call follows the other."""
    loop = asyncio.get_running_loop()
    while loop.time() < until:
        caller = await crowd.enter()
        if caller is None:
            await asyncio.sleep(1.0)
            continue
        chosen = fate(random)
        await asyncio.sleep(chosen.seconds / 2)
        if chosen.nonsense and not caller.leaving:
            caller.wire.send(chosen.nonsense)
        await asyncio.sleep(chosen.seconds / 2)
        if caller in crowd.callers and not caller.leaving:
            chosen.end(caller)


async def look(plan: Plan) -> Look:
    """The server when nobody calls."""
    await asyncio.sleep(QUIET_SECONDS)
    seen = machine.sample(pids_of(plan))
    tasks, calls = await tasks_of(plan), await calls_of(plan)
    return Look(seen.rss_kb, seen.files, tasks or 0, calls or 0)


async def calls_of(plan: Plan) -> int | None:
    return await tasks_of(plan, "calls")


async def turn(plan: Plan, seed: int, seconds: float, totals: Figures) -> None:
    """So many lines for so long, then nobody."""
    async with crowd_for(plan) as crowd:
        until = asyncio.get_running_loop().time() + seconds
        async with asyncio.TaskGroup() as lines:
            for line in range(plan.calls):
                lines.create_task(live(crowd, Random(seed * 100_003 + line), until))  # noqa: S311
    for name in ("begun", "answered", "refused", "lost"):
        setattr(totals, name, getattr(totals, name) + getattr(crowd.figures, name))
    for reason, count in crowd.figures.reasons.items():
        totals.reasons[reason] = totals.reasons.get(reason, 0) + count


async def soak(plan: Plan, minutes: float) -> Soaked:
    """A minute to warm, a look, the soak itself, another look."""
    totals, warming = Figures(), Figures()
    await turn(plan, plan.seed, WARM_SECONDS, warming)
    before = await look(plan)
    await turn(plan, plan.seed + 1, minutes * 60, totals)
    return Soaked(
        minutes=minutes,
        calls=totals.begun,
        answered=totals.answered,
        refused=totals.refused,
        unexpected=totals.lost,
        before=before,
        after=await look(plan),
        reasons=totals.reasons,
    )
