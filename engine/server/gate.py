"""Who may open a conversation: on this machine anybody, from elsewhere whoever holds a token, from a page that is allowed.

A page of another site must not reach a service on its visitor's own machine: so "this machine" is believed only when the
connection, the Host and the Origin all say so and no proxy stands between.
"""

import ipaddress
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct

from engine.server.tokens import Tokens
from engine.transports.browser import SUBPROTOCOL

Scope = Any
"""An ASGI connection scope."""

TOKEN_PREFIX = "engine.token."  # noqa: S105 - a name
"""A browser cannot set headers on a WebSocket; it can offer subprotocols, which servers do not log as they do addresses."""
FORWARDING = (b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"x-real-ip", b"via")
NETLOC = re.compile(r"(?:\[(?P<address>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9._-]+))(?::\d{1,5})?", re.ASCII)
"""RFC 9110 section 7.2, of RFC 3986's hosts those that a browser sends."""
WINDOW_SECONDS = 60.0
ADDRESSES_MAX = 10_000
"""Addresses counted at once. More than that in a minute is an attack, and then all strangers wait."""


def headers_of(scope: Scope) -> dict[bytes, bytes]:
    """The headers, the first of each name."""
    found: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        found.setdefault(name, value)
    return found


def is_loopback(host: str) -> bool:
    """Whether a host name or address can only be this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def host_of(netloc: str) -> str:
    """The host in "host:port". Empty for what is not just that, in which readers may find different hosts."""
    found = NETLOC.fullmatch(netloc)
    return (found["address"] or found["name"]).lower() if found else ""


def is_local(scope: Scope) -> bool:
    """Whether both ends of the connection are this machine, and nothing says otherwise."""
    headers = headers_of(scope)
    client = scope.get("client") or ("", 0)
    return (
        is_loopback(client[0])
        and is_loopback(host_of(headers.get(b"host", b"").decode("latin-1")))
        and not any(name in headers for name in FORWARDING)
    )


class Gate(Struct, frozen=True):
    """Decides at the upgrade, before anything is accepted."""

    tokens: Tokens
    origins: tuple[str, ...] = ()
    """Pages that may open a session beside our own, such as "https://www.example.com"."""
    public_url: str = ""
    """Our own address, where a proxy hides it."""

    def refusal(self, scope: Scope) -> str:
        """Why this connection may not open a session. Empty: it may."""
        headers = headers_of(scope)
        origin = headers.get(b"origin", b"").decode("latin-1")
        if origin and not self.knows(origin, headers.get(b"host", b"").decode("latin-1")):
            return "this page's origin is not allowed"
        if is_local(scope) or self.tokens.check(token_of(scope)):
            return ""
        return "a session needs a token that is valid now"

    def knows(self, origin: str, host: str) -> bool:
        """Whether a page of this origin may talk to us, who are reached as `host`."""
        try:
            own = urlsplit(origin).netloc
        except ValueError:
            return False
        public = urlsplit(self.public_url)
        return own == host or origin in self.origins or origin == f"{public.scheme}://{public.netloc}"


def token_of(scope: Scope) -> str:
    """What a WebSocket offers as a subprotocol, and a request as its bearer token."""
    if scope["type"] == "http":
        return headers_of(scope).get(b"authorization", b"").decode("latin-1").removeprefix("Bearer ")
    return next(
        (each.removeprefix(TOKEN_PREFIX) for each in scope["subprotocols"] if each.startswith(TOKEN_PREFIX)), ""
    )


def chosen_subprotocol(scope: Scope) -> str | None:
    return SUBPROTOCOL if SUBPROTOCOL in scope["subprotocols"] else None


class Door:
    """Counts connections, so that one address cannot take all the room."""

    def __init__(
        self, *, total_max: int, address_max: int, minute_max: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """total_max: connections at once; address_max: the same, of one address; minute_max: opened in a minute by one address."""
        self._total_max = total_max
        self._address_max = address_max
        self._minute_max = minute_max
        self._clock = clock
        self._inside: dict[str, int] = {}
        self._opened: dict[str, int] = {}
        self._since = clock()
        self.total = 0

    @contextmanager
    def enter(self, scope: Scope) -> Iterator[str]:
        """Be inside for the length of the block. Gives the refusal, or "" when there is room."""
        address = address_of(scope)
        refusal = self._refusal(address)
        if refusal:
            yield refusal
            return
        self.total += 1
        self._inside[address] = self._inside.get(address, 0) + 1
        try:
            yield ""
        finally:
            self.total -= 1
            self._inside[address] -= 1
            if not self._inside[address]:
                del self._inside[address]

    def _refusal(self, address: str) -> str:
        now = self._clock()
        if now - self._since >= WINDOW_SECONDS:
            self._opened.clear()
            self._since = now
        opened = self._opened.get(address, 0)
        if not opened and len(self._opened) >= ADDRESSES_MAX:
            return "too many connections"
        self._opened[address] = opened + 1
        if opened >= self._minute_max:
            return "too many connections from this address in a minute"
        if self._inside.get(address, 0) >= self._address_max:
            return "too many connections from this address at once"
        return "too many connections" if self.total >= self._total_max else ""


def address_of(scope: Scope) -> str:
    """Whom a connection is counted for: an IPv4 address, or the network of 64 bits that an IPv6 customer is given."""
    client = (scope.get("client") or ("unknown", 0))[0]
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        return str(client)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is None:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return client
