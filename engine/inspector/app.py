"""The routes of the inspector: the page, the list of calls, and one call as a stream of columns, a story and single steps.

Everything is a GET and only reads. From this machine anybody may look; from elsewhere whoever has the token.
"""

from collections.abc import Awaitable, Callable
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from engine.core.units import MS
from engine.errors import JournalError
from engine.inspector import sound, stream
from engine.inspector.fold import Fold
from engine.inspector.shelf import Shelf, figures
from engine.replay.explain import problems
from engine.replay.journal import LINE_BYTES_MAX, Step, shown
from engine.replay.keeper import sound_of
from engine.replay.notation import write_command, write_event
from engine.replay.reader import UNREADABLE, Journal, is_live
from engine.telemetry.records import SESSION_RUN, Call, trace_of

COOKIE = "engine_inspect"
SUM_UP_S = 0.3
"""Given to summing calls up for one look at the list."""
TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}

Handler = Callable[[Request], Awaitable[Response]]
_decode_step = msgspec.json.Decoder(Step).decode


class Inspector:
    """What the routes share."""

    def __init__(
        self, place: Path, *, is_local: Callable[[Any], bool], check_token: Callable[[str], bool] | None, jaeger: str
    ) -> None:
        self.shelf = Shelf(place)
        self._is_local = is_local
        self._check_token = check_token
        self._jaeger = jaeger.rstrip("/")
        folder = files("engine") / "web" / "inspect"
        self._parts = {each.name: each.read_bytes() for each in folder.iterdir() if each.is_file()}

    def guarded(self, handler: Handler) -> Handler:
        """The handler, for those who may look."""

        async def guard(request: Request) -> Response:
            if refusal := self._refusal(request):
                return refusal
            try:
                return await handler(request)
            except (JournalError, OSError, *UNREADABLE) as error:
                return _json({"error": str(error)}, 422)

        return guard

    def _refusal(self, request: Request) -> Response | None:
        token = request.query_params.get("token", "")
        if token and self._check_token and self._check_token(token):
            answer = RedirectResponse(request.url.path or "/", 303)
            answer.set_cookie(
                COOKIE,
                token,
                httponly=True,
                samesite="strict",
                path=request.scope.get("root_path") or "/",
                secure=request.scope["scheme"] == "https",
            )
            return answer
        if self._is_local(request.scope):
            return None
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        held = (request.cookies.get(COOKIE, ""), bearer)
        if self._check_token and any(self._check_token(each) for each in held if each):
            return None
        return _json(
            {"error": "the inspector is open on the machine itself; from elsewhere it needs a token (?token=…)"}, 403
        )

    # The page.

    async def page(self, request: Request) -> Response:
        if not request.url.path.endswith("/"):
            return RedirectResponse(f"{request.url.path}/", 307)
        return self._part("index.html")

    async def part(self, request: Request) -> Response:
        return self._part(request.path_params["name"])

    def _part(self, name: str) -> Response:
        body = self._parts.get(name)
        if body is None:
            return _json({"error": "not found"}, 404)
        suffix = name[name.rfind(".") :]
        return Response(
            body, media_type=TYPES.get(suffix, "application/octet-stream"), headers={"cache-control": "no-cache"}
        )

    # The list.

    async def calls(self, request: Request) -> Response:
        """What is on the shelf. Each time it is asked for, some more calls are summed up."""
        entries = await self.shelf.entries(request.query_params.get("search", "")[:200])
        await self.shelf.sum_up(entries, SUM_UP_S)
        return _json({"calls": entries, "folder": str(self.shelf.place)})

    # One call.

    def _open(self, request: Request) -> tuple[Path, Fold, Journal]:
        """Raises JournalError, OSError."""
        path = self.shelf.path(request.path_params["call"])
        if path is None:
            raise JournalError("there is no such call (any more)")
        with Journal(path) as journal:
            return path, self.shelf.fold(path, journal.header), journal

    async def call(self, request: Request) -> Response:
        """The header, and where else to look."""
        path, _, journal = self._open(request)
        header = journal.header
        links = {}
        if self._jaeger:
            key = Call(session=header.session, began_ns=header.started_ns).key
            links["trace"] = f"{self._jaeger}/trace/{trace_of(key, SESSION_RUN).trace_id:032x}"
        return _json(
            {
                "header": header,
                "file": path.name,
                "live": is_live(path),
                "sound": sound_of(path).exists(),
                "links": links,
            }
        )

    async def rows(self, request: Request) -> Response:
        """The table, piece after piece; while the call lives the answer does not end."""
        path, fold, _ = self._open(request)
        return StreamingResponse(stream.pieces(path, fold), media_type="application/octet-stream")

    async def story(self, request: Request) -> Response:
        """Answers with their waterfalls, interruptions, problems: as far as it has been folded."""
        _, fold, journal = self._open(request)
        story = fold.story
        key = Call(session=journal.header.session, began_ns=journal.header.started_ns).key
        answers = []
        for answer in story.answers:
            plain = msgspec.to_builtins(answer)
            plain["latency_ns"] = answer.latency_ns
            if self._jaeger:
                plain["trace"] = f"{self._jaeger}/trace/{trace_of(key, answer.run).trace_id:032x}"
            answers.append(plain)
        return _json(
            {
                "folded": fold.steps,
                "parted": fold.parted,
                "broken": fold.broken,
                "faithful": fold.faithful,
                "answers": answers,
                "interruptions": story.interruptions,
                "problems": problems(story),
                "stale": story.stale,
                "late_ms": story.late_ns_max / MS,
                "figures": figures(fold),
            }
        )

    async def step(self, request: Request) -> Response:
        """One step: its line as it is, in words, and what it changed."""
        path, fold, _ = self._open(request)
        raw = _line_at(path, _count(request.query_params.get("offset", ""), -1))
        entry = msgspec.json.decode(raw)
        if not raw.startswith(b'{"kind":"event"'):
            return _json({"entry": entry, "fact": "", "orders": [], "changes": [], "folded": fold.steps})
        step = _decode_step(raw)
        return _json(
            {
                "entry": entry,
                "fact": write_event(step.event),
                "orders": [write_command(command) for command in shown(step.commands)],
                "changes": fold.changed(step.seq) if fold.faithful else None,
                "folded": fold.steps,
                "parted": fold.parted,
            }
        )

    async def sound(self, request: Request) -> Response:
        """The recorded sound, in ranges as a player asks for them."""
        path, _, _ = self._open(request)
        if not sound_of(path).exists():
            return _json({"error": "no sound was recorded"}, 404)
        return FileResponse(sound_of(path), media_type="audio/wav")

    async def peaks(self, request: Request) -> Response:
        """The recorded sound's outline, one pair of bytes for each 20 ms, from one of them on."""
        path, _, _ = self._open(request)
        outline = await sound.peaks(sound_of(path), _count(request.query_params.get("from", "0"), 0))
        return Response(outline, media_type="application/octet-stream")


