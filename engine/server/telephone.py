"""The telephone's ways in: Twilio's webhook, its media stream, and its question what to do after the stream.

Each request must be signed with the account's auth token; a media stream must also bring the token that its webhook was given,
for the same call, once. Without an auth token these routes are closed.
"""

import asyncio
import logging
from collections.abc import Iterable
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from engine.errors import TransportClosed
from engine.server import twiml
from engine.server.gate import Door, headers_of
from engine.server.lines import Lines
from engine.server.sessions import refuse
from engine.server.shared import Shared
from engine.server.signatures import Form, genuine
from engine.server.tokens import Tokens
from engine.settings import TwilioSettings
from engine.transports.asgi import direct_of
from engine.transports.twilio import Twilio

log = logging.getLogger("engine.server")

TICKET_SECONDS = 60
"""Between the webhook's answer and the stream's start; Twilio needs about one."""
FORM_BYTES_MAX = 64 * 1024
"""Twilio's forms are about 1 KiB."""
FORM_SECONDS = 5.0
FIELDS_MAX = 200
TRANSFERS_MAX = 1_000
"""Callers waiting to be asked for: Twilio asks within a second, so more are calls that ended meanwhile."""
BUSY = "All lines are busy at the moment. Please call again later."
CLOSED = "the telephone is not set up: TWILIO_AUTH_TOKEN is missing"
FORGED = "the signature is not Twilio's"
STALE = "the token is not valid"


class Account:
    """What the routes share: who may call, the tokens given out, the callers to be handed over."""

    def __init__(self, settings: TwilioSettings, tickets: Tokens, shared: Shared | None = None) -> None:
        """shared: where Twilio's next question may be put to another process."""
        self._shared = shared
        self.settings = settings
        self.tickets = tickets
        self._transfers: dict[str, str] = {}

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

    def transfer(self, call_sid: str, target: str) -> None:
        """When Twilio asks what to do with this call, it shall dial the target."""
        if self._shared is not None:
            self._shared.put(f"transfer {call_sid}", target)
            return
        while len(self._transfers) >= TRANSFERS_MAX:
            del self._transfers[next(iter(self._transfers))]
        self._transfers[call_sid] = target

    def target_of(self, call_sid: str) -> str:
        """Where this caller is to go. Empty: nowhere. Asked once."""
        if self._shared is not None:
            return self._shared.take(f"transfer {call_sid}")
        return self._transfers.pop(call_sid, "")

    def _hosts(self, scope: Scope) -> list[str]:
        """What our public address may be: host, port and prefix."""
        if self.settings.public_url:
            return [self.settings.public_url.partition("://")[2].rstrip("/")]
        headers = headers_of(scope)
        named = [headers[name].decode("latin-1") for name in (b"x-forwarded-host", b"host") if name in headers]
        return [host.partition(",")[0].strip() + scope.get("root_path", "") for host in named]


class Webhooks:
    """What Twilio asks over HTTP."""

    def __init__(self, lines: Lines, door: Door, account: Account) -> None:
        self._lines = lines
        self._door = door
        self._account = account

    async def voice(self, request: Request) -> Response:
        """Somebody calls: put them on a media stream."""
        asked = await self._asked(request)
        if isinstance(asked, Response):
            return asked
        if not await self._lines.ready() or not self._lines.host.has_room:
            return answer(twiml.say(BUSY))
        return self._connect(*asked, request.headers.get("traceparent", ""))

    async def after(self, request: Request) -> Response:
        """A stream has ended: hand the caller over where that was asked for, go on with a call that has not ended, else hang up."""
        asked = await self._asked(request)
        if isinstance(asked, Response):
            return asked
        call_sid = asked[1].get("CallSid", "")
        if target := self._account.target_of(call_sid):
            return answer(twiml.dial(target))
        return self._connect(*asked) if self._lines.is_open(call_sid) else answer(twiml.hang_up())

    def _connect(self, base: str, fields: dict[str, str], traceparent: str = "") -> Response:
        """Put this call on a media stream. traceparent: the trace of whoever forwarded the webhook to us."""
        known = {
            "token": self._account.tickets.mint(TICKET_SECONDS, fields.get("CallSid", "")),
            "from": fields.get("From", ""),
            "to": fields.get("To", ""),
            **({"traceparent": traceparent} if traceparent else {}),
        }
        host = base.partition("://")[2]
        return answer(twiml.connect(f"wss://{host}/twilio/media", f"{base}/twilio/after", known))

    async def _asked(self, request: Request) -> tuple[str, dict[str, str]] | Response:
        """A signed webhook: our address as Twilio knows it, and the form's fields; or the refusal."""
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
        return (base, dict(form)) if base else denied(403, FORGED)


class Media:
    """The media stream: an ASGI app, one connection at a time."""

    def __init__(self, lines: Lines, account: Account) -> None:
        self._lines = lines
        self._account = account

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        if not self._account.settings.auth_token:
            await refuse(scope, send, 403, CLOSED)
            return
        path = path_of(scope)
        if not self._account.signed(scope, ("wss",), (path, path + "/")):
            await refuse(scope, send, 403, FORGED)
            return
        await send({"type": "websocket.accept"})
        stream = Twilio(receive, send, self._account.transfer, direct_of(scope))
        try:
            opening = await stream.open()
        except TransportClosed as error:
            await stream.hang_up(str(error))
            return
        if not self._account.tickets.redeem(opening.custom_parameters.get("token", ""), opening.call_sid):
            log.warning("refused a media stream: its token is not valid now", extra={"path": scope["path"]})
            await stream.hang_up(STALE)
            return
        if not await self._lines.resume(stream, opening.call_sid, lambda: None):
            await self._lines.begin(stream, opening.call_sid, opening.custom_parameters.get("traceparent", ""))


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
