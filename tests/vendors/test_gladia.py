"""gladiaio-sdk against the simulated Gladia."""

import asyncio

import pytest
from gladiaio_sdk import GladiaClient

from engine.sandbox.base import KEY
from engine.sandbox.gladia import GladiaServer
from tests.adapters.drive import frames

pytestmark = pytest.mark.anyio

SESSION = {
    "encoding": "wav/pcm",
    "bit_depth": 16,
    "sample_rate": 16_000,
    "channels": 1,
    "messages_config": {"receive_partial_transcripts": True, "receive_acknowledgments": True},
}


async def test_a_session_is_understood():
    messages, over = [], asyncio.Event()
    async with (server := GladiaServer()).serve(), asyncio.timeout(10):
        session = GladiaClient(api_key=KEY, api_url=server.url).live_v2_async().start_session(SESSION)

        def keep(message):
            messages.append(message)
            if message.type == "transcript" and message.data.is_final:
                session.stop_recording()

        session.on("message", keep)
        session.once("ended", lambda _: over.set())
        for frame in frames("book a table"):
            session.send_audio(frame)
        await over.wait()
    transcripts = [message.data for message in messages if message.type == "transcript"]
    assert [each.utterance.text for each in transcripts if each.is_final] == ["book a table"]
    assert any(not each.is_final for each in transcripts)


async def test_a_wrong_key_is_refused_the_same_way():
    failed = asyncio.get_running_loop().create_future()
    async with (server := GladiaServer()).serve(), asyncio.timeout(10):
        session = GladiaClient(api_key="wrong", api_url=server.url).live_v2_async().start_session(SESSION)
        session.once("error", failed.set_result)
        assert "401" in str(await failed)
