"""Is this request Twilio's? The header X-Twilio-Signature, over webhooks and over the WebSocket's upgrade.

Source: Twilio, "Webhooks security" (2026), and its client libraries, whose vectors the tests hold.
"""

import hashlib
import hmac
from base64 import b64encode
from collections.abc import Iterable, Sequence
from urllib.parse import SplitResult, urlsplit, urlunsplit

PORTS = {"https": 443, "wss": 443, "http": 80, "ws": 80}

Form = Sequence[tuple[str, str]]
"""A form's decoded fields, blank ones too, in any order."""


def signature(token: str, url: str, form: Form = ()) -> str:
    """What Twilio writes: HMAC-SHA1 over the URL and then each name with its values, names and values sorted, none twice."""
    values: dict[str, set[str]] = {}
    for name, value in form:
        values.setdefault(name, set()).add(value)
    text = url + "".join(name + value for name in sorted(values) for value in sorted(values[name]))
    return b64encode(hmac.digest(token.encode(), text.encode(), hashlib.sha1)).decode()


def genuine(token: str, given: str, urls: Iterable[str], form: Form = ()) -> bool:
    """Whether the account's token made this signature for one of the URLs, in any of its spellings."""
    return any(
        hmac.compare_digest(signature(token, spelling, form).encode(), given.encode(errors="replace"))
        for url in urls
        for spelling in spellings(url)
    )


def spellings(url: str) -> tuple[str, ...]:
    """The URL as it is, with its default port written out, and without a port: Twilio's libraries accept each.

    None for what is no URL: the host in it is whatever a stranger wrote in a header.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or PORTS.get(parts.scheme)
    except ValueError:
        return ()
    return tuple(dict.fromkeys((url, with_port(parts, port), with_port(parts, None))))


def with_port(parts: SplitResult, port: int | None) -> str:
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return urlunsplit(parts._replace(netloc=host if port is None else f"{host}:{port}"))
