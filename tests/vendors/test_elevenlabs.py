"""elevenlabs' client against the simulated ElevenLabs.

The vendor's client speaks only the socket of one context, which our adapter does not use, and only over TLS unless its private address
is changed. So it is checked twice: the client speaks to the one-context socket, and every message that passes between our adapter and
the socket of several contexts is read by the vendor's types.
"""

import asyncio
import json

import pytest
from elevenlabs.client import ElevenLabs
from elevenlabs.core.api_error import ApiError
from elevenlabs.types import (
    AudioOutputMulti,
    CloseContext,
    FinalOutputMulti,
    InitializeConnectionMulti,
    SendTextMulti,
)
from websockets.asyncio.client import connect

from engine.adapters.elevenlabs import ElevenLabsOptions, ElevenLabsVoice
from engine.sandbox.base import KEY
from engine.sandbox.elevenlabs import ElevenLabsServer
from engine.sandbox.speech import Ear

pytestmark = pytest.mark.anyio


def speak(server, key=KEY):
    """Blocking, as the vendor's client is."""
    client = ElevenLabs(api_key=key, base_url=server.url)
    speech = client.text_to_speech
    speech._ws_base_url = server.ws_url
    return b"".join(
        speech.convert_realtime("voice", text=iter(["your table ", "is booked."]), output_format="pcm_24000")
    )


async def test_the_socket_of_one_context_is_understood():
    async with (server := ElevenLabsServer()).serve():
        sound = await asyncio.to_thread(speak, server)
    ear = Ear(24_000)
    assert [word.text for word in ear.hear(sound) + ear.hear(bytes(9_600))] == ["your", "table", "is", "booked."]


async def test_a_wrong_key_is_refused():
    async with (server := ElevenLabsServer()).serve():
        with pytest.raises((ApiError, Exception), match="401"):
            await asyncio.to_thread(speak, server, "wrong")


async def test_what_passes_on_the_socket_of_several_contexts_is_of_the_vendors_types():
    voice = ElevenLabsVoice(ElevenLabsOptions(api_key=KEY, voice_settings={"stability": 0.4}))
    async with (server := ElevenLabsServer()).serve():
        address = voice.dial().url.replace("wss://api.elevenlabs.io", server.ws_url)
        async with connect(address, additional_headers=voice.dial().headers) as connection:
            sent = list(voice.ask("r1", "your table"))
            for message in sent:
                await connection.send(message)
            answers = []
            while not answers or not answers[-1].get("isFinal"):
                answers.append(json.loads(await connection.recv()))
    for kind, message in zip((InitializeConnectionMulti, SendTextMulti, CloseContext), sent, strict=True):
        assert not kind(**json.loads(message)).model_extra
    for answer in answers[:-1]:
        read = AudioOutputMulti(**answer)
        assert read.audio
        assert read.context_id == "r1"
        assert not read.model_extra
    assert FinalOutputMulti(**answers[-1]).is_final
