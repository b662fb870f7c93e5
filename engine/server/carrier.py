"""Orders to Twilio over its REST API: place a call, replace what a live call does, hang it up, ask how it went.

An order that may have been carried out is not sent twice: placing a call is tried again only where no connection came about or Twilio
said that it did not take it; the other orders say what shall be and may be repeated.
Source: Twilio, "Calls resource", "Global infrastructure: regions and edges", error dictionary (2026).
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from enum import StrEnum
from typing import Any

import httpx
import msgspec
from msgspec import Struct

from engine.adapters.http import ERROR_BODY_BYTES, failures, retry_ns, status_kind
from engine.core.units import SECOND
from engine.errors import AdapterError, ConfigError, FailureKind
from engine.settings import TwilioSettings

API = "2010-04-01"
US = "us1"
TRIES = 3
WAIT_SECONDS, WAIT_SECONDS_MAX = 0.25, 4.0
"""Before the second try, doubled for each further one; a longer wait that Twilio asks for ends it, for a caller is waiting."""
CONNECT_SECONDS, ANSWER_SECONDS = 3.0, 10.0
TWIML_CHARS_MAX = 4_000
"""Of a document sent with an update (error 32018)."""
GONE = frozenset({20404, 21220})
"""No such call any more; not in a state that allows it."""
PROGRESS = ("initiated", "ringing", "answered", "completed")
AGAIN = frozenset({FailureKind.TIMEOUT, FailureKind.UNAVAILABLE, FailureKind.RATE_LIMITED, FailureKind.CLOSED})


class Machine(StrEnum):
    """Whether Twilio listens for an answering machine, and when it says so."""

    IGNORE = ""
    DETECT = "detect"
    """As soon as it knows."""
    MESSAGE = "message"
    """When the machine's greeting is over: for a message to be left."""


MODES = {Machine.DETECT: "Enable", Machine.MESSAGE: "DetectMessageEnd"}


class CallOrder(Struct, frozen=True, kw_only=True):
    """A call to be placed."""

    target: str
    caller: str
    """The number it comes from: the account's own, or one it has proved to be its own."""
    voice_url: str
    """Asked for TwiML when somebody answers."""
    status_url: str
    machine_url: str
    machine: Machine = Machine.IGNORE
    ring_seconds: int = 60
    limit_seconds: int = 4 * 3_600


class Placed(Struct, frozen=True):
    """A call as Twilio describes it."""

    sid: str
    status: str = ""
    duration: str | None = None
    answered_by: str | None = None


class Refusal(Struct):
    """An error's body."""

    code: int = 0


class TwilioError(AdapterError):
    """Twilio did not do what it was told. `code` is its own number for it (0: none), `status` HTTP's."""

    def __init__(self, kind: FailureKind, status: int, code: int, wait_ns: int = 0) -> None:
        super().__init__("twilio", kind, f"HTTP {status}, error {code}" if code else f"HTTP {status}", retry_ns=wait_ns)
        self.status = status
        self.code = code


def api_url(settings: TwilioSettings) -> str:
    """The REST API's address. Both parts or neither: https://api.dublin.ie1.twilio.com."""
    if settings.api_url:
        return settings.api_url.rstrip("/")
    if not settings.edge:
        return "https://api.twilio.com"
    return f"https://api.{settings.edge}.{settings.region or US}.twilio.com"


def credentials(settings: TwilioSettings) -> tuple[str, str]:
    """Name and password of the orders. Raises ConfigError."""
    if not settings.account_sid:
        raise ConfigError("twilio.account_sid is missing; set TWILIO_ACCOUNT_SID")
    if settings.api_key:
        return settings.api_key, settings.api_secret
    if not settings.auth_token:
        raise ConfigError(
            "twilio.auth_token is missing; set TWILIO_AUTH_TOKEN, or TWILIO_API_KEY and TWILIO_API_SECRET"
        )
    return settings.account_sid, settings.auth_token


