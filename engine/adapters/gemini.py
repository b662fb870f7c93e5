"""Google's Gemini, by streamGenerateContent.

Source: googleapis/python-genai 2.19 (2026-08-21) and ai.google.dev (2026). Every call of a tool comes with a signature that must go
back with it, and a history of words has no room for one: the last few are kept here, and the documented word stands for the rest.
"""

from collections.abc import Iterable
from typing import Any, ClassVar

import msgspec
from msgspec import Struct, field

from engine.adapters.base import LLMFact, LLMRequest, Options
from engine.adapters.history import (
    BEGINNING,
    USER,
    Signatures,
    alternating,
    instructions_of,
    json_object,
    paired,
    schema_of,
)
from engine.adapters.http import make_client, stream_failure
from engine.adapters.language import (
    STREAM_HEADERS,
    Question,
    StreamingModel,
    Telling,
)
from engine.adapters.sse import ServerEvent
from engine.core.commands import CallMade, Message, Role
from engine.core.events import LLMDone
from engine.errors import AdapterError, FailureKind

FILTERED = frozenset({"SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY"})
MALFORMED = frozenset({"MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS"})
"""The model broke its own grammar, usually with nothing said."""
NO_SIGNATURE = "skip_thought_signature_validator"
"""For a call whose signature is lost (another process, another model). Seen in the vendor's release notes (2026-06)."""


class GeminiOptions(Options, frozen=True, kw_only=True):
    """Fields of a request. None and empty: not sent."""

    base_url: str = "https://generativelanguage.googleapis.com/v1beta"
    model: str = "gemini-2.5-flash"
    temperature: float | None = None
    topP: float | None = None  # noqa: N815  the service's own name
    maxOutputTokens: int | None = None  # noqa: N815
    thinkingBudget: int | None = 0  # noqa: N815
    """0: no thoughts, which are silence to a caller. For the 2.5 models."""
    thinkingLevel: str = ""  # noqa: N815
    """MINIMAL to HIGH, for the 3 models; the budget is not sent then."""
    safetySettings: list[dict[str, str]] = field(default_factory=list)  # noqa: N815
    generationConfig: dict[str, Any] = field(default_factory=dict)  # noqa: N815
    """Any other field of it, as it is."""
    extra: dict[str, Any] = field(default_factory=dict)
    """Any other field of the request, as it is."""


class FunctionCall(Struct, frozen=True):
    id: str = ""
    name: str = ""
    args: dict[str, Any] | None = None


class Part(Struct, frozen=True, rename="camel"):
    text: str = ""
    thought: bool = False
    thought_signature: str = ""
    function_call: FunctionCall | None = None


class Content(Struct, frozen=True):
    parts: tuple[Part, ...] = ()


class Candidate(Struct, frozen=True, rename="camel"):
    content: Content | None = None
    finish_reason: str | None = None


class Usage(Struct, frozen=True, rename="camel"):
    """On most chunks, and a total each time."""

    prompt_token_count: int = 0
    candidates_token_count: int = 0
    thoughts_token_count: int = 0
    cached_content_token_count: int = 0


class Feedback(Struct, frozen=True, rename="camel"):
    block_reason: str = ""


class Chunk(Struct, frozen=True, rename="camel"):
    candidates: tuple[Candidate, ...] = ()
    usage_metadata: Usage | None = None
    prompt_feedback: Feedback | None = None
    model_version: str = ""
    error: dict[str, Any] | None = None


decode = msgspec.json.Decoder(Chunk).decode


