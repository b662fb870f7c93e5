"""A real Chromium on a real server: a recording is the microphone, and what the page plays can be measured."""

import shutil
import wave
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from msgspec import Struct
from playwright.async_api import Page, ViewportSize, async_playwright

from engine.agent import Agent
from engine.demo import make_agent
from tests.server.servers import Served, make_config, serving

AUDIO = Path(__file__).parent.parent / "fixtures" / "audio"
TODAY = "2026-11-23"
"""A Monday: what the demo agent takes for today."""
RATE_HZ = 16_000
DESK = ViewportSize(width=1280, height=800)
PHONE = ViewportSize(width=390, height=844)
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
TAP = """
window.tapped = [];
const Node = window.AudioWorkletNode;
window.AudioWorkletNode = class extends Node {
  constructor(context, name, options) {
    super(context, name, options);
    if (name !== "speaker") return;
    const meter = new AnalyserNode(context, { fftSize: 2048 });
    this.connect(meter);
    const block = new Float32Array(2048);
    setInterval(() => {
      meter.getFloatTimeDomainData(block);
      window.tapped.push({ at: performance.now(), peak: Math.max(...block.map(Math.abs)) });
    }, 40);
  }
};
"""
"""What leaves the speaker's worklet, measured 25 times a second. The device itself is mute in a headless browser."""


def chromium() -> str:
    """The installed browser. Fails the test when there is none."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.fail("no Chromium or Chrome is installed; on Debian: apt-get install chromium")
    return found


def microphone(path: Path, parts: Sequence[str | float]) -> Path:
    """A recording for the microphone: file names of tests/fixtures/audio, and seconds of silence."""
    sound = bytearray()
    for part in (*parts, 0.2):  # Chromium repeats the last block of a file that does not end in silence
        if isinstance(part, str):
            with wave.open(str(AUDIO / f"{part}.wav")) as said:
                assert (said.getframerate(), said.getnchannels(), said.getsampwidth()) == (RATE_HZ, 1, 2)
                sound += said.readframes(said.getnframes())
        else:
            sound += bytes(2 * int(part * RATE_HZ))
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE_HZ, 0, "NONE", ""))
        file.writeframes(sound)
    return path


class Visit(Struct, frozen=True):
    """A page on a server."""

    page: Page
    server: Served

    async def count(self, selector: str) -> int:
        return await self.page.locator(selector).count()

    async def text(self, selector: str) -> str:
        return (await self.page.locator(selector).last.inner_text()).strip()

    async def wait(self, selector: str, seconds: float = 20) -> None:
        """Until something on the page matches, and is shown."""
        await self.page.locator(selector).first.wait_for(timeout=1_000 * seconds)


def demo(folder: Path) -> Agent:
    """The demo agent, with a book of its own, on a day that stays the same."""
    return make_agent(database=str(folder / "book.sqlite"), today=TODAY)


@asynccontextmanager
async def visiting(
    agent: Agent,
    sound: Path | None = None,
    viewport: ViewportSize = DESK,
    *,
    allowed: bool = True,
    autoplay: bool = True,
    **environ: str,
) -> AsyncIterator[Visit]:
    """A visitor with a browser.

    sound:    what the microphone hears; allowed: whether the page may use it.
    autoplay: whether the page may be heard before anything is pressed.
    """
    policy = "no-user-gesture-required" if autoplay else "document-user-activation-required"
    arguments = ["--use-fake-device-for-media-stream", f"--autoplay-policy={policy}"]
    if allowed:
        arguments.append("--use-fake-ui-for-media-stream")
    if sound:
        arguments.append(f"--use-file-for-fake-audio-capture={sound}%noloop")
    async with serving(make_config(agent, **environ)) as server, async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=arguments)
        try:
            context = await browser.new_context(viewport=viewport, permissions=["microphone"] if allowed else [])
            await context.add_init_script(TAP)
            page = await context.new_page()
            troubles: list[str] = []
            page.on("pageerror", lambda error: troubles.append(str(error)))
            page.on("console", lambda message: troubles.append(message.text) if message.type == "error" else None)
            await page.goto(server.http)
            yield Visit(page, server)
            assert [each for each in troubles if "WebSocket" not in each and "Failed to load" not in each] == []
        finally:
            await browser.close()
