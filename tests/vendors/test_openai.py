"""openai's client against the simulated OpenAI: Chat Completions, Responses, speech and realtime transcription."""

import asyncio
import base64
import json

import openai
import pytest

from engine.audio import Outlet
from engine.core.units import AudioFormat
from engine.sandbox.base import KEY, Behaviour, Fault
from engine.sandbox.openai_llm import OpenAIServer
from engine.sandbox.openai_realtime import OpenAIRealtimeServer
from engine.sandbox.openai_speech import OpenAISpeechServer
from engine.sandbox.speech import Ear
from tests.adapters.drive import frames

pytestmark = pytest.mark.anyio

PARAMETERS = {"type": "object", "properties": {"day": {"type": "string"}}}
ASKED = [{"role": "user", "content": "any slots on Friday"}]


def client(server, key=KEY):
    return openai.AsyncOpenAI(api_key=key, base_url=f"{server.url}/v1", max_retries=0)


async def test_a_chat_is_understood():
    tools = [{"type": "function", "function": {"name": "get_slots", "parameters": PARAMETERS}}]
    async with (server := OpenAIServer()).serve(), client(server) as ours:
        text, arguments, last = "", "", None
        stream = await ours.chat.completions.create(
            model="m", messages=ASKED, tools=tools, stream=True, stream_options={"include_usage": True}
        )
        async for chunk in stream:
            last = chunk
            for choice in chunk.choices:
                text += choice.delta.content or ""
                arguments += "".join(call.function.arguments or "" for call in choice.delta.tool_calls or ())
    assert (text, json.loads(arguments)) == ("Let me look.", {"day": "Friday"})
    assert last.usage.completion_tokens == 37


async def test_responses_are_understood():
    tools = [{"type": "function", "name": "get_slots", "parameters": PARAMETERS, "strict": False}]
    server = OpenAIServer()
    async with (
        server.serve(),
        client(server) as ours,
        ours.responses.stream(model="m", input=ASKED, tools=tools) as stream,
    ):
        kinds = [event.type async for event in stream]
        response = await stream.get_final_response()
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"
    assert response.output_text == "Let me look."
    call = response.output[-1]
    assert (call.name, json.loads(call.arguments)) == ("get_slots", {"day": "Friday"})
    assert response.usage.input_tokens_details.cached_tokens == 10


async def test_an_error_inside_a_stream_is_raised():
    async with (server := OpenAIServer(Behaviour(fault=Fault.ERROR))).serve(), client(server) as ours:
        stream = await ours.chat.completions.create(model="m", messages=ASKED, stream=True)
        with pytest.raises(openai.APIError):
            [chunk async for chunk in stream]


@pytest.mark.parametrize(
    ("behaviour", "key", "error"),
    [
        (Behaviour(), "wrong", openai.AuthenticationError),
        (Behaviour(status=429), KEY, openai.RateLimitError),
        (Behaviour(status=503), KEY, openai.InternalServerError),
    ],
)
async def test_refusals_are_the_vendors_own_exceptions(behaviour, key, error):
    async with (server := OpenAIServer(behaviour)).serve(), client(server, key) as ours:
        with pytest.raises(error):
            await ours.chat.completions.create(model="m", messages=ASKED, stream=True)


async def test_speech_is_understood():
    async with (server := OpenAISpeechServer()).serve(), client(server) as ours:
        asked = {"model": "gpt-4o-mini-tts", "voice": "marin", "input": "two bags", "response_format": "pcm"}
        async with ours.audio.speech.with_streaming_response.create(**asked) as response:
            sound = b"".join([piece async for piece in response.iter_bytes()])
    ear = Ear(24_000)
    assert [word.text for word in ear.hear(sound) + ear.hear(bytes(9_600))] == ["two", "bags"]


async def test_a_realtime_transcription_is_understood():
    outlet = Outlet(16_000, AudioFormat(24_000))
    session = {
        "type": "transcription",
        "audio": {
            "input": {
                "format": {"type": "audio/pcm", "rate": 24_000},
                "transcription": {"model": "gpt-live-transcribe"},
                "turn_detection": None,
            }
        },
    }
    async with (server := OpenAIRealtimeServer()).serve(), client(server) as ours:
        events = []
        query = {"intent": "transcription"}
        async with asyncio.timeout(10), ours.realtime.connect(extra_query=query) as connection:
            async for event in connection:
                events.append(event)
                if event.type == "session.created":
                    await connection.session.update(session=session)
                if event.type == "session.updated":
                    for frame in frames("two tickets"):
                        audio = base64.b64encode(outlet.push(frame)).decode()
                        await connection.input_audio_buffer.append(audio=audio)
                    await connection.input_audio_buffer.commit()
                if event.type.endswith("transcription.completed"):
                    break
    assert events[-1].transcript == "two tickets"
    assert "input_audio_buffer.committed" in [event.type for event in events]
