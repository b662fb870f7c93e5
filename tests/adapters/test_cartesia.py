"""Cartesia's contexts."""

import asyncio

import pytest

from engine.core.events import Stage
from engine.errors import AdapterError, FailureKind
from engine.sandbox.base import Behaviour, Fault
from engine.sandbox.cartesia import CartesiaServer
from tests.adapters.drive import gather, make, opened, say

pytestmark = pytest.mark.anyio


async def test_an_error_of_one_context_leaves_the_others_speaking():
    server = CartesiaServer(Behaviour(step_ms=2, variant="limited"))
    async with server.serve(), opened(make(Stage.TTS, "cartesia", server)) as voice:
        first = asyncio.create_task(gather(voice, "one two three"))
        await asyncio.sleep(0)
        with pytest.raises(AdapterError) as caught:
            await gather(voice, "four", chunk=2)
        assert (await first).text == "one two three"
    assert caught.value.kind is FailureKind.RATE_LIMITED


async def test_an_old_error_that_names_no_context_is_everyones():
    async with (server := CartesiaServer(Behaviour(fault=Fault.ERROR, variant="old"))).serve():
        with pytest.raises(AdapterError) as caught:
            await say(make(Stage.TTS, "cartesia", server), "hello there")
    assert caught.value.kind is FailureKind.UNAVAILABLE


async def test_a_request_the_service_does_not_know_is_rejected():
    async with (server := CartesiaServer()).serve():
        with pytest.raises(AdapterError) as caught:
            await say(make(Stage.TTS, "cartesia", server, sample_rate=12_345), "hello")
    assert caught.value.kind is FailureKind.REJECTED


async def test_words_can_be_left_unasked():
    async with (server := CartesiaServer()).serve():
        spoken = await say(make(Stage.TTS, "cartesia", server, add_timestamps=False), "hello there")
    assert spoken.words == []
