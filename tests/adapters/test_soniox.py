"""Soniox's tokens."""

import pytest

from engine.core.events import ASREndOfTurn, Stage
from engine.errors import AdapterError, FailureKind
from engine.sandbox.base import Behaviour, Fault
from engine.sandbox.soniox import SonioxServer
from tests.adapters.drive import listen, make, partials, words

pytestmark = pytest.mark.anyio


async def test_pieces_of_words_are_joined_by_their_own_spaces():
    async with (server := SonioxServer()).serve():
        facts = await listen(make(Stage.ASR, "soniox", server).stream(1), "book a table")
    assert partials(facts) == ["book", "book a", "book a table"]
    assert words(facts) == "book a table"


async def test_its_endpoint_ends_the_turn():
    async with (server := SonioxServer()).serve():
        over = lambda facts: isinstance(facts[-1], ASREndOfTurn)  # noqa: E731
        facts = await listen(make(Stage.ASR, "soniox", server).stream(1), "book a table", until=over)
    assert words(facts) == "book a table"


def test_it_is_not_asked_to_finish_at_every_breath():
    stream = make(Stage.ASR, "soniox", SonioxServer()).stream(1)
    assert len(list(stream.finish())) == 1
    assert list(stream.finish()) == []
    for _ in range(40):
        stream.encode(bytes(3 * 640))
    assert len(list(stream.finish())) == 1


async def test_an_error_has_its_own_number():
    async with (server := SonioxServer(Behaviour(fault=Fault.ERROR))).serve():
        with pytest.raises(AdapterError) as caught:
            await listen(make(Stage.ASR, "soniox", server).stream(1), "book a table")
    assert (caught.value.kind, caught.value.detail) == (FailureKind.UNAVAILABLE, "error 503")
