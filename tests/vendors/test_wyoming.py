"""The wyoming package's own client against the simulated server."""

import asyncio

import pytest
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncClient
from wyoming.tts import Synthesize

from engine.sandbox.own_voices import WyomingServer
from engine.sandbox.speech import Ear

pytestmark = pytest.mark.anyio


async def test_a_text_is_spoken():
    sound, kinds = b"", []
    async with (
        (server := WyomingServer()).serve(),
        asyncio.timeout(10),
        AsyncClient.from_uri(server.url.replace("http:", "tcp:")) as client,
    ):
        await client.write_event(Synthesize(text="your table is booked").event())
        while (event := await client.read_event()) is not None:
            kinds.append(event.type)
            if AudioStart.is_type(event.type):
                began = AudioStart.from_event(event)
            if AudioChunk.is_type(event.type):
                sound += AudioChunk.from_event(event).audio
            if AudioStop.is_type(event.type):
                break
    assert (began.rate, began.width, began.channels) == (22_050, 2, 1)
    assert (kinds[0], kinds[-1]) == ("audio-start", "audio-stop")
    ear = Ear(22_050)
    assert [word.text for word in ear.hear(sound) + ear.hear(bytes(22_050))] == ["your", "table", "is", "booked"]
