"""ElevenLabs, on the socket that carries several contexts. Model, voice and format are in its address; `eleven_v3` is not spoken there.

Field names vary by age and endpoint, so both spellings of each are read. Source: the vendor's Python SDK 2.59 (2026-07-23), its
AsyncAPI file (2025-08-25) and reports in its issues.
"""

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct, field

from engine.adapters.base import Headers, Options
from engine.adapters.synthesis import Context, ContextVoice, SocketSynthesizer
from engine.adapters.websocket import Dial, query
from engine.core.units import MS, SECOND
from engine.errors import AdapterError, ConfigError, FailureKind

ERROR_KINDS = {
    "input_timeout_exceeded": FailureKind.TIMEOUT,
    "max_active_conversations": FailureKind.RATE_LIMITED,
    "rate_limit_exceeded": FailureKind.RATE_LIMITED,
    "system_busy": FailureKind.UNAVAILABLE,
    "internal_error": FailureKind.UNAVAILABLE,
}
"""The provider's machine names of its errors. All others (bad input, voice, key, quota) will not be mended by waiting."""


class ElevenLabsOptions(Options, frozen=True, kw_only=True):
    """Parameters of the address, and the settings of the voice. None and empty: the service's own default."""

    url: str = "wss://api.elevenlabs.io"
    voice_id: str = "JBFqnCBsd6RMkjVDRZzb"
    """One of the voices that every account has."""
    model_id: str = "eleven_flash_v2_5"
    output_format: str = "pcm_24000"
    """pcm_ and its rate: 8000, 16000, 22050, 24000 or 44100."""
    language_code: str = ""
    auto_mode: bool = True
    """Synthesise each piece at once: whole sentences are sent."""
    sync_alignment: bool = True
    """Word times in every piece of sound."""
    inactivity_timeout: int = 180
    enable_logging: bool | None = None
    enable_ssml_parsing: bool | None = None
    apply_text_normalization: str = ""
    seed: int | None = None
    voice_settings: dict[str, float | bool] = field(default_factory=dict)
    """stability, similarity_boost, style, use_speaker_boost, speed."""
    pronunciation_dictionary_locators: list[dict[str, str]] = field(default_factory=list)
    query: dict[str, str | int | float | bool] = field(default_factory=dict)
    """Any other parameter of the address, as it is."""


QUERY = (
    "model_id",
    "output_format",
    "language_code",
    "auto_mode",
    "sync_alignment",
    "inactivity_timeout",
    "enable_logging",
    "enable_ssml_parsing",
    "apply_text_normalization",
    "seed",
)


class Alignment(Struct, frozen=True):
    """When letters are spoken, in ms. Three spellings are in use."""

    chars: tuple[str, ...] = ()
    starts: tuple[float, ...] = field(default=(), name="charStartTimesMs")
    starts_plural: tuple[float, ...] = field(default=(), name="charsStartTimesMs")
    durations: tuple[float, ...] = field(default=(), name="charDurationsMs")
    durations_plural: tuple[float, ...] = field(default=(), name="charsDurationsMs")


class Message(Struct, frozen=True):
    """Everything the server may say, in both spellings."""

    audio: bytes | None = None
    alignment: Alignment | None = None
    context_camel: str | None = field(default=None, name="contextId")
    context_id: str | None = None
    final_camel: bool | None = field(default=None, name="isFinal")
    is_final: bool | None = None
    error: str | None = None


MESSAGE = msgspec.json.Decoder(Message)


def encode(**fields: Any) -> str:
    return msgspec.json.encode(fields).decode()


class ElevenLabsVoice(ContextVoice[ElevenLabsOptions]):
    """One socket of a call."""

    name = "elevenlabs"
    contexts_max = 5
    """A sixth closes the socket, and all contexts with it."""
    keepalive = encode(text="")
    """Names no context: a context named before its first message would be begun by it."""
    farewell = encode(close_socket=True)

    def __init__(self, options: ElevenLabsOptions, headers: Headers = ()) -> None:
        super().__init__(options, int(options.output_format.removeprefix("pcm_")), headers)
        # Sent again for each context, and always the same: a change within a context closes the socket.
        self._settings: dict[str, Any] = {}
        if options.voice_settings:
            self._settings["voice_settings"] = options.voice_settings
        if options.pronunciation_dictionary_locators:
            self._settings["pronunciation_dictionary_locators"] = options.pronunciation_dictionary_locators

    def dial(self) -> Dial:
        options = self._options
        values = {name: getattr(options, name) for name in QUERY} | options.query
        address = f"{options.url}/v1/text-to-speech/{options.voice_id}/multi-stream-input?{query(values)}"
        return Dial(address, {"xi-api-key": options.api_key})

    def ask(self, context: str, text: str) -> Iterable[str]:
        yield encode(text=" ", context_id=context, **self._settings)
        # The text must end in a space. A flush alone is never answered: only closing brings the final message.
        yield encode(text=f"{text.strip()} ", context_id=context, flush=True)
        yield encode(context_id=context, close_context=True)

    def cancel(self, context: str) -> Iterable[str]:
        return (encode(context_id=context, close_context=True),)

    def translate(self, message: str | bytes) -> None:
        said = MESSAGE.decode(message)
        if said.error is not None:
            kind = ERROR_KINDS.get(said.error, FailureKind.REJECTED)
            raise AdapterError(self.name, kind, "an error message")
        name = said.context_camel or said.context_id or ""
        if context := self.context(name):
            # A message may carry sound and be the last at once.
            if said.alignment is not None:
                self._align(context, said.alignment)
            if said.audio:
                context.put_sound(said.audio)
        if said.final_camel or said.is_final:
            self.ended(name)

    def _align(self, context: Context, alignment: Alignment) -> None:
        starts = alignment.starts or alignment.starts_plural
        durations = alignment.durations or alignment.durations_plural
        if not starts:
            return
        # Times count from this piece of sound, by the documentation; from the context's beginning, by some reports.
        base_ns = context.sound.size_bytes // 2 * SECOND // self.rate_hz
        if starts[0] * MS >= base_ns:
            base_ns = 0
        ends = [base_ns + int((start + length) * MS) for start, length in zip(starts, durations, strict=False)]
        context.put_words(context.words.letters(alignment.chars, ends))


class ElevenLabs(SocketSynthesizer):
    """The `elevenlabs` synthesizer."""

    name = "elevenlabs"
    options = ElevenLabsOptions
    key_env = "ELEVENLABS_API_KEY"
    voices = ElevenLabsVoice

    def __init__(self, options: ElevenLabsOptions) -> None:
        coding, _, rate = options.output_format.partition("_")
        if coding != "pcm" or not rate.isdigit():
            raise ConfigError(f"elevenlabs.output_format is {options.output_format!r}; it must be pcm_ and a rate")
        super().__init__(options)
