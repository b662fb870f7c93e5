import httpx
import pytest

import engine.server.webrtc as module
from engine.server.webrtc import MISSING, OFFER_BYTES_MAX
from engine.settings import WebRTCSettings
from tests.server.servers import make_config, serving
from tests.transports.webrtc_page import Page
from tests.transports.wires import run

SDP = {"content-type": "application/sdp"}


async def connect(client: httpx.AsyncClient, resume: str = "") -> Page:
    """A page that has said hello."""
    page = Page()
    answer = await client.post("/webrtc/offer", content=await page.offer(), headers=SDP)
    assert answer.status_code == 201, answer.text
    assert answer.headers["content-type"] == "application/sdp"
    await page.take(answer.text)
    await page.opened.wait()
    page.say(type="hello", rate=48_000, resume=resume)
    return page


def test_a_page_is_greeted_asks_and_is_answered_and_hangs_up() -> None:
    async def main() -> None:
        async with serving(make_config()) as server, httpx.AsyncClient(base_url=server.http) as client:
            page = await connect(client)
            assert not (await page.until(type="ready"))["resumed"]
            assert (await page.until(type="agent", state="done"))["text"] == "Hello."
            assert len(await page.until_heard(4_800, over=300)) > 4_800
            page.say(type="text", text="goodbye")
            await page.until(type="caller", text="goodbye")
            assert (await page.until(type="agent", run=2, state="done"))["text"]
            assert server.app.switchboard.host.calls == 1
            page.say(type="bye")
            await page.until(type="bye")
            await page.close()

    run(main())


def test_a_page_that_lost_its_connection_goes_on_with_its_session_on_another() -> None:
    async def main() -> None:
        async with (
            serving(make_config(ENGINE_SERVER_DRAIN_MS="0")) as server,
            httpx.AsyncClient(base_url=server.http) as client,
        ):
            page = await connect(client)
            resume = (await page.until(type="ready"))["resume"]
            await page.until(type="agent", state="done")
            again = await connect(client, resume)
            assert (await again.until(type="ready"))["resumed"]
            again.say(type="text", text="hello again")
            await again.until(type="caller", text="hello again")
            assert server.app.switchboard.host.counts.begun == 1
            await page.close()
            await again.close()

    run(main())


def test_an_offer_that_cannot_be_put_together_is_refused_and_nothing_of_it_stays_open() -> None:
    async def main() -> None:
        async with serving(make_config()) as server, httpx.AsyncClient(base_url=server.http) as client:
            page = Page()
            odd = (await page.offer()).replace("a=mid:0", "a=mid:5")  # not of the bundle that it says it is in
            for _ in range(3):
                answer = await client.post("/webrtc/offer", content=odd, headers=SDP)
                assert (answer.status_code, answer.text) == (400, "this offer cannot be used")
            await page.close()

    run(main())


def test_a_server_that_stops_says_so_and_lets_its_connections_go() -> None:
    async def main() -> None:
        async with (
            serving(make_config(ENGINE_SERVER_DRAIN_MS="0")) as server,
            httpx.AsyncClient(base_url=server.http) as client,
        ):
            page, mute = await connect(client), Page()
            await client.post("/webrtc/offer", content=await mute.offer(), headers=SDP)
            await page.until(type="ready")
        assert (await page.until(type="bye"))["reason"] == "the server is stopping"
        await page.close()
        await mute.close()

    run(main())


@pytest.mark.parametrize(
    ("content", "status", "said"),
    [
        (b"", 400, "one audio section"),
        (b"\xff\x00" * 100, 400, "one audio section"),
        (b"m=audio 9 x 1\r\nm=application 9 x y\r\n", 400, "cannot be used"),
        (b"x" * (OFFER_BYTES_MAX + 1), 413, "at most"),
    ],
)
def test_an_offer_that_is_none_is_refused_in_words(content: bytes, status: int, said: str) -> None:
    async def main() -> None:
        async with serving(make_config()) as server, httpx.AsyncClient(base_url=server.http) as client:
            answer = await client.post("/webrtc/offer", content=content, headers=SDP)
            assert (answer.status_code, said in answer.text) == (status, True)
            assert server.app.switchboard.host.counts.begun == 0

    run(main())


def test_the_same_gate_and_door_stand_before_it_as_before_a_session() -> None:
    async def main() -> None:
        config = make_config(ENGINE_LIMITS_CALLS_PER_ADDRESS="1", ENGINE_SERVER_ORIGINS="https://www.example.com")
        async with serving(config) as server, httpx.AsyncClient(base_url=server.http) as client:
            foreign = {**SDP, "origin": "https://evil.example"}
            assert (await client.post("/webrtc/offer", content="x", headers=foreign)).status_code == 403
            proxied = {**SDP, "x-forwarded-for": "192.0.2.1"}
            assert (await client.post("/webrtc/offer", content="x", headers=proxied)).status_code == 403
            token = {**proxied, "authorization": f"Bearer {server.app.tokens.mint(60)}"}
            assert (await client.post("/webrtc/offer", content="x", headers=token)).status_code == 400
            page = await connect(client)
            other = Page()
            answer = await client.post("/webrtc/offer", content=await other.offer(), headers=SDP)
            assert (answer.status_code, "at once" in answer.text) == (429, True)
            asked = await client.options("/webrtc/offer", headers={"origin": "https://www.example.com"})
            assert asked.headers["access-control-allow-origin"] == "https://www.example.com"
            asked = await client.options("/webrtc/offer", headers={"origin": "https://evil.example"})
            assert "access-control-allow-origin" not in asked.headers
            page.say(type="bye")
            await page.closed.wait()
            await page.close()
            await other.close()

    run(main())


def test_a_page_may_ask_for_the_ice_servers() -> None:
    async def main() -> None:
        config = make_config(
            ENGINE_WEBRTC_ICE_SERVERS="stun:stun.example.com:3478,turn:turn.example.com:3478",
            ENGINE_WEBRTC_TURN_USERNAME="agent",
            ENGINE_WEBRTC_TURN_CREDENTIAL="relay-password",
        )
        async with serving(config) as server, httpx.AsyncClient(base_url=server.http) as client:
            assert (await client.get("/webrtc/offer")).json() == {
                "iceServers": [
                    {"urls": "stun:stun.example.com:3478"},
                    {"urls": "turn:turn.example.com:3478", "username": "agent", "credential": "relay-password"},
                ]
            }
            strange = await client.get("/webrtc/offer", headers={"x-forwarded-for": "192.0.2.1"})
            assert (strange.status_code, "relay-password" in strange.text) == (403, False)

    run(main())


def test_without_the_extra_one_sentence_says_how_to_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)

    async def main() -> None:
        async with serving(make_config()) as server, httpx.AsyncClient(base_url=server.http) as client:
            for answer in (await client.get("/webrtc/offer"), await client.post("/webrtc/offer", content="x")):
                assert (answer.status_code, answer.text) == (501, MISSING)

    run(main())


@pytest.mark.parametrize(
    "settings", [{"ice_servers": ("http://example.com",)}, {"turn_username": "agent"}, {"turn_credential": "secret"}]
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, str]) -> None:
    with pytest.raises(ValueError):
        WebRTCSettings(**settings)
