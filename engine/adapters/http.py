"""What all adapters that speak HTTP share: one way to make a client, one way to name what went wrong.

A provider's own error text may repeat the caller's words or part of a key, so only its machine-readable type and code are kept.
"""

import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from email.utils import parsedate_to_datetime

import httpx
import msgspec

from engine.core.units import MS, SECOND
from engine.errors import AdapterError, FailureKind

CONNECT_S = 3.0
"""To open a connection, with its TLS. Over an ocean it takes 0.3 to 0.6 s; the caller waits meanwhile."""
READ_S = 30.0
"""Between two pieces of an answer. A backstop: the policy's own deadlines are far shorter and cancel the request."""
WRITE_S = 5.0
POOL_S = 2.0
"""For a free connection, when all are in use."""
CONNECTIONS_MAX = 200
"""Live requests to one provider in one process. The host's admission limit is reached first."""
KEEPALIVE_S = 240.0
"""An idle connection is kept this long. httpx's own 5 s would make every turn of a slow caller pay for a new TLS handshake."""

ERROR_BODY_BYTES = 64 * 1024
CODE = re.compile(r"[A-Za-z0-9_.\-]{1,64}")
NOT_COMING_BACK = frozenset(
    {"insufficient_quota", "credit_balance_exhausted", "billing_hard_limit_reached", "enforced_spend_limit_reached"}
)
"""Codes under 429 that waiting does not cure. Source: OpenAI's, its compatibles' and Anthropic's error tables (2026)."""
BROKEN_GRAMMAR = frozenset({"tool_use_failed"})
"""Groq's name, under 400, for a call of a tool that its model could not write: the next time it may."""
OWN_FAULT = (
    "invalid", "INVALID", "context_length", "authentication", "permission", "unsupported", "not_found", "model_not_found", "billing",
    "request_too_large", "BadRequest", "Authentication", "NotFound",
)  # fmt: skip
"""How the names of errors begin that are of the request, the key or the account. Source: the tables of OpenAI, Anthropic, vLLM."""
DURATION = re.compile(r"(\d+(?:\.\d+)?)s")


def make_client(base_url: str, headers: Mapping[str, str] | None = None, *, http2: bool = False) -> httpx.AsyncClient:
    """A pooled client. HTTP/1.1 unless asked: to cancel is then to close, which every server understands at once."""
    return httpx.AsyncClient(
        base_url=base_url,
        # No packing: sound does not shrink, and a packed stream holds the first words back until its block is full.
        headers={"Accept-Encoding": "identity"} | dict(headers or {}),
        http2=http2,
        timeout=httpx.Timeout(connect=CONNECT_S, read=READ_S, write=WRITE_S, pool=POOL_S),
        limits=httpx.Limits(
            max_connections=CONNECTIONS_MAX, max_keepalive_connections=CONNECTIONS_MAX, keepalive_expiry=KEEPALIVE_S
        ),
        follow_redirects=False,
    )


def body_of(response: httpx.Response) -> AsyncIterator[bytes]:
    """The bytes of an answer as they come, by the shortest way: nothing is packed unless a server does so unasked."""
    return response.aiter_bytes() if "content-encoding" in response.headers else response.aiter_raw()


@contextmanager
def failures(provider: str) -> Iterator[None]:
    """Turn what httpx raises inside the block into AdapterError."""
    try:
        yield
    except httpx.TimeoutException as error:
        raise AdapterError(provider, FailureKind.TIMEOUT, type(error).__name__) from error
    except (httpx.ConnectError, httpx.ProxyError) as error:
        raise AdapterError(provider, FailureKind.UNAVAILABLE, type(error).__name__) from error
    except (httpx.NetworkError, httpx.RemoteProtocolError) as error:
        kind = FailureKind.PROTOCOL if speaks_nonsense(error) else FailureKind.CLOSED
        raise AdapterError(provider, kind, type(error).__name__) from error
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
        raise AdapterError(provider, FailureKind.PROTOCOL, type(error).__name__) from error


def speaks_nonsense(error: httpx.TransportError) -> bool:
    """Whether the server answered with no HTTP. The rest of RemoteProtocolError is a server that hung up."""
    words = str(error).lower()
    return isinstance(error, httpx.RemoteProtocolError) and not ("closed" in words or "disconnected" in words)


async def answers(provider: str, client: httpx.AsyncClient, path: str) -> None:
    """Ask for a path that costs nothing. Any answer but a refused key, a full house or a broken server will do: not every server
    lists its models. Raises AdapterError."""
    with failures(provider):
        response = await client.get(path)
    status = response.status_code
    if status in (401, 429) or (status >= 500 and status != 501):
        raise status_failure(provider, status, response.content[:ERROR_BODY_BYTES], response.headers)


async def check(provider: str, response: httpx.Response) -> None:
    """Return if the answer is good (2xx); otherwise read its error, bounded, and raise it as AdapterError."""
    if response.is_success:
        return
    body = bytearray()
    with failures(provider):
        async for piece in response.aiter_bytes():
            body += piece
            if len(body) > ERROR_BODY_BYTES:
                break
    raise status_failure(provider, response.status_code, bytes(body), response.headers)


