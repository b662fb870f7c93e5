"""One run: calls begin, all are answered, then they are measured for a while, then they end."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import httpx
from msgspec import Struct

from engine.load import machine
from engine.load.caller import Manner
from engine.load.crowd import Crowd, Ramp
from engine.load.doors import Door, PageDoor, StreamDoor, WebhookDoor
from engine.load.figures import Report, report
from engine.load.voice import PAGE, ULAW, make_voice
from engine.server.gate import is_loopback

ANSWER_SECONDS = 15.0
SETTLE_SECONDS = 3.0
"""After the last greeting began, so that the beginnings do not count."""


class Plan(Struct, frozen=True, kw_only=True):
    """What is wanted of a run."""

    url: str
    token: str = ""
    """Of the Twilio account. Empty: nothing is signed."""
    calls: int = 100
    seconds: float = 30.0
    transport: str = "twilio"
    per_second: float = 25.0
    manner: Manner = Manner()
    seed: int = 1


@asynccontextmanager
async def crowd_for(plan: Plan) -> AsyncIterator[Crowd]:
    """The callers of a plan, none of them in yet. All have gone in the end."""
    page = plan.transport == "browser"
    voice = make_voice(PAGE if page else ULAW, base64_frames=not page)
    async with httpx.AsyncClient() as client:
        door: Door = PageDoor(plan.url)
        if not page:
            direct = urlsplit(plan.url).scheme in ("ws", "wss")
            door = StreamDoor(plan.url, plan.token) if direct else WebhookDoor(plan.url, plan.token, client)
        crowd = Crowd(door, voice, plan.manner, plan.seed)
        try:
            yield crowd
        finally:
            await crowd.leave()
            crowd.stop()


async def warm(plan: Plan) -> None:
    """One call ahead of the others, so that what a server loads with its first call is not counted as theirs."""
    async with crowd_for(plan) as crowd:
        await crowd.enter()
        await crowd.until_answered(ANSWER_SECONDS)


async def tasks_of(plan: Plan, key: str = "tasks") -> int | None:
    """A number that the server tells of itself: the tasks of its event loop, its calls. None: it does not."""
    parts = urlsplit(plan.url)
    async with httpx.AsyncClient() as client:
        try:
            answer = await client.get(f"http://{parts.netloc}/readyz", timeout=5.0)
            told = answer.json().get(key)
        except (httpx.HTTPError, ValueError, AttributeError):
            return None
    return told if isinstance(told, int) else None


def pids_of(plan: Plan) -> list[int]:
    """The server's processes, where they are on this machine."""
    parts = urlsplit(plan.url)
    if not is_loopback(parts.hostname or ""):
        return []
    return machine.listeners(parts.port or (443 if parts.scheme in ("https", "wss") else 80))


async def measure(plan: Plan) -> Report:
    """Carry out a plan."""
    await warm(plan)
    pids = pids_of(plan)
    idle, tasks_idle = machine.sample(pids), await tasks_of(plan)
    async with crowd_for(plan) as crowd:
        await Ramp(plan.per_second)(crowd, plan.calls)
        await crowd.until_answered(ANSWER_SECONDS)
        await asyncio.sleep(SETTLE_SECONDS)
        before, spent = machine.sample(pids), time.process_time()
        crowd.figures.measuring = True
        await asyncio.sleep(plan.seconds)
        crowd.figures.measuring = False
        after, spent = machine.sample(pids), time.process_time() - spent
        live, tasks = len(crowd.callers), await tasks_of(plan)
        await crowd.leave()
    cost = machine.cost(before, after, idle)
    each = max(1, live)
    return report(
        crowd.figures,
        calls=plan.calls,
        seconds=plan.seconds,
        generator_cores=spent / plan.seconds,
        server=cost,
        cpu_percent_per_call=100 * cost.cores / each if cost else None,
        rss_kb_per_call=(cost.rss_kb - cost.rss_kb_idle) / each if cost else None,
        tasks_per_call=(tasks - tasks_idle) / each if tasks is not None and tasks_idle is not None else None,
    )
