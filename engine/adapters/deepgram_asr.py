"""Deepgram: Nova on v1/listen, and Flux on v2/listen, which judges turns itself and says early when one may be over.

The model's name decides which: "flux-…" speaks v2. Source: Deepgram's AsyncAPI specification (2026-07-22) and docs (2026-11).
"""

from collections.abc import Iterable
from typing import Any, ClassVar

import msgspec
from msgspec import Struct, field

from engine.adapters.base import ASRFact, Options
from engine.adapters.recognition import SocketRecognizer, SocketStream
from engine.adapters.websocket import Dial, query
from engine.core.events import (
    ASREagerEndOfTurn,
    ASREndOfTurn,
    ASROpened,
    ASRStartOfTurn,
    ASRTurnResumed,
)
from engine.core.units import ENGINE_HZ, FRAME_BYTES, SECOND
from engine.errors import AdapterError, FailureKind

WIRE = {"encoding": "linear16", "sample_rate": ENGINE_HZ}


class DeepgramOptions(Options, frozen=True, kw_only=True):
    """Query parameters of the two endpoints. None: the service's own default."""

    url: str = "wss://api.deepgram.com"
    """Or a regional host, or one's own server."""
    model: str = "nova-3"
    keyterm: tuple[str, ...] = ()
    profanity_filter: bool | None = None
    numerals: bool | None = None
    redact: tuple[str, ...] = ()
    mip_opt_out: bool | None = None
    tag: tuple[str, ...] = ()
    # v1 only.
    language: str = ""
    punctuate: bool | None = True
    smart_format: bool | None = None
    endpointing: int | bool | None = None
    """Milliseconds of silence that close a final, or false. The service's default is 10."""
    no_delay: bool | None = None
    filler_words: bool | None = None
    keywords: tuple[str, ...] = ()
    # v2 only.
    eot_threshold: float | None = None
    eager_eot_threshold: float | None = 0.5
    """Without one there is no early end of turn to think ahead on. 0.3 to 0.9, at most eot_threshold."""
    eot_timeout_ms: int | None = None
    language_hint: tuple[str, ...] = ()
    query: dict[str, str | int | float | bool | list[str]] = field(default_factory=dict)
    """Any other parameter, as it is."""


SHARED = ("model", "keyterm", "profanity_filter", "numerals", "redact", "mip_opt_out", "tag")
NOVA = ("language", "punctuate", "smart_format", "endpointing", "no_delay", "filler_words", "keywords")
FLUX = ("eot_threshold", "eager_eot_threshold", "eot_timeout_ms", "language_hint")


class _Deepgram(SocketStream[DeepgramOptions]):
    name = "deepgram"
    path: ClassVar[str]
    names: ClassVar[tuple[str, ...]]
    fixed: ClassVar[dict[str, Any]] = {}

    async def dial(self) -> Dial:
        options = self._options
        values = {name: getattr(options, name) for name in SHARED + self.names}
        address = f"{options.url}{self.path}?{query({**WIRE, **self.fixed, **values, **options.query})}"
        return Dial(address, {"Authorization": f"Token {options.api_key}"})


class Kind(Struct, frozen=True):
    """Any message."""

    type: str = ""


class Alternative(Struct, frozen=True):
    transcript: str = ""
    confidence: float = 0.0


class Channel(Struct, frozen=True):
    alternatives: tuple[Alternative, ...] = ()


class Results(Struct, frozen=True):
    """v1: a window of sound. The flags are missing where they are false."""

    channel: Channel = Channel()
    is_final: bool = False
    speech_final: bool = False
    from_finalize: bool = False


class TurnInfo(Struct, frozen=True):
    """v2: the turn so far. The transcript is the whole turn's, every time."""

    event: str = ""
    transcript: str = ""


class Trouble(Struct, frozen=True):
    """v2: fatal."""

    code: str = ""


KIND = msgspec.json.Decoder(Kind)
RESULTS = msgspec.json.Decoder(Results)
TURN_INFO = msgspec.json.Decoder(TurnInfo)
TROUBLE = msgspec.json.Decoder(Trouble)


class NovaStream(_Deepgram):
    """v1/listen. Its endpointing measures silence alone, so the turn's end is left to the rules."""

    path = "/v1/listen"
    names = NOVA
    fixed: ClassVar[dict[str, Any]] = {"interim_results": True}
    catch_up = 4
    """The service slows a client that sends much faster than real time (documented from 1.25 on); peers blast."""
    keepalive = '{"type":"KeepAlive"}'
    farewell = '{"type":"CloseStream"}'

    def finish(self) -> Iterable[str]:
        return ('{"type":"Finalize"}',)

    def translate(self, message: str | bytes) -> Iterable[ASRFact]:
        # SpeechStarted and UtteranceEnd repeat what our own detector knows; an Error of v1 leaves the stream open.
        if KIND.decode(message).type != "Results":
            return ()
        results = RESULTS.decode(message)
        best = results.channel.alternatives[0] if results.channel.alternatives else Alternative()
        if not (results.is_final or results.speech_final):
            return self.partial(best.transcript)
        if best.transcript or results.from_finalize:
            return (self.final(best.transcript, best.confidence),)
        return ()


class FluxStream(_Deepgram):
    """v2/listen. Knows neither KeepAlive nor Finalize; its timeouts count sound, so an idle line is fed silence."""

    path = "/v2/listen"
    names = FLUX
    greets = True
    message_frames = 4
    keepalive = bytes(25 * FRAME_BYTES)
    keepalive_ns = SECOND // 2
    farewell = '{"type":"CloseStream"}'

    def translate(self, message: str | bytes) -> Iterable[ASRFact]:
        match KIND.decode(message).type:
            case "Connected":
                return (ASROpened(ear=self.ear),)
            case "TurnInfo":
                return self._turn(TURN_INFO.decode(message))
            case "Error":
                code = TROUBLE.decode(message).code
                kind = FailureKind.PROTOCOL if code == "UNPARSABLE_CLIENT_MESSAGE" else FailureKind.UNAVAILABLE
                raise AdapterError(self.name, kind, "a fatal error message")
        return ()

    def _turn(self, turn: TurnInfo) -> Iterable[ASRFact]:
        ear = self.ear
        match turn.event:
            case "StartOfTurn":
                return (ASRStartOfTurn(ear=ear), *self.partial(turn.transcript))
            case "Update":
                return self.partial(turn.transcript)
            case "EagerEndOfTurn":
                return (*self.partial(turn.transcript), ASREagerEndOfTurn(ear=ear, text=turn.transcript))
            case "TurnResumed":
                return (ASRTurnResumed(ear=ear), *self.partial(turn.transcript))
            case "EndOfTurn":
                self.final("")
                return (ASREndOfTurn(ear=ear, text=turn.transcript),)
        return ()


class Deepgram(SocketRecognizer):
    """The `deepgram` recogniser."""

    name = "deepgram"
    options = DeepgramOptions
    key_env = "DEEPGRAM_API_KEY"

    def __init__(self, options: DeepgramOptions) -> None:
        super().__init__(options)
        self.streams = FluxStream if options.model.startswith("flux") else NovaStream
