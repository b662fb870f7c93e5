"""AssemblyAI's Universal-Streaming v3, which judges turns itself: its pause is an early end, its end of turn an end.

`finalize` asks nothing of it: its words are final as they come, and ForceEndpoint would end the turn at the first pause.
Source: the vendor's Python SDK 1.0 (2026-08-14), its API specification (2026-03-23) and documentation (2026).
"""

import json
from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct, field

from engine.adapters.base import ASRFact, Headers, Options
from engine.adapters.recognition import SocketRecognizer, SocketStream
from engine.adapters.websocket import CLOSE_KINDS, Dial, query
from engine.core.events import ASREagerEndOfTurn, ASREndOfTurn, ASROpened, ASRTurnResumed
from engine.core.units import ENGINE_HZ
from engine.errors import AdapterError, FailureKind

KINDS = {
    3005: FailureKind.UNAVAILABLE,
    3006: FailureKind.PROTOCOL,
    3007: FailureKind.PROTOCOL,
    3008: FailureKind.CLOSED,
    3009: FailureKind.RATE_LIMITED,
    4001: FailureKind.REJECTED,
    4002: FailureKind.REJECTED,
    4003: FailureKind.REJECTED,
    4004: FailureKind.REJECTED,
    4008: FailureKind.CLOSED,
}


class AssemblyAIOptions(Options, frozen=True, kw_only=True):
    """Query parameters. None and empty: the service's own default."""

    url: str = "wss://streaming.assemblyai.com"
    speech_model: str = "universal-streaming-english"
    format_turns: bool = False
    """Punctuation, for a second message at each end of turn."""
    end_of_turn_confidence_threshold: float | None = None
    min_turn_silence: int | None = None
    max_turn_silence: int | None = None
    vad_threshold: float | None = None
    keyterms_prompt: tuple[str, ...] = ()
    inactivity_timeout: int | None = None
    language_detection: bool | None = None
    language_codes: tuple[str, ...] = ()
    prompt: str = ""
    mode: str = ""
    voice_focus: str = ""
    filter_profanity: bool | None = None
    query: dict[str, str | int | float | bool] = field(default_factory=dict)
    """Any other parameter, as it is; the service's own `domain` too, a name that the engine uses for something else."""


SENT = (
    "speech_model", "format_turns", "end_of_turn_confidence_threshold", "min_turn_silence", "max_turn_silence", "vad_threshold",
    "inactivity_timeout", "language_detection", "prompt", "mode", "voice_focus", "filter_profanity",
)  # fmt: skip
LISTS = ("keyterms_prompt", "language_codes")
"""Sent as one value, JSON."""


class Word(Struct, frozen=True):
    text: str = ""


class Message(Struct, frozen=True):
    """Anything the server may say; unknown types come often."""

    type: str = ""
    transcript: str = ""
    utterance: str | None = None
    end_of_turn: bool = False
    turn_is_formatted: bool = False
    words: tuple[Word, ...] = ()
    error_code: int | None = None


MESSAGE = msgspec.json.Decoder(Message)


class AssemblyAIStream(SocketStream[AssemblyAIOptions]):
    """A streaming session."""

    name = "assemblyai"
    greets = True
    message_frames = 3
    whole_messages = True
    """Less than 50 ms in a message ends the session."""
    catch_up = 2
    """Much faster than real time ends it too."""
    farewell = '{"type":"Terminate"}'
    kinds = KINDS

    def __init__(self, ear: int, options: AssemblyAIOptions, headers: Headers = ()) -> None:
        super().__init__(ear, options, headers)
        self._eager = False

    async def dial(self) -> Dial:
        options = self._options
        values: dict[str, Any] = {"sample_rate": ENGINE_HZ, "encoding": "pcm_s16le"}
        values |= {name: getattr(options, name) for name in SENT}
        values |= {name: json.dumps(value) for name in LISTS if (value := getattr(options, name))}
        return Dial(f"{options.url}/v3/ws?{query(values | options.query)}", {"Authorization": options.api_key})

    def translate(self, message: str | bytes) -> Iterable[ASRFact]:
        said = MESSAGE.decode(message)
        match said.type:
            case "Begin":
                return (ASROpened(ear=self.ear),)
            case "Turn":
                return self._turn(said)
            case "Error":
                code = said.error_code or 0
                kind = KINDS.get(code) or CLOSE_KINDS.get(code) or FailureKind.UNAVAILABLE
                raise AdapterError(self.name, kind, f"error {code}")
        return ()

    def _turn(self, said: Message) -> Iterable[ASRFact]:
        if said.end_of_turn and (said.turn_is_formatted or not self._options.format_turns):
            self._eager = False
            self.final("")
            return (ASREndOfTurn(ear=self.ear, text=said.transcript),)
        # The transcript holds final words alone; the word being spoken is only in the list.
        text = (
            " ".join(word.text for word in said.words)
            if len(said.words) > len(said.transcript.split())
            else said.transcript
        )
        facts = list(self.partial(text))
        if said.utterance or said.end_of_turn:
            if not self._eager:
                facts.append(ASREagerEndOfTurn(ear=self.ear, text=said.transcript))
            self._eager = True
        elif self._eager and facts:
            self._eager = False
            facts.insert(0, ASRTurnResumed(ear=self.ear))
        return facts


class AssemblyAI(SocketRecognizer):
    """The `assemblyai` recogniser."""

    name = "assemblyai"
    options = AssemblyAIOptions
    key_env = "ASSEMBLYAI_API_KEY"
    streams = AssemblyAIStream
