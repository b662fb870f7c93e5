"""The Chat Completions adapter against a server that speaks the wire, oddities included."""

import asyncio
import json
from contextlib import aclosing
from typing import Any

import pytest

from engine.adapters.base import LLMRequest
from engine.adapters.openai_chat import OpenAIChat, OpenAIChatOptions
from engine.core.commands import CallMade, Message, Role
from engine.core.events import LLMDone, LLMToken, LLMToolCall
from engine.core.policy import ToolSpec
from engine.errors import AdapterError, FailureKind
from engine.sandbox.base import KEY, Behaviour
from engine.sandbox.openai_llm import SIGNED, OpenAIServer
from tests.providers.openai_chat import DONE, ChatServer, Sent, chunk, events, usage

CALLER = Message(Role.USER, "Any slot on Friday?")
SLOTS = ToolSpec("get_slots", "Free times.", '{"type":"object","properties":{"day":{"type":"string"}}}')
HELLO = events(
    chunk({"role": "assistant", "content": ""}),
    chunk({"content": "Sure"}),
    chunk({"content": ", Friday."}),
    chunk({}, "stop"),
)


def question(*messages: Message, tools: tuple[ToolSpec, ...] = ()) -> LLMRequest:
    return LLMRequest(
        run=7, request=9, messages=messages or (CALLER,), tools=tools, headers=(("traceparent", "00-a-b-01"),)
    )


async def answers(server: ChatServer, *requests: LLMRequest, **options: Any) -> list[Any]:
    """The facts of each request, one after the other, on one provider."""
    async with server.serve():
        provider = OpenAIChat(OpenAIChatOptions(model="m", base_url=server.url, api_key="key-1", **options))
        try:
            await provider.start()
            return [fact for request in requests for fact in [each async for each in provider.stream(request)]]
        finally:
            await provider.stop()


def answer(server: ChatServer, **options: Any) -> list[Any]:
    return asyncio.run(answers(server, question(), **options))


def text(facts: list[Any]) -> str:
    return "".join(fact.text for fact in facts if isinstance(fact, LLMToken))


def calls(facts: list[Any]) -> list[tuple[str, str, str]]:
    return [(fact.call_id, fact.name, fact.arguments) for fact in facts if isinstance(fact, LLMToolCall)]


def call_chunk(*fragments: dict[str, Any]) -> dict[str, Any]:
    return chunk({"tool_calls": list(fragments)})


class TestAnswer:
    def test_tokens_come_in_order_with_their_run_and_request(self) -> None:
        facts = answer(ChatServer(HELLO + events(usage(cached=5), DONE)))
        assert facts == [
            LLMToken(run=7, request=9, text="Sure"),
            LLMToken(run=7, request=9, text=", Friday."),
            LLMDone(run=7, request=9, reason="stop", input_tokens=20, output_tokens=2, cached_tokens=5, model="m-2026"),
        ]

    @pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
    def test_any_split_of_the_bytes_gives_the_same_words(self, size: int) -> None:
        body = events(chunk({"content": "Grüße, 你好 😀"}), chunk({}, "stop"), DONE)
        assert text(answer(ChatServer(Sent(body, pieces=size)))) == "Grüße, 你好 😀"

    def test_what_follows_done_is_ignored(self) -> None:
        assert text(answer(ChatServer(HELLO + events(DONE, chunk({"content": "late"}))))) == "Sure, Friday."

    def test_a_stream_without_done_ends_with_its_finish_reason(self) -> None:
        assert answer(ChatServer(HELLO))[-1].reason == "stop"

    def test_a_server_that_keeps_the_stream_open_after_it_finished_is_not_waited_for(self) -> None:
        assert answer(ChatServer(Sent(HELLO, end="stall")))[-1].reason == "stop"

    @pytest.mark.parametrize(
        ("reason", "normalised"),
        [
            ("stop", "stop"),
            ("eos", "stop"),
            ("length", "length"),
            ("content_filter", "filter"),
            ("tool_calls", "tool_calls"),
        ],
    )
    def test_reasons_to_stop_are_normalised(self, reason: str, normalised: str) -> None:
        assert answer(ChatServer(events(chunk({"content": "a"}), chunk({}, reason), DONE)))[-1].reason == normalised

    def test_a_connection_is_used_again(self) -> None:
        server = ChatServer(HELLO + events(DONE), HELLO + events(usage(), DONE), HELLO)
        asyncio.run(answers(server, question(), question(), question()))
        assert server.connections == 1

    def test_a_refusal_is_spoken(self) -> None:
        assert text(answer(ChatServer(events(chunk({"refusal": "I can't."}), chunk({}, "stop"), DONE)))) == "I can't."


