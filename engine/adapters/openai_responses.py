"""OpenAI's Responses API, and the servers that speak it (Ollama, llama.cpp). Nothing is stored there: every question brings its history.

Source: openai/openai-openapi (2026-08-21), the vendor's Python SDK 3.3.1 (2026-08-21), and captures in issues for the error event.
"""

from collections.abc import Iterable
from typing import Any, ClassVar

import msgspec
from msgspec import Struct, field

from engine.adapters.base import LLMFact, LLMRequest
from engine.adapters.history import instructions_of, paired, schema_of
from engine.adapters.http import make_client, stream_failure
from engine.adapters.language import (
    STREAM_HEADERS,
    Question,
    StreamingModel,
    Telling,
)
from engine.adapters.openai_account import OpenAIOptions
from engine.adapters.sse import ServerEvent
from engine.core.commands import Message, Role
from engine.core.events import LLMDone


class OpenAIResponsesOptions(OpenAIOptions, frozen=True, kw_only=True):
    """Fields of a request. None and empty: not sent."""

    base_url: str = "https://api.openai.com/v1"
    model: str = "gpt-4.1-mini"
    """Without thoughts: they are silence to a caller."""
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    reasoning: dict[str, str] = field(default_factory=dict)
    """effort, summary."""
    text: dict[str, Any] = field(default_factory=dict)
    """verbosity, format."""
    parallel_tool_calls: bool | None = None
    service_tier: str = ""
    store: bool = False
    extra: dict[str, Any] = field(default_factory=dict)
    """Any other field, as it is."""


SENT = (
    "model", "max_output_tokens", "temperature", "top_p", "reasoning", "text", "parallel_tool_calls", "service_tier", "store",
)  # fmt: skip


class Item(Struct, frozen=True):
    type: str = ""
    call_id: str = ""
    name: str = ""
    arguments: str = ""


class CachedTokens(Struct, frozen=True):
    cached_tokens: int | None = None


class Usage(Struct, frozen=True):
    input_tokens: int | None = None
    output_tokens: int | None = None
    input_tokens_details: CachedTokens | None = None


class Incomplete(Struct, frozen=True):
    reason: str = ""


class Response(Struct, frozen=True):
    model: str = ""
    usage: Usage | None = None
    incomplete_details: Incomplete | None = None
    error: dict[str, Any] | None = None


class Happening(Struct, frozen=True):
    """Any event's data."""

    type: str = ""
    delta: Any = None
    item: Item = Item()
    response: Response = Response()
    error: dict[str, Any] | None = None
    code: Any = None


decode = msgspec.json.Decoder(Happening).decode


class OpenAIResponses(StreamingModel):
    """The `openai_responses` language model."""

    name = "openai_responses"
    options = OpenAIResponsesOptions
    key_env: ClassVar[str] = "OPENAI_API_KEY"

    def __init__(self, options: OpenAIResponsesOptions) -> None:
        super().__init__(make_client(options.base_url, STREAM_HEADERS | options.headers()))
        self._options = options

    def ask(self, request: LLMRequest) -> Question:
        """See language."""
        body: dict[str, Any] = {"input": list(items_json(request.messages)), "stream": True}
        for name in SENT:
            if (value := getattr(self._options, name)) not in (None, "", {}):
                body[name] = value
        if instructions := instructions_of(request.messages):
            body["instructions"] = instructions
        if request.tools:
            body["tools"] = [
                {
                    "type": "function",
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": schema_of(tool),
                    "strict": False,
                }
                for tool in request.tools
            ]
        if request.session:
            body["prompt_cache_key"] = request.session
        return Question("responses", body | self._options.extra)

    def answer(self, request: LLMRequest) -> "Answer":
        """See language."""
        return Answer(Telling(self.name, request))


def items_json(messages: tuple[Message, ...]) -> Iterable[dict[str, Any]]:
    """The history after the instructions, as items."""
    for message in paired(messages):
        if message.role is Role.TOOL:
            yield {"type": "function_call_output", "call_id": message.call_id, "output": message.text}
            continue
        if message.text.strip():
            yield {"role": "assistant" if message.role is Role.ASSISTANT else "user", "content": message.text}
        for call in message.calls:
            arguments = call.arguments or "{}"
            yield {"type": "function_call", "call_id": call.call_id, "name": call.name, "arguments": arguments}


class Answer:
    """One answer: items, one after the other."""

    def __init__(self, telling: Telling) -> None:
        self._tell = telling
        self._response: Response | None = None

    @property
    def ending(self) -> bool:
        """See language."""
        return self._response is not None

    def take(self, event: ServerEvent) -> Iterable[LLMFact]:
        """See language."""
        if event.data.strip() == "[DONE]":
            return ()
        try:
            happening = decode(event.data)
        except msgspec.DecodeError as error:
            raise self._tell.unreadable() from error
        match happening.type:
            # A refusal is said to the caller like any other answer.
            case "response.output_text.delta" | "response.refusal.delta" if isinstance(happening.delta, str):
                return [self._tell.token(happening.delta)] if happening.delta else ()
            case "response.output_item.done" if happening.item.type == "function_call":
                # The deltas name neither the tool nor the call reliably; the finished item does.
                item = happening.item
                return [self._tell.call(item.call_id, item.name, item.arguments)]
            case "response.completed" | "response.incomplete":
                self._response = happening.response
            case "response.failed":
                raise stream_failure(self._tell.provider, happening.response.error or {})
            case "error":
                # Flat in the specification, nested on the wire.
                raise stream_failure(self._tell.provider, happening.error or {"code": happening.code})
        return ()

    def close(self) -> LLMDone:
        """See language."""
        if self._response is None:
            raise self._tell.unfinished()
        details = self._response.incomplete_details
        usage = self._response.usage or Usage()
        cached = usage.input_tokens_details.cached_tokens if usage.input_tokens_details else 0
        return self._tell.done(
            {"max_output_tokens": "length", "content_filter": "filter"}.get(details.reason if details else "", "stop"),
            input_tokens=usage.input_tokens or 0,
            output_tokens=usage.output_tokens or 0,
            cached_tokens=cached or 0,
            model=self._response.model,
        )
