"""The scripted model as a provider: it streams, it calls tools, it can be cut off."""

import asyncio
import json
from contextlib import aclosing

import pytest

from engine.adapters.base import LLMRequest
from engine.adapters.scripted import UNABLE, Scripted, ScriptedOptions
from engine.agent import Agent
from engine.core.commands import Message, Role
from engine.core.events import LLMDone, LLMToken, LLMToolCall
from engine.toolbox import tool
from tests.adapters.desk import Desk


def test_words_come_one_by_one_and_make_up_the_sentence() -> None:
    desk = Desk()
    desk.messages.append(Message(Role.USER, "hello"))
    *tokens, done = desk.ask()
    assert [token.text for token in tokens if isinstance(token, LLMToken)][:3] == ["Hello!", " Would", " you"]
    assert done == LLMDone(run=1, request=1, input_tokens=done.input_tokens, output_tokens=13, model="scripted-1")  # type: ignore[union-attr]


def test_a_tool_call_is_whole_and_comes_before_the_end() -> None:
    desk = Desk()
    desk.messages.append(Message(Role.USER, "what is free tomorrow"))
    *_, call, done = desk.ask()
    assert isinstance(call, LLMToolCall)
    assert (call.call_id, call.name, json.loads(call.arguments)) == ("call_1_1", "find_slots", {"day": "2026-11-24"})
    assert isinstance(done, LLMDone)
    assert done.reason == "tool_calls"


def test_calls_of_one_conversation_have_names_of_their_own() -> None:
    desk = Desk()
    desk.say("book tuesday at three")
    desk.say("cancel it")
    ids = [call.call_id for message in desk.messages for call in message.calls]
    assert len(set(ids)) == len(ids) == 2


def test_without_its_tools_it_says_that_it_cannot() -> None:
    @tool
    def sell_shoes() -> None:
        """Sell shoes."""

    desk = Desk(Agent("Today is Monday, 2026-11-23.", tools=[sell_shoes]))
    assert desk.say("book tuesday at three") == UNABLE


def test_its_reader_may_turn_away_at_any_word() -> None:
    async def first_word() -> object:
        model = Scripted(ScriptedOptions(token_ms=10_000))
        await model.start()
        messages = (*Desk().messages, Message(Role.USER, "hello"))
        async with aclosing(model.stream(LLMRequest(run=1, request=1, messages=messages))) as facts:  # type: ignore[type-var]
            word = await anext(facts)
        await model.stop()
        return word

    assert asyncio.run(first_word()) == LLMToken(run=1, request=1, text="Hello!")


def test_it_takes_its_time_when_told_to() -> None:
    async def scenario() -> None:
        model = Scripted(ScriptedOptions(first_token_ms=60_000))
        messages = (*Desk().messages, Message(Role.USER, "hello"))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await anext(model.stream(LLMRequest(run=1, request=1, messages=messages)))

    asyncio.run(scenario())
