import asyncio
import sqlite3
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import ViewportSize

from engine.agent import Agent
from tests.server.test_sessions import page
from tests.web.browser import DESK, PHONE, demo, microphone, visiting

TYPED = Agent(
    "Book appointments.", asr=(), llm=("scripted",), tts=("espeak",), greeting="Hello, this is a long greeting."
)

TYPES_BY_ITSELF = """
addEventListener("load", () => {
  document.getElementById("text").value = "Hello";
  document.getElementById("typing").requestSubmit();
});
"""
"""A call that begins without anything pressed, as browsers do not like it."""
KEEP_TRACKS = """
window.tracks = [];
const getUserMedia = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
navigator.mediaDevices.getUserMedia = async (wishes) => {
  const stream = await getUserMedia(wishes);
  tracks.push(...stream.getAudioTracks());
  return stream;
};
"""
"""The microphones that the page was given, for a test to look at."""
CHANGED = "async () => { while (tracks[1] === undefined || tracks[0].readyState === 'live') await new Promise(requestAnimationFrame); }"


def run(main: Coroutine[Any, Any, None]) -> None:
    """A browser is slow to start on a busy machine; a test that hangs fails all the same."""
    asyncio.run(asyncio.wait_for(main, 90))


def test_a_spoken_request_ends_in_a_booked_appointment_and_the_voice_is_heard(tmp_path: Path) -> None:
    sound = microphone(tmp_path / "caller.wav", [5.5, "day-007", 40.0])

    async def main() -> None:
        async with visiting(demo(tmp_path), sound) as visit:
            page = visit.page
            await page.click("#talk")
            await visit.wait(".agent[data-state=done]")
            assert await visit.text(".agent .text") == "Hello, this is the appointment desk. How can I help you?"
            await visit.wait(".caller:not(.partial)")
            assert await visit.text(".caller .text") == "tomorrow at three"
            await visit.wait(".tool[data-state=done]")
            assert await visit.text(".tool .text") == "book_appointment"
            await visit.wait(".agent[data-state=done] >> nth=1")
            assert "booked for Tuesday, November twenty-fourth, at three p.m." in await visit.text(".agent .text")
            assert (await visit.text("#last-time")).endswith(" ms")
            peaks = await page.evaluate("tapped.map(({ peak }) => peak)")
            assert max(peaks) > 0.05, "the agent's voice did not reach the speaker"
            await page.click("#talk")
            await visit.wait("body[data-call=idle]")

    run(main())
    with sqlite3.connect(tmp_path / "book.sqlite") as book:
        booked = str(list(book.execute("select * from appointments")))
    assert "2026-11-24" in booked
    assert "15:00" in booked


def test_speaking_over_the_agent_silences_the_page_and_leaves_what_was_heard(tmp_path: Path) -> None:
    # The second utterance falls into the agent's confirmation, which lasts five seconds.
    sound = microphone(tmp_path / "caller.wav", [5.5, "day-007", 2.6, "digits-009", 40.0])

    async def main() -> None:
        async with visiting(demo(tmp_path), sound) as visit:
            await visit.page.click("#talk")
            await visit.wait(".agent[data-state=interrupted]")
            heard = await visit.text(".agent[data-state=interrupted] .text")
            assert heard.startswith("You're booked")
            assert not heard.endswith("I can do for you?")
            assert await visit.count(".agent[data-state=interrupted] .ahead:not(:empty)") == 0
            quiet = await visit.page.evaluate(
                """() => { const loud = tapped.map(({ peak }) => peak > 0.01);
                           let longest = 0, run = 0;
                           for (const each of loud.slice(loud.indexOf(true))) longest = Math.max(longest, run = each ? 0 : run + 1);
                           return longest * 40; }"""
            )
            assert quiet > 200

    run(main())


def test_without_a_microphone_the_page_says_so_in_words_and_typing_works(tmp_path: Path) -> None:
    async def main() -> None:
        async with visiting(demo(tmp_path), allowed=False) as visit:
            await visit.page.click("#talk")
            await visit.wait("#notice:has-text('not allowed')")
            assert await visit.page.get_attribute("body", "data-call") == "idle"
            await visit.page.fill("#text", "What times are free tomorrow?")
            await visit.page.press("#text", "Enter")
            await visit.wait(".caller:not(.partial)")
            assert await visit.text(".caller .text") == "What times are free tomorrow?"
            await visit.wait(".agent[data-state=speaking]:has-text('Tuesday')")

    run(main())


def test_a_lost_connection_comes_back_to_the_same_conversation() -> None:
    async def main() -> None:
        async with visiting(TYPED) as visit:
            await visit.page.click("#talk")
            await visit.wait(".agent[data-state=done]")
            visit.server.cut()
            await visit.wait(".remark:has-text('goes on')")
            await visit.wait("body[data-call=live]")
            assert visit.server.app.switchboard.host.counts.begun == 1
            assert await visit.count(".agent") == 1

    run(main())