class TestDialects:
    def test_comments_keep_a_stream_alive_and_say_nothing(self) -> None:
        assert (
            text(answer(ChatServer(b": OPENROUTER PROCESSING\n\n" + HELLO + b":\n\n" + events(DONE))))
            == "Sure, Friday."
        )

    def test_carriage_returns_and_no_space_after_the_colon_are_read(self) -> None:
        body = (HELLO + events(DONE)).replace(b"\n", b"\r\n").replace(b"data: ", b"data:")
        assert text(answer(ChatServer(Sent(body, pieces=5)))) == "Sure, Friday."

    def test_chunks_without_choices_or_delta_are_passed_over(self) -> None:
        azure = chunk(choices=[], prompt_filter_results=[{"prompt_index": 0}])
        bare = chunk(choices=[{"index": 0, "finish_reason": None, "content_filter_results": {}}])
        null = chunk(choices=[{"index": 0, "delta": None, "finish_reason": None}])
        assert (
            text(answer(ChatServer(events(azure, bare, null) + HELLO + events(chunk(choices=None), DONE))))
            == "Sure, Friday."
        )

    def test_usage_on_every_chunk_is_not_summed(self) -> None:
        body = events(
            chunk({"content": "a"}, usage={"prompt_tokens": 5, "completion_tokens": 1}),
            usage(5, 3),
            chunk({}, "stop"),
            DONE,
        )
        assert answer(ChatServer(body))[-1].output_tokens == 3

    def test_groq_s_usage_is_found(self) -> None:
        last = chunk({}, "stop", x_groq={"id": "r", "usage": {"prompt_tokens": 4, "completion_tokens": 6}})
        assert answer(ChatServer(events(chunk({"content": "a"}), last, DONE)))[-1].input_tokens == 4

    def test_thoughts_are_not_spoken(self) -> None:
        pieces = ["\n<thi", "nk>Let me", " think.</thi", "nk>\n\n", "Friday", " it is."]
        body = events(*(chunk({"content": piece}) for piece in pieces), chunk({}, "stop"), DONE)
        assert text(answer(ChatServer(body))) == "Friday it is."

    def test_reasoning_in_its_own_field_is_not_spoken(self) -> None:
        body = events(
            chunk({"reasoning": "hm", "content": ""}),
            chunk({"reasoning_content": "hm"}),
            chunk({"content": "Hi"}, "stop"),
            DONE,
        )
        assert text(answer(ChatServer(body))) == "Hi"

    @pytest.mark.parametrize("said", ["<", "<thi", "< b", "2 < 3 <think>"])
    def test_an_answer_that_only_looks_like_a_thought_is_whole(self, said: str) -> None:
        assert text(answer(ChatServer(events(chunk({"content": said}), chunk({}, "stop"), DONE)))) == said

    def test_content_in_parts_is_spoken_without_the_thinking_ones(self) -> None:
        parts = [{"type": "thinking", "thinking": []}, {"type": "text", "text": "Hi"}]
        assert text(answer(ChatServer(events(chunk({"content": parts}, "stop"), DONE)))) == "Hi"

    def test_only_the_first_choice_counts(self) -> None:
        other = chunk(choices=[{"index": 1, "delta": {"content": "no"}, "finish_reason": None}])
        assert text(answer(ChatServer(events(other) + HELLO + events(DONE)))) == "Sure, Friday."


A = {"index": 0, "id": "call_a", "type": "function", "function": {"name": "get_slots", "arguments": ""}}
B = {"index": 1, "id": "call_b", "type": "function", "function": {"name": "get_name", "arguments": ""}}
WHOLE = {"type": "function", "function": {"name": "get_slots", "arguments": '{"day":"fri"}'}}


def part(arguments: str, index: int | None = 0, **function: Any) -> dict[str, Any]:
    return {"function": {"arguments": arguments, **function}} | ({} if index is None else {"index": index})


