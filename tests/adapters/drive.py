"""Driving an adapter the way the runtime does."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any, NamedTuple

from msgspec.structs import fields

from engine.adapters.base import ASRFact, LLMFact, LLMRequest, Options, RecognizerStream, SpeechRequest, Voice
from engine.adapters.registry import provider_class
from engine.core.commands import Message, Role
from engine.core.events import ASREndOfTurn, ASRFinal, ASROpened, ASRPartial, LLMToken, Stage, Word
from engine.core.policy import ToolSpec
from engine.core.units import FRAME_BYTES
from engine.sandbox.base import SimulatedProvider
from engine.sandbox.speech import Ear, speak

WATCHDOG_S = 10


def make(stage: Stage, name: str, server: SimulatedProvider, **options: Any) -> Any:
    """The adapter of that name, pointed at a local server."""
    return provider_class(stage, name)(options_for(stage, name, **{**server.settings(), **options}))


def options_for(stage: Stage, name: str, **given: Any) -> Options:
    """Options with what has no default filled in."""
    kind: type[Options] = provider_class(stage, name).options
    required = {field.name: f"any-{field.name}" for field in fields(kind) if field.required}
    return kind(**{**required, **given})


def frames(text: str, *, before_ms: int = 100, after_ms: int = 500) -> list[bytes]:
    """Frames of 20 ms that say a text between silences."""
    sound = bytes(32 * before_ms) + speak(text, 16_000) + bytes(32 * after_ms)
    sound += bytes(-len(sound) % FRAME_BYTES)
    return [sound[at : at + FRAME_BYTES] for at in range(0, len(sound), FRAME_BYTES)]


def words(facts: list[ASRFact]) -> str:
    """What a session would take the caller to have said: an end of turn that repeats the turn replaces its finals."""
    text = ""
    for fact in facts:
        if isinstance(fact, ASRFinal):
            text = f"{text} {fact.text}".strip()
        elif isinstance(fact, ASREndOfTurn) and fact.text:
            text = fact.text
    return text


async def listen(
    stream: RecognizerStream, text: str, *, until: Callable[[list[ASRFact]], bool] | None = None, early: bool = False
) -> list[ASRFact]:
    """Say a text to a stream and gather its facts until they hold the text, or until told.

    early: the sound comes before the connection is open.
    """
    facts: list[ASRFact] = []
    done = until or (lambda facts: words(facts).lower() == text)

    def say() -> None:
        for frame in frames(text):
            stream.hear(frame)
        stream.finalize()

    if early:
        say()
    async with asyncio.timeout(WATCHDOG_S), aclosing(stream.facts()) as coming:
        async for fact in coming:
            facts.append(fact)
            if isinstance(fact, ASROpened) and not early:
                say()
            if done(facts):
                break
    return facts


def partials(facts: list[ASRFact]) -> list[str]:
    return [fact.text for fact in facts if isinstance(fact, ASRPartial)]


class Spoken(NamedTuple):
    """What came of one chunk."""

    sound: bytes
    words: list[Word]
    rate_hz: int

    @property
    def text(self) -> str:
        """What a listener understands."""
        ear = Ear(self.rate_hz)
        return " ".join(word.text for word in ear.hear(self.sound) + ear.hear(bytes(self.rate_hz)))


async def gather(voice: Voice, text: str, *, run: int = 1, chunk: int = 1) -> Spoken:
    """All of one chunk."""
    sound, words = b"", []
    async with asyncio.timeout(WATCHDOG_S):
        async for piece in voice.speak(SpeechRequest(run=run, chunk=chunk, text=text)):
            if isinstance(piece, bytes):
                assert len(piece) % 2 == 0
                sound += piece
            else:
                assert (piece.run, piece.chunk) == (run, chunk)
                words += piece.words
    return Spoken(sound, words, voice.rate_hz)


@asynccontextmanager
async def running(provider: Any) -> AsyncIterator[Any]:
    """A provider between start and stop."""
    try:
        await provider.start()
        yield provider
    finally:
        await provider.stop()


@asynccontextmanager
async def opened(provider: Any) -> AsyncIterator[Voice]:
    """A voice between open and close, of a provider between start and stop."""
    voice: Voice = provider.voice()
    try:
        await provider.start()
        await voice.open()
        yield voice
    finally:
        await voice.close()
        await provider.stop()


async def say(provider: Any, text: str) -> Spoken:
    """One chunk on a voice of its own."""
    async with opened(provider) as voice:
        return await gather(voice, text)


async def question(provider: Any, *messages: Message, tools: tuple[ToolSpec, ...] = ()) -> list[LLMFact]:
    """All facts of one answer."""
    request = LLMRequest(run=4, request=2, messages=messages, tools=tools, session="s1")
    async with asyncio.timeout(WATCHDOG_S):
        return [fact async for fact in provider.stream(request)]


def answered(facts: list[LLMFact]) -> str:
    """What the caller would be told."""
    return "".join(fact.text for fact in facts if isinstance(fact, LLMToken))


async def until(come: Callable[[], bool]) -> None:
    """Give way until it has come."""
    async with asyncio.timeout(WATCHDOG_S):
        while not come():
            await _turn()


async def _turn() -> None:
    await asyncio.sleep(0)


async def exercise(stage: Stage, provider: Any) -> Any:
    """One ordinary use of a provider: a sentence heard, a question answered, or a chunk spoken."""
    if stage is Stage.TTS:
        return await say(provider, "hello my friend")
    try:
        await provider.start()
        if stage is Stage.ASR:
            return await listen(provider.stream(1), "hello my friend")
        return await question(provider, Message(Role.USER, "hello my friend"))
    finally:
        await provider.stop()
