"""Words of the notation: how a line of a call is cut into tokens, and how values are written so that they can be read back.

A line never breaks: whatever cannot be printed (newlines, terminal escapes, direction marks) is written as a JSON escape.
"""

import json
import re
from enum import StrEnum
from typing import Any

from msgspec import Struct

_JSON = json.JSONDecoder()
_SPACE = re.compile(r"[ \t]*")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_TOKEN = re.compile(
    r"(?P<arrow>->)|(?P<phase>\[[A-Z][a-z]+\])|(?P<comma>,)|(?P<key>[A-Za-z_]\w*=)|(?P<place>@\d+(?:\.\d+)?(?![\w.]))"
    r"|(?P<id>[rqcet]\d+(?![\w.]))|(?P<number>-?\d+(?:\.\d+)?(?![\w.]))|(?P<word>[^\s,\"#\[\]{}=@]+)"
)
_VALUE = re.compile(r"[^\s,\"#\[\]{}]+")
_BARE = re.compile(r"[A-Za-z_*][\w.*/+:-]*|[0-9]")
_NUMBERED = re.compile(r"[rqcet]\d+")


class NotationError(ValueError):
    """A line that is not in the notation. The message says what was met and where."""


class Kind(StrEnum):
    """What a token is."""

    ARROW = "arrow"
    PHASE = "phase"
    COMMA = "comma"
    KEY = "key"
    PLACE = "place"
    ID = "id"
    NUMBER = "number"
    WORD = "word"
    TEXT = "text"
    """A quoted string, or JSON as it stands."""


class Token(Struct, frozen=True):
    """One token. For a key, `value` is what follows the equals sign and `name` the key."""

    kind: Kind
    value: str
    name: str = ""


def tokens(line: str) -> list[Token]:
    """Cut one line; a comment ends it. Raises NotationError."""
    found: list[Token] = []
    at = _skip(line, 0)
    while at < len(line) and line[at] != "#":
        token, at = _token(line, at)
        found.append(token)
        at = _skip(line, at)
    return found


def comment(line: str) -> str:
    """What follows the `#` of a line, stripped. Raises NotationError."""
    at = _skip(line, 0)
    while at < len(line):
        if line[at] == "#":
            return line[at + 1 :].strip()
        at = _skip(line, _token(line, at)[1])
    return ""


def _skip(line: str, at: int) -> int:
    found = _SPACE.match(line, at)
    return found.end() if found else at


def _token(line: str, at: int) -> tuple[Token, int]:
    if line[at] in '"{':
        value, end = _text(line, at)
        return Token(Kind.TEXT, value), end
    found = _TOKEN.match(line, at)
    if not found:
        raise NotationError(f"cannot read {line[at : at + 20]!r}")
    kind, text, end = Kind(str(found.lastgroup)), found.group(), found.end()
    if kind is Kind.KEY:
        value, end = _text(line, end) if line[end : end + 1] in ('"', "{", "[") else _plain(line, end)
        return Token(kind, value, text[:-1]), end
    if kind in (Kind.PLACE, Kind.PHASE):
        text = text.strip("@[]")
    return Token(kind, text), end


def _text(line: str, at: int) -> tuple[str, int]:
    """A quoted string, unquoted; or a JSON object or array, as it stands."""
    if line[at] == '"':
        found = _STRING.match(line, at)
        if not found:
            raise NotationError(f"a quote is not closed: {line[at : at + 20]!r}")
        try:
            return str(json.loads(found.group(), strict=False)), found.end()
        except ValueError:
            raise NotationError(f"cannot read the string {found.group()[:40]}") from None
    try:
        _, end = _JSON.raw_decode(line, at)
    except (ValueError, RecursionError):
        raise NotationError(f"cannot read JSON at {line[at : at + 20]!r}") from None
    return line[at:end], end


def _plain(line: str, at: int) -> tuple[str, int]:
    found = _VALUE.match(line, at)
    if not found:
        raise NotationError(f"a value is missing at {line[at - 10 : at + 10]!r}")
    return found.group(), found.end()


def quoted(text: str) -> str:
    """A text between quotes, on one line, with nothing in it that a terminal obeys."""
    inner = "".join(c if c.isprintable() and c not in '"\\' else json.dumps(c)[1:-1] for c in text)
    return f'"{inner}"'


def bare(text: str) -> str:
    """A name without quotes where that can be read back."""
    return text if _BARE.fullmatch(text) and not _NUMBERED.fullmatch(text) else quoted(text)


def content(text: str) -> str:
    """A text that may be JSON: an object is written as it stands, anything else between quotes."""
    if text.startswith("{") and text.isprintable():
        try:
            _, end = _JSON.raw_decode(text)
        except (ValueError, RecursionError):
            return quoted(text)
        if end == len(text):
            return text
    return quoted(text)


def compact(value: Any) -> str:
    """Plain data as JSON on one line."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text if text.isprintable() else json.dumps(value, separators=(",", ":"))


def milliseconds(ns: int) -> str:
    """Nanoseconds as milliseconds, exactly, with no more digits than it takes."""
    sign, ns = ("-", -ns) if ns < 0 else ("", ns)
    whole, rest = divmod(ns, 1_000_000)
    return f"{sign}{whole}" + (f".{rest:06d}".rstrip("0") if rest else "")


def nanoseconds(text: str) -> int:
    """Milliseconds as written, exactly. Raises NotationError."""
    found = re.fullmatch(r"(-?)(\d+)(?:\.(\d{1,6}))?", text)
    if not found:
        raise NotationError(f"{text!r} is no number of milliseconds (six digits after the point at most)")
    sign, whole, rest = found.groups()
    ns = int(whole) * 1_000_000 + int((rest or "").ljust(6, "0"))
    return -ns if sign else ns
