"""A real service of two processes, called over its port."""

import asyncio
import contextlib
import os
import re
import signal
import socket
import stat
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from engine.load import machine
from engine.load.served import Served, own_server
from engine.sandbox.twilio_line import Refused, Stream, Webhook
from engine.server.workers import Supervisor
from tests.transports.wires import run

SETTINGS = """\
[agent]
asr = ["rehearsal"]
llm = ["rehearsal"]
tts = ["rehearsal"]

[limits]
calls_max = {calls}
late_ms_max = 0

[journal]
folder = ""
"""


@asynccontextmanager
async def service(folder: Path, calls: int = 10) -> AsyncIterator[Served]:
    settings = folder / "engine.toml"
    settings.write_text(SETTINGS.format(calls=calls).replace('folder = ""', f'folder = "{folder / "calls"}"'))
    async with own_server(settings, workers=2) as served:
        yield served


async def stream_of(served: Served, number: int) -> Stream:
    """What Twilio opens when the webhook has told it to. Raises Refused when there is no room."""
    call_sid = f"CA{number:032x}"
    told = await Webhook(served.token, served.url).incoming(call_sid)
    if told.verb != "Connect":
        raise Refused(told.text)
    return stream(served, told.media_url, call_sid, told.parameters)


def stream(served: Served, media_url: str, call_sid: str, parameters: dict[str, str]) -> Stream:
    return Stream(served.token, media_url, f"ws://{urlsplit(served.url).netloc}/twilio/media", call_sid, parameters)


async def playing(calls: contextlib.AsyncExitStack, served: Served, number: int) -> Stream:
    """A call that hears the agent."""
    each = await calls.enter_async_context(await stream_of(served, number))
    await each.until(lambda: any(each.played))
    return each


def workers_of(served: Served) -> list[int]:
    return [pid for pid in machine.with_descendants([served.pid]) if machine.parent_of(pid) == served.pid]


def test_a_media_token_works_in_any_worker_but_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with service(tmp_path) as served:
            call_sid = f"CA{1:032x}"
            told = await Webhook(served.token, served.url).incoming(call_sid)
            async with stream(served, told.media_url, call_sid, told.parameters) as first:
                await first.until(lambda: any(first.played))
                for _ in range(2):  # one for each worker
                    async with stream(served, told.media_url, call_sid, told.parameters) as again:
                        await again.until_closed()
                    assert again.close_reason == "the token is not valid"

    run(main())


def test_a_worker_that_crashes_takes_only_its_own_calls_and_is_replaced(tmp_path: Path) -> None:
    async def main() -> None:
        async with service(tmp_path) as served:
            before = workers_of(served)
            assert len(before) == 2
            async with contextlib.AsyncExitStack() as calls:
                # Enough of them that each worker has some, however close together their connections came.
                streams = [await playing(calls, served, number) for number in range(1, 7)]
                busiest = max(before, key=lambda pid: machine.sample([pid]).journals)
                os.kill(busiest, signal.SIGKILL)
                closing = [asyncio.create_task(each.until_closed()) for each in streams]
                await asyncio.wait(closing, return_when=asyncio.FIRST_COMPLETED)
                with contextlib.suppress(
                    httpx.TransportError
                ):  # one connection may still have gone to the one that died
                    await playing(calls, served, 7)
                await playing(calls, served, 8)
                survivors = [each for each in streams if not each.closed]
                assert 0 < len(survivors) < len(streams)
                for task in closing:
                    task.cancel()
            while len(set(workers_of(served)) - {busiest}) < 2:
                async with await stream_of(served, 9) as later:
                    await later.until(lambda: any(later.played))

    run(main())


def form(number: int) -> dict[str, str]:
    return {"CallSid": f"CA{number:032x}", "CallStatus": "in-progress"}


def facts_in(folder: Path) -> list[str]:
    """What was written of the one call that there was."""
    [journal] = (folder / "calls").glob("*.jsonl")
    return re.findall(r'"type":"(\w+)"', journal.read_text())


