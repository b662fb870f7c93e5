import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from engine.errors import AdapterError, FailureKind
from engine.transports.browser import DOWN
from tests.server.servers import make_config, serving
from tests.transports.wires import run

HELLO = json.dumps({"type": "hello", "rate": 16_000})


class Page:
    """A page without a speaker: it plays everything the moment it arrives."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.heard: dict[int, int] = {}
        self.messages: list[dict[str, Any]] = []

    async def until(self, **wanted: object) -> dict[str, Any]:
        """Read on until a message has these values."""
        async for data in self.socket:
            if isinstance(data, bytes):
                run_number, start = DOWN.unpack_from(data)
                self.heard[run_number] = start + (len(data) - DOWN.size) // 2
                # Behind the last sound the server may have said goodbye already; a browser's socket drops what is sent then.
                with suppress(ConnectionClosed):
                    await self.say(type="played", run=run_number, samples=self.heard[run_number])
                continue
            message: dict[str, Any] = json.loads(data)
            self.messages.append(message)
            if all(message.get(key) == value for key, value in wanted.items()):
                return message
        raise AssertionError(f"the server closed before {wanted}: {self.socket.close_code} {self.socket.close_reason}")

    async def say(self, **message: object) -> None:
        await self.socket.send(json.dumps(message))


@asynccontextmanager
async def page(url: str, hello: str = HELLO, **options: Any) -> AsyncIterator[Page]:
    async with connect(f"{url}/session", compression=None, **options) as socket:
        await socket.send(hello)
        yield Page(socket)


def test_a_page_is_greeted_asks_and_is_answered() -> None:
    async def main() -> None:
        async with serving(make_config()) as server, page(server.ws) as visitor:
            ready = await visitor.until(type="ready")
            assert (ready["rate"], ready["resumed"]) == (24_000, False)
            greeting = await visitor.until(type="agent", state="done")
            assert greeting["text"] == "Hello."
            await visitor.say(type="text", text="goodbye")
            assert (await visitor.until(type="caller", final=True))["text"] == "goodbye"
            assert (await visitor.until(type="agent", state="speaking"))["run"] == 2
            assert visitor.heard[1] > 4_800

    run(main())


def test_a_page_that_says_goodbye_ends_its_call() -> None:
    async def main() -> None:
        async with serving(make_config()) as server:
            async with page(server.ws) as visitor:
                await visitor.until(type="ready")
                assert server.app.switchboard.host.calls == 1
                await visitor.say(type="bye")
                await visitor.until(type="bye")
            assert server.app.switchboard.host.calls == 0

    run(main())


def test_a_page_that_lost_its_connection_goes_on_with_its_session() -> None:
    async def main() -> None:
        async with serving(make_config()) as server:
            async with page(server.ws) as visitor:
                ready = await visitor.until(type="ready")
                await visitor.until(type="agent", state="done")
                visitor.socket.transport.abort()
            hello = json.dumps({"type": "hello", "rate": 48_000, "resume": ready["resume"]})
            async with page(server.ws, hello) as again:
                assert (await again.until(type="ready"))["resumed"]
                await again.say(type="text", text="hello again")
                await again.until(type="caller", text="hello again")
                assert (await again.until(type="agent", state="speaking"))["run"] == 2

    run(main())


def test_a_session_that_went_on_says_goodbye_on_its_last_connection() -> None:
    async def main() -> None:
        async with serving(make_config()) as server:
            async with page(server.ws) as visitor:
                ready = await visitor.until(type="ready")
                visitor.socket.transport.abort()
            hello = json.dumps({"type": "hello", "rate": 48_000, "resume": ready["resume"]})
            async with page(server.ws, hello) as again:
                assert (await again.until(type="ready"))["resumed"]
                server.app.switchboard.host.session(ready["session"]).hang_up("all was said")  # type: ignore[union-attr]
                assert (await again.until(type="bye"))["reason"] == "all was said"
                await again.socket.wait_closed()
            assert again.socket.close_code == 1000

    run(main())


def test_a_page_that_knows_first_that_its_connection_is_dead_takes_over() -> None:
    async def main() -> None:
        async with serving(make_config()) as server, page(server.ws) as old:
            ready = await old.until(type="ready")
            hello = json.dumps({"type": "hello", "rate": 16_000, "resume": ready["resume"]})
            async with page(server.ws, hello) as again:
                answer = await again.until(type="ready")
                assert (answer["resumed"], answer["session"]) == (True, ready["session"])
                assert server.app.switchboard.host.calls == 1

    run(main())


@pytest.mark.parametrize("resume", ["x", "web-000000000000:1.2.3", "web-000000000000:"])
def test_what_resumes_nothing_begins_a_new_session(resume: str) -> None:
    async def main() -> None:
        hello = json.dumps({"type": "hello", "rate": 16_000, "resume": resume})
        async with serving(make_config()) as server, page(server.ws, hello) as visitor:
            assert not (await visitor.until(type="ready"))["resumed"]

    run(main())


def test_a_session_is_not_taken_over_without_its_own_token() -> None:
    async def main() -> None:
        async with serving(make_config()) as server, page(server.ws) as first, page(server.ws) as second:
            ours = (await first.until(type="ready"))["session"]
            token = (await second.until(type="ready"))["resume"].partition(":")[2]
            hello = json.dumps({"type": "hello", "rate": 16_000, "resume": f"{ours}:{token}"})
            async with page(server.ws, hello) as thief:
                assert not (await thief.until(type="ready"))["resumed"]
            assert server.app.switchboard.host.session(ours) is not None

    run(main())


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "https://evil.example"}, 403),
        ({"x-forwarded-for": "203.0.113.9"}, 403),
    ],
)
def test_a_stranger_is_refused_before_the_upgrade(headers: dict[str, str], status: int) -> None:
    async def main() -> None:
        async with serving(make_config()) as server:
            with pytest.raises(InvalidStatus) as refused:
                async with page(server.ws, additional_headers=headers):
                    pass
            assert refused.value.response.status_code == status

    run(main())


def test_a_token_lets_another_machine_in() -> None:
    async def main() -> None:
        async with serving(make_config()) as server:
            offered: Any = ["engine.v1", f"engine.token.{server.app.tokens.mint(60)}"]
            headers = {"x-forwarded-for": "203.0.113.9"}
            async with page(server.ws, subprotocols=offered, additional_headers=headers) as visitor:
                assert visitor.socket.subprotocol == "engine.v1"
                await visitor.until(type="ready")

    run(main())


def test_one_address_cannot_take_all_the_room() -> None:
    async def main() -> None:
        async with serving(make_config(ENGINE_LIMITS_CALLS_PER_ADDRESS="1")) as server, page(server.ws) as first:
            await first.until(type="ready")
            with pytest.raises(InvalidStatus) as refused:
                async with page(server.ws):
                    pass
            assert refused.value.response.status_code == 429

    run(main())


def test_a_page_is_told_when_there_is_no_room() -> None:
    async def main() -> None:
        async with serving(make_config(ENGINE_LIMITS_CALLS_MAX="1")) as server, page(server.ws) as first:
            await first.until(type="ready")
            async with page(server.ws) as second:
                assert (await second.until(type="bye"))["reason"] == "no room for another call"

    run(main())


def test_a_microphone_that_cannot_be_used_is_told_so() -> None:
    async def main() -> None:
        async with serving(make_config()) as server, page(server.ws, '{"type":"hello","rate":5}') as visitor:
            assert "5 Hz cannot be used" in (await visitor.until(type="bye"))["reason"]

    run(main())


def test_a_page_is_told_when_the_agent_cannot_be_had(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with serving(make_config()) as server:

            async def broken() -> None:
                raise AdapterError("espeak", FailureKind.UNAVAILABLE)

            monkeypatch.setattr(server.app.switchboard, "ready", broken)
            async with page(server.ws) as visitor:
                assert (await visitor.until(type="bye"))["reason"] == "the agent is not available"
            assert "the providers do not start" in caplog.text

    run(main())
