"""cartesia's client against the simulated Cartesia."""

import asyncio
import base64

import cartesia
import pytest

from engine.sandbox.base import KEY, Behaviour, Fault
from engine.sandbox.cartesia import CartesiaServer
from engine.sandbox.speech import Ear

pytestmark = pytest.mark.anyio

ASKED = {
    "model_id": "sonic-3",
    "voice": {"mode": "id", "id": "v"},
    "output_format": {"container": "raw", "encoding": "pcm_s16le", "sample_rate": 24_000},
    "language": "en",
    "add_timestamps": True,
}


def client(server, key=KEY):
    return cartesia.AsyncCartesia(api_key=key, base_url=server.url, websocket_base_url=server.ws_url)


async def gather(server, *texts):
    """What one context answered to texts sent one after the other."""
    async with client(server) as ours, asyncio.timeout(10), ours.tts.websocket_connect() as connection:
        context = connection.context()
        for number, text in enumerate(texts):
            await context.send(transcript=text, continue_=number < len(texts) - 1, **ASKED)
        return [message async for message in context.receive()]


async def test_a_context_is_understood():
    async with (server := CartesiaServer()).serve():
        messages = await gather(server, "your table ", "is booked")
    ear = Ear(24_000)
    sound = b"".join(base64.b64decode(message.data) for message in messages if message.type == "chunk")
    assert [word.text for word in ear.hear(sound) + ear.hear(bytes(9_600))] == ["your", "table", "is", "booked"]
    words = [word for message in messages if message.type == "timestamps" for word in message.word_timestamps.words]
    assert words == ["your", "table", "is", "booked"]
    assert messages[-1].type == "done"


async def test_an_error_is_understood():
    async with (server := CartesiaServer(Behaviour(fault=Fault.ERROR))).serve():
        messages = await gather(server, "hello there my friend")
    assert messages[-1].type == "error"
    assert messages[-1].status_code == 500
