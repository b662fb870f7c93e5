"""How a caller comes in: the webhook that says where the stream is, or the stream's address itself; and whether we may call there."""

import secrets
from collections.abc import Mapping
from typing import Protocol
from urllib.parse import urlencode, urlsplit
from xml.etree.ElementTree import ParseError, fromstring

import httpx
from msgspec import Struct

from engine.errors import ConfigError
from engine.load.wire import Refused
from engine.server.gate import is_loopback
from engine.server.signatures import signature

VOICE = "/twilio/voice"
FROM, TO = "+15550001111", "+15550002222"
SECONDS = 15.0


class Way(Struct, frozen=True):
    """Where a stream is, and what to bring."""

    url: str
    headers: Mapping[str, str]
    call_sid: str = ""
    parameters: dict[str, str] = {}


class Door(Protocol):
    async def knock(self) -> Way:
        """A new call's way in. Raises Refused."""


def checked(url: str, owned: bool, option: str = "--against") -> str:
    """The address, if calls to it harm nobody. Raises ConfigError."""
    host = urlsplit(url).hostname or ""
    if urlsplit(url).scheme not in ("http", "https", "ws", "wss") or not host:
        raise ConfigError(f"{option} is {url!r}; it must be an http or ws address")
    if not is_loopback(host) and not owned:
        raise ConfigError(
            f"{host} is another machine; calls in this number harm whoever it belongs to (--i-own-it: I do)"
        )
    return url


def new_sid() -> str:
    return "CA" + secrets.token_hex(16)


class StreamDoor:
    """A media stream that asks for no webhook."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url
        self._token = token

    async def knock(self) -> Way:
        headers = {"X-Twilio-Signature": signature(self._token, self._url)} if self._token else {}
        return Way(self._url, headers, new_sid(), {})


class PageDoor:
    """The page's own address for sessions."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._url = f"{'wss' if parts.scheme in ('https', 'wss') else 'ws'}://{parts.netloc}{parts.path.rstrip('/') or '/session'}"

    async def knock(self) -> Way:
        return Way(self._url, {"Sec-WebSocket-Protocol": "engine.v1"})


class WebhookDoor:
    """Twilio's webhook: signed, and answered with where the stream is."""

    def __init__(self, url: str, token: str, client: httpx.AsyncClient) -> None:
        parts = urlsplit(url)
        self._url = url if parts.path.strip("/") else f"{parts.scheme}://{parts.netloc}{VOICE}"
        self._netloc = parts.netloc
        self._scheme = "wss" if parts.scheme == "https" else "ws"
        self._token = token
        self._client = client

    async def knock(self) -> Way:
        call_sid = new_sid()
        form = {
            "AccountSid": "AC" + 32 * "0",
            "ApiVersion": "2010-04-01",
            "CallSid": call_sid,
            "CallStatus": "ringing",
            "Direction": "inbound",
            "From": FROM,
            "To": TO,
        }
        headers = {"content-type": "application/x-www-form-urlencoded; charset=UTF-8"}
        if self._token:
            headers["x-twilio-signature"] = signature(self._token, self._url, tuple(form.items()))
        try:
            answer = await self._client.post(self._url, content=urlencode(form), headers=headers, timeout=SECONDS)
        except httpx.HTTPError as error:
            raise Refused(f"the webhook: {type(error).__name__}") from error
        if answer.status_code != 200:
            raise Refused(f"the webhook: {answer.status_code} {answer.text[:200]}")
        return self._way(answer.text, call_sid)

    def _way(self, document: str, call_sid: str) -> Way:
        """Read TwiML. The stream is reached where the webhook was, under the path that it names."""
        try:
            verbs = fromstring(document)  # noqa: S314 - a server that we own
        except ParseError as error:
            raise Refused("the webhook's answer is no TwiML") from error
        stream = verbs.find("./Connect/Stream")
        if stream is None:
            raise Refused("the webhook: " + " ".join("".join(verbs.itertext()).split()))
        named = stream.attrib["url"]
        path = urlsplit(named).path
        parameters = {each.attrib["name"]: each.attrib["value"] for each in stream.iter("Parameter")}
        headers = {"X-Twilio-Signature": signature(self._token, named)} if self._token else {}
        return Way(f"{self._scheme}://{self._netloc}{path}", headers, call_sid, parameters)
