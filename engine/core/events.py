"""Every fact that may come into the reducer.

A fact is past tense and carries no sound. `at` is nanoseconds since the session began, stamped by the runtime when it takes the
fact; whoever makes the fact leaves it 0. Positions in the caller's sound (`audio_ns`) and in a run's sound (`heard_ns`,
`duration_ns`) are nanoseconds of sound, not of wall time.

Rule of evolution: fields are only added, at the end, with a default; a renamed class keeps its old tag. Journals live long.
"""

from enum import StrEnum

from msgspec import Struct

from engine.core.policy import Setup
from engine.errors import FailureKind


class Fact(Struct, frozen=True, gc=False, kw_only=True, tag=True):
    """Something that happened."""

    at: int = 0
    """Nanoseconds since the session began. Never runs backwards."""


class Stage(StrEnum):
    """The service a fact is about."""

    ASR = "asr"
    LLM = "llm"
    TTS = "tts"
    TOOL = "tool"


class Clock(StrEnum):
    """Which of the two clocks reached a deadline."""

    WALL = "wall"
    AUDIO = "audio"


class Outages(Struct, frozen=True, gc=False, kw_only=True):
    """Providers that have lately failed the calls of this process, by name: they are asked when no other is left."""

    asr: tuple[str, ...] = ()
    llm: tuple[str, ...] = ()
    tts: tuple[str, ...] = ()


# The session.


class SessionStarted(Fact, frozen=True, gc=False, kw_only=True):
    """A caller is on the line."""

    setup: Setup
    seed: int = 0
    """The only chance in a session: jitter of retries."""
    call_id: str = ""
    """The carrier's name for this call, or ours."""
    outages: Outages = Outages()
    """What is known of the providers when the call begins."""


class SessionEnded(Fact, frozen=True, gc=False, kw_only=True):
    """The line is gone, whoever hung up. Nothing follows."""

    reason: str


class TransportLost(Fact, frozen=True, gc=False, kw_only=True):
    """The connection broke, and may come back within the transport's grace."""


class TransportResumed(Fact, frozen=True, gc=False, kw_only=True):
    """The same caller is back on a new connection. What was in flight on the old one was not heard."""


class CallAnswered(Fact, frozen=True, gc=False, kw_only=True):
    """The carrier's judgement of who picked up an outbound call."""

    by: str
    """human, machine, fax or unknown. A machine may be asked to speak to the end of its greeting first."""


# The caller.


class UserSpeechStarted(Fact, frozen=True, gc=False, kw_only=True):
    """The detector heard the caller begin to speak."""

    audio_ns: int
    """Where in the caller's sound speech began."""
    speech_prob: float = 1.0
    """The detector's answer for the frame that decided, 0 to 1."""
    heard_ns: int = 0
    """How much of the caller's sound had arrived when this was decided. 0: unknown."""
    level_db: int = 0
    """The loudest frame of this voice so far, RMS in dB below full scale, so -96 to 0. 0: not measured."""


class UserSpeechStopped(Fact, frozen=True, gc=False, kw_only=True):
    """The detector heard the caller fall quiet."""

    audio_ns: int
    """Where in the caller's sound speech ended; the hangover that proved it lies behind it."""
    heard_ns: int = 0
    """How much of the caller's sound had arrived when this was decided. 0: unknown."""
    level_db: int = 0
    """The loudest frame of this voice. 0: not measured."""


class DTMFPressed(Fact, frozen=True, gc=False, kw_only=True):
    """The caller pressed a key."""

    digit: str
    """One of 0-9 * # A-D."""


class UserTextReceived(Fact, frozen=True, gc=False, kw_only=True):
    """The caller typed a whole turn."""

    text: str


class InputRejected(Fact, frozen=True, gc=False, kw_only=True):
    """The caller's side sent something that cannot be used; it was dropped and counted."""

    source: str
    """Which part refused it: a transport's name, or "journal", "inlet"."""
    reason: str


# Recognition. `ear` numbers the recognition streams of a session; an older one is stale.


class ASROpened(Fact, frozen=True, gc=False, kw_only=True):
    """The recogniser's stream is ready."""

    ear: int


class ASRPartial(Fact, frozen=True, gc=False, kw_only=True):
    """What the recogniser believes so far of the words after the last final. Replaces the previous partial."""

    ear: int
    text: str


class ASRFinal(Fact, frozen=True, gc=False, kw_only=True):
    """Words that will not change. Appended to the turn."""

    ear: int
    text: str
    confidence: float = 1.0


class ASRStartOfTurn(Fact, frozen=True, gc=False, kw_only=True):
    """The recogniser itself says that the caller has begun a turn (Flux StartOfTurn and its kin)."""

    ear: int


class ASREagerEndOfTurn(Fact, frozen=True, gc=False, kw_only=True):
    """The recogniser thinks the turn may be over. Worth a speculative run, no more."""

    ear: int
    text: str = ""
    """The turn's text so far, where the provider sends it."""


class ASRTurnResumed(Fact, frozen=True, gc=False, kw_only=True):
    """The recogniser takes its eager end back."""

    ear: int


class ASREndOfTurn(Fact, frozen=True, gc=False, kw_only=True):
    """The recogniser itself says that the turn is over."""

    ear: int
    text: str = ""
    """The whole turn's text where the provider repeats it; finals count where empty."""


class TurnPredicted(Fact, frozen=True, gc=False, kw_only=True):
    """A turn detector's judgement of the words so far."""

    text: str
    """The words it judged; ignored unless they still are the turn's."""
    complete_prob: float


# The language model. Stale unless `request` is a live request of the live run.


class LLMToken(Fact, frozen=True, gc=False, kw_only=True):
    """Some more of the answer."""

    run: int
    request: int
    text: str


