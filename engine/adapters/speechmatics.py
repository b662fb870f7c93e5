"""Speechmatics' real-time recogniser, version 2.

With `end_of_utterance_silence_trigger` the service ends the turns; without it our rules do, and ask it to finish its words.
Source: the vendor's Python SDK (2026-06-22) and documentation (2026).
"""

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct, field

from engine.adapters.base import ASRFact, Headers, Options
from engine.adapters.recognition import SocketRecognizer, SocketStream
from engine.adapters.websocket import Dial
from engine.core.events import ASREndOfTurn, ASROpened
from engine.core.units import ENGINE_HZ
from engine.errors import AdapterError, FailureKind

CLOSE_KINDS = {
    4001: FailureKind.REJECTED,
    4003: FailureKind.REJECTED,
    4004: FailureKind.REJECTED,
    4005: FailureKind.RATE_LIMITED,
    4006: FailureKind.CLOSED,
    4013: FailureKind.UNAVAILABLE,
}
ERROR_KINDS = {
    "quota_exceeded": FailureKind.RATE_LIMITED,
    "job_error": FailureKind.UNAVAILABLE,
    "internal_error": FailureKind.UNAVAILABLE,
    "data_error": FailureKind.UNAVAILABLE,
    "buffer_error": FailureKind.UNAVAILABLE,
    "timelimit_exceeded": FailureKind.CLOSED,
    "idle_timeout": FailureKind.CLOSED,
    "session_timeout": FailureKind.CLOSED,
    "protocol_error": FailureKind.PROTOCOL,
}
"""The service's names of its errors. All others (not_authorised, invalid_model, …) will not be mended by waiting."""


class SpeechmaticsOptions(Options, frozen=True, kw_only=True):
    """Fields of transcription_config. None and empty: not sent."""

    url: str = "wss://eu2.rt.speechmatics.com/v2"
    language: str = "en"
    model: str = "enhanced"
    max_delay: float = 1.0
    max_delay_mode: str = "flexible"
    end_of_utterance_silence_trigger: float | None = None
    """Seconds, to 2."""
    additional_vocab: list[dict[str, Any]] = field(default_factory=list)
    output_locale: str = ""
    punctuation_overrides: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    """Any other field, as it is; the service's own `domain` too, a name that the engine uses for something else."""


SENT = (
    "language",
    "model",
    "max_delay",
    "max_delay_mode",
    "additional_vocab",
    "output_locale",
    "punctuation_overrides",
)


class Metadata(Struct, frozen=True):
    transcript: str = ""


class Message(Struct, frozen=True):
    """Anything the server may say. Its kind is under `message`."""

    message: str = ""
    type: str = ""
    metadata: Metadata = Metadata()


MESSAGE = msgspec.json.Decoder(Message)


class SpeechmaticsStream(SocketStream[SpeechmaticsOptions]):
    """A recognition session."""

    name = "speechmatics"
    greets = True
    message_frames = 2
    kinds = CLOSE_KINDS

    def __init__(self, ear: int, options: SpeechmaticsOptions, headers: Headers = ()) -> None:
        super().__init__(ear, options, headers)
        self._sent = 0

    async def dial(self) -> Dial:
        return Dial(self._options.url, {"Authorization": f"Bearer {self._options.api_key}"})

    def greeting(self) -> Iterable[str]:
        options = self._options
        config = {name: value for name in SENT if (value := getattr(options, name)) not in ("", [], {})}
        config |= {"enable_partials": True}
        if options.end_of_utterance_silence_trigger is not None:
            trigger = options.end_of_utterance_silence_trigger
            config["conversation_config"] = {"end_of_utterance_silence_trigger": trigger}
        form = {"type": "raw", "encoding": "pcm_s16le", "sample_rate": ENGINE_HZ}
        start = {"message": "StartRecognition", "audio_format": form, "transcription_config": config | options.extra}
        return (msgspec.json.encode(start).decode(),)

    def encode(self, frames: tuple[bytes, ...]) -> tuple[bytes, ...]:
        self._sent += 1
        return frames

    def finish(self) -> Iterable[str]:
        if self._options.end_of_utterance_silence_trigger is not None:
            return ()
        return ('{"message":"ForceEndOfUtterance"}',)

    def goodbye(self) -> Iterable[str]:
        return (f'{{"message":"EndOfStream","last_seq_no":{self._sent}}}',)

    def translate(self, message: str | bytes) -> Iterable[ASRFact]:
        said = MESSAGE.decode(message)
        match said.message:
            case "RecognitionStarted":
                return (ASROpened(ear=self.ear),)
            case "AddPartialTranscript":
                return self.partial(said.metadata.transcript.strip())
            case "AddTranscript" if text := said.metadata.transcript.strip():
                return (self.final(text),)
            case "EndOfUtterance":
                over = self._options.end_of_utterance_silence_trigger is not None
                return (ASREndOfTurn(ear=self.ear),) if over else (self.final(""),)
            case "Error":
                raise AdapterError(self.name, ERROR_KINDS.get(said.type, FailureKind.REJECTED), "an error message")
        return ()


class Speechmatics(SocketRecognizer):
    """The `speechmatics` recogniser."""

    name = "speechmatics"
    options = SpeechmaticsOptions
    key_env = "SPEECHMATICS_API_KEY"
    streams = SpeechmaticsStream
