"""Providers for rehearsals: a recogniser, a model and a voice inside the process that take as long as they are told to.

They show what the engine itself costs and how many calls it carries (`engine load`): no service, no worker process, next to no CPU
of their own. The recogniser hears loudness and hands out words from a list; the model says the same few sentences; the voice hums a
tune that is the same for the same text, so that by its sound each place in a text can be told from every other. With `fail_every` they
fail as providers do: they refuse, break off in the middle, or go silent, in turn.
"""

import asyncio
import math
import zlib
from array import array
from collections.abc import AsyncIterator
from enum import Enum
from random import Random
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from engine.adapters.base import ASRFact, Headers, LLMFact, LLMRequest, Options, SpeechRequest
from engine.audio import loudness
from engine.core.events import ASRFinal, ASROpened, ASRPartial, LLMDone, LLMToken
from engine.core.units import FRAME_NS, LIMITS, MS
from engine.errors import AdapterError, FailureKind

NAME = "rehearsal"
LOUD_RMS = 300
"""A telephone's noise lies near 30, speech near 2,000."""
WORDS = ("could", "you", "tell", "me", "what", "is", "free", "on", "Tuesday", "afternoon", "please")
"""What every caller says: partials are its beginnings, the final is all of it."""
SENTENCES = (
    "On Tuesday afternoon the practice is open from one until six. ",
    "There are free times at two, at twenty past three and at five. ",
    "Each of them is with the same doctor and takes twenty minutes. ",
    "You can change or cancel it by calling this number once again. ",
)
CHARS_PER_S = 15
"""How fast the voice speaks. English reads at 13 to 17."""
PEAK = 6_000
TUNE_HZ = (200, 250, 300, 350, 400, 450, 500, 600)
"""Each has whole waves in 20 ms, so that notes join without a click, and a second of it can be repeated."""

GOOD_PIECES = 2
"""Before an answer breaks off or goes silent."""

Ms = Annotated[int, Meta(ge=0, le=60_000)]
FailEvery = Annotated[int, Meta(ge=0, le=1_000_000)]


class Fault(Enum):
    """How an answer fails."""

    REFUSED = "refused"
    BROKEN_OFF = "broken off"
    SILENT = "silent"


