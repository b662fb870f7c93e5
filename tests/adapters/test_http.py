"""HTTP's troubles as the six kinds of failure."""

import gzip

import httpx
import msgspec
import pytest

from engine.adapters.http import body_of, error_code, failures, retry_ns, status_failure, status_kind, stream_failure
from engine.errors import AdapterError, FailureKind

NOON = "Mon, 23 Nov 2026 12:00:00 GMT"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (httpx.ConnectTimeout("t"), FailureKind.TIMEOUT),
        (httpx.ReadTimeout("t"), FailureKind.TIMEOUT),
        (httpx.PoolTimeout("t"), FailureKind.TIMEOUT),
        (httpx.ConnectError("[Errno -2] Name or service not known"), FailureKind.UNAVAILABLE),
        (httpx.ProxyError("p"), FailureKind.UNAVAILABLE),
        (httpx.ReadError("r"), FailureKind.CLOSED),
        (httpx.WriteError("w"), FailureKind.CLOSED),
        (httpx.RemoteProtocolError("Server disconnected without sending a response."), FailureKind.CLOSED),
        (httpx.RemoteProtocolError("peer closed connection without sending complete message body"), FailureKind.CLOSED),
        (httpx.RemoteProtocolError("illegal status line"), FailureKind.PROTOCOL),
        (httpx.DecodingError("d"), FailureKind.PROTOCOL),
        (httpx.UnsupportedProtocol("u"), FailureKind.PROTOCOL),
    ],
)
def test_what_the_client_raises_has_a_kind(error: Exception, kind: FailureKind) -> None:
    with pytest.raises(AdapterError) as caught, failures("acme"):
        raise error
    assert caught.value.kind is kind
    assert caught.value.provider == "acme"


def test_other_errors_pass_through() -> None:
    with pytest.raises(KeyError), failures("acme"):
        raise KeyError


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (307, "", FailureKind.PROTOCOL),
        (400, "context_length_exceeded", FailureKind.REJECTED),
        (400, "tool_use_failed", FailureKind.PROTOCOL),
        (401, "", FailureKind.REJECTED),
        (408, "", FailureKind.TIMEOUT),
        (425, "", FailureKind.UNAVAILABLE),
        (429, "rate_limit_exceeded", FailureKind.RATE_LIMITED),
        (429, "insufficient_quota", FailureKind.REJECTED),
        (498, "", FailureKind.RATE_LIMITED),
        (500, "", FailureKind.UNAVAILABLE),
        (503, "", FailureKind.UNAVAILABLE),
        (529, "overloaded_error", FailureKind.UNAVAILABLE),
    ],
)
def test_a_status_has_a_kind(status: int, code: str, kind: FailureKind) -> None:
    assert status_kind(status, code) is kind


@pytest.mark.parametrize(
    ("headers", "wait_ms"),
    [
        ({}, 0),
        ({"retry-after": "2"}, 2_000),
        ({"retry-after": "0.5"}, 500),
        ({"retry-after-ms": "250", "retry-after": "9"}, 250),
        ({"retry-after": "Mon, 23 Nov 2026 12:00:07 GMT", "date": NOON}, 7_000),
        ({"retry-after": "Mon, 23 Nov 2026 11:00:00 GMT", "date": NOON}, 0),
        ({"retry-after": "Mon, 23 Nov 2026 12:00:07 GMT"}, 0),
        ({"retry-after": "soon"}, 0),
        ({"retry-after": "-3"}, 0),
        ({"retry-after-ms": "nan"}, 0),
        ({"retry-after": "1" * 400}, 0),
    ],
)
def test_the_wait_a_provider_asks_for(headers: dict[str, str], wait_ms: int) -> None:
    assert retry_ns(headers) == wait_ms * 1_000_000


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"error":{"message":"m","type":"t","code":"c"}}', "c"),
        (b'{"error":{"message":"m","type":"t","code":null}}', "t"),
        (b'{"error":{"code":400,"status":"INVALID_ARGUMENT"}}', "INVALID_ARGUMENT"),
        (b'[{"error":{"status":"RESOURCE_EXHAUSTED"}}]', "RESOURCE_EXHAUSTED"),
        (b'{"detail":{"status":"quota_exceeded","message":"m"}}', "quota_exceeded"),
        (b'{"detail":[{"loc":["body"],"msg":"m","type":"missing"}]}', "missing"),
        (b'{"err_code":"INVALID_AUTH"}', "INVALID_AUTH"),
        (b'{"type":"error","error":{"type":"overloaded_error"}}', "overloaded_error"),
        (
            b'{"error":{"type":"rate_limit_error","details":{"error_code":"enforced_spend_limit_reached"}}}',
            "enforced_spend_limit_reached",
        ),
        (b'{"error_code":"concurrency_limited","title":"Slow down"}', "concurrency_limited"),
        (b'{"error":"no_model"}', "no_model"),
        (b'{"error":"The caller said: hello"}', ""),
        (b'{"error":{"code":"sk-abc def"}}', ""),
        (b"<html>", ""),
        (b"\xff", ""),
        (b"", ""),
        (b"3", ""),
        (b"[]", ""),
    ],
)
def test_only_a_machine_readable_code_is_kept(body: bytes, code: str) -> None:
    assert error_code(body) == code