def test_a_server_that_stops_is_told_in_words() -> None:
    async def main() -> None:
        async with visiting(TYPED, ENGINE_SERVER_DRAIN_MS="0") as visit:
            await visit.page.click("#talk")
            await visit.wait("body[data-call=live]")
            await visit.server.app.switchboard.drain()
            await visit.wait("#notice:has-text('The server is stopping.')")

    run(main())


def test_a_page_that_is_not_let_in_or_finds_nobody_says_which() -> None:
    async def main() -> None:
        async with visiting(TYPED, ENGINE_LIMITS_CALLS_PER_ADDRESS="1") as visit, page(visit.server.ws) as other:
            await other.until(type="ready")
            await visit.page.click("#talk")
            await visit.wait("#notice:has-text('did not let this page in')")
            await visit.page.route("**/healthz", lambda route: route.abort())
            await visit.page.click("#talk")
            await visit.wait("#notice:has-text('cannot be reached')")

    run(main())


def test_a_server_that_is_gone_when_a_call_begins_is_not_taken_for_a_broken_microphone() -> None:
    async def main() -> None:
        async with visiting(TYPED) as visit:
            visit.server.vanish()
            await visit.page.click("#talk")
            await visit.wait("#notice:has-text('The server cannot be reached')")
            assert await visit.page.get_attribute("body", "data-call") == "idle"

    run(main())


def test_where_the_browser_holds_the_sound_back_the_page_says_what_to_press() -> None:
    async def main() -> None:
        async with visiting(TYPED, allowed=False, autoplay=False) as visit:
            await visit.page.add_init_script(TYPES_BY_ITSELF)
            await visit.page.reload()
            await visit.wait("#notice:has-text('Press anywhere on the page to hear the agent')")
            await visit.page.click("h1")
            await visit.page.locator("#notice").wait_for(state="hidden")

    run(main())


def test_another_microphone_can_be_chosen_in_the_middle_of_a_call_and_is_remembered() -> None:
    async def main() -> None:
        async with visiting(TYPED) as visit:
            page = visit.page
            await page.add_init_script(KEEP_TRACKS)
            await page.reload()
            await page.click("#talk")
            await visit.wait("body[data-call=live]")
            names = await page.locator("#devices option").all_inner_texts()
            assert names[0] == "Default microphone"
            await page.select_option("#devices", label=names[-1])
            await page.evaluate(CHANGED)
            assert await page.evaluate("tracks[0].label") != names[-1]
            assert await page.evaluate("tracks[1].label") == names[-1]
            assert await page.evaluate("tracks[1].readyState") == "live"
            await page.click("#talk")
            await page.reload()
            assert await page.evaluate("document.getElementById('devices').selectedOptions[0].label") == names[-1]

    run(main())


def test_everything_can_be_done_from_the_keyboard() -> None:
    async def main() -> None:
        async with visiting(TYPED) as visit:
            page = visit.page
            await page.keyboard.press("Tab")  # the skip link
            await page.keyboard.press("Tab")
            assert await page.evaluate("document.activeElement.id") == "talk"
            await page.keyboard.press("Enter")
            await visit.wait("body[data-call=live]")
            await page.keyboard.press("m")
            assert await page.get_attribute("#mute", "aria-pressed") == "true"
            assert await page.get_attribute("body", "data-open") == "false"
            await page.keyboard.press("m")
            await page.focus("#push")
            await page.keyboard.press("Enter")
            assert await page.get_attribute("body", "data-open") == "false"
            await page.keyboard.down("Space")
            assert await page.get_attribute("body", "data-open") == "true"
            await page.keyboard.up("Space")
            assert await page.get_attribute("body", "data-open") == "false"
            await page.focus("#hold")
            for pressed in ("true", "false"):  # one that cannot be held down, as a screen reader presses it, toggles
                await page.keyboard.press("Enter")
                assert await page.get_attribute("#hold", "aria-pressed") == pressed
                assert await page.get_attribute("body", "data-open") == pressed
            await page.focus("#talk")
            await page.keyboard.press("Enter")
            await visit.wait("body[data-call=idle]")

    run(main())


@pytest.mark.parametrize("viewport", [DESK, PHONE, ViewportSize(width=320, height=568)])
def test_the_page_fits_its_screen_and_every_control_has_a_name(viewport: ViewportSize) -> None:
    async def main() -> None:
        async with visiting(TYPED, viewport=viewport) as visit:
            page = visit.page
            for state in ("idle", "live"):
                if state == "live":
                    await page.click("#talk")
                    await visit.wait("body[data-call=live]")
                wide, high = await page.evaluate(
                    "[document.documentElement.scrollWidth, document.documentElement.scrollHeight]"
                )
                assert wide <= viewport["width"]
                assert high <= viewport["height"]
                box = await page.locator("#talk").bounding_box()
                assert box is not None
                assert box["y"] + box["height"] <= viewport["height"]
                assert min(box["width"], box["height"]) >= 44
                nameless = await page.evaluate(
                    """() => [...document.querySelectorAll("button, input, select, a")]
                           .filter((each) => !(each.textContent.trim() || each.getAttribute("aria-label") || each.labels?.length))
                           .map((each) => each.outerHTML)"""
                )
                assert nameless == []

    run(main())