TOOL_CALLS: dict[str, tuple[list[dict[str, Any]], list[tuple[str, str, str]]]] = {
    "in fragments": (
        [call_chunk(A), call_chunk(part('{"day":')), call_chunk(part('"fri"}')), chunk({}, "tool_calls")],
        [("call_a", "get_slots", '{"day":"fri"}')],
    ),
    "two, interleaved": (
        [call_chunk(A, B), call_chunk(part('{"a":', 0)), call_chunk(part("{}", 1)), call_chunk(part("1}", 0)), chunk({}, "tool_calls")],
        [("call_a", "get_slots", '{"a":1}'), ("call_b", "get_name", "{}")],
    ),
    "the same index for both": (
        [call_chunk(A | {"id": "x"} | WHOLE), call_chunk(A | {"id": "y"} | WHOLE), chunk({}, "stop")],
        [("x", "get_slots", '{"day":"fri"}'), ("y", "get_slots", '{"day":"fri"}')],
    ),
    "no index, ids": (
        [call_chunk({"id": "x"} | WHOLE), call_chunk({"id": "y"} | WHOLE), chunk({}, "tool_calls")],
        [("x", "get_slots", '{"day":"fri"}'), ("y", "get_slots", '{"day":"fri"}')],
    ),
    "no index, no id, whole": (
        [call_chunk(WHOLE), call_chunk(WHOLE), chunk({}, "stop")],
        [("call_7_9_1", "get_slots", '{"day":"fri"}'), ("call_7_9_2", "get_slots", '{"day":"fri"}')],
    ),
    "no index, in fragments, the name repeated": (
        [call_chunk(part("", None, name="get_slots")), call_chunk(part('{"day":', None, name="get_slots")), call_chunk(part('"fri"}', None)), chunk({}, "stop")],
        [("call_7_9_1", "get_slots", '{"day":"fri"}')],
    ),
    "arguments as an object": (
        [call_chunk({"index": 0, "id": "x", "function": {"name": "get_slots", "arguments": {"day": "fri"}}}), chunk({}, "tool_calls")],
        [("x", "get_slots", '{"day":"fri"}')],
    ),
    "no arguments": (
        [call_chunk({"index": 0, "id": "x", "function": {"name": "get_slots", "arguments": None}}), chunk({}, "tool_calls")],
        [("x", "get_slots", "{}")],
    ),
    "a nameless one is noise": ([call_chunk({"index": 0, "id": ""}), chunk({"content": "Hi"}, "stop")], []),
    "without a finish reason": ([call_chunk(A), call_chunk(part("{}"))], [("call_a", "get_slots", "{}")]),
}  # fmt: skip


class TestToolCalls:
    @pytest.mark.parametrize("name", TOOL_CALLS)
    def test_calls_are_put_together(self, name: str) -> None:
        chunks, expected = TOOL_CALLS[name]
        facts = answer(ChatServer(events(*chunks, DONE)))
        assert calls(facts) == expected
        assert facts[-1].reason == ("tool_calls" if expected else "stop")

    def test_text_and_calls_may_come_in_one_answer(self) -> None:
        facts = answer(
            ChatServer(events(chunk({"content": "Let me look."}), call_chunk(A), chunk({}, "tool_calls"), DONE))
        )
        assert [type(fact) for fact in facts] == [LLMToken, LLMToolCall, LLMDone]

    def test_arguments_without_end_are_refused(self) -> None:
        endless = events(call_chunk(A), *(call_chunk(part("x" * 4_000)) for _ in range(20)))
        with pytest.raises(AdapterError, match="beyond all bounds"):
            answer(ChatServer(endless))


class TestSignatures:
    """Gemini's compatible address wants back with a call what came with it."""

    @staticmethod
    async def ask_twice() -> tuple[list[Any], OpenAIServer]:
        server = OpenAIServer(Behaviour(variant="google"))
        async with server.serve():
            provider = OpenAIChat(OpenAIChatOptions(model="m", base_url=f"{server.url}/v1", api_key=KEY))
            caller = Message(Role.USER, "any slots on friday")
            facts = [fact async for fact in provider.stream(question(caller, tools=(SLOTS, SLOTS)))]
            made = tuple(CallMade(*call) for call in calls(facts))
            results = [Message(Role.TOOL, call.call_id, call_id=call.call_id) for call in made]
            asked = question(caller, Message(Role.ASSISTANT, "Let me look.", made), *results, tools=(SLOTS,))
            facts = [fact async for fact in provider.stream(asked)]
            await provider.stop()
        return facts, server

    def test_the_signature_of_a_call_goes_back_with_it(self) -> None:
        facts, server = asyncio.run(self.ask_twice())
        assert text(facts) == "I found this: call_1, call_2."
        made = server.seen[-1]["body"]["messages"][1]["tool_calls"]
        assert [call.get("extra_content") for call in made] == [SIGNED["extra_content"], None]