class Faults:
    """Every n-th answer of a provider fails, each time in the next way."""

    def __init__(self, every: int) -> None:
        """every: 0: none fails."""
        self._every = every
        self._answers = 0

    def next(self) -> Fault | None:
        """What happens to the answer that begins now."""
        self._answers += 1
        if not self._every or self._answers % self._every:
            return None
        return tuple(Fault)[self._answers // self._every % len(Fault)]


async def meet(fault: Fault | None, pieces: int) -> None:
    """Fail before the next piece of an answer, when it is time. Raises AdapterError."""
    if fault is Fault.REFUSED:
        raise AdapterError(NAME, FailureKind.UNAVAILABLE, "as told")
    if fault is None or pieces < GOOD_PIECES:
        return
    if fault is Fault.SILENT:
        await asyncio.Event().wait()
    raise AdapterError(NAME, FailureKind.CLOSED, "as told")


class RecognizerOptions(Options, frozen=True, kw_only=True):
    """The rehearsed recogniser's settings."""

    partial_ms: Annotated[int, Meta(ge=20, le=10_000)] = 200
    """Voice that makes one word more. English has about three words a second."""
    final_ms: Ms = 50
    """From being asked to finish to the final. Hosted recognisers take 50 to 300."""
    fail_every: FailEvery = 0
    """Of so many streams the last fails. 0: none."""


class ModelOptions(Options, frozen=True, kw_only=True):
    """The rehearsed model's settings."""

    first_token_ms: Ms = 200
    """Before the first word. Hosted models take 400 to 900."""
    token_ms: Ms = 20
    """Before each further word. Hosted models take 10 to 30."""
    sentences: Annotated[int, Meta(ge=1, le=100)] = 2
    """In an answer. Each is about four seconds of speech."""
    fail_every: FailEvery = 0
    """Of so many answers the last fails. 0: none."""


class VoiceOptions(Options, frozen=True, kw_only=True):
    """The rehearsed voice's settings."""

    first_audio_ms: Ms = 100
    """Before the first sound of a chunk. Hosted voices take 75 to 300."""
    piece_ms: Annotated[int, Meta(ge=10, le=1_000)] = 100
    """Sound in one piece."""
    speed: Annotated[float, Meta(gt=0, le=1_000)] = 5.0
    """Times real time. Hosted voices make 3 to 20."""
    rate_hz: Literal[8_000, 16_000, 24_000] = 24_000
    """Of the sound. Most voices speak at 24,000."""
    fail_every: FailEvery = 0
    """Of so many chunks the last fails. 0: none."""


class Stream:
    """One recognition stream: words for loud frames."""

    def __init__(self, ear: int, options: RecognizerOptions, fault: Fault | None = None) -> None:
        self._ear = ear
        self._fault = fault
        self._word_ns = options.partial_ms * MS
        self._final_s = options.final_ms / 1_000
        self._voiced_ns = 0
        self._words = 0
        self._wanted: asyncio.Queue[int] = asyncio.Queue()
        """Words so far, to be told as a partial; 0: the final."""

    def hear(self, frame: bytes) -> None:
        if loudness(frame) < LOUD_RMS:
            return
        self._voiced_ns += FRAME_NS
        words = self._voiced_ns // self._word_ns
        if words > self._words and self._wanted.qsize() < LIMITS.inbox_events:
            self._words = words
            self._wanted.put_nowait(words)

    def finalize(self) -> None:
        if self._words:
            self._wanted.put_nowait(0)
        self._voiced_ns = self._words = 0

    async def facts(self) -> AsyncIterator[ASRFact]:
        told = 0
        while True:
            await meet(self._fault, told)
            if not told:
                yield ASROpened(ear=self._ear)
            told += 1
            words = await self._wanted.get()
            if words:
                yield ASRPartial(ear=self._ear, text=" ".join(WORDS[:words]))
            else:
                await asyncio.sleep(self._final_s)
                yield ASRFinal(ear=self._ear, text=" ".join(WORDS) + "?")


class Shared:
    """What all three share: nothing to make ready, nothing to release."""

    name: ClassVar[str] = NAME
    key_env: ClassVar[str] = ""

    async def start(self) -> None:
        """Nothing to make ready."""

    async def ready(self) -> None:
        """Always."""

    async def stop(self) -> None:
        """Nothing to release."""


class Recognizer(Shared):
    """The rehearsed recogniser."""

    options: ClassVar[type[Options]] = RecognizerOptions

    def __init__(self, options: RecognizerOptions) -> None:
        self._options = options
        self._faults = Faults(options.fail_every)

    def stream(self, ear: int, headers: Headers = ()) -> Stream:
        return Stream(ear, self._options, self._faults.next())


class Model(Shared):
    """The rehearsed model."""

    options: ClassVar[type[Options]] = ModelOptions

    def __init__(self, options: ModelOptions) -> None:
        self._first_s = options.first_token_ms / 1_000
        self._token_s = options.token_ms / 1_000
        text = "".join(SENTENCES[index % len(SENTENCES)] for index in range(options.sentences))
        self._tokens = [word + " " for word in text.split()]
        self._faults = Faults(options.fail_every)

    async def stream(self, request: LLMRequest) -> AsyncIterator[LLMFact]:
        """The same words for every question."""
        fault = self._faults.next()
        await asyncio.sleep(self._first_s)
        for index, token in enumerate(self._tokens):
            await meet(fault, index)
            if index:
                await asyncio.sleep(self._token_s)
            yield LLMToken(run=request.run, request=request.request, text=token)
        yield LLMDone(
            run=request.run,
            request=request.request,
            reason="stop",
            input_tokens=len(request.messages),
            output_tokens=len(self._tokens),
            model=NAME,
        )


class Voice:
    """One call's rehearsed voice."""

    def __init__(self, options: VoiceOptions, notes: list[bytes], faults: Faults) -> None:
        self.rate_hz: int = options.rate_hz
        self._first_s = options.first_audio_ms / 1_000
        self._piece_bytes = 2 * (options.rate_hz * options.piece_ms // 1_000)
        self._pause_s = options.piece_ms / 1_000 / options.speed
        self._notes = notes
        self._faults = faults

    async def open(self) -> None:
        """Nothing to connect."""

    async def speak(self, request: SpeechRequest) -> AsyncIterator[bytes]:
        """A tune as long as the text takes, a note for each piece."""
        fault, pieces = self._faults.next(), 0
        await asyncio.sleep(self._first_s)
        left = 2 * (len(request.text) * self.rate_hz // CHARS_PER_S)
        tune = Random(zlib.crc32(request.text.encode()))  # noqa: S311 - the same for the same text
        while left > 0:
            await meet(fault, pieces)
            yield tune.choice(self._notes)[:left]
            pieces += 1
            left -= self._piece_bytes
            if left > 0:
                await asyncio.sleep(self._pause_s)

    async def close(self) -> None:
        """Nothing to disconnect."""


class Synthesizer(Shared):
    """The rehearsed voice's maker."""

    options: ClassVar[type[Options]] = VoiceOptions

    def __init__(self, options: VoiceOptions) -> None:
        self._options = options
        samples = options.rate_hz * options.piece_ms // 1_000
        self._notes = [note(hz, options.rate_hz, samples) for hz in TUNE_HZ]
        self._faults = Faults(options.fail_every)

    def voice(self, headers: Headers = ()) -> Voice:
        return Voice(self._options, self._notes, self._faults)


def note(hz: int, rate_hz: int, samples: int) -> bytes:
    """A tone, PCM16."""
    step = 2 * math.pi * hz / rate_hz
    return array("h", (round(PEAK * math.sin(step * index)) for index in range(samples))).tobytes()