def _count(text: str, otherwise: int) -> int:
    """A number from the address; nonsense is the other one."""
    return int(text) if text.isdecimal() and text.isascii() and len(text) < 16 else otherwise


def _line_at(path: Path, offset: int) -> bytes:
    """Raises JournalError where no line begins."""
    with path.open("rb") as file:
        if offset > 0:
            file.seek(offset - 1)
            if file.read(1) != b"\n":
                raise JournalError("no line begins there")
        raw = file.readline(LINE_BYTES_MAX) if offset >= 0 else b""
    if not raw.endswith(b"\n"):
        raise JournalError("no line begins there")
    return raw


def _json(value: object, status: int = 200) -> Response:
    return Response(
        msgspec.json.encode(value), status, media_type="application/json", headers={"cache-control": "no-store"}
    )


def create_inspector(
    place: Path,
    *,
    is_local: Callable[[Any], bool],
    check_token: Callable[[str], bool] | None = None,
    jaeger: str = "",
) -> Starlette:
    """An ASGI app that shows the calls of a folder, or one journal. Mount it, or serve it alone.

    is_local:    whether a connection (an ASGI scope) is this machine's own; such may look without a token.
    check_token: whether a token is valid. None: nobody from elsewhere may look.
    jaeger:      the address of Jaeger's page, for links to traces. Empty: no links.
    """
    inspector = Inspector(place, is_local=is_local, check_token=check_token, jaeger=quote(jaeger, safe=":/?&=%"))
    routes = {
        "/": inspector.page,
        "/api/calls": inspector.calls,
        "/api/calls/{call}": inspector.call,
        "/api/calls/{call}/rows": inspector.rows,
        "/api/calls/{call}/story": inspector.story,
        "/api/calls/{call}/step": inspector.step,
        "/api/calls/{call}/sound": inspector.sound,
        "/api/calls/{call}/peaks": inspector.peaks,
        "/{name}": inspector.part,
    }
    return Starlette(routes=[Route(path, inspector.guarded(handler)) for path, handler in routes.items()])
