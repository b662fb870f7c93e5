"""/calls: where the operator's own service orders calls, asks how they stand, and hangs them up.

Calls cost money and reach people: without `server.control_token` it is closed, also to this machine. The token travels as
`Authorization: Bearer`, which no page of another site can send without being allowed to.
"""

import hmac

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from engine.errors import AdapterError, ConfigError, FailureKind
from engine.server.carrier import TwilioError
from engine.server.dialling import RING_SECONDS, CannotDial, Dialler
from engine.server.gate import Door

ORDER_BYTES_MAX = 4 * 1024
STATUS = {FailureKind.RATE_LIMITED: 429, FailureKind.REJECTED: 422, FailureKind.TIMEOUT: 504}
"""What of Twilio's troubles the asker can do something about; the rest is 502."""


class Order(Struct, frozen=True, forbid_unknown_fields=True, rename={"caller": "from", "target": "to"}):
    """{"to": "+15550003333", "from": "+15550002222", "machine": "detect", "ring_seconds": 30}"""

    target: str
    caller: str = ""
    machine: str = ""
    ring_seconds: int = RING_SECONDS


class Control:
    """The routes."""

    def __init__(self, dialler: Dialler, token: str, door: Door) -> None:
        self._dialler = dialler
        self._token = token.encode()
        self._door = door

    async def place(self, request: Request) -> Response:
        """Place a call: 201 and its name."""
        with self._door.enter(request.scope) as refusal:
            if answer := self._refused(request, refusal):
                return answer
            try:
                order = msgspec.json.decode(await self._body(request), type=Order)
                call = await self._dialler.dial(
                    order.target, caller=order.caller, machine=order.machine, ring_seconds=order.ring_seconds
                )
            except (msgspec.DecodeError, ValueError) as error:
                return said(400, f"the order cannot be read: {error}")
            except ConfigError as error:
                return said(400, *error.problems)
            except CannotDial as error:
                return said(503, str(error))
            except AdapterError as error:
                return troubled(error)
        return told(201, call.progress)

    async def show(self, request: Request) -> Response:
        """How a call stands."""
        with self._door.enter(request.scope) as refusal:
            if answer := self._refused(request, refusal):
                return answer
        known = await self._dialler.find(request.path_params["call_sid"])
        return told(200, known) if known else said(404, "no call of that name was placed here")

    async def end(self, request: Request) -> Response:
        """Hang a call up."""
        with self._door.enter(request.scope) as refusal:
            if answer := self._refused(request, refusal):
                return answer
            known = await self._dialler.find(request.path_params["call_sid"])
            if known is None:
                return said(404, "no call of that name was placed here")
            try:
                await self._dialler.hang_up(known.call_sid)
            except AdapterError as error:
                return troubled(error)
        return Response(status_code=204)

    async def tell(self, request: Request) -> Response:
        """What this worker knows of a call, for another one."""
        known = self._dialler.progress((await request.body()).decode())
        return told(200, known) if known else Response(status_code=404)

    def _refused(self, request: Request, refusal: str) -> Response | None:
        if refusal:
            return said(429, refusal)
        if not self._token:
            return said(403, "orders are closed: ENGINE_CONTROL_TOKEN is not set")
        given = request.headers.get("authorization", "").encode()
        if not hmac.compare_digest(given, b"Bearer " + self._token):
            return said(401, "an order needs the control token")
        return None

    async def _body(self, request: Request) -> bytes:
        """The whole body. Raises ValueError when it is longer than any order."""
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > ORDER_BYTES_MAX:
                raise ValueError("it is too long")
        return bytes(body)


def told(status: int, body: object) -> Response:
    return Response(msgspec.json.encode(body), status, media_type="application/json")


def said(status: int, *problems: str) -> Response:
    return told(status, {"problems": problems})


def troubled(error: AdapterError) -> Response:
    """Twilio's refusal, with its own number for it."""
    code = error.code if isinstance(error, TwilioError) else 0
    body = {"problems": [f"Twilio: {error.kind.value} {error.detail}".strip()], "twilio_code": code}
    return told(STATUS.get(error.kind, 502), body)
