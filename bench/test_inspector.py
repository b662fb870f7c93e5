"""The inspector on a call of an hour, in a real Chromium: how soon all of it is there, and whether it moves without stutter.

    pytest bench/test_inspector.py -s

`engine inspect` serves a journal of 213,000 facts as its user would start it. "Whole" is from the start of the navigation to the moment when
every row of the journal is on the page and can be walked; the frames are those that requestAnimationFrame gives while wheel events and
scrolling come one a frame. Waterfalls go on being folded beside it, and while they do, the frames are counted too.
"""

import asyncio
import statistics
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, async_playwright

from tests.replay.record import record
from tests.replay.talk import talk
from tests.script import SETUP
from tests.web.browser import DESK, chromium

TURNS, REPORT_MS = 379, 11
"""Just under an hour, with a report of playout every 11 ms: five times as many as a real call has, for the count's sake."""
ROUNDS = 5

OPENED = """async () => {
  let first = null;
  for (;;) {
    const now = await new Promise(requestAnimationFrame);
    const call = globalThis.inspector?.open;
    if (call?.table.rows && first === null) first = now;
    if (call?.over) return { first, whole: now, facts: call.model.facts.length, over: call.over };
  }
}"""
"""`now` counts from the start of the navigation. The frame that is seen here has painted what was taken before it."""

WATCHED = """() => {
  globalThis.folded = (async () => {
    while ((inspector.open.story?.folded ?? 0) < inspector.open.model.facts.length) await new Promise((go) => setTimeout(go, 50));
    return performance.now();
  })();
}"""
"""Begins to wait for the last waterfall; it goes on while the frames are counted."""

MOVED = """async () => {
  const canvas = document.getElementById("lanes");
  const rows = document.getElementById("rows");
  const wheel = (by) => canvas.dispatchEvent(new WheelEvent("wheel", { ...by, bubbles: true, cancelable: true }));
  const frames = async (count, act) => {
    const gaps = [];
    let last = await new Promise(requestAnimationFrame);
    for (let i = 0; i < count; i += 1) {
      act(i);
      const now = await new Promise(requestAnimationFrame);
      gaps.push(now - last);
      last = now;
    }
    return gaps;
  };
  inspector.lanes.fit();
  return {
    "zoom in": await frames(120, () => wheel({ deltaY: -50 })),
    "move, seconds in sight": await frames(120, () => wheel({ deltaX: 60 })),
    "zoom out": await frames(120, () => wheel({ deltaY: 50 })),
    "move, an hour in sight": await frames(120, (i) => inspector.lanes.pan(i % 2 ? 0.02 : -0.02)),
    "scroll events": await frames(120, () => { rows.scrollTop += 120; }),
    "scroll events, 170 at once": await frames(120, () => { rows.scrollTop += 4000; }),
  };
}"""


@pytest.fixture(scope="module")
def hour(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("calls") / "hour.jsonl", talk(TURNS, REPORT_MS), SETUP)


@asynccontextmanager
async def inspected(place: Path) -> AsyncIterator[tuple[Page, str]]:
    """A page of a browser that has been started, and the address of the only call."""
    command = (sys.executable, "-m", "engine", "inspect", str(place), "--port", "0")
    server = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert server.stdout
    try:
        address = (await server.stdout.readline()).decode().split()[-1]
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=chromium())
            page = await (await browser.new_context(viewport=DESK)).new_page()
            await page.goto(address)
            name = await page.locator("#calls a").get_attribute("data-call")
            yield page, f"{address}#{name}"
            await browser.close()
    finally:
        server.kill()
        await server.wait()


def told(label: str, gaps: list[float]) -> str:
    cuts = statistics.quantiles(gaps, n=20)
    return f"{label:<30} p50 {statistics.median(gaps):5.1f}  p95 {cuts[-1]:5.1f}  max {max(gaps):5.1f} ms"


def test_an_hour_opens_whole_within_two_seconds_and_moves_without_stutter(
    hour: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def measure() -> tuple[list[dict[str, Any]], dict[str, list[float]], float, dict[str, list[float]]]:
        async with inspected(hour) as (page, address):
            opened = []
            for _ in range(ROUNDS):
                await page.goto("about:blank")
                await page.goto(address, wait_until="commit")
                opened.append(await page.evaluate(OPENED))
            await page.evaluate(WATCHED)
            folding = await page.evaluate(MOVED)
            folded = await page.evaluate("() => globalThis.folded")
            return opened, folding, folded, await page.evaluate(MOVED)

    opened, folding, folded, still = asyncio.run(measure())
    assert all(each["over"] == "complete" and each["facts"] >= 200_000 for each in opened)
    each_whole = ", ".join(format(each["whole"], ".0f") for each in opened)
    first, whole = (statistics.median(each[name] for each in opened) for name in ("first", "whole"))
    with capsys.disabled():
        print(f"\nfirst rows {first:.0f} ms, whole {whole:.0f} ms ({each_whole})")
        print(f"every waterfall after {folded / 1e3:.1f} s. Frames while they are folded:")
        print("\n".join(told(*each) for each in folding.items()))
        print("and after that:")
        print("\n".join(told(*each) for each in still.items()))
    assert whole < 2_000
    for gaps in still.values():
        assert statistics.quantiles(gaps, n=20)[-1] <= 20
        assert max(gaps) <= 100
