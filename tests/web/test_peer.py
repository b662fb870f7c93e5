"""The page's WebRTC: real Chromium, a recording as the microphone, the real server."""

import sqlite3
from pathlib import Path

from playwright.async_api import Route

from tests.transports.lossy import Relay
from tests.web.browser import Visit, demo, microphone, visiting
from tests.web.test_page import TYPED, run

KEEP_PEERS = """
window.peers = [];
const Peer = window.RTCPeerConnection;
window.RTCPeerConnection = class extends Peer {
  constructor(...given) { super(...given); window.peers.push(this); }
};
"""
"""The page's connections, for a test to look into."""
HEARD = """async () => {
  for (const report of (await window.peers.at(-1).getStats()).values())
    if (report.type === "inbound-rtp") return report.totalAudioEnergy;
  return 0;
}"""

CONCEALED = """async () => {
  for (const report of (await window.peers.at(-1).getStats()).values())
    if (report.type === "inbound-rtp") return report.concealedSamples / report.totalSamplesReceived;
}"""


async def choose_webrtc(visit: Visit) -> None:
    await visit.page.add_init_script(KEEP_PEERS)
    await visit.page.reload()
    await visit.wait("#way")
    await visit.page.select_option("#way", "webrtc")


def test_a_spoken_request_over_webrtc_ends_in_a_booked_appointment_and_the_voice_is_heard(tmp_path: Path) -> None:
    sound = microphone(tmp_path / "caller.wav", [6.5, "day-007", 40.0])

    async def main() -> None:
        async with visiting(demo(tmp_path), sound, ENGINE_SERVER_DRAIN_MS="0") as visit:
            await choose_webrtc(visit)
            await visit.page.click("#talk")
            await visit.wait(".agent[data-state=done]")
            assert await visit.text(".agent .text") == "Hello, this is the appointment desk. How can I help you?"
            await visit.wait(".caller:not(.partial)")
            assert await visit.text(".caller .text") == "tomorrow at three"
            await visit.wait(".tool[data-state=done]")
            await visit.wait(".agent[data-state=done] >> nth=1")
            assert "booked for Tuesday, November twenty-fourth, at three p.m." in await visit.text(".agent .text")
            assert (await visit.text("#delay")).endswith(" ms to the server")
            assert await visit.page.evaluate(HEARD) > 0.01, "the agent's voice did not reach the page"
            await visit.page.click("#talk")
            await visit.wait("body[data-call=idle]")

    run(main())
    with sqlite3.connect(tmp_path / "book.sqlite") as book:
        assert "2026-11-24" in str(list(book.execute("select * from appointments")))


def test_speaking_over_the_agent_on_webrtc_leaves_what_was_heard(tmp_path: Path) -> None:
    sound = microphone(tmp_path / "caller.wav", [6.5, "day-007", 2.8, "digits-009", 40.0])

    async def main() -> None:
        async with visiting(demo(tmp_path), sound, ENGINE_SERVER_DRAIN_MS="0") as visit:
            await choose_webrtc(visit)
            await visit.page.click("#talk")
            await visit.wait(".agent[data-state=interrupted]")
            heard = await visit.text(".agent[data-state=interrupted] .text")
            assert heard.startswith("You're booked")
            assert not heard.endswith("I can do for you?")

    run(main())


def test_a_bad_network_is_heard_through_and_the_conversation_goes_on(tmp_path: Path) -> None:
    sound = microphone(tmp_path / "caller.wav", [6.5, "day-007", 40.0])

    async def main() -> None:
        async with visiting(demo(tmp_path), sound, ENGINE_SERVER_DRAIN_MS="0") as visit:
            await choose_webrtc(visit)
            relay = Relay()
            await visit.page.route("**/webrtc/offer", lambda route: through(relay, route))
            await visit.page.click("#talk")
            await visit.wait("body[data-call=live]")
            relay.loss, relay.jitter_ms = 0.05, 40
            await visit.wait(".agent[data-state=done] >> nth=1")
            relay.loss = relay.jitter_ms = 0
            assert await visit.count(".caller:not(.partial)") == 1, (
                "one turn, whatever the recogniser made of the words"
            )
            assert await visit.count(".agent[data-state=done]") == 2, "the answer was heard to its end"
            assert relay.lost > 20
            made_up = await visit.page.evaluate(CONCEALED)
            assert 0 < made_up < 0.2, "of the agent's sound"
            assert await visit.page.evaluate(HEARD) > 0.01, "the agent's voice did not reach the page"
            await visit.page.click("#talk")
            await visit.wait("body[data-call=idle]")
            relay.close()

    run(main())


async def through(relay: Relay, route: Route) -> None:
    """The page's offer and our answer, each with the relay in the other's place."""
    if route.request.method != "POST":
        await route.continue_()
        return
    offer = route.request.post_data
    assert offer is not None
    answer = await route.fetch(post_data=await relay.instead_of_page(offer))
    await route.fulfill(response=answer, body=await relay.instead_of_server(await answer.text()))


def test_without_a_way_through_the_page_falls_back_to_the_websocket_and_says_so() -> None:
    async def main() -> None:
        async with visiting(TYPED, ENGINE_SERVER_DRAIN_MS="0") as visit:
            await choose_webrtc(visit)
            await visit.page.route("**/webrtc/offer", lambda route: route.abort())
            await visit.page.click("#talk")
            await visit.wait(".remark:has-text('over a WebSocket')")
            await visit.wait("body[data-call=live]")
            assert await visit.page.input_value("#way") == "websocket"
            assert await visit.page.is_disabled("#way"), "a choice in the middle of a call changes nothing"
            await visit.wait(".agent[data-state=done]")

    run(main())


def test_a_lost_peer_connection_comes_back_to_the_same_conversation() -> None:
    async def main() -> None:
        async with visiting(TYPED, ENGINE_SERVER_DRAIN_MS="0") as visit:
            await choose_webrtc(visit)
            await visit.page.click("#talk")
            await visit.wait(".agent[data-state=done]")
            await visit.page.evaluate("peers[0].close(), peers[0].onconnectionstatechange()")
            await visit.wait(".remark:has-text('goes on')")
            await visit.wait("body[data-call=live]")
            assert visit.server.app.switchboard.host.counts.begun == 1

    run(main())
