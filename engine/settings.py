"""What can be configured, apart from the providers' own options: sections of plain values with their defaults and bounds.

A field is a setting: adding one here makes it readable from TOML and the environment, checked, and documented in
docs/configuration.md. A field that ends in `_ns` is written in milliseconds, under the name that ends in `_ms`.
"""

import re
from enum import Enum
from types import UnionType
from typing import Annotated, Any, ClassVar, Literal, Union, get_args, get_origin

from msgspec import Meta, Struct
from msgspec.structs import FieldInfo, fields, replace

from engine.core.policy import Policy
from engine.core.units import MS, SECOND, TARGET

DURATION = re.compile(r"_ns(_max|_min)?$")

Secret = Annotated[str, Meta(extra={"secret": True})]
"""Read from the environment or from a file named `<setting>_file`; refused in the configuration file; never printed."""
Count = Annotated[int, Meta(ge=0)]
Several = Annotated[int, Meta(ge=1)]
Names = tuple[str, ...]

ICE_SCHEMES = ("stun:", "stuns:", "turn:", "turns:")
"""RFC 7064 and RFC 7065."""
SECRET_CHARS_MIN = 16
"""Of a secret that signs. 16 random letters and digits are 95 bits."""


class Section(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings that belong together. `__post_init__` may raise ValueError for values that do not fit each other."""

    section: ClassVar[str]
    """Its table in the configuration file."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"


class AgentSettings(Section, frozen=True, kw_only=True):
    """Which agent answers, and on which providers."""

    section: ClassVar[str] = "agent"

    module: Annotated[str, Meta(pattern=r"^[\w.]+:\w+$", extra={"env": "ENGINE_AGENT"})] = "engine.demo:make_agent"
    """The agent, or a function that makes it, as "package.module:name". The function is given the table [agent.settings]."""
    asr: Annotated[Names, Meta(extra={"env": "ENGINE_ASR"})] = ()
    """Recognisers in order of preference. Empty: the agent's own."""
    llm: Annotated[Names, Meta(extra={"env": "ENGINE_LLM"})] = ()
    """Language models in order of preference. Empty: the agent's own; "openai" where LLM_MODEL or LLM_BASE_URL is set."""
    tts: Annotated[Names, Meta(extra={"env": "ENGINE_TTS"})] = ()
    """Synthesizers in order of preference. Empty: the agent's own."""


class ServerSettings(Section, frozen=True, kw_only=True):
    """Where the service listens."""

    section: ClassVar[str] = "server"

    host: str = "127.0.0.1"
    """Address to listen on. Loopback unless you say otherwise."""
    port: Annotated[int, Meta(ge=0, le=65_535)] = 8080
    """0 takes a free one."""
    workers: Several = 1
    """Processes that share the port, each with its own event loop and its own limits."""
    drain_ns: Count = 20 * SECOND
    """How long calls may go on after SIGTERM or Ctrl-C before they are cut."""
    secret: Annotated[str, Meta(extra={"secret": True, "env": "ENGINE_SECRET"})] = ""
    """Signs the tokens with which sessions are opened from other machines. Empty: a new one at each start."""
    control_token: Annotated[str, Meta(extra={"secret": True, "env": "ENGINE_CONTROL_TOKEN"})] = ""
    """Opens /calls, where calls are ordered and hung up. Empty: it is closed, to everybody."""
    origins: Names = ()
    """Pages that may open sessions beside our own, such as https://www.example.com."""
    proxies: Names = ("127.0.0.1", "::1")
    """Reverse proxies whose X-Forwarded-For and X-Forwarded-Proto are believed."""
    tls_certificate: str = ""
    """PEM file of the certificate chain. Empty: plain HTTP."""
    tls_key: str = ""
    """PEM file of its private key."""

    def __post_init__(self) -> None:
        if self.secret and len(self.secret) < SECRET_CHARS_MIN:
            raise ValueError(f"secret has fewer than {SECRET_CHARS_MIN} characters; it could be guessed")
        if self.control_token and len(self.control_token) < SECRET_CHARS_MIN:
            raise ValueError(f"control_token has fewer than {SECRET_CHARS_MIN} characters; it could be guessed")
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise ValueError("tls_certificate and tls_key belong together; one of them is missing")


class LimitSettings(Section, frozen=True, kw_only=True):
    """How much one process takes on."""

    section: ClassVar[str] = "limits"

    calls_max: Several = 100
    """Calls at once; the next one is refused politely."""
    late_ns_max: Count = 60 * MS
    """How late the event loop may be, nine times of ten, before new calls are refused; so are they when it uses 85 % of a core.
    0: they never are for that."""
    calls_per_address: Several = 10
    """Browser sessions at once from one address."""
    calls_per_minute: Several = 60
    """Browser sessions begun by one address in a minute. A page that reloads in a loop makes about one a second."""


class BreakerSettings(Section, frozen=True, kw_only=True):
    """What the calls of a process learn from each other of a provider that fails: see docs/providers.md."""

    section: ClassVar[str] = "breaker"

    failures: Count = 3
    """A provider that has failed so often within the window, and not answered as often, is asked last until it is well. 0: never. Three:
    one call alone, with its one retry, does not decide for all."""
    window_ns: Several = 30 * SECOND
    """How long failures and answers count. Precedents: 10 s (Hystrix) and 30 s (Polly), for services that are asked more often."""
    probe_ns: Several = 2 * SECOND
    """Before it is first asked whether it is ready again; doubled for each further time. Most failures of a service pass in seconds."""
    probe_ns_max: Several = 60 * SECOND
    """The longest wait between two such questions. Precedent: resilience4j's 60 s."""


class JournalSettings(Section, frozen=True, kw_only=True):
    """The recording of each call, from which it can be replayed."""

    section: ClassVar[str] = "journal"

    folder: str = "calls"
    """One file per call goes here. Empty: no journals."""
    sound: bool = False
    """Whether the sound is recorded beside it, both directions as they were heard: 64 kB for each second. Ask the caller first."""
    keep_days: Annotated[float, Meta(ge=0)] = 30.0
    """Older journals are deleted. 0 keeps them for ever."""
    keep_mb: Count = 20_000
    """More than this together, the oldest are deleted. 0: no limit."""


class InspectSettings(Section, frozen=True, kw_only=True):
    """The page at /inspect, on which recorded and running calls can be walked."""

    section: ClassVar[str] = "inspect"

    token: Annotated[str, Meta(extra={"secret": True, "env": "ENGINE_INSPECT_TOKEN"})] = ""
    """Opens the page from other machines, as /inspect/?token=…. Empty: it opens on this machine only."""
    jaeger: Annotated[str, Meta(pattern="^(https?://.*)?$")] = ""
    """Jaeger's page, such as http://127.0.0.1:16686, for links to traces. Empty: no links."""

    def __post_init__(self) -> None:
        if self.token and len(self.token) < SECRET_CHARS_MIN:
            raise ValueError(f"token has fewer than {SECRET_CHARS_MIN} characters; it could be guessed")


class TelemetrySettings(Section, frozen=True, kw_only=True):
    """Traces, metrics and logs over OTLP."""

    section: ClassVar[str] = "telemetry"

    endpoint: Annotated[str, Meta(pattern="^(https?://.*)?$", extra={"env": "OTEL_EXPORTER_OTLP_ENDPOINT"})] = ""
    """The collector, such as http://127.0.0.1:4318. Empty: nothing is exported."""
    protocol: Annotated[Literal["http/protobuf", "grpc"], Meta(extra={"env": "OTEL_EXPORTER_OTLP_PROTOCOL"})] = (
        "http/protobuf"
    )
    """How OTLP is spoken to it."""
    service_name: Annotated[str, Meta(min_length=1, extra={"env": "OTEL_SERVICE_NAME"})] = "engine"
    """What this service is called in the traces."""
    sample: Annotated[float, Meta(ge=0, le=1)] = 1.0
    """Share of calls whose traces are exported."""
    content: bool = False
    """Whether what was said is exported too, under keys with a `pii` segment."""
    lines: bool = True
    """Whether log lines are exported."""


class TwilioSettings(Section, frozen=True, kw_only=True):
    """The telephone line. Without a token the Twilio routes are closed."""

    section: ClassVar[str] = "twilio"

    account_sid: Annotated[str, Meta(pattern="^(AC[0-9a-f]{32})?$", extra={"env": "TWILIO_ACCOUNT_SID"})] = ""
    """The account, needed for outbound calls and transfers."""
    auth_token: Annotated[str, Meta(extra={"secret": True, "env": "TWILIO_AUTH_TOKEN"})] = ""
    """Checks the signature of every webhook and media connection."""
    public_url: str = ""
    """The address Twilio reaches this service at, such as https://voice.example.com. Outbound calls need it."""
    api_key: Annotated[str, Meta(pattern="^(SK[0-9a-f]{32})?$", extra={"env": "TWILIO_API_KEY"})] = ""
    """An API key to order calls with, in place of the auth token."""
    api_secret: Annotated[str, Meta(extra={"secret": True, "env": "TWILIO_API_SECRET"})] = ""
    """The API key's secret."""
    region: Annotated[str, Meta(pattern="^([a-z]{2}[0-9])?$", extra={"env": "TWILIO_REGION"})] = ""
    """Where calls are ordered: us1, ie1 or au1; credentials belong to one region. Empty: us1."""
    edge: Annotated[str, Meta(pattern="^[a-z0-9-]*$", extra={"env": "TWILIO_EDGE"})] = ""
    """Where orders enter Twilio's network, such as dublin. Empty: the nearest; needed with a region."""
    api_url: Annotated[str, Meta(pattern="^(https?://.*)?$")] = ""
    """The REST API, where it is not Twilio's own. Empty: by edge and region."""
    number: str = ""
    """The number that outbound calls come from, where none is given."""

    def __post_init__(self) -> None:
        if bool(self.api_key) != bool(self.api_secret):
            raise ValueError("api_key and api_secret belong together; one of them is missing")
        if self.region and not self.edge:
            raise ValueError(f"region is {self.region!r} and edge is missing; an address needs both")
        if self.number and not TARGET.fullmatch(self.number):
            raise ValueError(f"number is {self.number!r}; it must be a telephone number such as +15550001111")
        if self.public_url and not self.public_url.startswith(("https://", "http://")):
            raise ValueError(
                f"public_url is {self.public_url!r}; it must begin with https:// (or http:// on your own machine)"
            )
        if self.public_url and self.auth_token == "":
            raise ValueError("public_url is set and auth_token is not; without it no call can be trusted")


class WebRTCSettings(Section, frozen=True, kw_only=True):
    """Calls from a page over WebRTC, where the extra `webrtc` is installed."""

    section: ClassVar[str] = "webrtc"

    ice_servers: Names = ()
    """STUN and TURN servers for us and for the page, such as stun:stun.example.com:3478 and turn:turn.example.com:3478. Empty: the
    addresses of this machine alone. We use the first of each kind."""
    turn_username: str = ""
    """For the TURN servers. Pages that may open a session are told it."""
    turn_credential: Secret = ""
    """Its password."""

    def __post_init__(self) -> None:
        for server in self.ice_servers:
            if not server.startswith(ICE_SCHEMES):
                raise ValueError(f"ice_servers has {server!r}; each begins with {', '.join(ICE_SCHEMES)}")
        if bool(self.turn_username) != bool(self.turn_credential):
            raise ValueError("turn_username and turn_credential belong together; one of them is missing")


SECTIONS: tuple[type[Section], ...] = (
    AgentSettings,
    ServerSettings,
    LimitSettings,
    BreakerSettings,
    JournalSettings,
    InspectSettings,
    TelemetrySettings,
    TwilioSettings,
    WebRTCSettings,
)


def policy_fields() -> tuple[FieldInfo, ...]:
    """The policy's numbers as settings, with the bounds their kinds have: no duration is negative, a probability lies in 0 to 1."""
    return tuple(replace(field, type=policy_type(field)) for field in fields(Policy))


def policy_type(field: FieldInfo) -> Any:
    if field.type is int:
        return Annotated[int, Meta(ge=0)]
    if field.type is float:
        return Annotated[float, Meta(ge=0, le=1) if "prob" in field.name else Meta(ge=0)]
    return field.type


def setting_name(field: FieldInfo) -> str:
    """As it is written in the configuration: durations in milliseconds."""
    return DURATION.sub(r"_ms\1", field.name)


def variables(path: str, field: FieldInfo, key_env: str = "") -> list[str]:
    """The environment's names for a setting, the well-known one first.

    key_env:  of a provider: where its key is, by custom.
    """
    names = [extra(field).get("env", ""), key_env if field.name == "api_key" else ""]
    names.append("ENGINE_" + re.sub(r"\W", "_", f"{path}_{setting_name(field)}").upper())
    return list(dict.fromkeys(filter(None, names)))


def is_duration(field: FieldInfo) -> bool:
    return DURATION.search(field.name) is not None


def is_secret(field: FieldInfo) -> bool:
    return field.name == "api_key" or extra(field).get("secret") is True


def extra(field: FieldInfo) -> dict[str, Any]:
    """What a field's type says about it beside its bounds."""
    found: dict[str, Any] = {}
    for meta in metas(field.type):
        found |= meta.extra or {}
    return found


def metas(kind: Any) -> list[Meta]:
    return [each for each in kind.__metadata__ if isinstance(each, Meta)] if get_origin(kind) is Annotated else []


def bare(kind: Any) -> Any:
    """A type without its annotations."""
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def allowed(kind: Any) -> str:
    """What may be written for a setting of this type, in words."""
    inner = bare(kind)
    if get_origin(inner) in (Union, UnionType):
        return " or ".join(allowed(part) for part in get_args(inner) if part is not type(None))
    if get_origin(inner) is Literal:
        return " or ".join(map(str, get_args(inner)))
    if isinstance(inner, type) and issubclass(inner, Enum):
        return " or ".join(str(member.value) for member in inner)
    if get_origin(inner) is tuple:
        return f"a list of {allowed(get_args(inner)[0])}"
    if get_origin(inner) is dict:
        return "a table"
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    return " ".join([names.get(inner, str(inner)), *(bounds(meta) for meta in metas(kind))]).strip()


def bounds(meta: Meta) -> str:
    """The bounds of a value, in words."""
    if meta.ge is not None and meta.le is not None:
        return f"from {meta.ge} to {meta.le}"
    words = [
        f"of at least {meta.ge}" if meta.ge is not None else "",
        f"above {meta.gt}" if meta.gt is not None else "",
        f"of at most {meta.le}" if meta.le is not None else "",
        f"below {meta.lt}" if meta.lt is not None else "",
        f"matching `{meta.pattern}`" if meta.pattern else "",
        f"of {meta.min_length} characters or more" if meta.min_length else "",
        f"of at most {meta.max_length} characters" if meta.max_length else "",
    ]
    return " ".join(filter(None, words))
