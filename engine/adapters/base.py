"""What a provider must be, one protocol for each stage.

A provider is made once in a process, from its `Options`, and shared by all calls: it keeps connections warm between `start` and
`stop`. What belongs to one call (a recognition stream, a voice, a detector) it hands out. Streams are asynchronous generators:

- they yield facts with `at` left 0 (the session stamps it) and the run, request, chunk or ear they were given;
- trouble is raised as `AdapterError`, never yielded, never swallowed;
- cancelling the task that reads one is how it is cancelled: its `finally` tells the provider, and nothing more is yielded.

Nothing here may look at the state, retry, or call another provider: those are rules.
"""

from collections.abc import AsyncIterator
from typing import ClassVar, Protocol, runtime_checkable

from msgspec import Struct

from engine.core.commands import Message
from engine.core.events import (
    ASREagerEndOfTurn,
    ASREndOfTurn,
    ASRFinal,
    ASROpened,
    ASRPartial,
    ASRStartOfTurn,
    ASRTurnResumed,
    LLMDone,
    LLMToken,
    LLMToolCall,
    TTSWords,
)
from engine.core.policy import ToolSpec

Headers = tuple[tuple[str, str], ...]
"""Trace context (traceparent), for providers that accept headers: names and values."""
ASRFact = ASROpened | ASRPartial | ASRFinal | ASRStartOfTurn | ASREagerEndOfTurn | ASRTurnResumed | ASREndOfTurn
LLMFact = LLMToken | LLMToolCall | LLMDone


class Options(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A provider's settings, under the provider's own names. Subclassed by each adapter; filled from the configuration."""

    key_required: ClassVar[bool] = True
    """False where the service may be one's own, and take none."""

    api_key: str = ""
    """From the environment or a secret file only; never printed."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"


class Provider(Protocol):
    """What all providers share. The class attributes let the configuration be checked before anything is made."""

    name: ClassVar[str]
    """As it is written in the configuration."""
    options: ClassVar[type[Options]]
    key_env: ClassVar[str]
    """The environment variable that holds its key. Empty: it needs none."""

    async def start(self) -> None:
        """Make ready: pools, worker processes, warm connections. Raises AdapterError."""

    async def ready(self) -> None:
        """Prove cheaply that it can be reached, and leave a warm connection where those are shared. Raises AdapterError."""

    async def stop(self) -> None:
        """Release everything `start` took."""


class RecognizerStream(Protocol):
    """One recognition stream of one call. Fed in the frame's own callback; read by one task."""

    def hear(self, frame: bytes) -> None:
        """Take 20 ms of the caller: 640 bytes of PCM16 at 16 kHz. Never blocks; may be called before `facts` is read."""

    def finalize(self) -> None:
        """The caller is quiet: finish the words you have. Never blocks."""

    def facts(self) -> AsyncIterator[ASRFact]:
        """Connect, yield ASROpened, then what is recognised, until cancelled. Raises AdapterError."""


class Recognizer(Provider, Protocol):
    """Streaming speech recognition."""

    def stream(self, ear: int, headers: Headers = ()) -> RecognizerStream:
        """A new stream, not yet connected. headers: of the call, for its connection."""


class LLMRequest(Struct, frozen=True, kw_only=True):
    """One question to a language model."""

    run: int
    request: int
    messages: tuple[Message, ...]
    """The history, instructions first."""
    tools: tuple[ToolSpec, ...] = ()
    session: str = ""
    """For providers that take a user or cache key."""
    headers: Headers = ()
    """Of this request."""


class LanguageModel(Provider, Protocol):
    """Streaming text generation."""

    def stream(self, request: LLMRequest) -> AsyncIterator[LLMFact]:
        """Tokens and whole tool calls as they come, then exactly one LLMDone. Raises AdapterError."""


class SpeechRequest(Struct, frozen=True, kw_only=True):
    """One chunk of text to be spoken."""

    run: int
    chunk: int
    text: str
    headers: Headers = ()
    """Of this chunk, for providers that are asked for each by a request of its own."""


class Voice(Protocol):
    """A synthesizer for one call."""

    @property
    def rate_hz(self) -> int:
        """Of the sound it yields: PCM16, one channel."""

    async def open(self) -> None:
        """Connect ahead of need. Raises AdapterError."""

    def speak(self, request: SpeechRequest) -> AsyncIterator[bytes | TTSWords]:
        """The chunk's sound, PCM16 in pieces of any even size, and word times where the provider gives them. Raises AdapterError.

        Two chunks of a run may be under way at once (the next is asked for while one is still being made).
        """

    async def close(self) -> None:
        """Disconnect."""


class Synthesizer(Provider, Protocol):
    """Streaming text to speech."""

    def voice(self, headers: Headers = ()) -> Voice:
        """A voice for one call, not yet connected. headers: of the call, for its connection."""


@runtime_checkable
class VoiceDetector(Protocol):
    """Voice activity for one call."""

    def score(self, frame: bytes) -> float:
        """Probability, 0 to 1, that this frame (640 bytes, PCM16 16 kHz, 20 ms) holds speech. Below 150 µs."""


class TurnDetector(Protocol):
    """A model that judges from the words whether the caller has finished."""

    async def judge(self, messages: tuple[Message, ...], text: str) -> float:
        """Probability, 0 to 1, that `text` is a whole turn. Raises AdapterError."""
