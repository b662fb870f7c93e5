"""Providers with known delays: what they take can be told from what the engine takes."""

import asyncio
from collections.abc import AsyncIterator
from typing import ClassVar

import numpy as np

from engine.adapters.base import ASRFact, Headers, LLMFact, LLMRequest, Options, SpeechRequest
from engine.core.events import ASRFinal, ASROpened, ASRPartial, LLMDone, LLMToken, TTSWords, Word
from engine.core.units import ENGINE_HZ, FRAME_NS, MS, SECOND

WORD_MS, FINAL_MS = 250, 100
"""A word is known this long after it was said; a final comes this long after it was asked for. Field: 200 to 500 ms, 100 to 300 ms."""
TOKEN_MS, SOUND_MS = 200, 100
"""To the model's first token, and to the voice's first sound."""
CHARS_PER_S = 15

SPEECH = (
    "Let me tell you about our opening hours in some detail. We are open from Monday to Friday, between eight in the morning and six in "
    "the evening. On Saturdays we open at nine and close at noon. On public holidays we are closed, but you can always leave a message. "
)
"""What the agent is saying when it is interrupted."""
ANSWER = "Very well. I have written that down."


class Part:
    """What all members of the cast share."""

    name: ClassVar[str] = "scripted"
    options: ClassVar[type[Options]] = Options
    key_env: ClassVar[str] = ""

    async def start(self) -> None: ...

    async def ready(self) -> None: ...

    async def stop(self) -> None: ...


class Listener(Part):
    """A recogniser that knows what will be said, and when each word has been."""

    def __init__(self, words: list[tuple[int, str]]) -> None:
        """words: where in the caller's sound each one ends, in nanoseconds."""
        self.words = words

    def stream(self, ear: int, headers: Headers = ()) -> "Hearing":
        return Hearing(ear, self.words)


class Hearing:
    """One stream of it."""

    def __init__(self, ear: int, words: list[tuple[int, str]]) -> None:
        self._ear = ear
        self._left = list(words)
        self._said: list[str] = []
        self._heard_ns = 0
        self._facts: asyncio.Queue[ASRFact] = asyncio.Queue()
        self._facts.put_nowait(ASROpened(ear=ear))

    def hear(self, frame: bytes) -> None:
        self._heard_ns += FRAME_NS
        known = False
        while self._left and self._left[0][0] + WORD_MS * MS <= self._heard_ns:
            self._said.append(self._left.pop(0)[1])
            known = True
        if known:
            self._facts.put_nowait(ASRPartial(ear=self._ear, text=" ".join(self._said)))

    def finalize(self) -> None:
        asyncio.get_running_loop().call_later(FINAL_MS / 1000, self._finish)

    def _finish(self) -> None:
        # Words already spoken are in the final, known by a partial or not.
        while self._left and self._left[0][0] <= self._heard_ns:
            self._said.append(self._left.pop(0)[1])
        self._facts.put_nowait(ASRFinal(ear=self._ear, text=" ".join(self._said)))
        self._said.clear()

    async def facts(self) -> AsyncIterator[ASRFact]:
        while True:
            yield await self._facts.get()


class Thinker(Part):
    """A model that always gives the same answer, word by word."""

    async def stream(self, request: LLMRequest) -> AsyncIterator[LLMFact]:
        await asyncio.sleep(TOKEN_MS / 1000)
        for word in ANSWER.split():
            yield LLMToken(run=request.run, request=request.request, text=word + " ")
        yield LLMDone(run=request.run, request=request.request)


class Speaker(Part):
    """A voice that is a hum, in step with its words."""

    rate_hz = ENGINE_HZ

    def __init__(self, *, word_times: bool) -> None:
        self._word_times = word_times

    def voice(self, headers: Headers = ()) -> "Speaker":
        return self

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def speak(self, request: SpeechRequest) -> AsyncIterator[bytes | TTSWords]:
        await asyncio.sleep(SOUND_MS / 1000)
        samples = len(request.text) * ENGINE_HZ // CHARS_PER_S
        if self._word_times:
            yield TTSWords(run=request.run, chunk=request.chunk, words=word_times(request.text))
        hum = np.sin(np.arange(samples) * (2 * np.pi * 180 / ENGINE_HZ)) * 3000
        yield hum.astype("<i2").tobytes()


def word_times(text: str) -> tuple[Word, ...]:
    """When each word of this voice ends: in proportion, exactly."""
    words: list[Word] = []
    position = 0
    for word in text.split():
        position = text.index(word, position) + len(word)
        words.append(Word(position, position * SECOND // CHARS_PER_S))
    return tuple(words)
