"""A whole simulated Twilio: the REST API that takes orders, and the calls themselves, which do what TwiML says.

It signs its webhooks and its streams, tells the progress of calls, judges who picked up, and plays <Connect><Stream>, <Dial>, <Say> and
<Hangup>. Nobody is called: whoever a call is for is a `Callee`. It reaches servers on this machine only.
"""

import asyncio
import base64
import binascii
import ipaddress
import math
import secrets
from collections.abc import Callable, Mapping
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
from msgspec import Struct
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from engine.sandbox.base import Behaviour, WebProvider
from engine.sandbox.twilio_line import Instruction, Refused, Stream, read_twiml, sign

ACCOUNT = "AC" + 32 * "0"
AUTH_TOKEN = "simulated-auth-token"  # noqa: S105 - good here only
PUBLIC = "https://engine.example.com"
"""The address that calls are configured with; `route` says where it is on this machine."""
OVER = frozenset({"completed", "busy", "no-answer", "failed", "canceled"})
HANGS_UP = {"busy": 486, "no-answer": 480, "failed": 404}


class Callee(Struct, kw_only=True):
    """Whoever a call is for, and how they take it."""

    takes: str = "answer"
    """answer, or how the call ends instead: busy, no-answer, failed."""
    rings_ms: int = 20
    answered_by: str = "human"
    """Twilio's judgement, where it was asked for: human, machine_start, machine_end_beep, fax, unknown…"""
    judged_ms: int = 100
    """From answer to judgement."""
    stays_ms: int = 60_000
    """They hang up after this."""
    says: bytes = b""
    """μ-law, at 8 kHz: from the moment they answer."""


class Call:
    """One call and what has happened in it."""

    def __init__(self, sid: str, form: Mapping[str, str], direction: str) -> None:
        self.sid = sid
        self.target = form.get("To", "")
        self.caller = form.get("From", "")
        self.form = dict(form)
        self.direction = direction
        self.status = "queued"
        self.answered_at: float | None = None
        self.ended_at = 0.0
        self.answered_by = ""
        self.verbs: list[str] = []
        """Each TwiML verb that was done."""
        self.said: list[str] = []
        self.dialled: list[str] = []
        self.streams: list[Stream] = []
        self.told: list[str] = []
        """Status callbacks that were sent."""
        self.sequence = 0
        self.order: Instruction | None = None
        """What the REST API put in the place of what runs."""
        self.turned = asyncio.Event()
        """Set when something from outside ends what runs."""
        self.task: asyncio.Task[None] | None = None

    @property
    def over(self) -> bool:
        return self.status in OVER

    @property
    def duration(self) -> str:
        """Seconds from answer to end, begun ones counted, as text."""
        return str(math.ceil(self.ended_at - self.answered_at)) if self.answered_at is not None else "0"

    def view(self) -> dict[str, object]:
        """As the REST API shows it."""
        return {
            "sid": self.sid,
            "status": self.status,
            "to": self.target,
            "from": self.caller,
            "direction": self.direction,
            "answered_by": self.answered_by or None,
            "duration": self.duration if self.over else None,
            "uri": f"/2010-04-01/Accounts/{ACCOUNT}/Calls/{self.sid}.json",
        }


