"""Gemini's chunks, signatures and ways to refuse."""

import pytest

from engine.core.commands import CallMade, Message, Role
from engine.core.events import LLMToolCall, Stage
from engine.core.policy import ToolSpec
from engine.core.units import SECOND
from engine.errors import AdapterError, FailureKind
from engine.sandbox.base import Behaviour, Fault
from engine.sandbox.gemini import NO_SIGNATURE, SIGNATURE, GeminiServer
from tests.adapters.drive import answered, make, question

pytestmark = pytest.mark.anyio

CALLER = Message(Role.USER, "any slots on friday")
SLOTS = ToolSpec("get_slots", "Free times.", '{"type":"object","properties":{"day":{"type":"string"}}}')


async def ask(server, *messages, tools=()):
    async with server.serve():
        provider = make(Stage.LLM, "gemini", server)
        try:
            return await question(provider, *messages, tools=tools)
        finally:
            await provider.stop()


async def test_thoughts_are_not_for_the_caller():
    assert answered(await ask(GeminiServer(), Message(Role.USER, "hello"))) == "You said: hello"


async def test_a_call_without_an_id_is_given_one():
    facts = await ask(GeminiServer(Behaviour(variant="no_ids")), CALLER, tools=(SLOTS,))
    call = next(fact for fact in facts if isinstance(fact, LLMToolCall))
    assert call.call_id == "call_4_2_1"


async def test_the_signature_of_a_call_goes_back_with_it():
    server = GeminiServer()
    async with server.serve():
        provider = make(Stage.LLM, "gemini", server)
        facts = await question(provider, CALLER, tools=(SLOTS,))
        call = next(fact for fact in facts if isinstance(fact, LLMToolCall))
        made = Message(Role.ASSISTANT, calls=(CallMade(call.call_id, call.name, call.arguments),))
        await question(provider, CALLER, made, Message(Role.TOOL, "10:00", call_id=call.call_id), tools=(SLOTS,))
        await provider.stop()
    part = server.seen[-1]["body"]["contents"][1]["parts"][0]
    assert part["thoughtSignature"] == SIGNATURE


async def test_a_signature_that_is_lost_is_stood_in_for():
    server = GeminiServer()
    made = Message(Role.ASSISTANT, calls=(CallMade("x", "get_slots", "{}"), CallMade("y", "get_slots", "{}")))
    results = [Message(Role.TOOL, "10:00", call_id="x"), Message(Role.TOOL, "11:00", call_id="y")]
    assert answered(await ask(server, CALLER, made, *results, tools=(SLOTS,))) == "I found this: 10:00, 11:00."
    parts = server.seen[-1]["body"]["contents"][1]["parts"]
    assert [part.get("thoughtSignature") for part in parts] == [NO_SIGNATURE, None]


@pytest.mark.parametrize(("variant", "kind"), [("json", FailureKind.UNAVAILABLE), ("malformed", FailureKind.PROTOCOL)])
async def test_an_answer_that_is_none_is_a_kind(variant, kind):
    with pytest.raises(AdapterError) as caught:
        await ask(GeminiServer(Behaviour(variant=variant)), CALLER)
    assert caught.value.kind is kind


async def test_a_prompt_that_is_blocked_is_filtered():
    facts = await ask(GeminiServer(Behaviour(variant="blocked")), CALLER)
    assert [fact.reason for fact in facts] == ["filter"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {"thinkingBudget": 0}),
        ({"thinkingLevel": "LOW"}, {"thinkingLevel": "LOW"}),
        ({"thinkingBudget": None}, None),
    ],
)
async def test_thinking_is_off_unless_asked(options, expected):
    async with (server := GeminiServer()).serve():
        provider = make(Stage.LLM, "gemini", server, temperature=0.5, **options)
        await question(provider, CALLER)
        await provider.stop()
    config = server.seen[-1]["body"]["generationConfig"]
    assert config.get("thinkingConfig") == expected
    assert config["temperature"] == 0.5


async def test_an_error_as_bare_json_between_the_events_is_told_with_its_wait():
    with pytest.raises(AdapterError) as caught:
        await ask(GeminiServer(Behaviour(variant="bare", fault=Fault.ERROR, fault_after=2)), CALLER)
    assert (caught.value.kind, caught.value.retry_ns) == (FailureKind.RATE_LIMITED, 7 * SECOND)


async def test_an_end_without_a_word_is_asked_again_where_the_caller_waits_for_one():
    with pytest.raises(AdapterError) as caught:
        await ask(GeminiServer(Behaviour(variant="wordless")), CALLER)
    assert caught.value.kind is FailureKind.PROTOCOL


async def test_a_model_may_have_nothing_to_add_to_what_a_tool_has_done():
    made = Message(Role.ASSISTANT, "Done.", calls=(CallMade("x", "get_slots", "{}"),))
    facts = await ask(
        GeminiServer(Behaviour(variant="wordless")), CALLER, made, Message(Role.TOOL, "ok", call_id="x"), tools=(SLOTS,)
    )
    assert [fact.reason for fact in facts] == ["stop"]
