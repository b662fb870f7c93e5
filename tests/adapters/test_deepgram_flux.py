"""Flux's turns of speech."""

import asyncio
from contextlib import aclosing

import pytest

from engine.adapters.base import SpeechRequest
from engine.core.events import Stage
from engine.errors import AdapterError, FailureKind
from engine.sandbox.base import Behaviour
from engine.sandbox.deepgram_flux import FluxSpeechServer
from tests.adapters.drive import gather, make, opened, say

pytestmark = pytest.mark.anyio
NAME = "deepgram_flux"


async def test_a_turn_waits_for_the_one_before_it():
    server = FluxSpeechServer(Behaviour(step_ms=1))
    async with server.serve(), opened(make(Stage.TTS, NAME, server)) as voice:
        texts = ("one two", "three four", "five six")
        spoken = await asyncio.gather(*(gather(voice, text, chunk=n) for n, text in enumerate(texts)))
    assert tuple(each.text for each in spoken) == texts


async def test_an_interruption_before_the_first_sound_is_repeated():
    server = FluxSpeechServer(Behaviour(first_ms=200, step_ms=5))
    async with server.serve(), opened(make(Stage.TTS, NAME, server)) as voice:
        first = asyncio.create_task(gather(voice, "one two three four five six seven"))
        await asyncio.wait({first}, timeout=0.1)
        first.cancel()
        assert (await gather(voice, "eight", run=2)).text == "eight"
    assert [order for order in server.heard if order == "Interrupt"] == ["Interrupt", "Interrupt"]


async def test_cancelling_one_of_two_lets_the_other_be_heard_whole():
    server = FluxSpeechServer(Behaviour(step_ms=1))
    async with server.serve(), opened(make(Stage.TTS, NAME, server)) as voice:
        async with aclosing(voice.speak(SpeechRequest(run=1, chunk=1, text="one two three"))) as sound:
            await anext(sound)
            second = asyncio.create_task(gather(voice, "four five six", chunk=2))
            await asyncio.sleep(0)
        assert (await second).text == "four five six"


@pytest.mark.parametrize("variant", ["late", "flat"])
async def test_sound_between_an_interruption_and_its_confirmation_is_nobodys(variant):
    server = FluxSpeechServer(Behaviour(step_ms=1, variant=variant))
    async with server.serve(), opened(make(Stage.TTS, NAME, server)) as voice:
        for run in range(3):
            async with aclosing(voice.speak(SpeechRequest(run=run, chunk=1, text="one two three four"))) as sound:
                await anext(sound)
        assert (await gather(voice, "five", run=9)).text == "five"


async def test_a_turn_that_ends_while_it_is_interrupted_is_over():
    async with (server := FluxSpeechServer()).serve(), opened(make(Stage.TTS, NAME, server)) as voice:
        async with aclosing(voice.speak(SpeechRequest(run=1, chunk=1, text="a"))) as sound:
            await anext(sound)
        # The server had ended the turn by then, and answers that there is none.
        assert (await gather(voice, "five", run=2)).text == "five"
        assert (await gather(voice, "six", run=3)).text == "six"


async def test_a_warning_is_no_trouble():
    async with (server := FluxSpeechServer(Behaviour(variant="retrying"))).serve():
        assert (await say(make(Stage.TTS, NAME, server), "one two")).text == "one two"


async def test_the_voice_and_its_manner_are_chosen_in_the_address():
    options = {"model": "flux-haley-en", "sample_rate": 16_000, "speed": 1.05, "expressivity": -1.5, "tag": ("a", "b")}
    async with (server := FluxSpeechServer()).serve():
        spoken = await say(make(Stage.TTS, NAME, server, **options), "hello")
    assert (spoken.text, spoken.rate_hz) == ("hello", 16_000)
    query = server.seen[-1]["query"]
    assert (query["model"], query["sample_rate"], query["encoding"]) == ("flux-haley-en", "16000", "linear16")
    assert (query["speed"], query["expressivity"], query["tag"]) == ("1.05", "-1.5", "b")


@pytest.mark.parametrize(
    ("options", "text", "kind"),
    [
        ({"model": "aura-2-thalia-en"}, "hello", FailureKind.PROTOCOL),
        ({}, "x" * 2_001, FailureKind.REJECTED),
    ],
)
async def test_what_it_refuses_is_a_kind(options, text, kind):
    async with (server := FluxSpeechServer()).serve():
        with pytest.raises(AdapterError) as caught:
            await say(make(Stage.TTS, NAME, server, **options), text)
    assert caught.value.kind is kind