class TwilioServer(WebProvider):
    """Twilio, for one account."""

    def __init__(self, behaviour: Behaviour | None = None, *, route: Callable[[], str]) -> None:
        """route: where PUBLIC is on this machine, as http://127.0.0.1:port."""
        super().__init__(behaviour, key=AUTH_TOKEN)
        self._route = route
        self.callees: dict[str, Callee] = {}
        """By number; whoever is not here answers and is human."""
        self.calls: dict[str, Call] = {}
        self.refusals: list[str] = []
        """Webhooks of ours that the service refused or did not answer."""

    def settings(self) -> dict[str, object]:
        """The settings of [twilio] that point a service here."""
        return {"account_sid": ACCOUNT, "auth_token": AUTH_TOKEN, "api_url": self.url, "public_url": PUBLIC}

    def routes(self) -> list[BaseRoute]:
        calls = "/2010-04-01/Accounts/{account}/Calls"
        return [
            Route(f"{calls}.json", self._place, methods=["POST"]),
            Route(f"{calls}/{{sid}}.json", self._update, methods=["POST"]),
            Route(f"{calls}/{{sid}}.json", self._fetch, methods=["GET"]),
        ]

    def authorized(self, connection: HTTPConnection) -> bool:
        kind, _, given = connection.headers.get("authorization", "").partition(" ")
        try:
            name, _, password = base64.b64decode(given).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return False
        return kind == "Basic" and password == self.key and name == connection.path_params["account"] == ACCOUNT

    def refusal_body(self, status: int, code: str) -> object:
        return {"code": int(code or {401: 20003, 429: 20429}.get(status, 20500)), "message": "no", "status": status}

    # Orders.

    async def _place(self, request: Request) -> Response:
        if refusal := self.refusal(request):
            return refusal
        form = await self._form(request)
        missing = [name for name in ("To", "From", "Url") if not form.get(name)]
        if missing or ("AsyncAmd" in form and "AsyncAmdStatusCallback" not in form):
            return JSONResponse({"code": 21262 if not missing else 21201, "message": "no", "status": 400}, 400)
        call = self._begin(form, "outbound-api")
        call.task = asyncio.create_task(self._ring(call))
        return JSONResponse(call.view(), 201)

    async def _update(self, request: Request) -> Response:
        if refusal := self.refusal(request):
            return refusal
        call = self.calls.get(request.path_params["sid"])
        form = await self._form(request)
        if call is None:
            return JSONResponse({"code": 20404, "message": "not found", "status": 404}, 404)
        if call.over:
            return JSONResponse({"code": 21220, "message": "the call is over", "status": 400}, 400)
        if form.get("Status") == "completed":
            call.order = Instruction("Hangup")
        elif "Twiml" in form:
            call.order = read_twiml(form["Twiml"])
        call.turned.set()
        return JSONResponse(call.view())

    async def _fetch(self, request: Request) -> Response:
        if refusal := self.refusal(request):
            return refusal
        call = self.calls.get(request.path_params["sid"])
        if call is None:
            return JSONResponse({"code": 20404, "message": "not found", "status": 404}, 404)
        return JSONResponse(call.view())

    async def _form(self, request: Request) -> dict[str, str]:
        form = dict(parse_qsl((await request.body()).decode(), keep_blank_values=True))
        self.seen[-1]["form"] = form
        return form

    # Calls.

    def call_in(self, callee: Callee | None = None, caller: str = "+15550001111") -> Call:
        """Somebody calls the service's number."""
        call = self._begin({"To": "+15550002222", "From": caller, "Url": f"{PUBLIC}/twilio/voice"}, "inbound")
        self.callees[call.sid] = callee or Callee()
        call.task = asyncio.create_task(self._talk(call, self.callees[call.sid]))
        return call

    async def stop(self) -> None:
        """End every call that is under way, as a power cut does."""
        tasks = [call.task for call in self.calls.values() if call.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, form: Mapping[str, str], direction: str) -> Call:
        call = Call("CA" + secrets.token_hex(16), form, direction)
        self.calls[call.sid] = call
        return call

    async def _ring(self, call: Call) -> None:
        """An outbound call from its order to its end."""
        callee = self.callees.get(call.target, Callee())
        await self._tell(call, "initiated")
        await self._tell(call, "ringing")
        if not await self._turned(call, callee.rings_ms):
            if callee.takes != "answer":
                await self._tell(call, callee.takes, SipResponseCode=str(HANGS_UP[callee.takes]))
                return
            await self._talk(call, callee)
        else:
            await self._tell(call, "canceled")

    async def _talk(self, call: Call, callee: Callee) -> None:
        """An answered call: one document after the other, until there is none or somebody hangs up."""
        clock = asyncio.get_running_loop().time
        call.answered_at = clock()
        await self._tell(call, "in-progress")
        judging = asyncio.create_task(self._judge(call, callee))
        leaving = asyncio.get_running_loop().call_later(callee.stays_ms / 1000, self._leave, call)
        try:
            told: Instruction | None = await self._ask(call, call.form["Url"])
            while told is not None and not call.over:
                call.verbs.append(told.verb)
                told = await self._do(call, callee, told)
                if call.order is not None:
                    told, call.order = call.order, None
                call.turned.clear()
        finally:
            leaving.cancel()
            judging.cancel()
        call.ended_at = clock()
        await self._tell(call, "completed", CallDuration=call.duration, SipResponseCode="200")

    async def _do(self, call: Call, callee: Callee, told: Instruction) -> Instruction | None:
        """One verb. Returns what is to be done after it."""
        if told.verb == "Connect":
            await self._stream(call, callee, told)
            if call.order is not None or not told.after_url:
                return None
            return await self._ask(call, told.after_url)
        if told.verb == "Dial":
            return await self._dial(call, told)
        if told.verb == "Say":
            call.said.append(told.text)
        return None

    async def _stream(self, call: Call, callee: Callee, told: Instruction) -> None:
        base = self._local().replace("http", "ws", 1)
        local = base + told.media_url.removeprefix(PUBLIC.replace("https", "wss", 1))
        sid = "MZ" + secrets.token_hex(16)
        async with Stream(self.key, told.media_url, local, call.sid, told.parameters, sid=sid) as stream:
            call.streams.append(stream)
            stream.say(callee.says)
            turning = asyncio.create_task(call.turned.wait())
            closing = asyncio.create_task(stream.until_closed())
            await asyncio.wait((turning, closing), return_when=asyncio.FIRST_COMPLETED)
            for task in (turning, closing):
                task.cancel()
            if not stream.closed:
                await stream.stop()

    async def _dial(self, call: Call, told: Instruction) -> Instruction | None:
        call.dialled.append(told.text)
        target = self.callees.get(told.text, Callee())
        if await self._turned(call, target.rings_ms):
            return None
        if target.takes == "answer":
            child = {"CallSid": "CA" + secrets.token_hex(16), "ParentCallSid": call.sid, "CallStatus": "in-progress"}
            await self._post(told.answered_url, self._fields(call) | child)
            await self._turned(call, target.stays_ms)
        outcome = "completed" if target.takes == "answer" else target.takes
        return await self._ask(call, told.after_url, DialCallStatus=outcome)

    async def _judge(self, call: Call, callee: Callee) -> None:
        if call.form.get("MachineDetection") and not await self._turned(call, callee.judged_ms):
            call.answered_by = callee.answered_by
            judged = {"AnsweredBy": callee.answered_by, "MachineDetectionDuration": str(callee.judged_ms)}
            await self._post(call.form["AsyncAmdStatusCallback"], {"CallSid": call.sid, "AccountSid": ACCOUNT} | judged)

    def _leave(self, call: Call) -> None:
        """Whoever we talk to hangs up."""
        call.order = Instruction("Hangup")
        call.turned.set()

    async def _turned(self, call: Call, wait_ms: int) -> bool:
        """Wait, unless something from outside comes first."""
        try:
            await asyncio.wait_for(call.turned.wait(), wait_ms / 1000)
        except TimeoutError:
            return False
        return True

    # Webhooks.

    async def _tell(self, call: Call, status: str, **fields: str) -> None:
        """A step of the call's progress. A call that came in tells nobody unless its number says whom."""
        call.status = status
        url = call.form.get("StatusCallback", "")
        if url:
            call.told.append(status)
            told = self._fields(call) | {"CallbackSource": "call-progress-events", "SequenceNumber": str(call.sequence)}
            call.sequence += 1
            await self._post(url, told | fields)

    async def _ask(self, call: Call, url: str, **fields: str) -> Instruction | None:
        """What to do with the call. None: the service did not say; Twilio then ends the call."""
        text = await self._post(url, self._fields(call) | fields)
        return read_twiml(text) if text else None

    async def _post(self, url: str, form: dict[str, str]) -> str:
        headers = {"content-type": "application/x-www-form-urlencoded; charset=UTF-8"}
        headers |= {"x-twilio-signature": sign(self.key, url, form), "host": urlsplit(PUBLIC).netloc}
        if not url.startswith(PUBLIC):
            raise Refused(f"{url} is not the service's address")
        async with httpx.AsyncClient(trust_env=False) as client:
            try:
                answer = await client.post(
                    self._local() + url.removeprefix(PUBLIC), content=urlencode(form), headers=headers
                )
            except httpx.HTTPError as error:
                self.refusals.append(f"{url}: {type(error).__name__}")
                return ""
        if not answer.is_success:
            self.refusals.append(f"{url}: {answer.status_code} {answer.text}")
        return answer.text if answer.is_success else ""

    def _fields(self, call: Call) -> dict[str, str]:
        return {
            "AccountSid": ACCOUNT,
            "ApiVersion": "2010-04-01",
            "CallSid": call.sid,
            "CallStatus": call.status,
            "Direction": call.direction,
            "From": call.caller,
            "FromCity": "",
            "To": call.target,
        }

    def _local(self) -> str:
        base = self._route()
        host = urlsplit(base).hostname or ""
        if not ipaddress.ip_address(host).is_loopback:
            raise Refused(f"{host} is not this machine")
        return base
