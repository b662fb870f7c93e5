"""Deepgram's Flux voices, on v2/speak. Each chunk is a turn of its own: what lies between its start and its metadata is its sound.

Sound carries no name, and what an interruption does to turns that wait is not documented; so the next is asked for when the one
before it is over. It is made faster than it is heard, so nobody hears that. Source: Deepgram's AsyncAPI specification and its Python
client (7.17.0, 2026-11). It tells nothing of its words.
"""

from collections.abc import Iterable

import msgspec
from msgspec import Struct, field

from engine.adapters.base import Headers, Options
from engine.adapters.synthesis import ContextVoice, SocketSynthesizer
from engine.adapters.websocket import Dial, query
from engine.core.units import SECOND
from engine.errors import AdapterError, FailureKind

INTERRUPT = '{"type":"Interrupt"}'
IGNORED = ("NO_AUDIO_GENERATED", "INVALID_INTERRUPT_OFFSET")
"""Warnings that an interruption was not obeyed: the turn goes on."""


class FluxOptions(Options, frozen=True, kw_only=True):
    """Query parameters. None and empty: the service's own default."""

    url: str = "wss://api.deepgram.com"
    model: str = "flux-alexis-en"
    """Voice and model in one. Aura's names are refused here."""
    sample_rate: int = 24_000
    """8000 to 48000."""
    speed: float | None = None
    """0.85 to 1.15."""
    expressivity: float | None = None
    """-2 to 2."""
    tag: tuple[str, ...] = ()
    mip_opt_out: bool | None = None
    query: dict[str, str | int | float | bool] = field(default_factory=dict)
    """Any other parameter, as it is."""


class Message(Struct, frozen=True):
    type: str = ""
    code: str = ""


MESSAGE = msgspec.json.Decoder(Message)
PARAMETERS = ("model", "sample_rate", "speed", "expressivity", "tag", "mip_opt_out")


class FluxVoice(ContextVoice[FluxOptions]):
    """One socket of a call. The tone of a turn carries over to the next."""

    name = "deepgram_flux"
    contexts_max = 1
    slot_ns = 45 * SECOND
    """As long as a chunk may take: the one before it fails or is cancelled by then."""
    farewell = '{"type":"Close"}'

    def __init__(self, options: FluxOptions, headers: Headers = ()) -> None:
        super().__init__(options, options.sample_rate, headers)
        self._turn = ""
        """The chunk whose turn it is."""
        self._interrupted = False
        """That was told to the service, which has not answered yet."""

    def dial(self) -> Dial:
        options = self._options
        self._turn = ""
        values = {name: getattr(options, name) for name in PARAMETERS}
        address = f"{options.url}/v2/speak?{query({'encoding': 'linear16', **values, **options.query})}"
        return Dial(address, {"Authorization": f"Token {options.api_key}"})

    def ask(self, context: str, text: str) -> Iterable[str]:
        self._turn, self._interrupted = context, False
        return msgspec.json.encode({"type": "Speak", "text": text}).decode(), '{"type":"Flush"}'

    def cancel(self, context: str) -> Iterable[str]:
        self._interrupted = True
        return (INTERRUPT,)

    def translate(self, message: str | bytes) -> None:
        if isinstance(message, bytes):
            self._take_sound(message)
            return
        said = MESSAGE.decode(message)
        match said.type:
            case "SpeechMetadata" | "SpeechInterrupted" if self._turn:
                turn, self._turn = self._turn, ""
                self.ended(turn)
            case "Warning" if said.code in IGNORED:
                self._interrupted = False
            case "Error":
                raise AdapterError(self.name, _kind(said.code), f"an error message: {said.code.partition('-')[0]}")

    def _take_sound(self, sound: bytes) -> None:
        """It is the turn's. One that nobody waits for is interrupted again, where that came too early for the service."""
        if context := self.context(self._turn):
            context.put_sound(sound)
        elif self._turn and not self._interrupted:
            self._interrupted = True
            self.send(INTERRUPT)


def _kind(code: str) -> FailureKind:
    """NET-… is trouble of the service's own; the others are of what it was sent."""
    if code.startswith("BIG"):
        return FailureKind.REJECTED
    return FailureKind.PROTOCOL if code.startswith(("MESSAGE", "DATA")) else FailureKind.UNAVAILABLE


class Flux(SocketSynthesizer):
    """The `deepgram_flux` synthesizer."""

    name = "deepgram_flux"
    options = FluxOptions
    key_env = "DEEPGRAM_API_KEY"
    voices = FluxVoice
