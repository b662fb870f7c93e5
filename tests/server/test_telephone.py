import gzip
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from engine.agent import Agent
from engine.core.units import SECOND
from engine.sandbox.twilio_line import Refused, Stream, Webhook
from engine.toolbox import tool
from tests.server.servers import AUTH_TOKEN, Served, make_config, serving
from tests.transports.wires import run

CALL = "CA" + 32 * "1"
PUBLIC = "https://voice.example.com/desk"


def local(server: Served, url: str) -> str:
    """Where a public address of the server's is on this machine."""
    return server.ws + "/twilio" + url.rpartition("/twilio")[2]


@asynccontextmanager
async def calling(server: Served, call_sid: str = CALL) -> AsyncIterator[Stream]:
    """A call as Twilio brings it: the webhook, then the stream that it named."""
    told = await Webhook(AUTH_TOKEN, server.http).incoming(call_sid)
    stream = Stream(AUTH_TOKEN, told.media_url, local(server, told.media_url), call_sid, told.parameters)
    async with stream:
        yield stream


def telephone(**environ: str) -> dict[str, str]:
    return {"TWILIO_AUTH_TOKEN": AUTH_TOKEN, **environ}


def test_a_caller_is_put_on_the_stream_and_greeted() -> None:
    async def main() -> None:
        async with serving(make_config(**telephone())) as server:
            told = await Webhook(AUTH_TOKEN, server.http).incoming(CALL)
            assert told.verb == "Connect"
            assert told.media_url == f"wss://127.0.0.1:{server.port}/twilio/media"
            assert told.after_url == f"{server.http}/twilio/after"
            assert (told.parameters["from"], told.parameters["to"]) == ("+15550001111", "+15550002222")
            async with Stream(
                AUTH_TOKEN, told.media_url, local(server, told.media_url), CALL, told.parameters
            ) as stream:
                await stream.until(lambda: len(stream.played) > 1_600 and any(stream.played) and not stream.queued)
                assert stream.ignored == []
                assert server.app.switchboard.host.calls == 1
                await stream.stop()
                await stream.until_closed()
            assert server.app.switchboard.host.calls == 0

    run(main())


def test_behind_a_proxy_the_public_address_is_what_counts() -> None:
    async def main() -> None:
        config = make_config(**telephone(ENGINE_TWILIO_PUBLIC_URL=PUBLIC))
        async with serving(config) as server:
            told = await Webhook(AUTH_TOKEN, server.http, PUBLIC).incoming(CALL)
            assert told.media_url == "wss://voice.example.com/desk/twilio/media"
            assert told.after_url == PUBLIC + "/twilio/after"
            with pytest.raises(Refused, match="403"):
                await Webhook(AUTH_TOKEN, server.http).incoming(CALL)
            slashed = told.media_url + "/"
            async with Stream(AUTH_TOKEN, slashed, server.ws + "/twilio/media", CALL, told.parameters) as stream:
                await stream.until(lambda: len(stream.played) > 160)

    run(main())


def test_a_webhook_that_twilio_did_not_sign_is_refused() -> None:
    async def main() -> None:
        async with serving(make_config(**telephone())) as server:
            with pytest.raises(Refused, match="403"):
                await Webhook("another token of an account", server.http).incoming(CALL)
            with pytest.raises(Refused, match="403"):
                await Webhook(AUTH_TOKEN, server.http).post("/twilio/voice", {"CallSid": CALL}, signed="")

    run(main())


def test_without_an_auth_token_the_telephone_is_closed() -> None:
    async def main() -> None:
        async with serving(make_config()) as server:
            with pytest.raises(Refused, match="TWILIO_AUTH_TOKEN"):
                await Webhook(AUTH_TOKEN, server.http).incoming(CALL)
            with pytest.raises(InvalidStatus, match="403"):
                await Stream(AUTH_TOKEN, "wss://x/twilio/media", server.ws + "/twilio/media", CALL, {}).__aenter__()

    run(main())


def test_a_stream_that_twilio_did_not_sign_is_refused_at_the_upgrade() -> None:
    async def main() -> None:
        async with serving(make_config(**telephone())) as server:
            told = await Webhook(AUTH_TOKEN, server.http).incoming(CALL)
            stream = Stream("another token", told.media_url, local(server, told.media_url), CALL, told.parameters)
            with pytest.raises(InvalidStatus, match="403"):
                await stream.__aenter__()

    run(main())


@pytest.mark.parametrize("theft", ["twice", "another call", "made up", "missing"])
def test_a_media_token_is_good_once_and_for_its_own_call(theft: str) -> None:
    async def main() -> None:
        async with serving(make_config(**telephone())) as server:
            told = await Webhook(AUTH_TOKEN, server.http).incoming(CALL)
            call_sid, parameters = CALL, dict(told.parameters)
            if theft == "twice":
                async with Stream(AUTH_TOKEN, told.media_url, local(server, told.media_url), CALL, parameters) as first:
                    await first.until(lambda: len(first.played) > 160)
            elif theft == "another call":
                call_sid = "CA" + 32 * "2"
            elif theft == "made up":
                parameters["token"] = "ffffffff.abc.def"
            else:
                del parameters["token"]
            stream = Stream(AUTH_TOKEN, told.media_url, local(server, told.media_url), call_sid, parameters)
            async with stream:
                await stream.until_closed()
                assert stream.close_reason == "the token is not valid"
                assert stream.sent == []

    run(main())


