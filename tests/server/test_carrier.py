import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from engine.errors import AdapterError, ConfigError, FailureKind
from engine.sandbox.base import Behaviour
from engine.sandbox.twilio import ACCOUNT, AUTH_TOKEN, TwilioServer
from engine.server.carrier import CallOrder, TwilioApi, TwilioError, api_url, credentials
from engine.settings import TwilioSettings

HERE = {"account_sid": ACCOUNT, "auth_token": AUTH_TOKEN}
ORDER = CallOrder(
    target="+15550003333",
    caller="+15550002222",
    voice_url="https://x/v",
    status_url="https://x/s",
    machine_url="https://x/m",
)


@asynccontextmanager
async def account(behaviour: Behaviour | None = None) -> AsyncIterator[tuple[TwilioServer, TwilioApi, list[float]]]:
    """A Twilio, orders to it, and the waits between tries."""
    twilio, waits = TwilioServer(behaviour, route=lambda: "http://127.0.0.1:9"), list[float]()

    async def pause(seconds: float) -> None:
        waits.append(seconds)

    async with twilio.serve():
        api = TwilioApi(TwilioSettings(**HERE, api_url=twilio.url), pause)
        yield twilio, api, waits
        await api.close()
        await twilio.stop()


def attempts(behaviour: Behaviour, order: str) -> tuple[int, list[float], AdapterError | None]:
    """How often an order is sent, with which waits, and how it failed."""
    found: Any = None

    async def main() -> None:
        nonlocal found
        async with account(behaviour) as (twilio, api, waits):
            trouble = None
            try:
                await (api.place(ORDER) if order == "place" else api.fetch("CA1"))
            except AdapterError as error:
                trouble = error
            found = (len(twilio.seen), waits, trouble)

    asyncio.run(main())
    return found  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("settings", "address"),
    [
        ({}, "https://api.twilio.com"),
        ({"edge": "ashburn"}, "https://api.ashburn.us1.twilio.com"),
        ({"edge": "dublin", "region": "ie1"}, "https://api.dublin.ie1.twilio.com"),
        ({"edge": "dublin", "api_url": "http://127.0.0.1:1/"}, "http://127.0.0.1:1"),
    ],
)
def test_an_address_names_edge_and_region_or_neither(settings: dict[str, str], address: str) -> None:
    assert api_url(TwilioSettings(**HERE, **settings)) == address  # type: ignore[arg-type]


def test_a_region_without_an_edge_and_half_a_key_are_mistakes() -> None:
    for half in ({"region": "ie1"}, {"api_key": "SK" + 32 * "0"}, {"api_secret": "x"}, {"number": "me"}):
        with pytest.raises(ValueError, match=r"missing|telephone"):
            TwilioSettings(**HERE, **half)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="TWILIO_ACCOUNT_SID"):
        TwilioApi(TwilioSettings())


@pytest.mark.parametrize("status", [500, 503, 408])
def test_a_call_is_not_placed_twice_where_it_may_have_been_placed(status: int) -> None:
    sent, waits, trouble = attempts(Behaviour(status=status), "place")
    assert (sent, waits) == (1, [])
    assert isinstance(trouble, TwilioError)
    assert trouble.status == status


def test_what_was_not_taken_and_what_only_asks_is_tried_again_within_bounds() -> None:
    assert attempts(Behaviour(status=429), "place")[:2] == (3, [0.25, 0.5])
    assert attempts(Behaviour(status=429, retry_after_s=2), "place")[1] == [2.0, 2.0]
    assert attempts(Behaviour(status=429, retry_after_s=60), "place")[0] == 1
    assert attempts(Behaviour(status=503), "fetch")[0] == 3
    sent, _, trouble = attempts(Behaviour(status=503, faults=1), "fetch")
    assert sent == 2
    assert isinstance(trouble, TwilioError)
    assert (trouble.status, trouble.code, trouble.kind) == (404, 20404, FailureKind.REJECTED)


def test_hanging_up_a_call_that_is_gone_is_fine() -> None:
    async def main() -> None:
        async with account() as (_, api, _):
            await api.hang_up("CA1")

    asyncio.run(main())


def test_a_twilio_that_is_not_there_is_unavailable() -> None:
    async def main() -> None:
        async def pause(_: float) -> None:
            return

        api = TwilioApi(TwilioSettings(**HERE, api_url="http://127.0.0.1:9"), pause)
        with pytest.raises(AdapterError) as caught:
            await api.place(ORDER)
        assert caught.value.kind is FailureKind.UNAVAILABLE
        await api.close()

    asyncio.run(main())


def test_an_api_key_takes_the_place_of_the_token() -> None:
    key = msgspec.structs.replace(TwilioSettings(**HERE), api_key="SK" + 32 * "0", api_secret="secret")
    assert credentials(key) == ("SK" + 32 * "0", "secret")
    assert credentials(TwilioSettings(**HERE)) == (ACCOUNT, AUTH_TOKEN)
