"""Anthropic's events and the shape of its history."""

import pytest

from engine.adapters.anthropic import GO_ON, Anthropic, AnthropicOptions, messages_json
from engine.adapters.base import LLMRequest
from engine.adapters.history import BEGINNING
from engine.core.commands import CallMade, Message, Role
from engine.core.events import Stage
from engine.core.policy import ToolSpec
from engine.errors import AdapterError, FailureKind
from engine.sandbox.anthropic import AnthropicServer
from engine.sandbox.base import Behaviour, Fault
from tests.adapters.drive import answered, make, question

pytestmark = pytest.mark.anyio

CALLER = Message(Role.USER, "hello")
NOTHING_NEEDED = ToolSpec("get_time", "The time.")


async def ask(server, *messages, tools=(), **options):
    async with server.serve():
        provider = make(Stage.LLM, "anthropic", server, **options)
        try:
            return await question(provider, *messages, tools=tools)
        finally:
            await provider.stop()


@pytest.mark.parametrize("variant", ["pings", "thinking"])
async def test_pings_unknown_events_and_thoughts_say_nothing(variant):
    facts = await ask(AnthropicServer(Behaviour(variant=variant)), CALLER)
    assert answered(facts) == "You said: hello"


async def test_a_tool_without_arguments_is_called_with_an_empty_object():
    facts = await ask(AnthropicServer(), Message(Role.USER, "what time is it"), tools=(NOTHING_NEEDED,))
    assert facts[-2].arguments == "{}"


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("overloaded_error", FailureKind.UNAVAILABLE),
        ("api_error", FailureKind.UNAVAILABLE),
        ("timeout_error", FailureKind.TIMEOUT),
        ("rate_limit_error", FailureKind.RATE_LIMITED),
        ("enforced_spend_limit_reached", FailureKind.REJECTED),
        ("invalid_request_error", FailureKind.REJECTED),
        ("authentication_error", FailureKind.REJECTED),
        ("billing_error", FailureKind.REJECTED),
        ("permission_error", FailureKind.REJECTED),
        ("not_found_error", FailureKind.REJECTED),
        ("request_too_large", FailureKind.REJECTED),
    ],
)
async def test_an_error_inside_the_stream_is_the_kind_of_its_name(code, kind):
    with pytest.raises(AdapterError) as caught:
        await ask(AnthropicServer(Behaviour(fault=Fault.ERROR, code=code)), CALLER)
    assert caught.value.kind is kind
    assert code in caught.value.detail


async def test_a_spend_limit_is_not_waited_for():
    with pytest.raises(AdapterError) as caught:
        await ask(AnthropicServer(Behaviour(status=429, code="enforced_spend_limit_reached", retry_after_s=9)), CALLER)
    assert caught.value.kind is FailureKind.REJECTED


async def test_cached_tokens_are_counted_among_the_inputs():
    done = (await ask(AnthropicServer(), CALLER))[-1]
    assert (done.input_tokens, done.cached_tokens) == (50, 10)


async def test_instructions_and_tools_are_marked_for_the_cache():
    server = AnthropicServer()
    await ask(server, Message(Role.SYSTEM, "Be brief."), CALLER, tools=(NOTHING_NEEDED,))
    body = server.seen[-1]["body"]
    assert body["system"] == [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]
    assert body["tools"][0]["cache_control"] == {"type": "ephemeral"}


def test_options_are_sent_under_their_own_names_and_only_when_set():
    provider = Anthropic(AnthropicOptions(model="m", top_p=0.5, extra={"stop_sequences": ["x"]}, cache=False))
    body = provider.ask(LLMRequest(run=1, request=1, messages=(CALLER,))).body
    assert set(body) == {"model", "max_tokens", "messages", "stream", "top_p", "stop_sequences"}


def text(role, words):
    return {"role": role, "content": [{"type": "text", "text": words}]}


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ((), [text("user", BEGINNING)]),
        (
            (Message(Role.ASSISTANT, "Hi."), CALLER),
            [text("user", BEGINNING), text("assistant", "Hi."), text("user", "hello")],
        ),
        (
            (CALLER, Message(Role.ASSISTANT, "I w")),
            [text("user", "hello"), text("assistant", "I w"), text("user", GO_ON)],
        ),
        ((CALLER, Message(Role.ASSISTANT, " ")), [text("user", "hello")]),
    ],
)
def test_the_history_begins_and_ends_with_the_user(messages, expected):
    assert messages_json(messages, tools=True) == expected


def test_neighbours_of_one_role_are_one_message_results_first():
    called = Message(Role.ASSISTANT, calls=(CallMade("a", "f", '{"x":1}'), CallMade("b", "f", "{}")))
    results = (Message(Role.TOOL, "1", call_id="a"), Message(Role.TOOL, "2", call_id="b"))
    found = messages_json((CALLER, called, *results, Message(Role.USER, "and?")), tools=True)
    assert [message["role"] for message in found] == ["user", "assistant", "user"]
    assert [block["type"] for block in found[2]["content"]] == ["tool_result", "tool_result", "text"]
    assert found[1]["content"][0]["input"] == {"x": 1}


def test_without_tools_their_history_is_left_out():
    called = Message(Role.ASSISTANT, "Let me look.", calls=(CallMade("a", "f", "{}"),))
    found = messages_json((CALLER, called, Message(Role.TOOL, "1", call_id="a"), CALLER), tools=False)
    assert found == [text("user", "hello"), text("assistant", "Let me look."), text("user", "hello")]
