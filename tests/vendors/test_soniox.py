"""soniox's client against the simulated Soniox."""

import asyncio

import pytest
from soniox import AsyncSonioxClient
from soniox.errors import SonioxRealtimeError
from soniox.types.realtime import RealtimeSTTConfig

from engine.sandbox.base import KEY
from engine.sandbox.soniox import SonioxServer
from tests.adapters.drive import frames

pytestmark = pytest.mark.anyio

CONFIG = RealtimeSTTConfig(
    model="stt-rt-v3", audio_format="pcm_s16le", sample_rate=16_000, num_channels=1, enable_endpoint_detection=True
)


def client(server, key=KEY):
    address = f"{server.ws_url}/transcribe-websocket"
    return AsyncSonioxClient(api_key=key, api_base_url=server.url, websocket_base_url=address)


async def test_a_session_is_understood():
    async with (
        (server := SonioxServer()).serve(),
        asyncio.timeout(10),
        client(server) as soniox,
        soniox.realtime.stt.connect(config=CONFIG) as session,
    ):
        for frame in frames("book a table"):
            await session.send_byte_chunk(frame)
        await session.keep_alive()
        await session.finalize()
        await session.finish()
        events = [event async for event in session.receive_events()]
    final = [token for event in events for token in event.tokens if token.is_final]
    assert "".join(token.text for token in final if not token.text.startswith("<")).split() == ["book", "a", "table"]
    assert {"<end>", "<fin>"} <= {token.text for token in final}
    assert events[-1].finished


async def test_a_wrong_key_is_refused_the_same_way():
    async with (server := SonioxServer()).serve(), asyncio.timeout(10), client(server, "wrong") as soniox:
        with pytest.raises(SonioxRealtimeError) as caught:
            async with soniox.realtime.stt.connect(config=CONFIG) as session:
                await session.receive_event()
    assert "401" in str(caught.value.__cause__ or caught.value)
