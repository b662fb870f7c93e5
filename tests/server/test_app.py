import httpx
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.routing import Mount

from engine.agent import Agent
from engine.errors import ConfigError, FailureKind
from engine.sandbox.twilio_line import Stream, Webhook
from engine.server import create_app
from engine.server.pages import Pages
from tests.server.servers import AUTH_TOKEN, hosting, make_config, serving
from tests.server.test_sessions import page
from tests.server.test_telephone import CALL
from tests.transports.wires import run


def test_it_mounts_in_a_service_and_starts_with_its_first_call() -> None:
    async def main() -> None:
        config = make_config(TWILIO_AUTH_TOKEN=AUTH_TOKEN)
        voice = create_app(config=config)
        outer = Starlette(routes=[Mount("/desk/voice", voice)])
        async with hosting(outer, config) as address, httpx.AsyncClient() as client:
            assert (await client.get(address + "/desk/voice/readyz")).status_code == 503
            assert (await client.get(address + "/desk/voice", follow_redirects=True)).status_code == 200
            async with page(address.replace("http", "ws") + "/desk/voice") as visitor:
                assert not (await visitor.until(type="ready"))["resumed"]
                await visitor.until(type="agent", state="speaking")
            assert (await client.get(address + "/desk/voice/readyz")).status_code == 200
            await voice.switchboard.stop()

    run(main())


def test_mounted_under_a_prefix_twilio_is_told_the_whole_address() -> None:
    async def main() -> None:
        config = make_config(TWILIO_AUTH_TOKEN=AUTH_TOKEN)
        voice = create_app(config=config)
        outer = FastAPI(lifespan=voice.router.lifespan_context)
        outer.mount("/desk/voice", voice)
        async with hosting(outer, config) as address:
            told = await Webhook(AUTH_TOKEN, address + "/desk/voice").incoming(CALL)
            media = address.replace("http", "wss") + "/desk/voice/twilio/media"
            assert told.media_url == media
            stream = Stream(AUTH_TOKEN, media, media.replace("wss", "ws"), CALL, told.parameters)
            async with stream:
                await stream.until(lambda: len(stream.played) > 160)

    run(main())


def test_every_answer_has_the_security_headers() -> None:
    async def main() -> None:
        async with serving(make_config()) as server, httpx.AsyncClient(base_url=server.http) as client:
            for path in ("/", "/healthz", "/web/nothing", "/twilio/voice", "/web/../app.py", "/web/%2e%2e/app.py"):
                answer = await client.get(path)
                assert "frame-ancestors 'none'" in answer.headers["content-security-policy"], path
                assert answer.headers["x-content-type-options"] == "nosniff"
                assert "server" not in answer.headers

    run(main())


def test_a_page_part_is_sent_once_while_it_stays_the_same() -> None:
    async def main() -> None:
        async with serving(make_config()) as server, httpx.AsyncClient(base_url=server.http) as client:
            first = await client.get("/")
            assert first.headers["content-type"] == "text/html; charset=utf-8"
            again = await client.get("/", headers={"if-none-match": first.headers["etag"]})
            assert (again.status_code, again.content) == (304, b"")
            script = await client.get("/web/main.js")
            assert script.headers["content-type"].startswith("text/javascript")

    run(main())


def test_readyz_says_no_while_it_drains_and_healthz_goes_on() -> None:
    async def main() -> None:
        async with serving(make_config()) as server, httpx.AsyncClient(base_url=server.http) as client:
            ready = await client.get("/readyz")
            assert (ready.status_code, ready.json()["ready"], ready.json()["calls"]) == (200, True, 0)
            assert ready.json()["providers"] == {"llm": {"scripted": "closed"}, "tts": {"espeak": "closed"}}
            breakers = server.app.switchboard.host.breakers
            breakers.unready(next(iter(breakers)).provider, FailureKind.UNAVAILABLE)
            ready = await client.get("/readyz")
            assert (ready.status_code, ready.json()["providers"]["llm"]) == (200, {"scripted": "open"})
            await server.app.switchboard.drain()
            ready = await client.get("/readyz")
            assert (ready.status_code, ready.json()["draining"]) == (503, True)
            assert (await client.get("/healthz")).status_code == 200

    run(main())


def test_a_bad_configuration_is_told_when_the_app_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGINE_SERVER_SECRET", "short")
    with pytest.raises(ConfigError, match="could be guessed"):
        create_app(Agent("Be brief.", asr=(), tts=("espeak",)))


def test_all_parts_the_page_names_are_there() -> None:
    pages = Pages()
    home = pages.body("index.html").decode()
    for name in ("main.js", "style.css"):
        assert f"web/{name}" in home
        assert pages.body(name)
