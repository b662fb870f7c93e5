"""The Chat Completions wire: what a request looks like, and how the pieces of an answer are put together.

Servers that speak "OpenAI" differ in small ways; what is tolerated here is each seen somewhere: indexes of tool calls that are
missing or used twice (Ollama), arguments as an object, empty choices (Azure), usage on every chunk (gateways) or under `x_groq`, a
null delta, thoughts inside the text, and signatures that must go back with a call (Gemini's compatible address).
"""

from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Raw, Struct

from engine.adapters.history import Signatures, instructions_of, paired
from engine.core.commands import CallMade, Message, Role
from engine.core.policy import ToolSpec
from engine.core.units import LIMITS
from engine.errors import AdapterError, FailureKind

REASONS = {
    "length": "length",
    "max_tokens": "length",
    "content_filter": "filter",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
}
"""Reasons to stop, normalised. Any other (stop, eos, end_turn) is a "stop"."""
ARGUMENTS_CHARS_MAX = 2 * LIMITS.tool_arguments_chars
"""Past the rules' own limit, so that they refuse the call in words; this only bounds the memory."""
CALLS_MAX = 4 * LIMITS.tool_calls
THINK, THOUGHT = "<think>", "</think>"


# The request.


def messages_json(messages: tuple[Message, ...], signatures: Signatures) -> list[dict[str, Any]]:
    """The history in the provider's form."""
    instructions = instructions_of(messages)
    found: list[dict[str, Any]] = [{"role": "system", "content": instructions}] if instructions else []
    for message in paired(messages):
        if message.role is Role.TOOL:
            found.append({"role": "tool", "tool_call_id": message.call_id, "content": message.text})
        elif message.role is Role.ASSISTANT:
            found.append(assistant_json(message, signatures))
        else:
            # Only the first message may be the system's: the chat templates of several open models refuse a later one.
            found.append({"role": "user", "content": message.text})
    return found


def assistant_json(message: Message, signatures: Signatures) -> dict[str, Any]:
    found: dict[str, Any] = {"role": "assistant", "content": message.text or None}
    if message.calls:
        found["tool_calls"] = [call_json(call, signatures.of(call.call_id)) for call in message.calls]
    return found


def call_json(call: CallMade, signature: str) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments or "{}"}
    found: dict[str, Any] = {"id": call.call_id, "type": "function", "function": function}
    return found | ({"extra_content": {"google": {"thought_signature": signature}}} if signature else {})


@lru_cache(maxsize=32)
def tools_json(tools: tuple[ToolSpec, ...]) -> list[dict[str, Any]]:
    """The tools in the provider's form. An agent's tools are the same all day."""
    return [
        {
            "type": "function",
            "function": {
                "name": tool.name,
                "description": tool.description,
                "parameters": Raw(tool.parameters.encode()),
            },
        }
        for tool in tools
    ]


# The answer's pieces.


class Function(Struct):
    name: str | None = None
    arguments: Any = None
    """Text; an object from some servers."""


class Google(Struct):
    thought_signature: str = ""


class Extra(Struct):
    google: Google | None = None


class Fragment(Struct):
    """A piece of a tool call."""

    index: Any = None
    id: Any = None
    function: Function | None = None
    extra_content: Extra | None = None


class Delta(Struct):
    content: Any = None
    """Text; null; or a list of parts, of which those of type "text" are spoken."""
    refusal: str | None = None
    tool_calls: list[Fragment] | None = None


class Choice(Struct):
    delta: Delta | None = None
    finish_reason: str | None = None
    index: int | None = 0


class CachedTokens(Struct):
    cached_tokens: int | None = 0


class Usage(Struct):
    prompt_tokens: int | None = 0
    completion_tokens: int | None = 0
    prompt_tokens_details: CachedTokens | None = None


class Groq(Struct):
    usage: Usage | None = None
    error: Any = None


class Piece(Struct):
    """One chunk of the stream."""

    choices: list[Choice] | None = None
    usage: Usage | None = None
    model: str | None = None
    error: Any = None
    x_groq: Groq | None = None


