"""OpenAI's Chat Completions and Responses as they are on the wire.

Source: openai/openai-openapi (2026-08-21), the vendor's Python SDK 3.3.1 (2026-08-21). Variants: "no_done" leaves out [DONE];
"flat" sends the Responses API's error as the specification has it, and not nested as the service does; "google" is Gemini's compatible
address, whose calls are signed and come whole, all under index 0.
"""

from collections.abc import Iterator
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from engine.sandbox.base import Happening, ModelProvider, stream
from engine.sandbox.thinking import Dialogue, Thought, Tool, plain_text, properties_of, think

SIGNED = {"extra_content": {"google": {"thought_signature": "c2lnbmF0dXJl"}}}
CODES = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded", 503: "server_is_overloaded"}


class OpenAIServer(ModelProvider):
    """/v1/chat/completions and /v1/responses."""

    def routes(self) -> list[BaseRoute]:
        return [
            self.ask("/v1/chat/completions", self._chat),
            self.ask("/v1/responses", self._respond),
            self.listing("/v1/models", {"object": "list", "data": []}),
        ]

    def settings(self) -> dict[str, object]:
        return {"base_url": f"{self.url}/v1", "api_key": self.key}

    def refusal_body(self, status: int, code: str) -> object:
        return {"error": _error(code or CODES.get(status, "error"))}

    def _chat(self, body: dict[str, Any], request: Request) -> Response:
        dialogue, results, open_calls = Dialogue(), [], list[str]()
        for message in body["messages"]:
            if message["role"] == "tool":
                if message["tool_call_id"] not in open_calls:
                    return _refused("tool_call_id without its call")
                open_calls.remove(message["tool_call_id"])
                results.append(plain_text(message["content"]))
            elif open_calls:
                return _refused("tool_call_ids did not have response messages")
            elif message["role"] == "user":
                dialogue.user(plain_text(message["content"]))
                results = []
            elif message["role"] == "assistant":
                dialogue.assistant(plain_text(message["content"]))
            open_calls += [call["id"] for call in message.get("tool_calls") or ()]
        tools = tuple(
            Tool(tool["function"]["name"], properties_of(tool["function"]["parameters"]))
            for tool in body.get("tools", ())
        )
        thought = think(dialogue, tools, tuple(results))
        usage = bool((body.get("stream_options") or {}).get("include_usage"))
        signed = self.behaviour.variant == "google"
        if signed and any(_unsigned(message) for message in body["messages"]):
            return _refused("Function call is missing a thought_signature")
        done = self.behaviour.variant != "no_done"
        events = _chat_events(thought, body["model"], usage=usage, done=done, signed=signed)
        return stream(self.behaviour, events, Happening({"error": _error(self.behaviour.code or "server_error")}))

    def _respond(self, body: dict[str, Any], request: Request) -> Response:
        dialogue, results, calls = Dialogue(), [], set[str]()
        items = body["input"] if isinstance(body["input"], list) else [{"role": "user", "content": body["input"]}]
        for item in items:
            if item.get("type") == "function_call":
                calls.add(item["call_id"])
            elif item.get("type") == "function_call_output":
                if item["call_id"] not in calls:
                    return _refused("no tool call found for this output")
                results.append(plain_text(item["output"]))
            elif item["role"] == "user":
                dialogue.user(plain_text(item["content"]))
                results = []
            else:
                dialogue.assistant(plain_text(item["content"]))
        tools = tuple(Tool(tool["name"], properties_of(tool["parameters"])) for tool in body.get("tools", ()))
        events = (
            Happening({"sequence_number": number, **event}, event["type"])
            for number, event in enumerate(_response_events(think(dialogue, tools, tuple(results)), body["model"]))
        )
        error = _error(self.behaviour.code or "server_error")
        told = error if self.behaviour.variant == "flat" else {"error": error}
        return stream(self.behaviour, events, Happening({**told, "type": "error", "sequence_number": 9}, "error"))


def _error(code: str, message: str = "refused") -> dict[str, object]:
    return {"message": message, "type": code, "param": None, "code": code}


def _refused(message: str) -> Response:
    return JSONResponse({"error": _error("invalid_request_error", message)}, 400)