class TestQuestion:
    def test_the_history_is_sent_in_the_providers_form(self) -> None:
        server = ChatServer(HELLO + events(DONE))
        history = (
            Message(Role.SYSTEM, "Be brief."),
            Message(Role.ASSISTANT, "Hello."),
            Message(Role.USER, "uh huh", backchannel=True),
            CALLER,
            Message(Role.ASSISTANT, "", (CallMade("call_a", "get_slots", '{"day":"fri"}'),)),
            Message(Role.TOOL, '["10:00"]', call_id="call_a"),
            Message(Role.SYSTEM, "Go on."),
        )
        asyncio.run(
            answers(server, question(*history, tools=(SLOTS,)), temperature=0.5, max_tokens=80, extra={"seed": 3})
        )
        function = {"name": "get_slots", "description": "Free times.", "parameters": json.loads(SLOTS.parameters)}
        called = {"id": "call_a", "type": "function", "function": {"name": "get_slots", "arguments": '{"day":"fri"}'}}
        assert server.asked == [
            {
                "model": "m",
                "stream": True,
                "stream_options": {"include_usage": True},
                "messages": [
                    {"role": "system", "content": "Be brief."},
                    {"role": "assistant", "content": "Hello."},
                    {"role": "user", "content": "Any slot on Friday?"},
                    {"role": "assistant", "content": None, "tool_calls": [called]},
                    {"role": "tool", "tool_call_id": "call_a", "content": '["10:00"]'},
                    {"role": "user", "content": "Go on."},
                ],
                "tools": [{"type": "function", "function": function}],
                "temperature": 0.5,
                "max_tokens": 80,
                "seed": 3,
            }
        ]

    def test_the_key_and_the_trace_go_into_headers(self) -> None:
        server = ChatServer(HELLO)
        answer(server)
        assert server.headers[0]["authorization"] == "Bearer key-1"
        assert server.headers[0]["traceparent"] == "00-a-b-01"
        assert server.headers[0]["accept-encoding"] == "identity"

    def test_azure_has_its_own_header_and_version(self) -> None:
        server = ChatServer(HELLO)
        answer(server, api_version="2025-04-01-preview")
        assert server.headers[0]["api-key"] == "key-1"
        assert "authorization" not in server.headers[0]
        assert server.paths[-1] == "/v1/chat/completions?api-version=2025-04-01-preview"

    @pytest.mark.parametrize(
        ("base_url", "name"),
        [("https://api.openai.com/v1", "max_completion_tokens"), ("http://127.0.0.1:11434/v1", "max_tokens")],
    )
    def test_the_limit_has_the_name_the_server_knows(self, base_url: str, name: str) -> None:
        from engine.adapters.openai_chat import body_of

        options = OpenAIChatOptions(model="m", base_url=base_url, api_key="k", max_tokens=50)
        assert body_of(options, question())[name] == 50


ERROR = {"error": {"message": "for the caller's eyes", "type": "t", "param": None, "code": "c"}}


def refused(status: int, code: str = "c", **headers: str) -> Sent:
    return Sent(json.dumps({"error": ERROR["error"] | {"code": code}}).encode(), status, headers)


FAILURES = {
    "bad key": (refused(401, "invalid_api_key"), FailureKind.REJECTED),
    "unknown model": (refused(404, "model_not_found"), FailureKind.REJECTED),
    "too much history": (refused(400, "context_length_exceeded"), FailureKind.REJECTED),
    "too many requests": (refused(429, "rate_limit_exceeded"), FailureKind.RATE_LIMITED),
    "no money": (refused(429, "insufficient_quota"), FailureKind.REJECTED),
    "a house that is full": (refused(498, "flex"), FailureKind.RATE_LIMITED),
    "a server's error": (refused(500, "server_error"), FailureKind.UNAVAILABLE),
    "a model that loads": (Sent(b'{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}', 503), FailureKind.UNAVAILABLE),
    "a proxy's page": (Sent(b"<html>Bad gateway</html>", 502), FailureKind.UNAVAILABLE),
    "a redirect": (Sent(b"", 307, {"Location": "http://127.0.0.1:1/"}), FailureKind.PROTOCOL),
    "hung up before the answer": (Sent(end="now"), FailureKind.CLOSED),
    "cut in the middle": (Sent(events(chunk({"content": "Su"})), end="cut"), FailureKind.CLOSED),
    "ended in the middle": (Sent(events(chunk({"content": "Su"}))), FailureKind.CLOSED),
    "an empty answer": (Sent(b""), FailureKind.CLOSED),
    "an error in the stream": (Sent(events(chunk({"content": "Su"}), ERROR)), FailureKind.UNAVAILABLE),
    "vllm's error, with a number": (Sent(events({"error": {"message": "m", "type": "BadRequestError", "code": 400}}, DONE)), FailureKind.REJECTED),
    "llama.cpp's error field": (Sent(b'error: {"code":500,"message":"m","type":"server_error"}\n\n'), FailureKind.UNAVAILABLE),
    "a rate limit in the stream": (Sent(events({"error": {"type": "tokens", "code": "rate_limit_exceeded"}})), FailureKind.RATE_LIMITED),
    "a list of one error where the stream should be": (Sent(b'[{\n  "error": {\n    "code": 429,\n    "status": "RESOURCE_EXHAUSTED"\n  }\n}]\n'), FailureKind.RATE_LIMITED),
    "an error as a sentence": (Sent(events({"error": "model not loaded"})), FailureKind.UNAVAILABLE),
    "groq's error": (Sent(events(chunk({}, x_groq={"id": "r", "error": "over_capacity"}))), FailureKind.UNAVAILABLE),
    "openrouter's finish": (Sent(events(chunk({"content": "a"}), chunk({}, "error"), DONE)), FailureKind.UNAVAILABLE),
    "no json": (Sent(events("{<garbage>")), FailureKind.PROTOCOL),
    "json of another shape": (Sent(events({"choices": 5})), FailureKind.PROTOCOL),
}  # fmt: skip