class TwilioApi:
    """One account's orders."""

    def __init__(self, settings: TwilioSettings, pause: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """pause: waits so many seconds. Raises ConfigError."""
        auth = credentials(settings)
        self._base = f"{api_url(settings)}/{API}/Accounts/{settings.account_sid}"
        self._pause = pause
        # Made now, for it reads the certificates of the world, which takes 0.2 s: no call is under way yet.
        timeout = httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS)
        self._client = httpx.AsyncClient(auth=auth, timeout=timeout, follow_redirects=False)

    async def place(self, order: CallOrder) -> Placed:
        """Call somebody. Raises AdapterError; a TIMEOUT says that the call may be under way all the same."""
        form: dict[str, str | list[str]] = {
            "To": order.target,
            "From": order.caller,
            "Url": order.voice_url,
            "StatusCallback": order.status_url,
            "StatusCallbackEvent": list(PROGRESS),
            "Timeout": str(order.ring_seconds),
            "TimeLimit": str(order.limit_seconds),
        }
        if order.machine:
            form |= {
                "MachineDetection": MODES[order.machine],
                "AsyncAmd": "true",
                "AsyncAmdStatusCallback": order.machine_url,
            }
        return await self._ask("POST", "/Calls.json", form, again=was_not_taken)

    async def redirect(self, call_sid: str, document: str) -> Placed:
        """Let a live call do what this TwiML says, at once. Raises AdapterError."""
        assert len(document) <= TWIML_CHARS_MAX, "a document that Twilio does not take"
        return await self._ask("POST", f"/Calls/{call_sid}.json", {"Twiml": document})

    async def hang_up(self, call_sid: str) -> None:
        """End a call, whether it rings or speaks; one that is over already is fine. Raises AdapterError."""
        try:
            await self._ask("POST", f"/Calls/{call_sid}.json", {"Status": "completed"})
        except TwilioError as error:
            if error.code not in GONE:
                raise

    async def fetch(self, call_sid: str) -> Placed:
        """How a call stands. Raises AdapterError."""
        return await self._ask("GET", f"/Calls/{call_sid}.json", {})

    async def close(self) -> None:
        await self._client.aclose()

    async def _ask(
        self,
        method: str,
        path: str,
        form: Mapping[str, Any],
        again: Callable[[AdapterError], bool] = lambda error: error.kind in AGAIN,
    ) -> Placed:
        """One order, tried again where that is safe."""
        wait = WAIT_SECONDS
        for tries_left in reversed(range(TRIES)):
            try:
                return await self._send(method, path, form)
            except AdapterError as error:
                asked = error.retry_ns / SECOND
                if not tries_left or not again(error) or asked > WAIT_SECONDS_MAX:
                    raise
                await self._pause(max(wait, asked))
                wait *= 2
        raise AssertionError("the last try returns or raises")

    async def _send(self, method: str, path: str, form: Mapping[str, Any]) -> Placed:
        with failures("twilio"):
            response = await self._client.request(method, self._base + path, data=form or None)
        if response.is_success:
            try:
                return msgspec.json.decode(response.content, type=Placed)
            except msgspec.DecodeError as error:
                raise AdapterError("twilio", FailureKind.PROTOCOL, "the answer is no call") from error
        raise TwilioError(
            status_kind(response.status_code),
            response.status_code,
            code_of(response.content[:ERROR_BODY_BYTES]),
            retry_ns(response.headers),
        )


def was_not_taken(error: AdapterError) -> bool:
    """Whether an order was certainly not carried out, so that it may be sent again."""
    if isinstance(error, TwilioError):
        return error.kind is FailureKind.RATE_LIMITED
    return error.kind is FailureKind.UNAVAILABLE


def code_of(body: bytes) -> int:
    """Twilio's own number of an error; 0 where it gives none."""
    try:
        return msgspec.json.decode(body, type=Refusal).code
    except msgspec.DecodeError:
        return 0
