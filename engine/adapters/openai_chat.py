"""Any server that speaks OpenAI's Chat Completions: OpenAI, Azure, Groq, Together, Ollama, vLLM, llama.cpp and many more. Which one
is a matter of `base_url`.
"""

from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta, field

from engine.adapters.base import LLMFact, LLMRequest
from engine.adapters.history import Signatures
from engine.adapters.http import make_client, stream_failure
from engine.adapters.language import STREAM_HEADERS, Question, StreamingModel, Telling
from engine.adapters.openai_account import OpenAIOptions
from engine.adapters.openai_wire import (
    REASONS,
    Choice,
    PartialCalls,
    Piece,
    Thoughts,
    Usage,
    messages_json,
    text_of,
    tools_json,
)
from engine.adapters.sse import ServerEvent
from engine.core.events import LLMDone
from engine.errors import AdapterError, FailureKind

DONE = "[DONE]"
NEWER_NAME = ("api.openai.com", ".openai.azure.com")
"""Hosts that want `max_completion_tokens`; the others know `max_tokens`, and Ollama silently ignores the newer name."""

decode_piece = msgspec.json.Decoder(Piece).decode


class OpenAIChatOptions(OpenAIOptions, frozen=True, kw_only=True):
    """Settings of a Chat Completions server."""

    remedy: ClassVar[str] = "set LLM_API_KEY, or LLM_BASE_URL for a server of your own"

    model: Annotated[str, Meta(min_length=1, extra={"env": "LLM_MODEL"})]
    """The model's name, as the server knows it."""
    base_url: Annotated[str, Meta(pattern="^https?://", extra={"env": "LLM_BASE_URL"})] = "https://api.openai.com/v1"
    """The address under which /chat/completions lies."""
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    """Not sent unless set: reasoning models refuse it."""
    max_tokens: Annotated[int, Meta(ge=0)] = 0
    """Of one answer. 0: the server's own limit."""
    reasoning_effort: str = ""
    """none, minimal, low, …: which are allowed depends on the model. Empty: not sent. Thinking is silence to a caller."""
    parallel_tool_calls: bool | None = None
    """Not sent unless set."""
    api_version: str = ""
    """Azure's older addresses need one; the key then goes into the header `api-key`."""
    usage: bool = True
    """Ask for token counts at the end of each answer. Off for servers that refuse stream_options."""
    http2: bool = False
    """One connection for all calls. Cancelling then is a reset of one stream."""
    extra: dict[str, Any] = field(default_factory=dict)
    """Further fields of the request, sent as they are (top_p, service_tier, chat_template_kwargs, …)."""


class OpenAIChat(StreamingModel):
    """The provider. One pool of connections for the process."""

    name = "openai"
    options = OpenAIChatOptions
    key_env = "LLM_API_KEY"

    def __init__(self, options: OpenAIChatOptions) -> None:
        client = make_client(options.base_url, headers_of(options), http2=options.http2)
        if options.api_version:
            client.params = client.params.set("api-version", options.api_version)
        super().__init__(client)
        self._options = options
        self._signatures = Signatures()

    def ask(self, request: LLMRequest) -> Question:
        """See language."""
        messages = messages_json(request.messages, self._signatures)
        return Question("chat/completions", {**body_of(self._options, request), "messages": messages})

    def answer(self, request: LLMRequest) -> "Answer":
        """See language."""
        return Answer(Telling(self.name, request), self._signatures)


def headers_of(options: OpenAIChatOptions) -> dict[str, str]:
    headers = STREAM_HEADERS | options.headers()
    if options.api_version and headers.pop("Authorization", ""):
        headers["api-key"] = options.api_key
    return headers


def body_of(options: OpenAIChatOptions, request: LLMRequest) -> dict[str, Any]:
    """The request, as JSON will have it, but for the history."""
    body: dict[str, Any] = {"model": options.model, "stream": True}
    if options.usage:
        body["stream_options"] = {"include_usage": True}
    if request.tools:
        body["tools"] = tools_json(request.tools)
        if options.parallel_tool_calls is not None:
            body["parallel_tool_calls"] = options.parallel_tool_calls
    if options.temperature is not None:
        body["temperature"] = options.temperature
    if options.max_tokens:
        newer = any(host in options.base_url for host in NEWER_NAME)
        body["max_completion_tokens" if newer else "max_tokens"] = options.max_tokens
    if options.reasoning_effort:
        body["reasoning_effort"] = options.reasoning_effort
    return body | options.extra


class Answer:
    """One answer, put together from its events."""

    def __init__(self, telling: Telling, signatures: Signatures) -> None:
        self._tell = telling
        self._signatures = signatures
        self._calls = PartialCalls(telling.provider)
        self._thoughts = Thoughts()
        self._reason = ""
        self._usage = Usage()
        self._model = ""
        self.done = False
        """The server has said [DONE]."""

    @property
    def ending(self) -> bool:
        """The model has finished; only usage and [DONE] may follow."""
        return self.done or self._reason != ""

    def take(self, event: ServerEvent) -> list[LLMFact]:
        """What one event says. Raises AdapterError."""
        if self.done:
            return []
        if event.data.strip() == DONE:
            self.done = True
            return self._finish(self._reason or "stop")
        try:
            piece = decode_piece(event.data)
        except msgspec.DecodeError as error:
            raise self._tell.unreadable() from error
        if trouble := piece.error or (piece.x_groq.error if piece.x_groq else None):
            raise stream_failure(self._tell.provider, trouble)
        self._model = self._model or piece.model or ""
        self._usage = piece.usage or (piece.x_groq.usage if piece.x_groq else None) or self._usage
        first = next((choice for choice in piece.choices or () if not choice.index), None)
        return self._choose(first) if first is not None else []

    def _choose(self, choice: Choice) -> list[LLMFact]:
        facts: list[LLMFact] = []
        if choice.delta is not None:
            if text := self._thoughts.take(text_of(choice.delta)):
                facts.append(self._tell.token(text))
            for fragment in choice.delta.tool_calls or ():
                self._calls.add(fragment)
        if choice.finish_reason == "error":
            raise AdapterError(self._tell.provider, FailureKind.UNAVAILABLE, "in the stream: finish_reason error")
        if choice.finish_reason:
            facts += self._finish(choice.finish_reason)
        return facts

    def _finish(self, reason: str) -> list[LLMFact]:
        """The model has finished: its tool calls are whole now. The reason is not trusted: "stop" may come with calls."""
        self._reason = reason
        facts: list[LLMFact] = [self._tell.token(rest)] if (rest := self._thoughts.close()) else []
        self._thoughts = Thoughts()
        for call in self._calls.take():
            fact = self._tell.call(call.call_id, call.name, call.arguments)
            self._signatures.keep(fact.call_id, call.signature)
            facts.append(fact)
        return facts

    def close(self) -> LLMDone:
        """The stream has ended. Raises AdapterError (CLOSED), where the model had not finished."""
        if not self.ending:
            raise self._tell.unfinished()
        details = self._usage.prompt_tokens_details
        return self._tell.done(
            REASONS.get(self._reason, "stop"),
            input_tokens=self._usage.prompt_tokens or 0,
            output_tokens=self._usage.completion_tokens or 0,
            cached_tokens=(details.cached_tokens or 0) if details else 0,
            model=self._model,
        )
