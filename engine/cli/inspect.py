"""`engine inspect CALL.jsonl | FOLDER`: a page on which recorded calls can be walked."""

import asyncio
import hmac
import secrets
from argparse import ArgumentParser, Namespace
from pathlib import Path

import uvicorn
import uvloop

from engine.cli import readable
from engine.errors import ConfigError
from engine.inspector import create_inspector
from engine.replay.reader import Journal
from engine.server.gate import is_local, is_loopback
from engine.server.pages import SecurityHeaders


def options(parser: ArgumentParser) -> None:
    parser.add_argument("place", metavar="CALL.jsonl|FOLDER", type=Path)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; elsewhere than here a token is made")
    parser.add_argument("--port", type=int, default=8090, help="port to listen on, 0 for a free one (default: 8090)")
    parser.add_argument("--jaeger", metavar="URL", default="", help="Jaeger's page, for links to traces")


def run(arguments: Namespace) -> int:
    place: Path = arguments.place
    if not place.is_dir():
        Journal(readable(place)).close()
    token = "" if is_loopback(arguments.host) else secrets.token_urlsafe(16)
    app = create_inspector(
        place,
        is_local=is_local,
        check_token=(lambda given: hmac.compare_digest(given.encode(), token.encode())) if token else None,
        jaeger=arguments.jaeger,
    )
    app.add_middleware(SecurityHeaders)
    config = uvicorn.Config(app, host=arguments.host, port=arguments.port, log_level="warning", access_log=False)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(config, token))
    return 0


async def _serve(config: uvicorn.Config, token: str) -> None:
    try:
        listening = config.bind_socket()
    except SystemExit:
        raise ConfigError(f"cannot listen on {config.host}:{config.port}") from None
    host, port = listening.getsockname()[:2]
    print(f"The inspector is at http://{host}:{port}/{f'?token={token}' if token else ''}", flush=True)
    await uvicorn.Server(config).serve(sockets=[listening])
