"""Every parser that strangers reach, as functions of bytes that return when all is well and raise when something is wrong.

`tests/test_strangers.py` gives them some hundred inputs on every run of the tests; `fuzz/strangers_atheris.py` gives them as many as
one likes, guided by coverage. Where an input has several parts (messages, a request's head and body), SEPARATOR stands between them.
"""

import contextlib
import functools
import io
import re
import shutil
import tempfile
from argparse import Namespace
from collections.abc import Callable, Iterator, MutableMapping
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote_to_bytes
from xml.etree.ElementTree import fromstring

from msgspec import Struct
from starlette.types import ASGIApp

from engine.agent import Agent
from engine.cli import show
from engine.config import load
from engine.errors import EngineError, JournalError, TransportClosed
from engine.inspector import stream
from engine.inspector.fold import Fold
from engine.inspector.rows import ROWS_MAX, Rows
from engine.inspector.shelf import Shelf, figures
from engine.replay.lexer import NotationError
from engine.replay.notation import parse_event
from engine.replay.redact import redact
from engine.replay.script import parse_script
from engine.replay.verify import verify
from engine.server import create_app, twiml
from engine.server.gate import TOKEN_PREFIX, Gate, address_of
from engine.server.signatures import genuine, signature
from engine.server.tokens import Tokens
from engine.telemetry import parse_traceparent
from engine.toolbox import Toolbox, tool
from engine.transports.browser import Browser
from engine.transports.twilio import Twilio
from fuzz import rtc
from fuzz.far_end import SEPARATOR, Ear, run

SECRET = "the secret of an account under attack"
BINARY = b"\x01"
"""The first byte of a message that is not text."""
START = (
    b'{"event":"start","streamSid":"MZ1","start":{"streamSid":"MZ1","callSid":"CA1","customParameters":{"token":"t"},'
    b'"mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1}}}'
)
HELLO = b'{"type":"hello","rate":16000}'
GOLDEN = Path(__file__).parent.parent / "tests" / "replay" / "journals"


class Peer:
    """An accepted WebSocket whose other end says what it is given, and then leaves."""

    def __init__(self, parts: list[bytes]) -> None:
        self._parts = iter(parts)

    async def receive(self) -> MutableMapping[str, Any]:
        part = next(self._parts, None)
        if part is None:
            return {"type": "websocket.disconnect", "code": 1006}
        if part.startswith(BINARY):
            return {"type": "websocket.receive", "bytes": part[1:]}
        return {"type": "websocket.receive", "text": part.decode(errors="replace")}

    async def send(self, message: MutableMapping[str, Any]) -> None:
        assert message["type"] in ("websocket.send", "websocket.close")


def twilio(data: bytes) -> None:
    """Messages on a media stream."""

    async def call() -> None:
        peer = Peer(data.split(SEPARATOR))
        telephone = Twilio(peer.receive, peer.send)
        with contextlib.suppress(TransportClosed):
            await telephone.open()
            await telephone.carry(Ear("ulaw", 8_000))

    run(call())


def browser(data: bytes) -> None:
    """Messages of a page, binary ones too."""

    async def call() -> None:
        peer = Peer(data.split(SEPARATOR))
        page = Browser(peer.receive, peer.send)
        with contextlib.suppress(TransportClosed):
            hello = await page.open()
            await page.carry(Ear("pcm16", hello.rate))

    run(call())


@functools.cache
def app() -> ASGIApp:
    """The service, with the telephone's routes and the inspector open, but no call yet."""
    agent = Agent("Be brief.", asr=(), llm=("scripted",), tts=("espeak",))
    folder = tempfile.mkdtemp(prefix="fuzz-")
    for name in ("keys", "failures"):
        shutil.copy(GOLDEN / f"{name}.jsonl", folder)
    environ = {"TWILIO_AUTH_TOKEN": SECRET, "ENGINE_SECRET": SECRET, "ENGINE_INSPECT_TOKEN": SECRET}
    return create_app(config=load(environ=environ, flags={"journal.folder": folder}, agent=agent))


def http(data: bytes) -> None:
    """One request: method and path, headers, body. Answered, with the security headers, and never with a fault of ours.

    A path of "~" stands for a signed webhook, so that what lies behind the signature is reached too.
    """
    first, _, rest = data.partition(SEPARATOR)
    head, _, body = rest.partition(SEPARATOR)
    method, _, target = first.decode("latin-1").partition(" ")
    path, _, query = target.partition("?")
    pairs = (line.split(b":", 1) for line in head.split(b"\n") if b":" in line)
    headers = [(name.strip().lower(), value.strip()) for name, value in pairs]
    if path == "~":
        path, method = "/twilio/after", "POST"
        headers = [(b"host", b"us.example"), (b"x-twilio-signature", signed(path, body).encode())]
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method or "GET", "scheme": "http",
        "path": unquote_to_bytes(path or "/").decode(errors="replace"), "raw_path": path.encode("latin-1"), "root_path": "",
        "query_string": re.sub("[^!-~]", "", query).encode(), "headers": headers, "client": ("127.0.0.1", 9), "server": ("127.0.0.1", 80),
    }  # fmt: skip
    sent: list[MutableMapping[str, Any]] = []
    given = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> MutableMapping[str, Any]:
        return next(given, {"type": "http.disconnect"})

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    run(app()(scope, receive, send))
    assert sent[0]["type"] == "http.response.start"
    assert sent[0]["status"] < 500 or scope["path"].startswith("/readyz"), (scope, sent)
    assert (b"x-content-type-options", b"nosniff") in sent[0]["headers"]


