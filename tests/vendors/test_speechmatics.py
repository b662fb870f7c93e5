"""speechmatics-rt against the simulated Speechmatics."""

import asyncio
import io

import pytest
from speechmatics.rt import (
    AsyncClient,
    AudioEncoding,
    AudioFormat,
    ServerMessageType,
    TranscriptionConfig,
    TranscriptResult,
)
from speechmatics.rt._exceptions import ConnectionError as Refused

from engine.sandbox.base import KEY
from engine.sandbox.speechmatics import SpeechmaticsServer
from tests.adapters.drive import frames

pytestmark = pytest.mark.anyio

SOUND = AudioFormat(encoding=AudioEncoding.PCM_S16LE, sample_rate=16_000, chunk_size=640)


async def test_a_transcription_is_understood():
    heard, kinds = [], []
    async with (
        (server := SpeechmaticsServer()).serve(),
        asyncio.timeout(10),
        AsyncClient(api_key=KEY, url=f"{server.ws_url}/v2") as client,
    ):
        for kind in ServerMessageType:
            client.on(kind, lambda message: kinds.append(message["message"]))
        client.on(
            ServerMessageType.ADD_TRANSCRIPT,
            lambda message: heard.append(TranscriptResult.from_message(message).metadata.transcript),
        )
        await client.transcribe(
            io.BytesIO(b"".join(frames("book a table"))),
            transcription_config=TranscriptionConfig(language="en", enable_partials=True),
            audio_format=SOUND,
        )
    assert "".join(heard).split() == ["book", "a", "table"]
    assert (kinds[0], kinds[-1]) == ("RecognitionStarted", "EndOfTranscript")
    assert {"AudioAdded", "AddPartialTranscript"} <= set(kinds)


async def test_the_end_of_an_utterance_can_be_asked_for():
    ended = asyncio.Event()
    async with (
        (server := SpeechmaticsServer()).serve(),
        asyncio.timeout(10),
        AsyncClient(api_key=KEY, url=f"{server.ws_url}/v2") as client,
    ):
        client.on(ServerMessageType.END_OF_UTTERANCE, lambda message: ended.set())
        await client.start_session(transcription_config=TranscriptionConfig(), audio_format=SOUND)
        for frame in frames("book a table", after_ms=0):
            await client.send_audio(frame)
        await client.force_end_of_utterance()
        await ended.wait()
        await client.stop_session()


async def test_a_wrong_key_is_refused_the_same_way():
    async with (server := SpeechmaticsServer()).serve(), asyncio.timeout(10):
        with pytest.raises(Refused, match="401"):
            async with AsyncClient(api_key="wrong", url=f"{server.ws_url}/v2") as client:
                await client.start_session(transcription_config=TranscriptionConfig(), audio_format=SOUND)