def test_a_refusal_names_its_status_and_code_alone() -> None:
    error = status_failure("acme", 429, b'{"error":{"message":"for you","code":"slow_down"}}', {"retry-after": "1"})
    assert (str(error), error.retry_ns) == ("acme: rate_limited (HTTP 429 slow_down)", 1_000_000_000)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"code": 429, "type": "x"}, FailureKind.RATE_LIMITED),
        ({"code": "rate_limit_exceeded"}, FailureKind.RATE_LIMITED),
        ({"status": "RESOURCE_EXHAUSTED"}, FailureKind.RATE_LIMITED),
        ({"type": "invalid_request_error"}, FailureKind.REJECTED),
        ({"code": "insufficient_quota"}, FailureKind.REJECTED),
        ({"type": "timeout_error"}, FailureKind.TIMEOUT),
        ({"type": "not_found_error"}, FailureKind.REJECTED),
        ({"code": "tool_use_failed"}, FailureKind.PROTOCOL),
        ({"type": "billing_error"}, FailureKind.REJECTED),
        ({"type": "request_too_large"}, FailureKind.REJECTED),
        ({"code": "model_not_found"}, FailureKind.REJECTED),
        ({"type": "api_error"}, FailureKind.UNAVAILABLE),
        ({"type": "overloaded_error"}, FailureKind.UNAVAILABLE),
        ("a sentence", FailureKind.UNAVAILABLE),
        (True, FailureKind.UNAVAILABLE),
    ],
)
def test_an_error_inside_a_stream_has_a_kind(error: object, kind: FailureKind) -> None:
    assert stream_failure("acme", error).kind is kind


@pytest.mark.parametrize(
    ("status", "told", "kind"),
    [
        (429, "false", FailureKind.REJECTED),
        (500, "false", FailureKind.REJECTED),
        (409, "true", FailureKind.UNAVAILABLE),
        (429, "true", FailureKind.RATE_LIMITED),
        (409, "maybe", FailureKind.REJECTED),
    ],
)
def test_a_service_that_says_whether_to_come_back_is_believed(status: int, told: str, kind: FailureKind) -> None:
    assert status_failure("acme", status, b"", {"x-should-retry": told}).kind is kind


@pytest.mark.parametrize(
    ("details", "wait_ms"),
    [
        ([{"@type": "type.googleapis.com/google.rpc.Help"}, {"retryDelay": "12s"}], 12_000),
        ([{"retryDelay": "0.25s"}], 250),
        ([{"retryDelay": "soon"}, {"retryDelay": 3}, "x"], 0),
        ({"retryDelay": "12s"}, 0),
    ],
)
def test_the_wait_may_stand_in_the_error_itself(details: object, wait_ms: int) -> None:
    error = {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": details}
    body = msgspec.json.encode([{"error": error}])
    assert status_failure("acme", 429, body, {}).retry_ns == wait_ms * 1_000_000
    assert stream_failure("acme", error).retry_ns == wait_ms * 1_000_000


@pytest.mark.anyio
@pytest.mark.parametrize(("coding", "body"), [({}, b"hello"), ({"Content-Encoding": "gzip"}, gzip.compress(b"hello"))])
async def test_a_body_is_read_also_where_it_is_packed_unasked(coding: dict[str, str], body: bytes) -> None:
    response = httpx.Response(200, headers=coding, stream=httpx.ByteStream(body))
    assert b"".join([piece async for piece in body_of(response)]) == b"hello"