def text_of(delta: Delta) -> str:
    """What a piece says aloud. Reasoning comes in fields of its own, which are not read."""
    if isinstance(delta.content, str):
        return delta.content
    if isinstance(delta.content, list):
        parts = [part for part in delta.content if isinstance(part, dict) and part.get("type") == "text"]
        return "".join(str(part.get("text", "")) for part in parts)
    return delta.refusal or ""


class Thoughts:
    """Keeps from the caller's ear what a reasoning model writes between <think> and </think> before its answer.

    Servers without a reasoning parser send it as text. Only at the very beginning: later it would be the answer's own.
    """

    def __init__(self) -> None:
        self._held = ""
        self._state = "before"

    def take(self, text: str) -> str:
        """Some more text; returns what of it is the answer."""
        if self._state == "answer":
            return text
        self._held += text
        if self._state == "before":
            begun = self._held.lstrip()
            if begun.startswith(THINK):
                self._state = "thinking"
            elif not THINK.startswith(begun):
                self._state = "answer"
                return self._held
        if self._state == "thinking":
            _, ended, answer = self._held.partition(THOUGHT)
            if not ended:
                self._held = self._held[-len(THOUGHT) :]
                return ""
            self._state = "answer"
            return answer.lstrip()
        return ""

    def close(self) -> str:
        """The answer has ended: what was held back and turned out to be no thought."""
        return self._held if self._state == "before" else ""


class PartialCall(Struct):
    """A tool call under way."""

    call_id: str = ""
    name: str = ""
    arguments: str = ""
    signature: str = ""

    @property
    def whole(self) -> bool:
        try:
            msgspec.json.decode(self.arguments)
        except msgspec.DecodeError:
            return False
        return True


class PartialCalls:
    """Puts tool calls together from their fragments."""

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._calls: list[PartialCall] = []
        self._by_index: dict[int, PartialCall] = {}

    def add(self, fragment: Fragment) -> None:
        """Take one fragment. Raises AdapterError (PROTOCOL) where a bound is passed."""
        call = self._call_of(fragment)
        if isinstance(fragment.id, str) and fragment.id:
            call.call_id = fragment.id
        if fragment.extra_content is not None and fragment.extra_content.google is not None:
            call.signature = fragment.extra_content.google.thought_signature
        function = fragment.function or Function()
        # Set and not appended: some servers repeat the name on every fragment.
        call.name = function.name or call.name
        if isinstance(function.arguments, str):
            call.arguments += function.arguments
        elif function.arguments is not None:
            call.arguments = msgspec.json.encode(function.arguments).decode()
        if len(call.arguments) > ARGUMENTS_CHARS_MAX or len(self._calls) > CALLS_MAX:
            raise AdapterError(self._provider, FailureKind.PROTOCOL, "tool calls beyond all bounds")

    def _call_of(self, fragment: Fragment) -> PartialCall:
        """The call a fragment belongs to: by index, where it is one and is not used a second time; else by id; else the last."""
        new_id = fragment.id if isinstance(fragment.id, str) else ""
        index = fragment.index if isinstance(fragment.index, int) else None
        if index is not None:
            known = self._by_index.get(index)
            if known is None or (new_id and known.call_id and known.call_id != new_id):
                known = self._by_index[index] = self._begin()
            return known
        for call in self._calls:
            if new_id and call.call_id == new_id:
                return call
        named = fragment.function is not None and bool(fragment.function.name)
        last = self._calls[-1] if self._calls else None
        if last is None or new_id or (named and last.whole):
            return self._begin()
        return last

    def _begin(self) -> PartialCall:
        self._calls.append(PartialCall())
        return self._calls[-1]

    def take(self) -> list[PartialCall]:
        """The calls so far, whole. Taken once. Calls without a name are noise."""
        taken, self._calls, self._by_index = self._calls, [], {}
        return [call for call in taken if call.name]
