"""`create_app`: routes and limits, and what lies behind them, from one configuration."""

import asyncio
import hmac
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute

from engine.agent import Agent
from engine.config import Config, load
from engine.core.units import MS
from engine.inspector import create_inspector
from engine.runtime.breakers import Breakers
from engine.runtime.host import ObserverFactory
from engine.server.carrier import TwilioApi
from engine.server.control import Control
from engine.server.dialling import Dialler
from engine.server.gate import Door, Gate, is_local
from engine.server.lines import Lines
from engine.server.neighbours import Neighbours
from engine.server.pages import Pages, SecurityHeaders
from engine.server.sessions import Sessions
from engine.server.shared import Shared
from engine.server.switchboard import Switchboard
from engine.server.telephone import Account, Media, Webhooks
from engine.server.tokens import Tokens
from engine.server.webrtc import Offers

SPARE_CONNECTIONS = 64
"""Connections beyond the calls: those that have not said hello yet, and those that are told that there is no room."""
ORDERS_AT_ONCE, ORDERS_PER_MINUTE = 64, 600
"""Calls ordered over /calls, and guesses at its token, by one address."""
WEBHOOKS_AT_ONCE, WEBHOOKS_PER_MINUTE = 64, 6_000
"""All of Twilio's webhooks come from a few addresses. 100 calls a second is more than a process can begin."""


class App(Starlette):
    """The ASGI app, and what its embedder may want of it."""

    switchboard: Switchboard
    tokens: Tokens
    """`app.tokens.mint(300)` lets its bearer open sessions for five minutes."""
    private: Starlette
    """What the other workers of a service ask of this one. To be served to them alone."""
    dialler: Dialler
    """`call = await app.dialler.dial("+15550003333")`, then `await call.ended()`: see engine/server/dialling.py."""


def create_app(
    agent: Agent | None = None,
    config: Config | None = None,
    *,
    observers: Sequence[ObserverFactory] = (),
    shared: Shared | None = None,
) -> App:
    """The engine as an ASGI app: run it, or mount it in another.

    agent:     whom the calls are for. None: the configured one.
    config:    None: from the environment (see docs/configuration.md).
    observers: told of every step of every call, beside those that are configured.
    shared:    where this is one of several processes of a service: their common notes.
    Raises:    ConfigError.

    Mounted, it starts its providers with the first call, unless the outer app runs its lifespan too:

        voice = create_app(agent)
        app = FastAPI(lifespan=voice.router.lifespan_context)
        app.mount("/voice", voice)
    """
    if config is None:
        config = load(agent=agent)
    switchboard = Switchboard(config, observers)
    secret = config.server.secret or secrets.token_urlsafe(32)
    tokens = Tokens(secret, "session")
    door = Door(
        total_max=config.limits.calls_max + SPARE_CONNECTIONS,
        address_max=config.limits.calls_per_address,
        minute_max=config.limits.calls_per_minute,
    )
    gate = Gate(tokens, config.server.origins, config.twilio.public_url)
    neighbours = Neighbours(shared)
    lines = Lines(switchboard, neighbours)
    sessions = Sessions(lines, gate, door, Tokens(secret, "resume"))
    offers = Offers(sessions, gate, door, config.webrtc, neighbours)
    dialler, telephone, between = telephone_of(
        config, lines, Tokens(secret, "media", once=shared.once if shared else None), shared
    )
    switchboard.closing.append(dialler.close)
    pages = Pages()

    @asynccontextmanager
    async def lifespan(_: object) -> AsyncIterator[None]:
        await switchboard.ready()
        try:
            yield
        finally:
            await switchboard.stop()
            await offers.stop()

    app = App(
        routes=[
            Route("/", pages.home),
            Route("/web/{name:path}", pages.part),
            *health(switchboard),
            WebSocketRoute("/session", sessions),
            Route("/webrtc/offer", offers.offer, methods=["GET", "POST", "OPTIONS"]),
            *telephone,
            *inspection(config),
        ],
        middleware=[Middleware(SecurityHeaders)],
        lifespan=lifespan,
    )
    app.switchboard = switchboard
    app.dialler = dialler
    app.tokens = tokens
    app.private = Starlette(
        routes=[
            *between,
            Mount("/page", app=sessions.passed_on),
            Route("/offer", offers.passed_on, methods=["POST"]),
        ]
    )
    return app


