"""The page and its parts, from the package's own files, with the headers that keep a browser from being used against its owner."""

import hashlib
import mimetypes
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

mimetypes.add_type("text/javascript", ".js")

CONTENT_SECURITY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "media-src 'self' blob:",
        "connect-src 'self'",
        "worker-src 'self'",
        "manifest-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
SECURITY = (
    (b"content-security-policy", CONTENT_SECURITY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"permissions-policy", b"microphone=(self), camera=(), geolocation=()"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


class SecurityHeaders:
    """Middleware: every answer over HTTP carries the security headers, errors too."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *SECURITY]}
            await send(message)

        await self._app(scope, receive, secured if scope["type"] == "http" else send)


class Page:
    """A file in memory."""

    def __init__(self, name: str, body: bytes) -> None:
        self.body = body
        self.etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        self.media_type = mimetypes.guess_type(name)[0] or "application/octet-stream"

    def answer(self, request: Request) -> Response:
        headers = {"etag": self.etag, "cache-control": "no-cache"}
        if request.headers.get("if-none-match") == self.etag:
            return Response(status_code=304, headers=headers)
        return Response(self.body, headers=headers, media_type=self.media_type)


class Pages:
    """Everything under engine/web, read once: no path of a stranger's ever reaches the file system."""

    def __init__(self) -> None:
        self._pages = dict(pages_in(files("engine") / "web", ""))

    def body(self, name: str) -> bytes:
        return self._pages[name].body

    async def home(self, request: Request) -> Response:
        return self._pages["index.html"].answer(request)

    async def part(self, request: Request) -> Response:
        page = self._pages.get(request.path_params["name"])
        return page.answer(request) if page else JSONResponse({"error": "not found"}, status_code=404)


def pages_in(folder: Traversable, prefix: str) -> Iterator[tuple[str, Page]]:
    for each in folder.iterdir():
        if each.is_dir():
            yield from pages_in(each, f"{prefix}{each.name}/")
        else:
            yield prefix + each.name, Page(each.name, each.read_bytes())
