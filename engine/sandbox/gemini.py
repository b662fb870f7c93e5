"""Google's streamGenerateContent as it is on the wire.

Source: googleapis/python-genai 2.19 (2026-08-21) and ai.google.dev (2026). There is no [DONE], no event name, and STOP also ends an answer
that calls tools. Variants: "no_ids" gives calls no id; "json" puts an error where the stream should be, as a list, with status 200;
"bare" sends its errors as JSON over many lines between the events, and asks for a wait; "blocked" refuses the prompt; "malformed" ends
with a call the model could not write; "wordless" ends with nothing said. Lines end in CRLF.
"""

from collections.abc import Iterator
from typing import Any

from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from engine.sandbox.base import Bare, Happening, ModelProvider, stream
from engine.sandbox.thinking import Dialogue, Thought, Tool, plain_text, properties_of, think

STATUSES = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 429: "RESOURCE_EXHAUSTED"}
SIGNATURE = "c2lnbmF0dXJl"
SCHEMA = ("parametersJsonSchema", "parameters_json_schema", "parameters")
"""The service takes both spellings; the vendor's client sends the second."""
NO_SIGNATURE = "skip_thought_signature_validator"


class GeminiServer(ModelProvider):
    """/v1beta/models/…:streamGenerateContent."""

    def routes(self) -> list[BaseRoute]:
        # The vendor's client asks for v1 since its version 3; both are served.
        versions = ("/v1beta", "/v1")
        asked = [self.ask(f"{version}/models/{{model}}:streamGenerateContent", self._answer) for version in versions]
        return asked + [self.listing(f"{version}/models", {"models": []}) for version in versions]

    def settings(self) -> dict[str, object]:
        return {"base_url": f"{self.url}/v1beta", "api_key": self.key}

    def authorized(self, connection: HTTPConnection) -> bool:
        return (connection.headers.get("x-goog-api-key") or connection.query_params.get("key")) == self.key

    def refusal_body(self, status: int, code: str) -> object:
        return _error(status, code or STATUSES.get(status, "INTERNAL" if status == 500 else "UNAVAILABLE"))

    def _answer(self, body: dict[str, Any], request: Request) -> Response:
        if request.query_params.get("alt") != "sse":
            return JSONResponse(_error(400, "INVALID_ARGUMENT"), 400)
        if self.behaviour.variant == "json":
            return JSONResponse([_error(503, "UNAVAILABLE")])
        if problem := _problem(body["contents"]):
            return JSONResponse(_error(400, "INVALID_ARGUMENT", problem), 400)
        dialogue, results = Dialogue(), []
        for content in body["contents"]:
            if content.get("role") == "model":
                dialogue.assistant(plain_text(content["parts"]))
            elif content.get("role", "user") == "user":
                parts = content["parts"]
                results = [
                    str(part["functionResponse"]["response"].get("output"))
                    for part in parts
                    if "functionResponse" in part
                ]
                dialogue.user(plain_text(parts))
        tools = tuple(
            Tool(declared["name"], properties_of(next((declared[key] for key in SCHEMA if key in declared), None)))
            for tool in body.get("tools", ())
            for declared in tool.get("functionDeclarations", ())
        )
        chunks = _chunks(think(dialogue, tools, tuple(results)), request.path_params["model"], self.behaviour.variant)
        trouble: Happening | Bare = Happening(_error(503, "UNAVAILABLE"))
        if self.behaviour.variant == "bare":
            trouble = Bare([_error(429, "RESOURCE_EXHAUSTED", details=[{"retryDelay": "7s"}])])
        return stream(self.behaviour, (Happening(chunk, end=b"\r\n") for chunk in chunks), trouble)


def _error(status: int, name: str, message: str = "refused", **more: object) -> dict[str, object]:
    return {"error": {"code": status, "message": message, "status": name, **more}}


def _problem(contents: list[dict[str, Any]]) -> str:
    """What the service would refuse, as its message; nothing where all is well."""
    if not contents or contents[0].get("role", "user") != "user":
        return "the history must begin with the user"
    asked: list[dict[str, Any]] = []
    for content in contents:
        parts = content["parts"]
        answers = [part for part in parts if "functionResponse" in part]
        if len(answers) != len(asked):
            return "the number of function response parts must equal the number of function call parts"
        if any(not isinstance(part["functionResponse"]["response"], dict) for part in answers):
            return "response must be an object"
        asked = [part for part in parts if "functionCall" in part]
        if asked and asked[0].get("thoughtSignature") not in (SIGNATURE, NO_SIGNATURE):
            return "function call is missing a thought_signature"
    return ""


def _chunks(thought: Thought, model: str, variant: str) -> Iterator[dict[str, Any]]:
    tail: dict[str, Any] = {"modelVersion": model, "responseId": "r1"}
    usage = {"promptTokenCount": 40, "totalTokenCount": 43, "cachedContentTokenCount": 10}
    if variant == "blocked":
        yield {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": usage, **tail}
        return
    if variant == "malformed":
        yield {"candidates": [{"finishReason": "MALFORMED_FUNCTION_CALL", "index": 0}], "usageMetadata": usage, **tail}
        return
    if variant == "wordless":
        yield {"candidates": [{"finishReason": "STOP", "index": 0}], "usageMetadata": usage, **tail}
        return
    thinking = {"text": "The caller wants something.", "thought": True}
    parts: list[dict[str, Any]] = [thinking, *({"text": piece} for piece in thought.pieces)]
    for part in parts:
        candidate = {"content": {"role": "model", "parts": [part]}, "index": 0}
        yield {"candidates": [candidate], "usageMetadata": usage, **tail}
    calls: list[dict[str, Any]] = []
    for call in thought.calls:
        identity = {} if variant == "no_ids" else {"id": call.call_id}
        part = {"functionCall": {**identity, "name": call.name, "args": call.arguments}}
        # Of calls made at once only the first is signed.
        calls.append(part if calls else part | {"thoughtSignature": SIGNATURE})
    last: dict[str, Any] = {"finishReason": "STOP", "index": 0}
    if calls:
        last["content"] = {"role": "model", "parts": calls}
    yield {"candidates": [last], "usageMetadata": usage | {"candidatesTokenCount": 37, "totalTokenCount": 77}, **tail}
