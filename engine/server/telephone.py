"""The telephone's ways in: Twilio's webhook, its media stream, its questions what to do next, and what it tells of calls.

Each request must be signed with the account's auth token; a media stream must also bring the token that its webhook was given,
for the same call, once. Without an auth token these routes are closed.
"""

import asyncio
import functools
import logging
from collections.abc import Iterable
from urllib.parse import parse_qsl

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from engine.core.events import TransferFailed
from engine.errors import AdapterError, TransportClosed
from engine.server import twiml
from engine.server.carrier import TwilioApi
from engine.server.dialling import OVER, PLACED, Dialler
from engine.server.gate import Door, headers_of
from engine.server.lines import Lines
from engine.server.neighbours import Connection
from engine.server.sessions import refuse
from engine.server.shared import Shared
from engine.server.signatures import Form, genuine
from engine.server.tokens import Tokens
from engine.settings import TwilioSettings
from engine.transports.asgi import HUNG_UP, direct_of
from engine.transports.twilio import TRANSFERRED, Opening, Twilio

log = logging.getLogger("engine.server")

TICKET_SECONDS = 60
"""Between the webhook's answer and the stream's start; Twilio needs about one."""
FORM_BYTES_MAX = 64 * 1024
"""Twilio's forms are about 1 KiB."""
FORM_SECONDS = 5.0
FIELDS_MAX = 200
TRANSFERS_MAX = 1_000
"""Callers being handed over; of those that nobody tells the end of, the oldest are forgotten first."""
TOLD = frozenset({"status", "machine"})
"""Webhooks that say something and ask nothing: for the worker that placed the call, and the one that carries it."""
RANG_OUT = frozenset({"busy", "no-answer", "failed", "canceled"})
"""How a handed-over caller was not taken. Source: TwiML, <Dial>, DialCallStatus (2026)."""
BASE = b"x-engine-base"
"""The header that tells another worker our public address."""
NOBODY = "Nobody could take your call. Goodbye."
BUSY = "All lines are busy at the moment. Please call again later."
CLOSED = "the telephone is not set up: TWILIO_AUTH_TOKEN is missing"
FORGED = "the signature is not Twilio's"
STALE = "the token is not valid"


class Asked(Struct, frozen=True):
    """A webhook that Twilio has signed."""

    base: str
    """Our address as Twilio knows it."""
    fields: dict[str, str]


read_asked = msgspec.json.Decoder(Asked).decode


class Account:
    """What the routes share: who may call, the tokens given out, the callers to be handed over."""

    def __init__(
        self, settings: TwilioSettings, tickets: Tokens, shared: Shared | None = None, api: TwilioApi | None = None
    ) -> None:
        """shared: where Twilio's next question may be put to another process.
        api: None where the settings name no account; a caller is then handed over when Twilio asks what to do next.
        """
        self._shared = shared
        self.settings = settings
        self.tickets = tickets
        self._api = api
        self._waiting: dict[str, str] = {}
        """Callers who go as soon as Twilio asks."""
        self._going: dict[str, str] = {}
        """Callers whose target is being called."""

    def signed(self, scope: Scope, schemes: Iterable[str], paths: Iterable[str], form: Form = ()) -> str:
        """Our public address, if Twilio signed this request to it; else "".

        The Host header may be believed here: whoever makes one up cannot sign it.
        """
        given = headers_of(scope).get(b"x-twilio-signature", b"").decode("latin-1")
        for base in (f"{scheme}://{host}" for host in self._hosts(scope) for scheme in schemes):
            if genuine(self.settings.auth_token, given, [base + path for path in paths], form):
                return base
        hosts = " or ".join(self._hosts(scope))
        log.warning(
            "refused a request to %s that Twilio did not sign; set twilio.public_url if a proxy hides it", hosts
        )
        return ""

    async def transfer(self, base: str, call_sid: str, target: str) -> bool:
        """Have this call dial the target. True: Twilio does it now, and ends the stream; False: once the stream has ended.

        base: our address, as Twilio knows it. Raises TransportClosed.
        """
        if self._api is None:
            self._remember("transfer", self._waiting, call_sid, target)
            return False
        try:
            await self._api.redirect(call_sid, self.dial(base, call_sid, target))
        except AdapterError as error:
            self.missed(call_sid)
            raise TransportClosed(f"Twilio did not take the transfer: {error.kind} {error.detail}") from error
        return True

    def dial(self, base: str, call_sid: str, target: str) -> str:
        """The document that hands this caller over."""
        self._remember("dialled", self._going, call_sid, target)
        return twiml.dial(target, f"{base}/twilio/dialled", f"{base}/twilio/bridged")

    def target_of(self, call_sid: str) -> str:
        """Where this caller is to go. Empty: nowhere. Asked once."""
        return self._take("transfer", self._waiting, call_sid)

    def missed(self, call_sid: str) -> str:
        """Where this caller was to go and did not arrive. Asked once."""
        return self._take("dialled", self._going, call_sid)

    def _remember(self, purpose: str, calls: dict[str, str], call_sid: str, target: str) -> None:
        """Write it down, within bounds, where every process finds it."""
        if self._shared is not None:
            self._shared.put(f"{purpose} {call_sid}", target)
            return
        calls.pop(call_sid, None)
        while len(calls) >= TRANSFERS_MAX:
            del calls[next(iter(calls))]
        calls[call_sid] = target

    def _take(self, purpose: str, calls: dict[str, str], call_sid: str) -> str:
        if self._shared is not None:
            return self._shared.take(f"{purpose} {call_sid}")
        return calls.pop(call_sid, "")

    def _hosts(self, scope: Scope) -> list[str]:
        """What our public address may be: host, port and prefix."""
        if self.settings.public_url:
            return [self.settings.public_url.partition("://")[2].rstrip("/")]
        headers = headers_of(scope)
        named = [headers[name].decode("latin-1") for name in (b"x-forwarded-host", b"host") if name in headers]
        return [host.partition(",")[0].strip() + scope.get("root_path", "") for host in named]


