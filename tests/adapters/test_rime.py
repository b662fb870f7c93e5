"""Rime's ends of chunks."""

import asyncio
from contextlib import aclosing

import pytest

from engine.adapters.base import SpeechRequest
from engine.core.events import Stage
from engine.core.units import MS
from engine.sandbox.base import Behaviour
from engine.sandbox.rime import RimeServer
from engine.sandbox.speech import timings
from tests.adapters.drive import gather, make, opened, say

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("variant", ["", "named"])
async def test_an_end_with_or_without_a_name_ends_the_right_chunk(variant):
    server = RimeServer(Behaviour(step_ms=1, variant=variant))
    async with server.serve(), opened(make(Stage.TTS, "rime", server)) as voice:
        one, two = await asyncio.gather(gather(voice, "one two"), gather(voice, "three four", chunk=2))
    assert (one.text, two.text) == ("one two", "three four")


async def test_the_rest_of_a_cleared_chunk_does_not_end_its_successor():
    server = RimeServer(Behaviour(step_ms=1))
    async with server.serve(), opened(make(Stage.TTS, "rime", server)) as voice:
        async with aclosing(voice.speak(SpeechRequest(run=1, chunk=1, text="one two three four"))) as sound:
            await anext(sound)
        assert (await gather(voice, "five six", run=2)).text == "five six"


async def test_settings_are_in_the_address():
    async with (server := RimeServer()).serve():
        await say(make(Stage.TTS, "rime", server, speaker="luna", query={"reduceLatency": True}), "hello")
    query = server.seen[-1]["query"]
    assert (query["speaker"], query["audioFormat"], query["reduceLatency"]) == ("luna", "pcm", "true")


@pytest.mark.parametrize("variant", ["", "restarted"])
async def test_words_lie_in_the_chunk_whatever_their_times_are_counted_from(variant):
    text = "one two three four five"
    async with (server := RimeServer(Behaviour(variant=variant))).serve():
        spoken = await say(make(Stage.TTS, "rime", server), text)
    assert [word.end_ns for word in spoken.words] == [word.end_ms * MS for word in timings(text)]