def health(switchboard: Switchboard) -> list[BaseRoute]:
    """What a load balancer asks."""

    async def healthz(request: Request) -> JSONResponse:
        """The process lives."""
        return JSONResponse({"status": "ok"})

    async def readyz(request: Request) -> JSONResponse:
        """A call that comes now is taken."""
        host, stalls = switchboard.host, switchboard.stalls
        body = {
            "ready": switchboard.is_ready,
            "calls": host.calls,
            "calls_max": host.calls_max,
            "draining": host.draining,
            "tasks": len(asyncio.all_tasks()),
            "late_ms": stalls.late_ns // MS if stalls else 0,
            "busy": round(stalls.busy, 3) if stalls else 0.0,
            "providers": providers_of(host.breakers),
        }
        return JSONResponse(body, status_code=200 if switchboard.is_ready else 503)

    return [Route("/healthz", healthz), Route("/readyz", readyz)]


def providers_of(breakers: Breakers) -> dict[str, dict[str, str]]:
    """What is known of each provider: closed (well), half_open (one call tries it) or open (asked last)."""
    found: dict[str, dict[str, str]] = {}
    for breaker in breakers:
        found.setdefault(breaker.stage.value, {})[breaker.name] = breaker.position.name.lower()
    return found


def telephone_of(
    config: Config, lines: Lines, tickets: Tokens, shared: Shared | None
) -> tuple[Dialler, list[BaseRoute], list[BaseRoute]]:
    """The telephone: what places calls, what Twilio and the operator's own service reach, and what other workers do."""
    settings = config.twilio
    api = TwilioApi(settings) if settings.account_sid and (settings.auth_token or settings.api_key) else None
    account = Account(settings, tickets, shared, api)
    dialler = Dialler(settings, lines, api)
    door = Door(total_max=2 * WEBHOOKS_AT_ONCE, address_max=WEBHOOKS_AT_ONCE, minute_max=WEBHOOKS_PER_MINUTE)
    webhooks = Webhooks(lines, door, account, dialler)
    orders = Door(total_max=ORDERS_AT_ONCE, address_max=ORDERS_AT_ONCE, minute_max=ORDERS_PER_MINUTE)
    control = Control(dialler, config.server.control_token, orders)
    told = (webhooks.voice, webhooks.after, webhooks.dialled, webhooks.bridged, webhooks.status, webhooks.machine)
    media = Media(lines, account, dialler)
    public = [
        *(Route(f"/twilio/{each.__name__}", each, methods=["POST"]) for each in told),
        WebSocketRoute("/twilio/media", media),
        Route("/calls", control.place, methods=["POST"]),
        Route("/calls/{call_sid}", control.show, methods=["GET"]),
        Route("/calls/{call_sid}", control.end, methods=["DELETE"]),
    ]
    between = [
        Route("/twilio/{name}", webhooks.passed_on, methods=["POST"]),
        Mount("/media", app=media.passed_on),
        Route("/placed", control.tell, methods=["POST"]),
    ]
    return dialler, public, between


def inspection(config: Config) -> list[BaseRoute]:
    """The page on which calls can be walked, where they are recorded."""
    if not config.journal.folder:
        return []
    token = config.inspect.token.encode()
    inspector = create_inspector(
        Path(config.journal.folder).expanduser(),
        is_local=is_local,
        check_token=(lambda given: hmac.compare_digest(given.encode(), token)) if token else None,
        jaeger=config.inspect.jaeger,
    )
    return [Mount("/inspect", inspector)]
