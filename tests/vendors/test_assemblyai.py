"""assemblyai's streaming client against the simulated AssemblyAI."""

import asyncio

import pytest
from assemblyai.streaming.v3 import AsyncRealTimeTranscriber, RealTimeEvents, RealTimeParameters
from assemblyai.streaming.v3.models import RealTimeTranscriberOptions

from engine.sandbox.assemblyai import AssemblyAIServer
from engine.sandbox.base import KEY
from tests.adapters.drive import frames

pytestmark = pytest.mark.anyio


async def converse(server, key=KEY, **parameters):
    """Say a sentence through the vendor's client; returns what it reported."""
    client = AsyncRealTimeTranscriber(RealTimeTranscriberOptions(api_key=key, api_host=server.ws_url))
    happened, over = [], asyncio.Event()

    def keep(_client, event):
        happened.append(event)
        if getattr(event, "end_of_turn", False) and (event.turn_is_formatted or not parameters.get("format_turns")):
            over.set()

    def fail(_client, error):
        happened.append(error)
        over.set()

    for kind in (RealTimeEvents.Begin, RealTimeEvents.Turn, RealTimeEvents.Termination):
        client.on(kind, keep)
    client.on(RealTimeEvents.Error, fail)
    async with asyncio.timeout(10):
        await client.connect(RealTimeParameters(sample_rate=16_000, **parameters))
        sound = b"".join(frames("book a table."))
        for at in range(0, len(sound), 3_200):
            await client.stream(sound[at : at + 3_200].ljust(1_600, b"\0"))
        await over.wait()
        await client.disconnect(terminate=True)
    return happened


async def test_turns_are_understood():
    async with (server := AssemblyAIServer()).serve():
        happened = await converse(server, format_turns=True)
    assert happened[0].type == "Begin"
    ends = [event.transcript for event in happened if getattr(event, "end_of_turn", False)]
    assert ends == ["book a table.", "Book a table."]
    assert happened[-1].type == "Termination"


async def test_a_wrong_key_is_refused_the_same_way():
    async with (server := AssemblyAIServer()).serve():
        happened = await converse(server, key="wrong")
    assert "Unauthorized" in str(happened[-1])