class LLMToolCall(Fact, frozen=True, gc=False, kw_only=True):
    """The model wants a tool called. Whole: adapters assemble the pieces."""

    run: int
    request: int
    call_id: str
    """The provider's name for the call."""
    name: str
    arguments: str
    """JSON text as the model wrote it; may be invalid."""


class LLMDone(Fact, frozen=True, gc=False, kw_only=True):
    """The model has finished this request."""

    run: int
    request: int
    reason: str = "stop"
    """stop, tool_calls, length, filter: the provider's reason, normalised."""
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    model: str = ""
    """The model that answered, as the provider names it."""


# Synthesis. `chunk` numbers the pieces of text within a run.


class Word(Struct, frozen=True, gc=False, array_like=True):
    """When a word of a chunk ends."""

    end_char: int
    """Position in the chunk's text just after the word."""
    end_ns: int
    """In the chunk's sound."""


class TTSStarted(Fact, frozen=True, gc=False, kw_only=True):
    """The first sound of a chunk has arrived from the synthesizer."""

    run: int
    chunk: int


class TTSWords(Fact, frozen=True, gc=False, kw_only=True):
    """Where words lie in a chunk's sound. May come in several pieces, in order."""

    run: int
    chunk: int
    words: tuple[Word, ...]


class TTSChunkDone(Fact, frozen=True, gc=False, kw_only=True):
    """All sound of a chunk is in our hands."""

    run: int
    chunk: int
    duration_ns: int


# Playout. These never go stale: what was heard stays true. `heard_ns` counts the run's sound from its beginning.


class PlayoutStarted(Fact, frozen=True, gc=False, kw_only=True):
    """The first sound of a run has left for the caller's ear."""

    run: int


class PlayoutAdvanced(Fact, frozen=True, gc=False, kw_only=True):
    """This much of a run has been heard, by the best estimate at hand."""

    run: int
    heard_ns: int


class PlayoutPaused(Fact, frozen=True, gc=False, kw_only=True):
    """The agent fell silent at this sample; it can go on from there."""

    run: int
    heard_ns: int


class PlayoutCleared(Fact, frozen=True, gc=False, kw_only=True):
    """A run's unheard sound has been thrown away."""

    run: int
    heard_ns: int


class PlayoutDone(Fact, frozen=True, gc=False, kw_only=True):
    """All sound that a run had queued has been heard. More may come if it was starved."""

    run: int
    heard_ns: int


# Tools, time, trouble.


class ToolResult(Fact, frozen=True, gc=False, kw_only=True):
    """A tool has answered."""

    call: int
    """Our number of the call, unique in the session."""
    output: str
    """JSON or plain text for the model."""
    failed: bool = False


class TimerFired(Fact, frozen=True, gc=False, kw_only=True):
    """A deadline passed."""

    clock: Clock = Clock.WALL
    audio_ns: int = 0
    """How much of the caller's sound has been heard (for the audio clock)."""
    level_db: int = 0
    """The loudest frame of the voice that is heard now. 0: none, or not measured."""


class RunCancelled(Fact, frozen=True, gc=False, kw_only=True):
    """Everything a cancelled run had under way has stopped."""

    run: int


class AdapterFailed(Fact, frozen=True, gc=False, kw_only=True):
    """A provider failed. What to do about it is a rule."""

    stage: Stage
    provider: str
    kind: FailureKind
    run: int = 0
    request: int = 0
    """For a language model."""
    chunk: int = 0
    """For a synthesizer."""
    ear: int = 0
    """For a recogniser."""
    retry_ns: int = 0
    """The wait the provider asked for. 0: it did not say."""
    duration_ns: int = 0
    """For a synthesizer: the chunk's sound that is in hand all the same."""


class OutagesChanged(Fact, frozen=True, gc=False, kw_only=True):
    """Other calls have found a provider failing, or well again."""

    outages: Outages = Outages()
    """All that are known now."""


# The embedder's wishes.


class SayRequested(Fact, frozen=True, gc=False, kw_only=True):
    """Say this text, after what is being said."""

    text: str
    interruptible: bool = True


class InterruptRequested(Fact, frozen=True, gc=False, kw_only=True):
    """Stop speaking now, as if the caller had taken the floor."""


class EndRequested(Fact, frozen=True, gc=False, kw_only=True):
    """Hang up, after what is being said."""

    reason: str = "ended by the agent"
    text: str = ""
    """Last words, uninterruptible. Empty: none."""


class TransferRequested(Fact, frozen=True, gc=False, kw_only=True):
    """Hand the caller over, after what is being said."""

    target: str
    """A telephone number or SIP address."""


class TransferFailed(Fact, frozen=True, gc=False, kw_only=True):
    """The caller could not be handed over, and is still, or again, with us."""

    target: str
    reason: str
    """busy, no-answer, canceled or failed: how the other end took it; refused: the carrier would not try."""


Event = (
    SessionStarted | SessionEnded | TransportLost | TransportResumed | CallAnswered
    | UserSpeechStarted | UserSpeechStopped | DTMFPressed | UserTextReceived | InputRejected
    | ASROpened | ASRPartial | ASRFinal | ASRStartOfTurn | ASREagerEndOfTurn | ASRTurnResumed | ASREndOfTurn | TurnPredicted
    | LLMToken | LLMToolCall | LLMDone
    | TTSStarted | TTSWords | TTSChunkDone
    | PlayoutStarted | PlayoutAdvanced | PlayoutPaused | PlayoutCleared | PlayoutDone
    | ToolResult | TimerFired | RunCancelled | AdapterFailed | OutagesChanged
    | SayRequested | InterruptRequested | EndRequested | TransferRequested | TransferFailed
)  # fmt: skip
"""The whole vocabulary. `reduce.RULES` has a row for each, or the engine does not import."""
