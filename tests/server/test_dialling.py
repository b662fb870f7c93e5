import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from msgspec import Struct

from engine.agent import Agent
from engine.core.policy import Policy
from engine.core.state import Run
from engine.core.units import SECOND
from engine.errors import AdapterError, ConfigError
from engine.runtime.session import Session
from engine.sandbox.twilio import PUBLIC, Call, Callee, TwilioServer
from engine.sandbox.twilio_line import Refused, Webhook
from tests.server.servers import Served, make_config, serving
from tests.transports.wires import run

HER, DESK = "+15550003333", "+15550004444"
CONTROL = "0123456789abcdef"


class World(Struct):
    """A service and its Twilio."""

    server: Served
    twilio: TwilioServer

    async def placed(self, **how: object) -> Call:
        """Place a call to her, and Twilio's side of it."""
        call = await self.server.app.dialler.dial(HER, **how)  # type: ignore[arg-type]
        return self.twilio.calls[call.sid]

    async def session(self, call: Call) -> Session:
        """The session of a call, once she hears the agent."""
        while not call.streams:
            await settle()
        stream = call.streams[-1]
        await stream.until(lambda: len(stream.played) > 320)
        session = self.server.app.switchboard.host.session(call.sid)
        assert session is not None
        return session


async def settle() -> None:
    await asyncio.sleep(0)


def brief(**policy: object) -> Agent:
    return Agent(
        "Be brief.",
        asr=(),
        tts=("espeak",),
        greeting="Hello.",
        policy=Policy(**policy),  # type: ignore[arg-type]
    )


@asynccontextmanager
async def world(agent: Agent | None = None) -> AsyncIterator[World]:
    here: list[str] = []
    twilio = TwilioServer(route=lambda: here[0])
    async with twilio.serve():
        given = {
            "TWILIO_ACCOUNT_SID": "account_sid",
            "TWILIO_AUTH_TOKEN": "auth_token",
            "ENGINE_TWILIO_API_URL": "api_url",
            "ENGINE_TWILIO_PUBLIC_URL": "public_url",
        }
        environ = {name: str(twilio.settings()[setting]) for name, setting in given.items()}
        environ |= {"ENGINE_TWILIO_NUMBER": "+15550002222", "ENGINE_CONTROL_TOKEN": CONTROL}
        async with serving(make_config(agent or brief(), **environ)) as server:
            here.append(server.http)
            try:
                yield World(server, twilio)
            finally:
                await twilio.stop()


def test_a_placed_call_is_talked_to_and_its_end_is_told() -> None:
    async def main() -> None:
        async with world() as here:
            call = await here.server.app.dialler.dial(HER)
            peer = here.twilio.calls[call.sid]
            session = await here.session(peer)
            assert session.state.conversation is not None
            await call.hang_up()
            ended = await call.ended()
            assert (ended.status, ended.target) == ("completed", HER)
            assert 1 <= ended.seconds < 20
            assert peer.told == ["initiated", "ringing", "in-progress", "completed"]
            await here.server.app.switchboard.host.drain(5 * SECOND)
            assert here.twilio.refusals == []

    run(main())


@pytest.mark.parametrize(("takes", "sip"), [("busy", 486), ("no-answer", 480), ("failed", 404)])
def test_a_call_that_nobody_takes_says_how_it_went(takes: str, sip: int) -> None:
    async def main() -> None:
        async with world() as here:
            here.twilio.callees[HER] = Callee(takes=takes)
            ended = await (await here.server.app.dialler.dial(HER)).ended()
            assert (ended.status, ended.sip_code, ended.answered_by) == (takes, sip, "")
            assert here.server.app.switchboard.host.counts.begun == 0

    run(main())


@pytest.mark.parametrize(("judged", "by"), [("human", "human"), ("machine_end_beep", "machine"), ("odd", "unknown")])
def test_who_picked_up_is_a_fact_of_the_call(judged: str, by: str) -> None:
    async def main() -> None:
        async with world() as here:
            here.twilio.callees[HER] = Callee(answered_by=judged, judged_ms=20)
            peer = await here.placed(machine="detect")
            session = await here.session(peer)
            stream = peer.streams[-1]
            await stream.until(lambda: session.state.answered_by == by)
            assert peer.form["MachineDetection"] == "Enable"
            await stream.stop()

    run(main())


