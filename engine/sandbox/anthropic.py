"""Anthropic's Messages API as it is on the wire.

Source: the vendor's Python SDK 0.121 (2026-08-08) and its documentation (2026). Every event is named twice, in its `event:` line and in
its data; there is no [DONE]. Variants: "pings" sends a ping and an unknown event between all others; "thinking" begins with thoughts,
signed and hidden.
"""

from collections.abc import Iterator
from typing import Any

import msgspec
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from engine.sandbox.base import Happening, ModelProvider, bearer, stream
from engine.sandbox.thinking import Dialogue, Thought, Tool, plain_text, properties_of, think

TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    402: "billing_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


class AnthropicServer(ModelProvider):
    """/v1/messages."""

    def routes(self) -> list[BaseRoute]:
        return [self.ask("/v1/messages", self._answer), self.listing("/v1/models", {"data": []})]

    def settings(self) -> dict[str, object]:
        return {"base_url": f"{self.url}/v1", "api_key": self.key}

    def authorized(self, connection: HTTPConnection) -> bool:
        return (connection.headers.get("x-api-key") or bearer(connection)) == self.key

    def refusal_body(self, status: int, code: str) -> object:
        return _error(code or TYPES.get(status, "api_error"))

    def _answer(self, body: dict[str, Any], request: Request) -> Response:
        if problem := self._problem(body, request):
            return JSONResponse(_error("invalid_request_error", problem), 400)
        dialogue, results = Dialogue(), []
        for message in body["messages"]:
            if message["role"] != "user":
                dialogue.assistant(plain_text(message["content"]))
                continue
            parts = message["content"] if isinstance(message["content"], list) else []
            results = [plain_text(part["content"]) for part in parts if part["type"] == "tool_result"]
            dialogue.user(plain_text(message["content"]))
        tools = tuple(Tool(tool["name"], properties_of(tool["input_schema"])) for tool in body.get("tools", ()))
        thought = think(dialogue, tools, tuple(results))
        events = _events(thought, body["model"], self.behaviour.variant)
        return stream(self.behaviour, events, Happening(_error(self.behaviour.code or "overloaded_error"), "error"))

    def _problem(self, body: dict[str, Any], request: Request) -> str:
        """What the service would refuse, as its message; nothing where all is well."""
        messages = body.get("messages") or []
        if "anthropic-version" not in request.headers:
            return "anthropic-version is required"
        if not all(field in body for field in ("model", "max_tokens")) or not messages:
            return "model, max_tokens and messages are required"
        if any(message["role"] not in ("user", "assistant") for message in messages):
            return "no other roles than user and assistant"
        if messages[0]["role"] != "user" or messages[-1]["role"] != "user":
            return "the conversation must begin and end with a user message"
        asked: set[str] = set()
        for message in messages:
            parts = message["content"] if isinstance(message["content"], list) else []
            if any(part["type"] == "text" and not part["text"].strip() for part in parts):
                return "text content blocks must be non-empty"
            kinds = [part["type"] for part in parts]
            if sorted(kinds, key="tool_result".__ne__) != kinds:
                return "results of tools must come before other content"
            answered = {part["tool_use_id"] for part in parts if part["type"] == "tool_result"}
            if asked - answered or answered - asked:
                return "each tool_use needs its tool_result in the next message"
            asked = {part["id"] for part in parts if part["type"] == "tool_use"}
            if asked and not body.get("tools"):
                return "tools must be defined"
            if any(not isinstance(part["input"], dict) for part in parts if part["type"] == "tool_use"):
                return "input must be an object"
        return ""


def _error(kind: str, message: str = "refused") -> dict[str, object]:
    error: dict[str, object] = {"type": kind, "message": message}
    if kind == "enforced_spend_limit_reached":
        error = {"type": "rate_limit_error", "message": message, "details": {"error_code": kind}}
    return {"type": "error", "error": error, "request_id": "req_1"}


def _events(thought: Thought, model: str, variant: str) -> Iterator[Happening]:
    for event in _plain_events(thought, model, thinking=variant == "thinking"):
        yield Happening(event, str(event["type"]))
        if variant == "pings":
            yield Happening({"type": "ping"}, "ping")
            yield Happening({"type": "news_from_the_future", "delta": {"type": "hum"}}, "news_from_the_future")


THOUGHTS: tuple[tuple[dict[str, Any], tuple[dict[str, Any], ...]], ...] = (
    (
        {"type": "thinking", "thinking": "", "signature": ""},
        ({"type": "thinking_delta", "thinking": "Hm."}, {"type": "signature_delta", "signature": "c2ln"}),
    ),
    ({"type": "redacted_thinking", "data": "aGlkZGVu"}, ()),
)
"""Blocks, and what comes of each."""


def _plain_events(thought: Thought, model: str, *, thinking: bool) -> Iterator[dict[str, Any]]:
    usage = {"input_tokens": 40, "output_tokens": 1, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 10}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "content": [], "model": model}
    yield {"type": "message_start", "message": {**message, "stop_reason": None, "stop_sequence": None, "usage": usage}}
    blocks: list[tuple[dict[str, Any], tuple[dict[str, Any], ...]]] = list(THOUGHTS if thinking else ())
    texts = tuple({"type": "text_delta", "text": piece} for piece in thought.pieces)
    blocks.append(({"type": "text", "text": ""}, texts))
    for call in thought.calls:
        arguments = msgspec.json.encode(call.arguments).decode() if call.arguments else ""
        parts = ("", arguments[:5], arguments[5:])
        block = {"type": "tool_use", "id": call.call_id, "name": call.name, "input": {}}
        blocks.append((block, tuple({"type": "input_json_delta", "partial_json": part} for part in parts)))
    for index, (block, deltas) in enumerate(blocks):
        yield {"type": "content_block_start", "index": index, "content_block": block}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    reason = "tool_use" if thought.calls else "end_turn"
    yield {
        "type": "message_delta",
        "delta": {"stop_reason": reason, "stop_sequence": None},
        "usage": {"output_tokens": 37},
    }
    yield {"type": "message_stop"}