def signed(path: str, body: bytes) -> str:
    try:
        form = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=200)
    except ValueError:
        form = []
    return signature(SECRET, f"https://us.example{path}", form)


def upgrade(data: bytes) -> None:
    """Who may open a session: no Host, Origin, token or trace of a stranger's opens the gate."""
    host, origin, token, trace = (*data.split(SEPARATOR), b"", b"", b"", b"")[:4]
    scope = {
        "type": "websocket",
        "path": "/session",
        "headers": [(b"host", host), *([(b"origin", origin)] if origin else [])],
        "client": ("203.0.113.9", 9),
        "subprotocols": ["engine.v1", TOKEN_PREFIX + token.decode("latin-1")],
    }
    assert Gate(Tokens(SECRET, "session"), ("https://us.example",)).refusal(scope)
    assert address_of({"client": (host.decode("latin-1"), 9)}) is not None
    parse_traceparent(trace.decode("latin-1"))


def tokens(data: bytes) -> None:
    """A token nobody made is no token, for whatever subject."""
    made = Tokens(SECRET, "media")
    token, _, subject = data.partition(SEPARATOR)
    for text in (token.decode("latin-1"), token.decode(errors="surrogateescape")):
        assert not made.check(text, subject.decode(errors="surrogateescape"))
        assert not made.redeem(text, subject.decode("latin-1"))


def signatures(data: bytes) -> None:
    """No signature of a stranger's fits, whatever the Host and the form."""
    given, host, path, form = (*data.split(SEPARATOR), b"", b"", b"", b"")[:4]
    url = f"https://{host.decode('latin-1')}/{path.decode(errors='replace')}"
    fields = parse_qsl(form.decode(errors="replace"), keep_blank_values=True)
    assert not genuine(SECRET, given.decode("latin-1"), [url], fields)


def markup(data: bytes) -> None:
    """What callers and networks write into a form comes out of our TwiML as it was, or not at all, and never as markup."""
    name, _, target = data.decode(errors="replace").partition("\ufffd\ufffd")
    connect = fromstring(twiml.connect("wss://us.example/m", "https://us.example/a", {"from": name}))
    assert [each.tag for each in connect.iter()] == ["Response", "Connect", "Stream", "Parameter"]
    assert [each.tag for each in fromstring(twiml.dial(target, "https://us.example/a", "https://us.example/b")).iter()][
        :2
    ] == ["Response", "Dial"]
    assert len(list(fromstring(twiml.say(name)).iter())) == 3


@contextlib.contextmanager
def file_of(data: bytes) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        path = Path(folder) / "call.jsonl"
        path.write_bytes(data)
        yield path


def journal(data: bytes) -> None:
    """A journal from somebody else: shown, checked, redacted, and walked in the inspector."""
    with file_of(data) as path:
        for read in (
            lambda: show.run(Namespace(journal=path, all=True)),
            lambda: verify(path),
            lambda: redact(path, path.with_suffix(".out")),
        ):
            with contextlib.suppress(EngineError), contextlib.redirect_stdout(io.StringIO()):
                read()
        rows = Rows()
        with path.open("rb") as file:
            while stream.take(file, rows, ROWS_MAX):
                pass
        rows.piece()
        shelf, fold = Shelf(path.parent), Fold(path, faithful=True)
        run(shelf.sum_up(run(shelf.entries("slot")), 1.0))
        run(fold.advance())
        figures(fold)
        with contextlib.suppress(JournalError):
            fold.changed(0)


def notation(data: bytes) -> None:
    """A call as text, pasted from anywhere."""
    text = data.decode(errors="replace")
    with contextlib.suppress(NotationError):
        parse_script(text)
    with contextlib.suppress(NotationError):
        parse_event(text)


class Place(Struct):
    street: str
    number: int = 1


@tool
async def book(day: date, hours: list[int], place: Place | None = None, note: str = "", extra: Any = None) -> str:
    """Book."""
    assert type(day) is date
    assert all(type(hour) is int for hour in hours)
    assert place is None or (type(place.street), type(place.number)) == (str, int)
    assert type(note) is str
    return "booked"


TOOLBOX = Toolbox([book])


def arguments(data: bytes) -> None:
    """What a model was talked into writing as a tool's arguments: run as declared, or refused in words."""
    said, failed = run(TOOLBOX.call("book", data.decode(errors="surrogateescape")))
    assert (said == "booked") is not failed
    assert "AssertionError" not in said, "the tool was run with what its signature does not allow"
    said.encode()  # it goes to the model