class Webhooks:
    """What Twilio asks over HTTP."""

    def __init__(self, lines: Lines, door: Door, account: Account, dialler: Dialler) -> None:
        self._lines = lines
        self._door = door
        self._account = account
        self._dialler = dialler

    async def voice(self, request: Request) -> Response:
        """Somebody calls: put them on a media stream."""
        asked = await self._asked(request)
        if isinstance(asked, Response):
            return asked
        if not await self._lines.ready() or not self._lines.host.has_room:
            return answer(twiml.say(BUSY))
        return self._connect(asked, request.headers.get("traceparent", ""))

    async def after(self, request: Request) -> Response:
        """A stream has ended: hand the caller over where that was asked for, go on with a call that has not ended, else hang up."""
        return await self._settle(request, "after")

    async def dialled(self, request: Request) -> Response:
        """The call to whom the caller was handed over is over. Nobody took it: back to the agent, who tells them so."""
        return await self._settle(request, "dialled")

    async def bridged(self, request: Request) -> Response:
        """The target has taken the caller: the session is over, though the call is not."""
        return await self._settle(request, "bridged")

    async def status(self, request: Request) -> Response:
        """How a call gets on. One that is over has no caller to wait for."""
        return await self._settle(request, "status")

    async def machine(self, request: Request) -> Response:
        """Who picked up a call of ours."""
        return await self._settle(request, "machine")

    async def passed_on(self, request: Request) -> Response:
        """Something of a call of this worker's, which another one was asked."""
        return self._answer(request.path_params["name"], read_asked(await request.body()))

    async def _settle(self, request: Request, name: str) -> Response:
        """Answer here, or let the worker answer that has the call; what is only told is told to all whom it concerns."""
        asked = await self._asked(request)
        if isinstance(asked, Response):
            return asked
        fields, neighbours = asked.fields, self._lines.neighbours
        call_sid = fields.get("ParentCallSid" if name == "bridged" else "CallSid", "")
        holders = {self._lines.holder(call_sid)}
        if name in TOLD:
            holders.add(neighbours.holder(PLACED + call_sid))
        answers = [
            await neighbours.ask(holder, f"/twilio/{name}", msgspec.json.encode(asked)) for holder in holders - {""}
        ]
        told = next((each for each in answers if each is not None), None)
        if told is None or name in TOLD:
            return self._answer(name, asked)
        return Response(told.content, told.status_code, media_type=told.headers.get("content-type"))

    def _answer(self, name: str, asked: Asked) -> Response:
        """What this worker has to say."""
        match name:
            case "after":
                return self._go_on(asked)
            case "dialled":
                return self._take_back(asked)
            case "bridged":
                parent = asked.fields.get("ParentCallSid", "")
                self._account.missed(parent)
                self._end(parent, TRANSFERRED)
            case "status":
                if over := self._dialler.note_status(asked.fields):
                    self._end(over, HUNG_UP)
            case "machine":
                fact = self._dialler.note_machine(asked.fields)
                if session := self._lines.host.session(asked.fields.get("CallSid", "")):
                    session.post(fact)
        return Response(status_code=204)

    def _go_on(self, asked: Asked) -> Response:
        call_sid = asked.fields.get("CallSid", "")
        if target := self._account.target_of(call_sid):
            return answer(self._account.dial(asked.base, call_sid, target))
        return self._connect(asked) if self._lines.is_open(call_sid) else answer(twiml.hang_up())

    def _take_back(self, asked: Asked) -> Response:
        fields = asked.fields
        call_sid, outcome = fields.get("CallSid", ""), fields.get("DialCallStatus", "")
        target = self._account.missed(call_sid)
        session = self._lines.host.session(call_sid)
        if outcome not in RANG_OUT or fields.get("CallStatus") in OVER:
            self._end(call_sid, TRANSFERRED)
            return answer(twiml.hang_up())
        if session is None or not self._lines.is_open(call_sid):
            return answer(twiml.say(NOBODY))
        session.post(TransferFailed(target=target, reason=outcome))
        return self._connect(asked)

    def _end(self, call_sid: str, reason: str) -> None:
        session = self._lines.host.session(call_sid)
        if session is not None:
            session.hang_up(reason)

    def _connect(self, asked: Asked, traceparent: str = "") -> Response:
        """Put this call on a media stream. traceparent: the trace of whoever forwarded the webhook to us."""
        base, fields = asked.base, asked.fields
        known = {
            "token": self._account.tickets.mint(TICKET_SECONDS, fields.get("CallSid", "")),
            "from": fields.get("From", ""),
            "to": fields.get("To", ""),
            **({"traceparent": traceparent} if traceparent else {}),
        }
        host = base.partition("://")[2]
        return answer(twiml.connect(f"wss://{host}/twilio/media", f"{base}/twilio/after", known))

    async def _asked(self, request: Request) -> Asked | Response:
        """A signed webhook; or the refusal."""
        if not self._account.settings.auth_token:
            return denied(403, CLOSED)
        with self._door.enter(request.scope) as refusal:
            if refusal:
                return denied(429, refusal)
            try:
                async with asyncio.timeout(FORM_SECONDS):
                    body = await read_body(request)
                form = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=FIELDS_MAX)
            except TimeoutError:
                return denied(408, "the form did not come in time")
            except ValueError:
                return denied(400, "the form cannot be read")
        query = request.scope["query_string"].decode("latin-1")
        path = path_of(request.scope) + (f"?{query}" if query else "")
        base = self._account.signed(request.scope, ("https", "http"), (path,), form)
        return Asked(base, dict(form)) if base else denied(403, FORGED)


