"""Gladia's two steps."""

import pytest

from engine.core.events import Stage
from engine.errors import AdapterError, FailureKind
from engine.sandbox.base import Behaviour, Fault
from engine.sandbox.gladia import TOKEN, GladiaServer
from tests.adapters.drive import listen, make, partials, running, words

pytestmark = pytest.mark.anyio


async def hear(server, text, **options):
    async with server.serve(), running(make(Stage.ASR, "gladia", server, **options)) as provider:
        return await listen(provider.stream(1), text)


async def test_the_sound_goes_to_the_address_that_was_given():
    server = GladiaServer()
    facts = await hear(server, "book a table", region="eu-west")
    assert words(facts) == "book a table"
    assert partials(facts)[0] == "book"
    assert [seen["query"] for seen in server.seen] == [{"region": "eu-west"}, {"token": TOKEN}]


async def test_options_are_sent_under_their_own_names():
    server = GladiaServer()
    await hear(server, "book a table", language_config={"languages": ["en"]})
    body = server.seen[0]["body"]
    assert (body["model"], body["language_config"]) == ("solaria-1", {"languages": ["en"]})
    assert "pre_processing" not in body


@pytest.mark.parametrize(("code", "kind"), [(4403, FailureKind.REJECTED), (1006, FailureKind.CLOSED)])
async def test_its_close_codes_are_kinds(code, kind):
    with pytest.raises(AdapterError) as caught:
        await hear(
            GladiaServer(Behaviour(fault=Fault.CLOSE, close_code=code if code != 1006 else 1000)), "book a table"
        )
    assert caught.value.kind is kind
