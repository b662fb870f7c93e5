"""google-genai's client against the simulated Gemini.

Its version 3 passes an error that comes as a JSON list with status 200 over in silence, so that variant is our adapter's alone.
"""

import pytest
from google import genai
from google.genai import errors, types

from engine.sandbox.base import KEY, Behaviour, Fault
from engine.sandbox.gemini import GeminiServer

pytestmark = pytest.mark.anyio

SLOTS = types.FunctionDeclaration(
    name="get_slots",
    description="Free times.",
    parameters_json_schema={"type": "object", "properties": {"day": {"type": "string"}}},
)
CONFIG = types.GenerateContentConfig(
    tools=[types.Tool(function_declarations=[SLOTS])],
    automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
)


async def ask(server, contents, key=KEY):
    """All chunks of an answer. The client sends half a second of retries to nobody, so it is told to send none."""
    options = types.HttpOptions(base_url=server.url, retry_options=types.HttpRetryOptions(attempts=1))
    ours = genai.Client(api_key=key, http_options=options)
    try:
        stream = await ours.aio.models.generate_content_stream(
            model="gemini-2.5-flash", contents=contents, config=CONFIG
        )
        return [chunk async for chunk in stream]
    finally:
        await ours.aio.aclose()
        ours.close()


async def test_a_stream_is_understood():
    async with (server := GeminiServer()).serve():
        chunks = await ask(server, "any slots on Friday")
    parts = [part for chunk in chunks if chunk.candidates[0].content for part in chunk.candidates[0].content.parts]
    assert "".join(part.text for part in parts if part.text and not part.thought) == "Let me look."
    call = parts[-1].function_call
    assert (call.name, call.args) == ("get_slots", {"day": "Friday"})
    assert parts[-1].thought_signature
    assert chunks[-1].usage_metadata.candidates_token_count == 37


async def test_a_tools_result_is_taken_with_its_signature():
    async with (server := GeminiServer()).serve():
        chunks = await ask(server, "any slots on Friday")
        asked = types.Content(role="user", parts=[types.Part(text="any slots on Friday")])
        called = chunks[-1].candidates[0].content
        told = types.Part.from_function_response(name="get_slots", response={"output": "10:00"})
        chunks = await ask(server, [asked, called, types.Content(role="user", parts=[told])])
    assert "".join(chunk.text or "" for chunk in chunks if chunk.candidates[0].content) == "I found this: 10:00."


@pytest.mark.parametrize(
    ("behaviour", "key", "code"),
    [
        (Behaviour(), "wrong", 401),
        (Behaviour(status=429), KEY, 429),
        (Behaviour(status=503), KEY, 503),
        (Behaviour(fault=Fault.ERROR), KEY, 503),
    ],
)
async def test_refusals_are_the_vendors_own_exceptions(behaviour, key, code):
    async with (server := GeminiServer(behaviour)).serve():
        with pytest.raises(errors.APIError) as caught:
            await ask(server, "hello", key)
    assert caught.value.code == code