def test_a_stream_that_breaks_goes_on_whichever_worker_it_comes_back_to(tmp_path: Path) -> None:
    async def main() -> None:
        async with service(tmp_path) as served:
            webhook = Webhook(served.token, served.url)
            told = await webhook.incoming(f"CA{1:032x}")
            for _ in range(4):  # each time to the worker with fewer connections, so now to this one and now to that
                async with stream(served, told.media_url, f"CA{1:032x}", told.parameters) as each:
                    await each.until(lambda: any(each.played))
                    each.abort()
                told = await webhook.post("/twilio/after", form(1))
                assert told.verb == "Connect"
            await webhook.tell("/twilio/status", {**form(1), "CallStatus": "completed"})
            await until_forgotten(webhook, 1)
        facts = facts_in(tmp_path)
        assert (facts.count("SessionStarted"), facts.count("TransportResumed")) == (1, 3)
        assert facts.count("TransportLost") == 4

    run(main())


async def until_forgotten(webhook: Webhook, number: int) -> None:
    """Nobody has the call any more, and Twilio is told to hang up."""
    while (await webhook.post("/twilio/after", form(number))).verb != "Hangup":
        pass


def test_a_call_of_a_worker_that_crashed_is_hung_up_by_the_others(tmp_path: Path) -> None:
    async def main() -> None:
        async with service(tmp_path) as served:
            webhook = Webhook(served.token, served.url)
            async with contextlib.AsyncExitStack() as calls:
                streams = [await playing(calls, served, number) for number in range(1, 5)]
                busiest = max(workers_of(served), key=lambda pid: machine.sample([pid]).journals)
                os.kill(busiest, signal.SIGKILL)
                closing = [asyncio.create_task(each.until_closed()) for each in streams]
                await asyncio.wait(closing, return_when=asyncio.FIRST_COMPLETED)
                lost = next(number for number, each in enumerate(streams, 1) if each.closed)
                with contextlib.suppress(
                    httpx.TransportError
                ):  # one more connection may have gone to the one that died
                    await webhook.post("/twilio/after", form(lost))
                assert (await webhook.post("/twilio/after", form(lost))).verb == "Hangup"
                for task in closing:
                    task.cancel()

    run(main())


async def knock_until_refused(served: Served) -> None:
    """Both workers tell within a moment that they are full. Raises Refused then."""
    while True:
        await stream_of(served, 3)


def test_callers_are_spread_and_one_too_many_is_told_so(tmp_path: Path) -> None:
    async def main() -> None:
        async with service(tmp_path, calls=1) as served, httpx.AsyncClient() as client:
            async with await stream_of(served, 1) as one:
                await one.until(lambda: any(one.played))
                async with await stream_of(served, 2) as two:
                    await two.until(lambda: any(two.played))
                    with pytest.raises(Refused, match="All lines are busy"):
                        await knock_until_refused(served)
                    assert (await client.get(f"{served.url}/readyz")).status_code == 503
            assert (await client.get(f"{served.url}/healthz")).status_code == 200

    run(main())


def test_a_newcomer_waits_outside_without_keeping_the_front_busy_until_a_worker_is_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.create_connection(listening.getsockname()):
        supervisor = Supervisor(listening, ["true"], 1, "a secret of some length", lambda: None)
        [worker] = supervisor.workers
        supervisor._mind_the_door()
        assert supervisor._selector.select(0) == []
        worker.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        worker.spoken = True
        supervisor._mind_the_door()
        [(key, _)] = supervisor._selector.select(10)
        key.data()
        assert worker.handed == 1
        with theirs:
            supervisor._end()


def test_only_this_user_reaches_what_workers_say_to_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        supervisor = Supervisor(listening, ["true"], 2, "a secret of some length", lambda: None)
        [folder] = tmp_path.iterdir()
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        supervisor._end()
    assert list(tmp_path.iterdir()) == []
