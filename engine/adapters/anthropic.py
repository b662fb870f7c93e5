"""Anthropic's Messages API.

Source: the vendor's Python SDK 0.121 (2026-08-08) and its documentation (2026). Thinking is left off, because it is silence to a
caller, and because a thought must go back signed with the tool's result, for which a history of words has no room.
"""

from collections.abc import Iterable
from typing import Any, ClassVar

import msgspec
from msgspec import Struct, field

from engine.adapters.base import LLMFact, LLMRequest, Options
from engine.adapters.history import BEGINNING, USER, alternating, instructions_of, json_object, paired, schema_of
from engine.adapters.http import make_client, stream_failure
from engine.adapters.language import (
    STREAM_HEADERS,
    Question,
    StreamingModel,
    Telling,
)
from engine.adapters.sse import ServerEvent
from engine.core.commands import Message, Role
from engine.core.events import LLMDone

REASONS = {"max_tokens": "length", "model_context_window_exceeded": "length", "refusal": "filter"}
GO_ON = "(Please go on.)"
"""The history must end with the user: the newer models refuse to complete an assistant's words."""


class AnthropicOptions(Options, frozen=True, kw_only=True):
    """Fields of a request. None and empty: not sent."""

    base_url: str = "https://api.anthropic.com/v1"
    model: str = "claude-haiku-4-5"
    max_tokens: int = 1_024
    """Of one answer; the service wants a number."""
    anthropic_version: str = "2023-06-01"
    anthropic_beta: str = ""
    temperature: float | None = None
    """Newer models refuse it."""
    top_p: float | None = None
    service_tier: str = ""
    cache: bool = True
    """Mark the instructions and tools as worth caching: they are the same at every turn, and the first token comes sooner."""
    extra: dict[str, Any] = field(default_factory=dict)
    """Any other field, as it is."""


class Block(Struct, frozen=True):
    type: str = ""
    id: str = ""
    name: str = ""


class Delta(Struct, frozen=True):
    type: str = ""
    text: str = ""
    partial_json: str = ""
    stop_reason: str | None = None


class Usage(Struct, frozen=True):
    """Counts are totals each time; a later one replaces the earlier."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None


class Begun(Struct, frozen=True):
    model: str = ""
    usage: Usage = Usage()


class Happening(Struct, frozen=True):
    """Any event's data."""

    type: str = ""
    message: Begun = Begun()
    content_block: Block = Block()
    delta: Delta = Delta()
    usage: Usage = Usage()
    error: dict[str, Any] = field(default_factory=dict)


decode = msgspec.json.Decoder(Happening).decode


class Anthropic(StreamingModel):
    """The `anthropic` language model."""

    name = "anthropic"
    options = AnthropicOptions
    key_env: ClassVar[str] = "ANTHROPIC_API_KEY"

    def __init__(self, options: AnthropicOptions) -> None:
        headers = STREAM_HEADERS | {"x-api-key": options.api_key, "anthropic-version": options.anthropic_version}
        if options.anthropic_beta:
            headers["anthropic-beta"] = options.anthropic_beta
        super().__init__(make_client(options.base_url, headers))
        self._options = options

    def ask(self, request: LLMRequest) -> Question:
        """See language."""
        options = self._options
        mark = {"cache_control": {"type": "ephemeral"}} if options.cache else {}
        body: dict[str, Any] = {
            "model": options.model,
            "max_tokens": options.max_tokens,
            "messages": messages_json(request.messages, tools=bool(request.tools)),
            "stream": True,
        }
        if instructions := instructions_of(request.messages):
            body["system"] = [text_block(instructions) | mark]
        if request.tools:
            tools: list[dict[str, Any]] = [
                {"name": tool.name, "description": tool.description, "input_schema": schema_of(tool)}
                for tool in request.tools
            ]
            tools[-1] |= mark
            body["tools"] = tools
        for name in ("temperature", "top_p", "service_tier"):
            if (value := getattr(options, name)) not in (None, ""):
                body[name] = value
        return Question("messages", body | options.extra)

    def answer(self, request: LLMRequest) -> "Answer":
        """See language."""
        return Answer(Telling(self.name, request))


def messages_json(messages: tuple[Message, ...], *, tools: bool) -> list[dict[str, Any]]:
    """The history after the instructions. Neighbours of one role are one message, results of tools before the words.

    tools: whether tools are offered; without them the service refuses a history that used some, so that part is left out.
    """
    turns = (
        ("assistant" if message.role is Role.ASSISTANT else USER, blocks_of(message, tools=tools))
        for message in paired(messages)
    )
    found = alternating(turns, "content", text_block(BEGINNING))
    if found[-1]["role"] != USER:
        found.append({"role": USER, "content": [text_block(GO_ON)]})
    return found


def text_block(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def blocks_of(message: Message, *, tools: bool) -> list[dict[str, Any]]:
    """One message's blocks; empty text is refused by the service, so it makes none."""
    if message.role is Role.TOOL:
        result = {"type": "tool_result", "tool_use_id": message.call_id, "content": message.text}
        return [result] if tools else []
    blocks: list[dict[str, Any]] = [text_block(message.text)] if message.text.strip() else []
    if tools:
        blocks += [
            {"type": "tool_use", "id": call.call_id, "name": call.name, "input": json_object(call.arguments)}
            for call in message.calls
        ]
    return blocks


class Answer:
    """One answer: blocks, one after the other."""

    def __init__(self, telling: Telling) -> None:
        self._tell = telling
        self._tool: Block | None = None
        self._arguments: list[str] = []
        self._model = ""
        self._reason = ""
        self._usage: dict[str, int] = {}
        self.ending = False
        """message_stop has come."""

    def take(self, event: ServerEvent) -> Iterable[LLMFact]:
        """See language."""
        try:
            happening = decode(event.data)
        except msgspec.DecodeError as error:
            raise self._tell.unreadable() from error
        match happening.type:
            case "message_start":
                self._model = happening.message.model
                self._count(happening.message.usage)
            case "content_block_start" if happening.content_block.type == "tool_use":
                self._tool, self._arguments = happening.content_block, []
            case "content_block_delta" if happening.delta.type == "text_delta" and happening.delta.text:
                return [self._tell.token(happening.delta.text)]
            case "content_block_delta" if happening.delta.type == "input_json_delta":
                self._arguments.append(happening.delta.partial_json)
            case "content_block_stop" if self._tool is not None:
                tool, self._tool = self._tool, None
                return [self._tell.call(tool.id, tool.name, "".join(self._arguments))]
            case "message_delta":
                self._reason = happening.delta.stop_reason or self._reason
                self._count(happening.usage)
            case "message_stop":
                self.ending = True
            case "error":
                raise stream_failure(self._tell.provider, happening.error)
        return ()

    def _count(self, usage: Usage) -> None:
        self._usage |= {name: count for name, count in msgspec.structs.asdict(usage).items() if count is not None}

    def close(self) -> LLMDone:
        """See language."""
        if not self.ending and not self._reason:
            raise self._tell.unfinished()
        cached = self._usage.get("cache_read_input_tokens", 0)
        return self._tell.done(
            REASONS.get(self._reason, "stop"),
            # The service counts cached tokens beside the input's, not among them.
            input_tokens=self._usage.get("input_tokens", 0)
            + cached
            + self._usage.get("cache_creation_input_tokens", 0),
            output_tokens=self._usage.get("output_tokens", 0),
            cached_tokens=cached,
            model=self._model,
        )
