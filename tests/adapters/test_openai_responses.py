"""The Responses API's items and errors."""

import pytest

from engine.adapters.openai_responses import OpenAIResponsesOptions
from engine.core.commands import CallMade, Message, Role
from engine.core.events import Stage
from engine.core.policy import ToolSpec
from engine.errors import AdapterError, FailureKind
from engine.sandbox.base import Behaviour, Fault
from engine.sandbox.openai_llm import OpenAIServer
from tests.adapters.drive import make, question

pytestmark = pytest.mark.anyio

CALLER = Message(Role.USER, "any slots on friday")


async def ask(server, *messages, tools=(), **options):
    async with server.serve():
        provider = make(Stage.LLM, "openai_responses", server, **options)
        try:
            return await question(provider, *messages, tools=tools)
        finally:
            await provider.stop()


@pytest.mark.parametrize("variant", ["", "flat"])
async def test_an_error_in_the_stream_is_read_in_both_its_shapes(variant):
    with pytest.raises(AdapterError) as caught:
        await ask(OpenAIServer(Behaviour(fault=Fault.ERROR, variant=variant)), CALLER)
    assert caught.value.kind is FailureKind.UNAVAILABLE
    assert "server_error" in caught.value.detail


async def test_the_history_is_sent_as_items_and_nothing_is_stored():
    server = OpenAIServer()
    called = Message(Role.ASSISTANT, "Let me look.", calls=(CallMade("call_1", "get_slots", ""),))
    history = (Message(Role.SYSTEM, "Be brief."), CALLER, called, Message(Role.TOOL, "10:00", call_id="call_1"))
    await ask(server, *history, tools=(ToolSpec("get_slots", "Free times."),))
    body = server.seen[-1]["body"]
    assert body["instructions"] == "Be brief."
    assert body["store"] is False
    assert body["prompt_cache_key"] == "s1"
    assert body["tools"][0]["name"] == "get_slots"
    assert body["input"] == [
        {"role": "user", "content": CALLER.text},
        {"role": "assistant", "content": "Let me look."},
        {"type": "function_call", "call_id": "call_1", "name": "get_slots", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_1", "output": "10:00"},
    ]


async def test_options_are_sent_under_their_own_names_and_only_when_set():
    server = OpenAIServer()
    await ask(server, CALLER, reasoning={"effort": "low"}, max_output_tokens=99, extra={"truncation": "auto"})
    body = server.seen[-1]["body"]
    assert (body["reasoning"], body["max_output_tokens"], body["truncation"]) == ({"effort": "low"}, 99, "auto")
    assert "temperature" not in body
    assert "text" not in body


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("rate_limit_exceeded", FailureKind.RATE_LIMITED),
        ("insufficient_quota", FailureKind.REJECTED),
        ("model_not_found", FailureKind.REJECTED),
        ("server_is_overloaded", FailureKind.UNAVAILABLE),
    ],
)
async def test_the_name_of_an_error_in_the_stream_is_its_kind(code, kind):
    with pytest.raises(AdapterError) as caught:
        await ask(OpenAIServer(Behaviour(fault=Fault.ERROR, code=code)), CALLER)
    assert caught.value.kind is kind


def test_only_the_vendors_own_address_needs_a_key():
    OpenAIResponsesOptions(base_url="http://127.0.0.1:11434/v1")
    with pytest.raises(ValueError, match="OPENAI_API_KEY"):
        OpenAIResponsesOptions()
