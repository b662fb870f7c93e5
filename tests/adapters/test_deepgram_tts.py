"""Aura's sound without names."""

import asyncio
from contextlib import aclosing

import pytest

from engine.adapters.base import SpeechRequest
from engine.core.events import Stage
from engine.errors import AdapterError, FailureKind
from engine.sandbox.base import Behaviour
from engine.sandbox.deepgram_tts import MINUTE_FLUSHES_MAX, AuraServer
from tests.adapters.drive import gather, make, opened, say

pytestmark = pytest.mark.anyio


async def test_cancelling_one_of_two_lets_the_other_be_heard_whole():
    server = AuraServer(Behaviour(step_ms=1))
    async with server.serve(), opened(make(Stage.TTS, "deepgram", server)) as voice:
        async with aclosing(voice.speak(SpeechRequest(run=1, chunk=1, text="one two three"))) as sound:
            await anext(sound)
            second = asyncio.create_task(gather(voice, "four five six", chunk=2))
            await asyncio.sleep(0)
        assert (await second).text == "four five six"


async def test_sound_between_a_clear_and_its_confirmation_is_nobodys():
    server = AuraServer(Behaviour(step_ms=1, variant="late"))
    async with server.serve(), opened(make(Stage.TTS, "deepgram", server)) as voice:
        for run in range(3):
            async with aclosing(voice.speak(SpeechRequest(run=run, chunk=1, text="one two three four"))) as sound:
                await anext(sound)
        assert (await gather(voice, "five", run=9)).text == "five"


async def test_the_voice_is_chosen_in_the_address():
    async with (server := AuraServer()).serve():
        spoken = await say(make(Stage.TTS, "deepgram", server, model="aura-2-luna-en", sample_rate=16_000), "hello")
    assert (spoken.text, spoken.rate_hz) == ("hello", 16_000)
    query = server.seen[-1]["query"]
    assert (query["model"], query["sample_rate"], query["encoding"]) == ("aura-2-luna-en", "16000", "linear16")


async def test_a_rate_the_service_does_not_make_is_rejected():
    async with (server := AuraServer()).serve():
        with pytest.raises(AdapterError) as caught:
            await say(make(Stage.TTS, "deepgram", server, sample_rate=11_025), "hello")
    assert caught.value.kind is FailureKind.REJECTED


async def test_too_many_characters_in_a_minute_are_waited_for():
    async with (server := AuraServer()).serve(), opened(make(Stage.TTS, "deepgram", server)) as voice:
        for _ in range(2):
            speaking = voice.speak(SpeechRequest(run=1, chunk=1, text="a" * 1_199))
            async with aclosing(speaking) as sound:
                await anext(sound)
        with pytest.raises(AdapterError) as caught:
            await gather(voice, "one word more")
    assert caught.value.kind is FailureKind.RATE_LIMITED


@pytest.mark.parametrize("variant", ["", "older"])
async def test_a_flush_that_is_not_obeyed_is_told_and_another_line_takes_its_text(variant):
    async with (
        (server := AuraServer(Behaviour(variant=variant))).serve(),
        opened(make(Stage.TTS, "deepgram", server)) as voice,
    ):
        for chunk in range(MINUTE_FLUSHES_MAX):
            await gather(voice, "a", chunk=chunk)
        with pytest.raises(AdapterError) as caught:
            await gather(voice, "no room")
        assert (await gather(voice, "for this")).text == "for this"
    assert caught.value.kind is FailureKind.RATE_LIMITED