TARGETS: dict[str, Callable[[bytes], None]] = {
    each.__name__: each
    for each in (twilio, browser, http, upgrade, tokens, signatures, markup, journal, notation, arguments)
} | rtc.TARGETS


def seeds(target: str) -> list[bytes]:
    """Inputs that get far, to begin with."""
    match target:
        case "twilio":
            connected, media = b'{"event":"connected"}', b'{"event":"media","streamSid":"MZ1","media":%s}'
            told = [
                media % b'{"track":"inbound","chunk":"1","timestamp":"5","payload":"//7/fw=="}',
                media % b'{"chunk":9,"payload":"AAAA"}',
                b'{"event":"dtmf","streamSid":"MZ1","dtmf":{"digit":"#"}}',
                b'{"event":"mark","streamSid":"MZ1","mark":{"name":"1.2"}}',
                b'{"event":"stop","streamSid":"MZ1"}',
            ]
            return [SEPARATOR.join([connected, START, *told]), SEPARATOR.join([START, BINARY + b"x", *told[::-1]])]
        case "browser":
            told = [
                b'{"type":"played","run":1,"samples":480}', b'{"type":"text","text":"hello"}',
                b'{"type":"key","digit":"5"}', b'{"type":"ping","id":7}', BINARY + bytes(4) + b"\1\2" * 320,
                BINARY + b"\x80\2\0\0" + bytes(320), b'{"type":"bye"}',
            ]  # fmt: skip
            return [SEPARATOR.join([HELLO, *told]), SEPARATOR.join([HELLO.replace(b"16000", b"48000"), *told[::-1]])]
        case "http":
            paths = [
                "GET /", "GET /web/main.js", "GET /web/../app.py", "GET /healthz", "GET /readyz", "POST /twilio/voice",
                "POST /twilio/after?x=1", "~", "POST ~", "GET /inspect/", "GET /inspect/api/calls?search=slot",
                "GET /inspect/main.js", "GET /inspect/?token=made-up", "GET /session", "OPTIONS /twilio/voice",
                "GET /inspect/api/calls/0123456789abcdef/step?offset=7", "HEAD /", "GET /web/%2e%2e/app.py",
            ]  # fmt: skip
            heads = [
                b"host: localhost", b"host: us.example\ncontent-encoding: gzip\nx-twilio-signature: AAAA",
                b"host: localhost\ncookie: engine_inspect=x\nauthorization: Bearer y\nrange: bytes=0-5\nif-none-match: *",
            ]  # fmt: skip
            forms = [b"CallSid=CA1&From=%2B1555&To=", b"\x1f\x8b\x08\0" + bytes(20)]
            return [SEPARATOR.join([path.encode(), heads[n % 3], forms[n % 2]]) for n, path in enumerate(paths)]
        case "upgrade":
            trace = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
            return [
                SEPARATOR.join([b"localhost:80", b"http://localhost:80", b"6a.x.y", trace]),
                SEPARATOR.join([b"[::1]:8080", b"https://us.example", Tokens(SECRET, "media").mint(9).encode()]),
            ]
        case "tokens":
            real = Tokens(SECRET, "session").mint(60, "CA1").encode()
            return [real + SEPARATOR + b"CA1", b"ffffffff.abc.def" + SEPARATOR]
        case "signatures":
            given = signature("another account's token", "https://us.example/a", [("From", "x")]).encode()
            return [
                SEPARATOR.join([given, host, b"a?b=c", b"From=x"])
                for host in (b"us.example", b"[::1]:443", b"a:b@c:99")
            ]
        case "markup":
            return [b"+15550001111" + SEPARATOR + b"sip:a@us.example", b"<&>\"'\0\x1b" + SEPARATOR + b"+15550002222"]
        case "journal":
            return [path.read_bytes()[:20_000] for path in sorted(GOLDEN.glob("*.jsonl"))]
        case "notation":
            return [CALL, b'100 asr open e1 -> llm r1 q1 "x", tts r1 c1 "y" first_ns=4 [Listening] # z']
        case "arguments":
            return [
                b'{"day":"2026-11-23","hours":[9,"10"],"place":{"street":"Long","number":"4"},"note":"x","extra":{"a":[1]}}',
                b"", b"null", b'{"day":"2026-11-23","hours":[],"extra":' + 500 * b"[" + 500 * b"]" + b"}",
            ]  # fmt: skip
    return rtc.seeds(target)


CALL = b"""recorded
    0       session started
    100     asr open e1
    3400    asr final "I need a slot on Monday." -> llm r2 "I need a slot"
    4300    llm r2 "Let me look. "      -> tts r2 "Let me look."
    4320    llm r2 calls find_slots {"day":"Monday"}
            -> tool t1 r2 find_slots {"day":"Monday"}
    4350    llm r2 done tool_calls input_tokens=210 output_tokens=20
    6300    caller speaks -> pause r2   [Listening]  # a comment
    9500    session ended "caller hung up"
"""