def test_a_machine_is_left_the_message_and_hung_up_on() -> None:
    async def main() -> None:
        async with world(brief(voicemail="Call us back.")) as here:
            here.twilio.callees[HER] = Callee(answered_by="machine_end_beep", judged_ms=20)
            call = await here.server.app.dialler.dial(HER, machine="message")
            ended = await call.ended()
            assert (ended.status, ended.answered_by) == ("completed", "machine")
            assert here.twilio.calls[call.sid].verbs == ["Connect", "Hangup"]

    run(main())


def test_a_caller_is_handed_over_by_an_order_and_the_session_ends_when_somebody_answers() -> None:
    async def main() -> None:
        async with world() as here:
            peer = await here.placed()
            session = await here.session(peer)
            session.transfer(DESK)
            await here.server.app.switchboard.host.drain(10 * SECOND)
            assert (peer.dialled, peer.verbs) == ([DESK], ["Connect", "Dial"])
            assert session.state.ended == "transferred"

    run(main())


@pytest.mark.parametrize("takes", ["busy", "no-answer"])
def test_a_caller_whom_nobody_takes_comes_back_to_the_same_conversation(takes: str) -> None:
    async def main() -> None:
        async with world() as here:
            here.twilio.callees[DESK] = Callee(takes=takes)
            peer = await here.placed()
            session = await here.session(peer)
            session.transfer(DESK)
            await peer.streams[0].until_closed()
            said = session.state.setup.policy.not_transferred
            while len(peer.streams) < 2:
                await settle()
            again = peer.streams[1]
            await again.until(lambda: any(said == run.text for run in live_and_past(session)))
            assert peer.verbs == ["Connect", "Dial", "Connect"]
            assert here.server.app.switchboard.host.counts.begun == 1
            await again.stop()

    run(main())


def test_an_order_that_twilio_refuses_leaves_the_caller_with_the_agent_who_says_so() -> None:
    async def main() -> None:
        async with world() as here:
            peer = await here.placed()
            session = await here.session(peer)
            here.twilio.behaviour.status = 400
            session.transfer(DESK)
            stream = peer.streams[0]
            said = session.state.setup.policy.not_transferred
            await stream.until(lambda: any(said in (run.text) for run in live_and_past(session)))
            assert not stream.closed
            await stream.stop()

    run(main())


def live_and_past(session: Session) -> list[Run]:
    response = session.state.response
    return [*response.past, *([response.run] if response.run else [])]


def test_what_cannot_be_dialled_is_named_before_anything_is_ordered() -> None:
    async def main() -> None:
        async with world() as here:
            dial = here.server.app.dialler.dial
            for wrong in ({"target": "her"}, {"target": HER, "caller": "me"}, {"target": HER, "machine": "maybe"}):
                with pytest.raises(ConfigError):
                    await dial(**wrong)
            with pytest.raises(ConfigError):
                await dial(HER, ring_seconds=0)
            assert here.twilio.seen == []
            here.twilio.behaviour.status = 401
            with pytest.raises(AdapterError, match="HTTP 401, error 20003"):
                await dial(HER)

    run(main())


def test_without_an_account_nothing_is_dialled() -> None:
    async def main() -> None:
        async with serving(make_config()) as server:
            with pytest.raises(ConfigError, match="TWILIO_ACCOUNT_SID"):
                await server.app.dialler.dial(HER, caller=DESK)

    run(main())


@pytest.mark.parametrize("route", ["status", "machine", "dialled", "bridged"])
def test_what_twilio_did_not_sign_changes_nothing(route: str) -> None:
    async def main() -> None:
        async with world() as here:
            peer = await here.placed()
            session = await here.session(peer)
            forged = {"CallSid": peer.sid, "ParentCallSid": peer.sid, "CallStatus": "completed", "AnsweredBy": "fax"}
            with pytest.raises(Refused, match="403"):
                await Webhook("another token", here.server.http, PUBLIC).tell(f"/twilio/{route}", forged)
            assert (session.state.ended, session.state.answered_by) == ("", "")
            await peer.streams[-1].stop()

    run(main())