class Gemini(StreamingModel):
    """The `gemini` language model."""

    name = "gemini"
    options = GeminiOptions
    key_env: ClassVar[str] = "GEMINI_API_KEY"

    def __init__(self, options: GeminiOptions) -> None:
        super().__init__(make_client(options.base_url, STREAM_HEADERS | {"x-goog-api-key": options.api_key}))
        self._options = options
        self._signatures = Signatures()

    def ask(self, request: LLMRequest) -> Question:
        """See language."""
        options = self._options
        config = {name: getattr(options, name) for name in ("temperature", "topP", "maxOutputTokens")}
        if options.thinkingLevel:
            config["thinkingConfig"] = {"thinkingLevel": options.thinkingLevel}
        elif options.thinkingBudget is not None:
            config["thinkingConfig"] = {"thinkingBudget": options.thinkingBudget}
        config = {name: value for name, value in config.items() if value is not None} | options.generationConfig
        body: dict[str, Any] = {"contents": self._contents(request.messages), "generationConfig": config}
        if instructions := instructions_of(request.messages):
            body["systemInstruction"] = {"parts": [{"text": instructions}]}
        if request.tools:
            declared = [
                {"name": tool.name, "description": tool.description, "parametersJsonSchema": schema_of(tool)}
                for tool in request.tools
            ]
            body["tools"] = [{"functionDeclarations": declared}]
        if options.safetySettings:
            body["safetySettings"] = options.safetySettings
        return Question(f"models/{options.model}:streamGenerateContent?alt=sse", body | options.extra)

    def answer(self, request: LLMRequest) -> "Answer":
        """See language."""
        owed = bool(request.messages) and request.messages[-1].role is Role.USER
        return Answer(Telling(self.name, request), self._signatures, owed=owed)

    def _contents(self, messages: tuple[Message, ...]) -> list[dict[str, Any]]:
        """The history after the instructions. Neighbours of one role are one content, and all results of a step come together."""
        names: dict[str, str] = {}
        turns: list[tuple[str, list[dict[str, Any]]]] = []
        for message in paired(messages):
            names |= {call.call_id: call.name for call in message.calls}
            role = "model" if message.role is Role.ASSISTANT else USER
            turns.append((role, self._parts(message, names)))
        return alternating(turns, "parts", {"text": BEGINNING})

    def _parts(self, message: Message, names: dict[str, str]) -> list[dict[str, Any]]:
        if message.role is Role.TOOL:
            # The response must be an object, whatever the tool gave.
            response = {"output": message.text}
            name = names[message.call_id]
            return [{"functionResponse": {"id": message.call_id, "name": name, "response": response}}]
        parts: list[dict[str, Any]] = [{"text": message.text}] if message.text.strip() else []
        return parts + [self._call(call, first=not number) for number, call in enumerate(message.calls)]

    def _call(self, call: CallMade, *, first: bool) -> dict[str, Any]:
        part: dict[str, Any] = {
            "functionCall": {"id": call.call_id, "name": call.name, "args": json_object(call.arguments)}
        }
        # Of calls made at once only the first is signed.
        signature = self._signatures.of(call.call_id) or (NO_SIGNATURE if first else "")
        return part | ({"thoughtSignature": signature} if signature else {})


class Answer:
    """One answer: chunks of parts."""

    def __init__(self, telling: Telling, signatures: Signatures, *, owed: bool) -> None:
        """owed: the caller has just spoken, so that no answer is none at all."""
        self._tell = telling
        self._signatures = signatures
        self._owed = owed
        self._reason = ""
        self._usage = Usage()
        self._model = ""

    @property
    def ending(self) -> bool:
        """See language."""
        return self._reason != ""

    def take(self, event: ServerEvent) -> Iterable[LLMFact]:
        """See language."""
        try:
            chunk = decode(event.data)
        except msgspec.DecodeError as error:
            raise self._tell.unreadable() from error
        if chunk.error is not None:
            raise stream_failure(self._tell.provider, chunk.error)
        self._usage = chunk.usage_metadata or self._usage
        self._model = chunk.model_version or self._model
        if chunk.prompt_feedback is not None and chunk.prompt_feedback.block_reason:
            self._reason = "SAFETY"
        facts: list[LLMFact] = []
        for candidate in chunk.candidates[:1]:
            facts += [fact for part in (candidate.content or Content()).parts if (fact := self._part(part)) is not None]
            self._reason = candidate.finish_reason or self._reason
        self._owed = self._owed and not facts
        if (self._reason in MALFORMED and not facts and not self._tell.called) or (
            self._reason == "STOP" and self._owed
        ):
            # Worth asking again: both pass, and the caller would hear nothing.
            raise AdapterError(self._tell.provider, FailureKind.PROTOCOL, f"nothing was said, and {self._reason}")
        return facts

    def _part(self, part: Part) -> LLMFact | None:
        if part.function_call is not None:
            call = part.function_call
            fact = self._tell.call(call.id, call.name, msgspec.json.encode(call.args or {}).decode())
            self._signatures.keep(fact.call_id, part.thought_signature)
            return fact
        # A thought is not for the caller.
        return self._tell.token(part.text) if part.text and not part.thought else None

    def close(self) -> LLMDone:
        """See language."""
        if not self._reason:
            raise self._tell.unfinished()
        usage = self._usage
        return self._tell.done(
            "length" if self._reason == "MAX_TOKENS" else "filter" if self._reason in FILTERED else "stop",
            input_tokens=usage.prompt_token_count,
            output_tokens=usage.candidates_token_count + usage.thoughts_token_count,
            cached_tokens=usage.cached_content_token_count,
            model=self._model,
        )
