"""The language model that needs no service: a small deterministic receptionist for the demo agent.

It streams words like a model, calls the agent's tools with real JSON and goes on from their results; the same conversation always
gets the same answer. It understands English about appointments and nothing else, and says so when asked. The conversation itself
is in `scripted_talk`.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from engine.adapters.base import LLMFact, LLMRequest, Options
from engine.adapters.scripted_desk import Reply
from engine.adapters.scripted_talk import reply
from engine.core.events import LLMDone, LLMToken, LLMToolCall

NAME = "scripted"
MODEL = "scripted-1"
WORD = re.compile(r"\s*\S+")
UNABLE = "I'm sorry, I can't do that here."
"""For an agent whose tools are others than the ones it wants to call."""


class ScriptedOptions(Options, frozen=True, kw_only=True):
    """The scripted model's settings: how long it pretends to think."""

    first_token_ms: Annotated[int, Meta(ge=0, le=60_000)] = 0
    """Before the first word. Hosted models take 400 to 900."""
    token_ms: Annotated[int, Meta(ge=0, le=10_000)] = 0
    """Before each further word. Hosted models take 10 to 30."""


class Scripted:
    """The scripted receptionist."""

    name: ClassVar[str] = NAME
    options: ClassVar[type[Options]] = ScriptedOptions
    key_env: ClassVar[str] = ""

    def __init__(self, options: ScriptedOptions) -> None:
        self._first_s = options.first_token_ms / 1_000
        self._token_s = options.token_ms / 1_000

    async def start(self) -> None:
        """Nothing to make ready."""

    async def ready(self) -> None:
        """Always."""

    async def stop(self) -> None:
        """Nothing to release."""

    async def stream(self, request: LLMRequest) -> AsyncIterator[LLMFact]:
        """Its answer, word by word, then the tool it wants called."""
        answer = able(reply(request.messages, request.run), {tool.name for tool in request.tools})
        words = WORD.findall(answer.text)
        # A pause even where none is asked for: a model that answers within the question's own callback is like no other.
        await asyncio.sleep(self._first_s)
        for index, word in enumerate(words):
            if index:
                await asyncio.sleep(self._token_s)
            yield LLMToken(run=request.run, request=request.request, text=word)
        if answer.tool:
            yield LLMToolCall(
                run=request.run,
                request=request.request,
                call_id=f"call_{request.run}_{request.request}",
                name=answer.tool,
                arguments=msgspec.json.encode(answer.arguments).decode(),
            )
        yield LLMDone(
            run=request.run,
            request=request.request,
            reason="tool_calls" if answer.tool else "stop",
            input_tokens=sum(len(message.text.split()) for message in request.messages),
            output_tokens=len(words),
            model=MODEL,
        )


def able(answer: Reply, tools: set[str]) -> Reply:
    """The same answer, unless it needs a tool that is not there."""
    return answer if not answer.tool or answer.tool in tools else Reply(answer.text or UNABLE)