def status_failure(provider: str, status: int, body: bytes, headers: Mapping[str, str]) -> AdapterError:
    """An HTTP status that is no success, as the failure it means. Of the body only its names and numbers are read."""
    error = _decoded(body)
    code = code_in(error)
    kind = status_kind(status, code)
    # OpenAI and Anthropic know better than their status whether to come back; their own clients obey it.
    match headers.get("x-should-retry", ""):
        case "false":
            kind = FailureKind.REJECTED
        case "true" if kind is FailureKind.REJECTED:
            kind = FailureKind.UNAVAILABLE
    return AdapterError(
        provider, kind, f"HTTP {status} {code}".rstrip(), retry_ns=retry_ns(headers) or retry_ns_in(error)
    )


def status_kind(status: int, code: str = "") -> FailureKind:
    """408 and 425 pass; 429 passes unless no money is left; 498 is Groq's full house; 529 is Anthropic's; 3xx is a wrong address."""
    if code in NOT_COMING_BACK:
        return FailureKind.REJECTED
    if code in BROKEN_GRAMMAR:
        return FailureKind.PROTOCOL
    if status in (429, 498):
        return FailureKind.RATE_LIMITED
    if status == 408:
        return FailureKind.TIMEOUT
    if status >= 500 or status == 425:
        return FailureKind.UNAVAILABLE
    if status >= 400:
        return FailureKind.REJECTED
    return FailureKind.PROTOCOL


def stream_failure(provider: str, error: object) -> AdapterError:
    """An error that came inside a stream, after its 200: by its number where it has one, else by its name.

    error:  what stands under "error": an object, or a sentence.
    """
    number = error.get("code") if isinstance(error, dict) else None
    code, wait_ns = code_in(error), retry_ns_in(error)
    if isinstance(number, int) and 400 <= number < 600:
        kind, told = status_kind(number, code), f"{number} {code}".rstrip()
    else:
        kind, told = named_kind(code), code or "no code"
    return AdapterError(provider, kind, f"in the stream: {told}", retry_ns=wait_ns)


def named_kind(code: str) -> FailureKind:
    """What a machine-readable name of an error means."""
    if code in NOT_COMING_BACK:
        return FailureKind.REJECTED
    if code in BROKEN_GRAMMAR:
        return FailureKind.PROTOCOL
    if "rate_limit" in code or code in ("slow_down", "RESOURCE_EXHAUSTED"):
        return FailureKind.RATE_LIMITED
    if code.startswith(OWN_FAULT):
        return FailureKind.REJECTED
    if code.startswith("timeout"):
        return FailureKind.TIMEOUT
    return FailureKind.UNAVAILABLE


def error_code(body: bytes) -> str:
    """The machine-readable name inside an error's body, or "" where there is none that is fit for a log.

    Read: {"error": {"code" or "type"}}, {"error": [..]}, {"detail": {"status"}}, {"details": {"error_code"}} inside of any, and the same
    without the outer object.
    """
    return code_in(_decoded(body))


def _decoded(body: bytes) -> object:
    """The body as JSON; None where it is none."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def error_in(found: object) -> object:
    """What stands under "error" in an answer, which Google puts into a list; None where nothing does."""
    first = found[0] if isinstance(found, list) and found else found
    return first.get("error") if isinstance(first, dict) else None


def code_in(found: object) -> str:
    """The same as `error_code`, of what was already decoded."""
    if isinstance(found, list) and found:
        found = found[0]
    if not isinstance(found, dict):
        return ""
    for key in ("error", "detail"):
        if isinstance(found.get(key), dict | list):
            return code_in(found[key])
    if isinstance(found.get("details"), dict) and (closer := code_in(found["details"])):
        return closer
    for key in ("error_code", "code", "type", "status", "err_code", "error"):
        value = found.get(key)
        if isinstance(value, str) and CODE.fullmatch(value):
            return value
    return ""


def retry_ns(headers: Mapping[str, str]) -> int:
    """The wait a provider asks for, in nanoseconds; 0 where it does not say, or says nonsense.

    Read: `retry-after-ms`, then `retry-after` in seconds or as a date (RFC 9110, section 10.2.3), measured against the answer's
    own `date`, so that no clock of ours takes part.
    """
    try:
        if wait_ms := headers.get("retry-after-ms"):
            return max(0, int(float(wait_ms) * MS))
        wait = headers.get("retry-after")
        if not wait:
            return 0
        if wait[0].isdigit() or wait[0] == ".":
            return max(0, int(float(wait) * SECOND))
        until, now = parsedate_to_datetime(wait), parsedate_to_datetime(headers["date"])
        return max(0, int((until - now).total_seconds() * SECOND))
    except (ValueError, KeyError, TypeError, OverflowError):
        return 0


def retry_ns_in(error: object) -> int:
    """The same as `retry_ns`, where it stands in an error's body: Google's {"details": [{"retryDelay": "12s"}]}."""
    error = error_in(error) or error
    details = error.get("details") if isinstance(error, dict) else None
    delays = [each.get("retryDelay") for each in details if isinstance(each, dict)] if isinstance(details, list) else []
    found = next((found for delay in delays if isinstance(delay, str) and (found := DURATION.fullmatch(delay))), None)
    return int(float(found[1]) * SECOND) if found else 0