class Media:
    """The media stream: an ASGI app, one connection at a time."""

    def __init__(self, lines: Lines, account: Account, dialler: Dialler) -> None:
        self._lines = lines
        self._account = account
        self._dialler = dialler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        if not self._account.settings.auth_token:
            await refuse(scope, send, 403, CLOSED)
            return
        path = path_of(scope)
        address = self._account.signed(scope, ("wss",), (path, path + "/"))
        if not address:
            await refuse(scope, send, 403, FORGED)
            return
        await send({"type": "websocket.accept"})
        base = self._account.settings.public_url.rstrip("/") or address.replace("wss", "https", 1)
        connection = Connection(receive)
        stream = self._stream(scope, connection, send, base)
        opening = await opened(stream)
        if opening is None:
            return
        if not self._account.tickets.redeem(opening.custom_parameters.get("token", ""), opening.call_sid):
            log.warning("refused a media stream: its token is not valid now", extra={"path": scope["path"]})
            await stream.hang_up(STALE)
            return
        holder = self._lines.holder(opening.call_sid)
        if holder and await self._lines.neighbours.carry(holder, "/media/", {BASE.decode(): base}, connection, send):
            return
        await self._hold(stream, opening)

    async def passed_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A stream of a call of this worker's, which another one has let in."""
        await receive()
        await send({"type": "websocket.accept"})
        stream = self._stream(scope, receive, send, headers_of(scope).get(BASE, b"").decode("latin-1"))
        opening = await opened(stream)
        if opening is not None:
            await self._hold(stream, opening)

    def _stream(self, scope: Scope, receive: Receive, send: Send, base: str) -> Twilio:
        return Twilio(receive, send, functools.partial(self._account.transfer, base), direct_of(scope))

    async def _hold(self, stream: Twilio, opening: Opening) -> None:
        if not await self._lines.resume(stream, opening.call_sid, lambda: None):
            known = await self._dialler.facts_of(opening.call_sid)
            await self._lines.begin(stream, opening.call_sid, opening.custom_parameters.get("traceparent", ""), known)


async def opened(stream: Twilio) -> Opening | None:
    """What the stream says of itself. None: nothing of use, and it has been closed."""
    try:
        return await stream.open()
    except TransportClosed as error:
        await stream.hang_up(str(error))
        return None


def answer(document: str) -> Response:
    return Response(document, media_type=twiml.MEDIA_TYPE)


def path_of(scope: Scope) -> str:
    """The path below our own root."""
    return str(scope["path"]).removeprefix(scope.get("root_path", ""))


def denied(status: int, reason: str) -> Response:
    return Response(reason, status_code=status, media_type="text/plain")


async def read_body(request: Request) -> bytes:
    """The whole body. Raises ValueError when it is longer than any form."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > FORM_BYTES_MAX:
            raise ValueError("the form is too long")
    return bytes(body)