class TestFailures:
    @pytest.mark.parametrize("name", FAILURES)
    def test_trouble_has_its_kind_and_no_word_of_the_message(self, name: str) -> None:
        sent, kind = FAILURES[name]
        with pytest.raises(AdapterError) as caught:
            answer(ChatServer(sent))
        assert caught.value.kind is kind
        assert "caller's eyes" not in str(caught.value)

    def test_the_wait_it_asks_for_is_kept(self) -> None:
        with pytest.raises(AdapterError) as caught:
            answer(ChatServer(refused(429, **{"Retry-After": "1.5"})))
        assert caught.value.retry_ns == 1_500_000_000

    def test_a_port_where_nobody_listens_is_unavailable(self) -> None:
        async def ask() -> None:
            async with ChatServer().serve() as server:
                url = server.url
            provider = OpenAIChat(OpenAIChatOptions(model="m", base_url=url))
            try:
                await provider.start()
            finally:
                await provider.stop()

        with pytest.raises(AdapterError) as caught:
            asyncio.run(ask())
        assert caught.value.kind is FailureKind.UNAVAILABLE

    def test_a_refused_key_is_told_at_the_start(self) -> None:
        server = ChatServer()
        server.models_status = 401
        with pytest.raises(AdapterError, match="401"):
            answer(server)

    def test_a_server_that_lists_no_models_is_used_all_the_same(self) -> None:
        server = ChatServer(HELLO)
        server.models_status = 404
        assert text(answer(server)) == "Sure, Friday."


class TestCancelling:
    def test_the_connection_closes_and_another_is_made_ready(self) -> None:
        async def scenario() -> ChatServer:
            server = ChatServer(Sent(events(chunk({"content": "Su"})), end="stall"), HELLO + events(DONE))
            async with server.serve():
                provider = OpenAIChat(OpenAIChatOptions(model="m", base_url=server.url))
                await provider.start()
                first = asyncio.Event()

                async def listen() -> None:
                    async with aclosing(provider.stream(question())) as facts:  # type: ignore[type-var]
                        async for _ in facts:
                            first.set()

                listener = asyncio.create_task(listen())
                await first.wait()
                listener.cancel()
                await asyncio.wait([listener])
                await server.closed.wait()
                await asyncio.wait([task for task in asyncio.all_tasks() if task.get_name() == "openai: warm"])
                assert text([fact async for fact in provider.stream(question())]) == "Sure, Friday."
                await provider.stop()
            return server

        server = asyncio.run(scenario())
        assert server.paths == ["/v1/models", "/v1/chat/completions", "/v1/models", "/v1/chat/completions"]
        assert server.connections == 2

    def test_a_reader_that_turns_away_closes_the_connection(self) -> None:
        async def scenario() -> None:
            server = ChatServer(Sent(events(chunk({"content": "Su"})), end="stall"))
            async with server.serve():
                provider = OpenAIChat(OpenAIChatOptions(model="m", base_url=server.url))
                async with aclosing(provider.stream(question())) as facts:  # type: ignore[type-var]
                    assert await anext(facts) == LLMToken(run=7, request=9, text="Su")
                await server.closed.wait()
                await provider.stop()

        asyncio.run(scenario())


class TestOptions:
    def test_openai_itself_needs_a_key(self) -> None:
        with pytest.raises(ValueError, match="LLM_API_KEY"):
            OpenAIChatOptions(model="m")

    def test_the_key_is_not_printed(self) -> None:
        assert "sk-1" not in repr(OpenAIChatOptions(model="m", api_key="sk-1"))