def test_a_caller_is_told_when_there_is_no_room() -> None:
    async def main() -> None:
        async with serving(make_config(**telephone(ENGINE_LIMITS_CALLS_MAX="1"))) as server, calling(server) as stream:
            await stream.until(lambda: len(stream.played) > 160)
            told = await Webhook(AUTH_TOKEN, server.http).incoming("CA" + 32 * "2")
            assert (told.verb, told.text) == ("Say", "All lines are busy at the moment. Please call again later.")

    run(main())


def test_noise_on_the_wire_is_counted_and_the_call_goes_on() -> None:
    async def main() -> None:
        async with serving(make_config(**telephone())) as server, calling(server) as stream:
            await stream.until(lambda: len(stream.played) > 160)
            session = server.app.switchboard.host.session(CALL)
            assert session is not None
            before = session.state.counters.rejected
            for noise in ("{", b"\0\1", '{"event":"surprise"}', '{"event":"media"}', "x" * 100_000):
                await stream.send_raw(noise)
            await stream.send("start", start={"streamSid": stream.sid})
            await stream.until(lambda: session.state.counters.rejected == before + 6)
            heard = len(stream.played)
            await stream.until(lambda: len(stream.played) > heard or not stream.queued)
            assert not stream.closed

    run(main())


def test_keys_are_a_turn() -> None:
    async def main() -> None:
        async with serving(make_config(**telephone())) as server, calling(server) as stream:
            await stream.until(lambda: len(stream.played) > 160 and not stream.queued)
            for digit in "12#":
                await stream.press(digit)
            session = server.app.switchboard.host.session(CALL)
            assert session is not None
            await stream.until(lambda: session.state.turn.taken == 1)
            assert "12" in session.state.turn.last_text.replace(" ", "")

    run(main())


@tool(ends_call=False)
def nothing() -> str:
    """Do nothing."""
    return "done"


def test_after_a_transfer_twilio_is_told_to_dial_and_after_a_call_to_hang_up() -> None:
    async def main() -> None:
        agent = Agent("Be brief.", asr=(), tts=("espeak",), greeting="Hello.", tools=[nothing])
        async with serving(make_config(agent, **telephone())) as server:
            webhook = Webhook(AUTH_TOKEN, server.http)
            async with calling(server) as stream:
                await stream.until(lambda: len(stream.played) > 160)
                session = server.app.switchboard.host.session(CALL)
                assert session is not None
                session.transfer("+15550003333")
                await stream.until_closed()
                assert stream.close_reason == "transferred"
            told = await webhook.post("/twilio/after", {"CallSid": CALL})
            assert (told.verb, told.text) == ("Dial", "+15550003333")
            await webhook.tell("/twilio/bridged", {"CallSid": "CA" + 32 * "9", "ParentCallSid": CALL})
            await server.app.switchboard.host.drain(SECOND)
            assert server.app.switchboard.host.calls == 0
            told = await webhook.post("/twilio/after", {"CallSid": CALL})
            assert told.verb == "Hangup"
            with pytest.raises(Refused, match="403"):
                await webhook.post("/twilio/after", {"CallSid": CALL}, signed="forged")

    run(main())


def test_a_call_whose_stream_broke_goes_on_with_another() -> None:
    async def main() -> None:
        async with serving(make_config(**telephone())) as server:
            webhook = Webhook(AUTH_TOKEN, server.http)
            async with calling(server) as stream:
                await stream.until(lambda: len(stream.played) > 160)
                session = server.app.switchboard.host.session(CALL)
                assert session is not None
                stream.abort()
            told = await webhook.post("/twilio/after", {"CallSid": CALL})
            assert told.verb == "Connect"
            again = Stream(AUTH_TOKEN, told.media_url, local(server, told.media_url), CALL, told.parameters, sid="MZ2")
            async with again:
                await again.press("1")
                await again.press("#")
                await again.until(lambda: session.state.turn.taken == 1)
                await again.until(lambda: any(each.event == "media" for each in again.sent))
                assert again.ignored == []
                assert server.app.switchboard.host.counts.begun == 1
                await again.stop()
                await again.until_closed()
            assert (await webhook.post("/twilio/after", {"CallSid": CALL})).verb == "Hangup"

    run(main())


def test_a_compressed_form_is_never_unpacked() -> None:
    body = gzip.compress(b"CallSid=" + bytes(20_000_000))
    headers = {"content-encoding": "gzip"}
    assert len(body) < 64 * 1024

    async def main() -> None:
        async with serving(make_config(**telephone())) as server, httpx.AsyncClient() as client:
            answer = await client.post(server.http + "/twilio/voice", content=body, headers=headers)
            assert (answer.status_code, answer.text) == (400, "the form cannot be read")

    run(main())


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"x=" + b"y" * 70_000, 400), (b"\xff\xfe", 400), (b"&".join([b"a=b"] * 300), 400), (b"", 403)],
)
def test_a_form_that_cannot_be_read_is_refused(body: bytes, status: int) -> None:
    async def main() -> None:
        async with serving(make_config(**telephone())) as server, httpx.AsyncClient() as client:
            answer = await client.post(server.http + "/twilio/voice", content=body)
            assert answer.status_code == status
            assert json.loads((await client.get(server.http + "/healthz")).text) == {"status": "ok"}

    run(main())
