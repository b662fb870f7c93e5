"""anthropic's client against the simulated Anthropic."""

import anthropic
import pytest

from engine.sandbox.anthropic import AnthropicServer
from engine.sandbox.base import KEY, Behaviour, Fault

pytestmark = pytest.mark.anyio

SCHEMA = {"type": "object", "properties": {"day": {"type": "string"}}}
ASKED = {
    "model": "claude-haiku-4-5",
    "max_tokens": 100,
    "messages": [{"role": "user", "content": "any slots on Friday"}],
    "tools": [{"name": "get_slots", "input_schema": SCHEMA}],
}


def client(server, key=KEY):
    return anthropic.AsyncAnthropic(api_key=key, base_url=server.url, max_retries=0)


@pytest.mark.parametrize("variant", ["", "pings", "thinking"])
async def test_a_stream_is_understood(variant):
    server = AnthropicServer(Behaviour(variant=variant))
    async with server.serve(), client(server) as ours, ours.messages.stream(**ASKED) as stream:
        text = "".join([piece async for piece in stream.text_stream])
        message = await stream.get_final_message()
    assert text == "Let me look."
    assert (message.content[-1].name, message.content[-1].input) == ("get_slots", {"day": "Friday"})
    assert message.stop_reason == "tool_use"
    assert (message.usage.output_tokens, message.usage.cache_read_input_tokens) == (37, 10)


async def test_an_error_inside_a_stream_is_raised():
    async with (server := AnthropicServer(Behaviour(fault=Fault.ERROR))).serve(), client(server) as ours:
        with pytest.raises(anthropic.APIStatusError):
            async with ours.messages.stream(**ASKED) as stream:
                [event async for event in stream]


@pytest.mark.parametrize(
    ("behaviour", "key", "error"),
    [
        (Behaviour(), "wrong", anthropic.AuthenticationError),
        (Behaviour(status=429), KEY, anthropic.RateLimitError),
        (Behaviour(status=529), KEY, anthropic.InternalServerError),
    ],
)
async def test_refusals_are_the_vendors_own_exceptions(behaviour, key, error):
    async with (server := AnthropicServer(behaviour)).serve(), client(server, key) as ours:
        with pytest.raises(error):
            await ours.messages.create(**ASKED, stream=True)