def _unsigned(message: dict[str, Any]) -> bool:
    calls: list[dict[str, Any]] = message.get("tool_calls") or []
    return bool(calls) and calls[0].get("extra_content") != SIGNED["extra_content"]


def _chat_events(thought: Thought, model: str, *, usage: bool, done: bool, signed: bool) -> Iterator[Happening]:
    def chunk(delta: dict[str, Any], finish: str | None = None) -> Happening:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return Happening({**head, "choices": [choice], "usage": None, "obfuscation": "x7k2"})

    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_763_900_000, "model": model}
    yield chunk({"role": "assistant", "content": ""})
    for piece in thought.pieces:
        yield chunk({"content": piece})
    for index, call in enumerate(thought.calls):
        arguments = msgspec.json.encode(call.arguments).decode()
        named = {"id": call.call_id, "type": "function", "function": {"name": call.name, "arguments": ""}}
        if signed:
            # Whole, all of them under one index, and the first of them signed.
            whole = named | {"function": {"name": call.name, "arguments": arguments}} | ({} if index else SIGNED)
            yield chunk({"tool_calls": [{"index": 0, **whole}]})
            continue
        yield chunk({"tool_calls": [{"index": index, **named}]})
        for part in (arguments[:5], arguments[5:]):
            yield chunk({"tool_calls": [{"index": index, "function": {"arguments": part}}]})
    yield chunk({}, "tool_calls" if thought.calls else "stop")
    if usage:
        counts = {"prompt_tokens": 40, "completion_tokens": 37, "total_tokens": 77}
        yield Happening({**head, "choices": [], "usage": counts | {"prompt_tokens_details": {"cached_tokens": 10}}})
    if done:
        yield Happening("[DONE]")


def _response_events(thought: Thought, model: str) -> Iterator[dict[str, Any]]:
    head = {"id": "resp_1", "object": "response", "created_at": 1_763_900_000, "model": model, "output": []}
    head |= {"parallel_tool_calls": True, "tool_choice": "auto", "tools": []}
    yield {"type": "response.created", "response": {**head, "status": "in_progress"}}
    yield {"type": "response.in_progress", "response": {**head, "status": "in_progress"}}
    item = {"type": "message", "id": "msg_1", "role": "assistant", "status": "in_progress", "content": []}
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    part = {"type": "output_text", "text": "", "annotations": []}
    yield {"type": "response.output_item.added", "output_index": 0, "item": item}
    yield {"type": "response.content_part.added", **place, "part": part}
    for piece in thought.pieces:
        yield {"type": "response.output_text.delta", **place, "delta": piece, "logprobs": []}
    part = part | {"text": thought.text}
    yield {"type": "response.output_text.done", **place, "text": thought.text, "logprobs": []}
    yield {"type": "response.content_part.done", **place, "part": part}
    output: list[dict[str, Any]] = [{**item, "status": "completed", "content": [part]}]
    yield {"type": "response.output_item.done", "output_index": 0, "item": output[0]}
    for index, call in enumerate(thought.calls, start=1):
        arguments = msgspec.json.encode(call.arguments).decode()
        place = {"item_id": f"fc_{index}", "output_index": index}
        item = {"type": "function_call", "id": f"fc_{index}", "call_id": call.call_id, "name": call.name}
        added = {**item, "arguments": "", "status": "in_progress"}
        yield {"type": "response.output_item.added", "output_index": index, "item": added}
        yield {"type": "response.function_call_arguments.delta", **place, "delta": arguments}
        yield {"type": "response.function_call_arguments.done", **place, "arguments": arguments, "name": call.name}
        output.append({**item, "arguments": arguments, "status": "completed"})
        yield {"type": "response.output_item.done", "output_index": index, "item": output[-1]}
    usage: dict[str, Any] = {"input_tokens": 40, "output_tokens": 37, "total_tokens": 77}
    usage |= {"input_tokens_details": {"cached_tokens": 10, "cache_write_tokens": 0}}
    usage |= {"output_tokens_details": {"reasoning_tokens": 0}}
    yield {"type": "response.completed", "response": {**head, "status": "completed", "output": output, "usage": usage}}
