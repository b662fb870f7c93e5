"""deepgram-sdk against the simulated Deepgram: both recognisers and both voices."""

import asyncio

import pytest
from deepgram import AsyncDeepgramClient, DeepgramClientEnvironment
from deepgram.core.api_error import ApiError
from deepgram.speak.v2.types import SpeakV2Speak

from engine.sandbox.base import KEY, Behaviour
from engine.sandbox.deepgram_asr import DeepgramServer
from engine.sandbox.deepgram_flux import FluxSpeechServer
from engine.sandbox.deepgram_tts import AuraServer
from engine.sandbox.speech import Ear
from tests.adapters.drive import frames

pytestmark = pytest.mark.anyio

LISTEN = {"encoding": "linear16", "sample_rate": 16_000}


def client(server, key=KEY):
    environment = DeepgramClientEnvironment(
        base=server.url, production=server.ws_url, agent=server.ws_url, agent_rest=server.url
    )
    return AsyncDeepgramClient(api_key=key, environment=environment)


async def test_nova_is_understood():
    async with (server := DeepgramServer()).serve():
        listen = client(server).listen.v1
        async with asyncio.timeout(10), listen.connect(model="nova-3", interim_results=True, **LISTEN) as connection:
            for frame in frames("book a table"):
                await connection.send_media(frame)
            await connection.send_keep_alive()
            await connection.send_finalize()
            await connection.send_close_stream()
            messages = [message async for message in connection]
    kinds = [message.type for message in messages]
    assert kinds[-1] == "Metadata"
    finals = [message for message in messages if message.type == "Results" and message.is_final]
    assert " ".join(final.channel.alternatives[0].transcript for final in finals).split() == ["book", "a", "table"]
    assert any(final.from_finalize for final in finals)


async def test_flux_is_understood():
    async with (server := DeepgramServer()).serve():
        listen = client(server).listen.v2
        events = []
        async with (
            asyncio.timeout(10),
            listen.connect(model="flux-general-en", eager_eot_threshold=0.5, **LISTEN) as connection,
        ):
            for frame in frames("book a table"):
                await connection.send_media(frame)
            async for message in connection:
                events.append(message)
                if getattr(message, "event", "") == "EndOfTurn":
                    break
    assert events[0].type == "Connected"
    assert [event.sequence_id for event in events] == list(range(len(events)))
    assert events[-1].transcript == "book a table"
    assert {"StartOfTurn", "EagerEndOfTurn"} <= {event.event for event in events[1:]}


async def test_aura_is_understood():
    async with (server := AuraServer()).serve():
        speak = client(server).speak.v1
        sound, kinds = b"", []
        async with (
            asyncio.timeout(10),
            speak.connect(model="aura-2-thalia-en", encoding="linear16", sample_rate=24_000) as connection,
        ):
            await connection._send({"type": "Speak", "text": "your table is booked"})
            await connection.send_flush()
            async for message in connection:
                if isinstance(message, bytes):
                    sound += message
                    continue
                kinds.append(message.type)
                if message.type == "Flushed":
                    break
    assert kinds == ["Metadata", "Flushed"]
    ear = Ear(24_000)
    assert [word.text for word in ear.hear(sound) + ear.hear(bytes(9_600))] == ["your", "table", "is", "booked"]


async def test_a_wrong_key_is_refused_the_same_way():
    async with (server := DeepgramServer()).serve():
        with pytest.raises(ApiError) as caught:
            async with client(server, "wrong").listen.v1.connect(model="nova-3", **LISTEN):
                pass
    assert caught.value.status_code == 401


async def test_flux_speech_is_understood():
    async with (server := FluxSpeechServer()).serve():
        speak = client(server).speak.v2
        sound, messages = b"", []
        async with (
            asyncio.timeout(10),
            speak.connect(model="flux-alexis-en", encoding="linear16", sample_rate=24_000, speed=1.05) as connection,
        ):
            await connection.send_speak(SpeakV2Speak(text="your table is booked"))
            await connection.send_flush()
            async for message in connection:
                if isinstance(message, bytes):
                    sound += message
                    continue
                messages.append(message)
                if message.type == "SpeechMetadata":
                    break
            await connection.send_close()
            messages += [message async for message in connection]
    assert [message.type for message in messages] == [
        "Connected",
        "Flushed",
        "SpeechStarted",
        "SpeechMetadata",
        "SessionMetadata",
    ]
    ear = Ear(24_000)
    assert [word.text for word in ear.hear(sound) + ear.hear(bytes(9_600))] == ["your", "table", "is", "booked"]
    ended, total = messages[-2:]
    assert ended.speech_id == messages[1].speech_id == messages[2].speech_id
    assert ended.audio_duration_ms == total.total_audio_duration_ms == len(sound) // 48
    assert ended.controls_applied.pronunciations_applied == 0
    for message in messages:
        type(message).model_validate(message.model_dump())


async def test_an_interruption_of_flux_speech_is_understood():
    async with (server := FluxSpeechServer(Behaviour(step_ms=5))).serve():
        speak = client(server).speak.v2
        kinds = []
        async with asyncio.timeout(10), speak.connect(model="flux-alexis-en") as connection:
            await connection.send_interrupt()
            await connection.send_speak(SpeakV2Speak(text="one two three four five six seven"))
            await connection.send_flush()
            async for message in connection:
                if isinstance(message, bytes):
                    if kinds[-1] != "Interrupt":
                        kinds.append("Interrupt")
                        await connection.send_interrupt()
                    continue
                kinds.append(message.type)
                if message.type == "SpeechInterrupted":
                    break
            await connection.send_interrupt()
            warning = await connection.recv()
    assert kinds == ["Connected", "Warning", "Flushed", "SpeechStarted", "Interrupt", "SpeechInterrupted"]
    assert message.metadata.speech_id.startswith("dg_sp_")
    assert (warning.type, warning.code) == ("Warning", "NO_ACTIVE_SPEECH")
