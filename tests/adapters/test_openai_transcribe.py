"""Stretches of speech, each asked about by itself."""

import email
import email.policy
import io
import wave

import pytest

from engine.adapters.openai_transcribe import CUTS_MAX, OpenAITranscribeOptions, form_of, wav_head
from engine.core.events import ASRFinal, ASROpened, Stage
from engine.errors import AdapterError, FailureKind
from engine.sandbox.base import Behaviour, Fault
from engine.sandbox.openai_transcribe import TranscriptionServer
from tests.adapters.drive import frames, make, running

pytestmark = pytest.mark.anyio


async def finals(server, *sounds):
    async with server.serve(), running(make(Stage.ASR, "openai_transcribe", server, language="en")) as provider:
        stream = provider.stream(1)
        found = []
        async for fact in stream.facts():
            if isinstance(fact, ASROpened):
                for sound in sounds:
                    for frame in sound:
                        stream.hear(frame)
                    stream.finalize()
            if isinstance(fact, ASRFinal):
                found.append(fact.text)
            if len(found) == len(sounds):
                break
        return found


@pytest.mark.parametrize("variant", ["", "whisper.cpp"])
async def test_each_stretch_is_a_request(variant):
    server = TranscriptionServer(Behaviour(variant=variant))
    assert await finals(server, frames("first words"), frames("then others")) == ["first words", "then others"]
    assert [seen["form"] for seen in server.seen] == [
        {"model": "gpt-4o-mini-transcribe", "response_format": "json", "language": "en"}
    ] * 2


async def test_silence_is_not_asked_about():
    server = TranscriptionServer()
    assert await finals(server, [bytes(640)] * 100) == [""]
    assert server.seen == []


async def test_a_server_far_behind_is_given_up():
    server = TranscriptionServer()
    with pytest.raises(AdapterError) as caught:
        await finals(server, *([frames("word")] * (CUTS_MAX + 1)))
    assert caught.value.kind is FailureKind.TIMEOUT


def test_the_file_is_a_wav():
    with wave.open(io.BytesIO(wav_head(4) + b"\x01\x00\x02\x00")) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16_000, 1, 2)
        assert file.readframes(9) == b"\x01\x00\x02\x00"


def test_the_form_is_one_that_others_read():
    fields = {"model": "m", 'na"me\r\n': "Zürich\r\n--x", "empty": ""}
    body, kind = form_of(fields, (b"\x01\x00", b"--\r\n", b"\x02\x00"))
    message = email.message_from_bytes(f"Content-Type: {kind}\r\n\r\n".encode() + body, policy=email.policy.HTTP)
    parts = list(message.iter_parts())
    names = [part.get_param("name", header="content-disposition") for part in parts]
    assert names == ["model", "na%22me%0D%0A", "empty", "file"]
    assert [part.get_payload(decode=True).decode() for part in parts[:-1]] == list(fields.values())
    assert parts[-1].get_filename() == "audio.wav"
    assert parts[-1].get_payload(decode=True) == wav_head(8) + b"\x01\x00--\r\n\x02\x00"


async def test_an_error_told_with_status_200_is_an_error():
    server = TranscriptionServer(Behaviour(fault=Fault.ERROR, variant="whisper.cpp"))
    with pytest.raises(AdapterError) as caught:
        await finals(server, frames("first words"))
    assert caught.value.kind is FailureKind.UNAVAILABLE


async def test_an_account_is_told_in_headers():
    options = OpenAITranscribeOptions(api_key="k", organization="o", project="p")
    assert options.headers() == {"Authorization": "Bearer k", "OpenAI-Organization": "o", "OpenAI-Project": "p"}
