"""Hours in minutes: calls that begin, misbehave and end at random, and a server that must be none the worse for it.

What may not grow is looked at from outside, when nobody calls: memory, open files (sockets and journals among them), tasks, threads.
The first look is taken after a while of the same, so that what a server keeps for good is not taken for a leak.
"""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

from msgspec import Struct
from msgspec.structs import replace

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
LOOK_SECONDS = 300.0
"""Between two looks while calls are under way."""
PAGES = 4
"""Every so manyth line is a page's, where the server has pages."""
RSS_KB_GROWTH_MAX = 8 * 1024
"""In the second half, or between two quiet moments where there were few looks. Allocators keep what they once had; a leak goes on."""
LOOKS_MIN = 6
NONSENSE = (
    frame(TEXT, b"{"),
    frame(TEXT, b'{"event":"media"}'),
    frame(BINARY, bytes(320)),
    frame(TEXT, b'{"event":"dtmf","streamSid":"","dtmf":{"digit":"5"}}'),
)
NO_FRAME = b"\xff\x7f\x00\x01no frame of any kind"
FAILURE = b'"type":"AdapterFailed"'
"""A provider's failure, in a journal."""


class Look(Struct, frozen=True):
    """A server at one moment."""

    rss_kb: int
    files: int
    journals: int
    """Of the files."""
    tasks: int
    calls: int
    """That it thinks are under way."""

    def __str__(self) -> str:
        return f"{self.rss_kb / 1024:.1f} MB, {self.files} files, {self.journals} journals, {self.tasks} tasks, {self.calls} calls"


class Soaked(Struct, frozen=True, kw_only=True):
    """How it went."""

    minutes: float
    calls: int
    answered: int
    refused: int
    unexpected: int
    """Calls that ended otherwise than their caller wanted."""
    failures: int = 0
    """Of providers, by the journals; 0 where they are not ours to read."""
    before: Look
    after: Look
    looks: tuple[Look, ...] = ()
    """While calls were under way."""
    reasons: dict[str, int]

    def leaks(self) -> list[str]:
        """What has grown. Empty: nothing."""
        before, after = self.before, self.after
        found = [
            f"{name}: {getattr(before, name)} before, {getattr(after, name)} after"
            for name in ("files", "journals", "tasks", "calls")
            if getattr(after, name) > getattr(before, name)
        ]
        settled = len(self.looks) >= LOOKS_MIN
        if settled:
            before, after = self.looks[len(self.looks) // 2], self.looks[-1]
        if after.rss_kb - before.rss_kb > RSS_KB_GROWTH_MAX:
            doubt = (
                ""
                if settled
                else f"; an allocator grows at first: soak {LOOKS_MIN * LOOK_SECONDS / 60:.0f} min to be sure"
            )
            found.append(f"memory: {before.rss_kb} KB before, {after.rss_kb} KB after{doubt}")
        return found

    def lines(self) -> list[str]:
        """For people."""
        counts = f"{self.calls} calls, {self.answered} answered, {self.refused} refused, {self.unexpected} ended unexpectedly"
        counts += f", {self.failures} failures of providers"
        told = [f"soaked        {self.minutes:.0f} min: {counts}"]
        told += [f"because       {count} x {reason}" for reason, count in sorted(self.reasons.items())]
        told += [f"at rest       {look}" for look in (self.before, self.after)]
        return told + [f"leak          {leak}" for leak in self.leaks()]


class Fate(Struct, frozen=True):
    """What becomes of a call."""

    seconds: float
    end: Callable[[Caller], None]
    nonsense: bytes = b""
    """Sent somewhere on the way."""


def fate(random: Random) -> Fate:
    """Most hang up; some break off, in the greeting too; some send what no caller sends, and some what no peer sends."""
    seconds = random.uniform(*CALL_SECONDS) if random.random() < 0.8 else random.uniform(0.0, 0.5)
    end = random.choices((Caller.hang_up, Caller.break_off, garble), (55, 35, 10))[0]
    return Fate(seconds, end, random.choice(NONSENSE) if random.random() < 0.2 else b"")


def garble(caller: Caller) -> None:
    """Send what is no frame of any kind, and be gone."""
    caller.wire.send(NO_FRAME)
    caller.break_off()


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
    """The server as it is now."""
    seen = machine.sample(pids_of(plan))
    tasks, calls = await tasks_of(plan), await tasks_of(plan, "calls")
    return Look(seen.rss_kb, seen.files, seen.journals, tasks or 0, calls or 0)


async def rest(plan: Plan) -> Look:
    """The server when nobody calls."""
    await asyncio.sleep(QUIET_SECONDS)
    return await look(plan)


async def watch(plan: Plan, crowds: list[Crowd], tell: Callable[[str], None], looks: list[Look]) -> None:
    """Look how the server is every now and then, and tell."""
    began = asyncio.get_running_loop().time()
    while True:
        minutes = (asyncio.get_running_loop().time() - began) / 60
        calls = sum(crowd.figures.begun for crowd in crowds)
        looks.append(await look(plan))
        tell(f"{minutes:4.0f} min      {calls} calls so far; {looks[-1]}")
        await asyncio.sleep(LOOK_SECONDS)


async def turn(plan: Plan, seed: int, seconds: float, totals: Figures, tell: Callable[[str], None]) -> list[Look]:
    """So many lines for so long, then nobody. Returns how the server was meanwhile."""
    looks: list[Look] = []
    async with AsyncExitStack() as leaving:
        crowds = [await leaving.enter_async_context(crowd_for(plan))]
        if plan.transport == "twilio" and urlsplit(plan.url).scheme in ("http", "https"):
            crowds.append(await leaving.enter_async_context(crowd_for(replace(plan, transport="browser"))))
        until = asyncio.get_running_loop().time() + seconds
        watching = asyncio.create_task(watch(plan, crowds, tell, looks))
        async with asyncio.TaskGroup() as lines:
            for line in range(plan.calls):
                crowd = crowds[-1] if line % PAGES == PAGES - 1 else crowds[0]
                lines.create_task(live(crowd, Random(seed * 100_003 + line), until))  # noqa: S311
        watching.cancel()
    for crowd in crowds:
        for name in ("begun", "answered", "refused", "lost"):
            setattr(totals, name, getattr(totals, name) + getattr(crowd.figures, name))
        for reason, count in crowd.figures.reasons.items():
            totals.reasons[reason] = totals.reasons.get(reason, 0) + count
    return looks


def failures_in(journals: Path) -> int:
    """How often a provider failed in these calls."""
    return sum(path.read_bytes().count(FAILURE) for path in journals.glob("*.jsonl"))


async def soak(plan: Plan, minutes: float, tell: Callable[[str], None], journals: Path | None = None) -> Soaked:
    """A minute to warm, a look, the soak itself, another look.

    tell: told every five minutes how the server is. journals: where those of a server of our own are.
    """
    totals, warming = Figures(), Figures()
    await turn(plan, plan.seed, WARM_SECONDS, warming, tell)
    before = await rest(plan)
    looks = await turn(plan, plan.seed + 1, minutes * 60, totals, tell)
    return Soaked(
        minutes=minutes,
        calls=totals.begun,
        answered=totals.answered,
        refused=totals.refused,
        unexpected=totals.lost,
        before=before,
        after=await rest(plan),
        looks=tuple(looks),
        failures=await asyncio.to_thread(failures_in, journals) if journals else 0,
        reasons=totals.reasons,
    )
