"""Two workers, whose doors are known apart here: what a call needs is brought to the one, and the call is in the other."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from msgspec import Struct
from websockets.exceptions import ConnectionClosed

from engine.agent import Agent
from engine.runtime.session import Session
from engine.sandbox.twilio import PUBLIC, Callee, TwilioServer
from engine.sandbox.twilio_line import Stream, Webhook
from engine.server.app import create_app
from engine.server.carrier import Placed
from engine.server.dialling import OUTBOUND
from engine.server.neighbours import Neighbours
from engine.server.serve import listen, make_server
from engine.server.shared import Shared
from engine.server.worker import answer_others
from tests.server.servers import AUTH_TOKEN, Served, make_config
from tests.server.test_sessions import page
from tests.transports.webrtc_page import Page as Peer
from tests.transports.wires import run, settle

CALL = "CA" + 32 * "1"
HER, CONTROL = "+15550003333", "0123456789abcdef"


class Worker(Struct):
    """One of two."""

    served: Served
    among: asyncio.Server
    socket: Path

    async def crash(self) -> None:
        """It answers nobody any more."""
        self.among.close()
        self.socket.unlink()

    def session(self, call_sid: str = CALL) -> Session:
        found = self.served.app.switchboard.host.session(call_sid)
        assert found is not None
        return found

    @property
    def calls(self) -> int:
        return self.served.app.switchboard.host.calls

    @property
    def webhook(self) -> Webhook:
        return Webhook(AUTH_TOKEN, self.served.http, PUBLIC)


@asynccontextmanager
async def worker(folder: Path, name: str, **environ: str) -> AsyncIterator[Worker]:
    typed = Agent("Be brief.", asr=(), llm=("scripted",), tts=("espeak",), greeting="Hello.")
    given = {
        "TWILIO_AUTH_TOKEN": AUTH_TOKEN,
        "ENGINE_TWILIO_PUBLIC_URL": PUBLIC,
        "ENGINE_SECRET": "a secret that both know",
        "ENGINE_CONTROL_TOKEN": CONTROL,
        "ENGINE_SERVER_DRAIN_MS": "0",
    }
    config = make_config(typed, **{**given, **environ})
    shared = Shared(folder, name)
    app = create_app(config=config, shared=shared)
    server = make_server(app, config)
    with listen(config) as listening:
        await app.switchboard.ready()
        among = await answer_others(server, app, shared.socket_of(name))
        task = asyncio.create_task(server.serve([listening]))
        try:
            yield Worker(Served(app, server, listening.getsockname()[1]), among, shared.socket_of(name))
        finally:
            server.should_exit = True
            await task
            among.close()
            await app.switchboard.stop()


@asynccontextmanager
async def two(folder: Path, **environ: str) -> AsyncIterator[tuple[Worker, Worker]]:
    """The one that has the call, and the one that is asked."""
    async with worker(folder, "a", **environ) as one, worker(folder, "b", **environ) as other:
        yield one, other


@asynccontextmanager
async def stream(door: Worker, media_url: str, parameters: dict[str, str]) -> AsyncIterator[Stream]:
    async with Stream(AUTH_TOKEN, media_url, door.served.ws + "/twilio/media", CALL, parameters) as found:
        yield found


@asynccontextmanager
async def calling(door: Worker) -> AsyncIterator[Stream]:
    """A call that has heard the greeting."""
    told = await door.webhook.incoming(CALL)
    async with stream(door, told.media_url, told.parameters) as found:
        await found.until(lambda: any(found.played) and not found.queued)
        yield found


def form(**fields: str) -> dict[str, str]:
    return {"CallSid": CALL, "CallStatus": "in-progress", **fields}


async def until_lost(session: Session) -> None:
    await until(lambda: session._next is not None)


async def until(found: Callable[[], bool]) -> None:
    while not found():
        await settle()


def test_a_stream_that_comes_back_to_another_worker_goes_on_with_its_call(tmp_path: Path) -> None:
    async def main() -> None:
        async with two(tmp_path) as (one, other):
            async with calling(one) as first:
                session = one.session()
                first.abort()
                await until_lost(session)
            told = await other.webhook.post("/twilio/after", form())
            assert told.verb == "Connect"
            async with stream(other, told.media_url, told.parameters) as again:
                before = len(session.state.conversation.messages)
                await again.press("5")
                await again.press("#")
                await again.until(lambda: any(again.played))
                assert len(session.state.conversation.messages) > before
                assert (one.calls, other.calls) == (1, 0)
                await again.stop()
                await again.until_closed()
            assert session.state.ended == "the caller hung up"

    run(main())


def test_a_carried_stream_that_breaks_is_a_broken_line_to_its_call(tmp_path: Path) -> None:
    async def main() -> None:
        async with two(tmp_path) as (one, other), calling(one):
            session = one.session()
            told = await other.webhook.post("/twilio/after", form())
            async with stream(other, told.media_url, told.parameters) as again:
                await again.press("5")
                await until(lambda: bool(session.state.turn.keys))
                again.abort()
                await until_lost(session)
            assert one.calls == 1

    run(main())


def test_a_call_whose_worker_has_crashed_is_hung_up(tmp_path: Path) -> None:
    async def main() -> None:
        async with two(tmp_path) as (one, other), calling(one):
            assert (await other.webhook.post("/twilio/after", form())).verb == "Connect"
            await one.crash()
            assert (await other.webhook.post("/twilio/after", form())).verb == "Hangup"

    run(main())


def test_a_worker_that_crashes_while_it_carries_ends_what_was_carried_to_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with two(tmp_path) as (one, other), page(one.served.ws) as first:
            ready = await first.until(type="ready")
            hello = json.dumps({"type": "hello", "rate": 16_000, "resume": ready["resume"]})
            async with page(other.served.ws, hello) as again:
                await again.until(type="ready")
                for connection in list(one.served.server.server_state.connections):
                    connection.transport.abort()
                with pytest.raises((AssertionError, ConnectionClosed)):
                    await again.until(type="never")
                assert again.socket.close_code == 1011

    run(main())


def test_the_end_of_a_call_is_told_to_the_worker_that_has_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with two(tmp_path) as (one, other):
            async with calling(one) as first:
                session = one.session()
                first.abort()
                await until_lost(session)
            await other.webhook.tell("/twilio/status", form(CallStatus="completed", Direction="inbound"))
            await until(lambda: not one.calls)
            assert session.state.ended == "the caller hung up"

    run(main())


def test_who_picked_up_is_told_to_the_worker_that_has_the_call(tmp_path: Path) -> None:
    async def main() -> None:
        async with two(tmp_path) as (one, other), calling(one) as line:
            await other.webhook.tell("/twilio/machine", form(AnsweredBy="human"))
            assert one.session().state.answered_by == "human"
            await line.stop()

    run(main())


def test_a_caller_whom_nobody_took_comes_back_through_any_worker(tmp_path: Path) -> None:
    async def main() -> None:
        async with two(tmp_path) as (one, other), calling(one):
            session = one.session()
            session.transfer(HER)
            await until_lost(session)
            assert (await other.webhook.post("/twilio/after", form())).text == HER
            told = await other.webhook.post("/twilio/dialled", form(DialCallStatus="busy"))
            assert told.verb == "Connect"
            async with stream(other, told.media_url, told.parameters) as again:
                await again.until(lambda: any(again.played))
                await again.stop()

    run(main())


def test_a_caller_who_was_taken_ends_the_session_in_whichever_worker(tmp_path: Path) -> None:
    async def main() -> None:
        async with two(tmp_path) as (one, other), calling(one):
            session = one.session()
            session.transfer(HER)
            await until_lost(session)
            told = await other.webhook.post("/twilio/after", form())
            assert told.answered_url == f"{PUBLIC}/twilio/bridged"
            await other.webhook.tell("/twilio/bridged", {"CallSid": "CA2", "ParentCallSid": CALL})
            await until(lambda: not one.calls)
            assert session.state.ended == "transferred"

    run(main())


@asynccontextmanager
async def placing(folder: Path) -> AsyncIterator[tuple[Worker, Worker, TwilioServer]]:
    """The first worker places calls; Twilio reaches the second."""
    here: list[str] = []
    twilio = TwilioServer(route=lambda: here[0])
    async with twilio.serve():
        settings = twilio.settings()
        environ = {
            "TWILIO_ACCOUNT_SID": str(settings["account_sid"]),
            "TWILIO_AUTH_TOKEN": str(settings["auth_token"]),
            "ENGINE_TWILIO_API_URL": str(settings["api_url"]),
            "ENGINE_TWILIO_NUMBER": "+15550002222",
        }
        async with two(folder, **environ) as (one, other):
            here.append(other.served.http)
            try:
                yield one, other, twilio
            finally:
                await twilio.stop()


def test_how_a_placed_call_gets_on_is_known_to_the_worker_that_placed_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with placing(tmp_path) as (one, other, twilio):
            twilio.callees[HER] = Callee(answered_by="human", judged_ms=20)
            call = await one.served.app.dialler.dial(HER, machine="detect")
            peer = twilio.calls[call.sid]
            await until(lambda: bool(peer.streams and other.calls))
            session = other.session(call.sid)
            await peer.streams[-1].until(lambda: session.state.answered_by == "human")
            await call.hang_up()
            ended = await call.ended()
            assert (ended.status, ended.target, ended.answered_by) == ("completed", HER, "human")
            assert peer.told == ["initiated", "ringing", "in-progress", "completed"]
            assert twilio.refusals == []

    run(main())


def test_who_picked_up_is_known_to_a_call_whose_sound_comes_later(tmp_path: Path) -> None:
    async def main() -> None:
        async with two(tmp_path) as (one, other):
            known = one.served.app.dialler._known(CALL)
            await other.webhook.tell("/twilio/machine", form(AnsweredBy="machine_start"))
            assert known.answered_by == "machine"
            async with calling(other) as line:
                assert other.session().state.answered_by == "machine"
                await line.stop()

    run(main())


def test_a_call_that_ends_before_its_order_was_answered_is_known_to_have_ended(tmp_path: Path) -> None:
    async def main() -> None:
        async with placing(tmp_path) as (one, other, _):
            told = {"CallSid": CALL, "CallStatus": "busy", "Direction": OUTBOUND, "SequenceNumber": "3"}
            other.served.app.dialler.note_status(told)
            dialler = one.served.app.dialler
            assert dialler._api is not None

            async def place(order: object) -> Placed:
                return Placed(CALL)

            dialler._api.place = place  # type: ignore[method-assign]
            ended = await (await dialler.dial(HER)).ended()
            assert (ended.status, ended.target) == ("busy", HER)

    run(main())


def test_any_worker_tells_the_operator_how_a_call_stands(tmp_path: Path) -> None:
    async def main() -> None:
        async with two(tmp_path) as (one, other), httpx.AsyncClient(base_url=other.served.http) as client:
            one.served.app.dialler._known(CALL).target = HER
            client.headers["authorization"] = f"Bearer {CONTROL}"
            assert (await client.get(f"/calls/{CALL}")).json()["target"] == HER
            assert (await client.get("/calls/CA2")).status_code == 404
            await one.crash()
            assert (await client.get(f"/calls/{CALL}")).status_code == 404

    run(main())


def test_a_page_that_comes_back_to_another_worker_goes_on_with_its_session(tmp_path: Path) -> None:
    async def main() -> None:
        async with two(tmp_path) as (one, other):
            async with page(one.served.ws) as visitor:
                ready = await visitor.until(type="ready")
                await visitor.until(type="agent", state="done")
                visitor.socket.transport.abort()
            hello = json.dumps({"type": "hello", "rate": 48_000, "resume": ready["resume"]})
            async with page(other.served.ws, hello) as again:
                assert (await again.until(type="ready"))["resumed"]
                await again.say(type="text", text="hello again")
                await again.until(type="caller", text="hello again")
                assert (await again.until(type="agent", state="speaking"))["run"] == 2
                assert (one.calls, other.calls) == (1, 0)
                await again.say(type="bye")
                await again.until(type="bye")
            assert again.socket.close_code == 1000
            assert one.calls == 0

    run(main())


@pytest.mark.parametrize("crashed", [True, False])
def test_a_page_whose_session_is_no_more_or_not_its_own_begins_a_new_one(tmp_path: Path, crashed: bool) -> None:
    async def main() -> None:
        async with two(tmp_path) as (one, other), page(one.served.ws) as visitor:
            resume = (await visitor.until(type="ready"))["resume"]
            if crashed:
                await one.crash()
            else:
                resume = resume[:-1] + ("A" if resume[-1] != "A" else "B")
            async with page(other.served.ws, json.dumps({"type": "hello", "rate": 16_000, "resume": resume})) as again:
                assert not (await again.until(type="ready"))["resumed"]
                assert other.calls == 1

    run(main())


def test_an_offer_of_a_page_that_comes_back_is_answered_by_the_worker_that_has_its_session(tmp_path: Path) -> None:
    pytest.importorskip("aiortc")

    async def main() -> None:
        async with two(tmp_path) as (one, other):
            first, again = Peer(), Peer()
            await offer(one, first)
            first.say(type="hello", rate=48_000, resume="")
            resume = (await first.until(type="ready"))["resume"]
            await offer(other, again, {"engine-resume": resume})
            again.say(type="hello", rate=48_000, resume=resume)
            assert (await again.until(type="ready"))["resumed"]
            assert (one.calls, other.calls) == (1, 0)
            await first.close()
            await again.close()

    run(main())


async def offer(door: Worker, peer: Peer, headers: dict[str, str] | None = None) -> None:
    async with httpx.AsyncClient(base_url=door.served.http) as client:
        sdp = {"content-type": "application/sdp", **(headers or {})}
        answer = await client.post("/webrtc/offer", content=await peer.offer(), headers=sdp)
    assert answer.status_code == 201, answer.text
    await peer.take(answer.text)
    await peer.opened.wait()


def test_alone_a_worker_has_no_neighbours() -> None:
    alone = Neighbours()
    alone.hold("call 1")
    assert alone.holder("call 1") == ""
    alone.leave("call 1")
