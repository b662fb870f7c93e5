"""Driving an adapter the way the runtime does."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

from engine.adapters.base import ASRFact, RecognizerStream
from engine.adapters.registry import provider_class
from engine.core.events import ASREndOfTurn, ASRFinal, ASROpened, ASRPartial, Stage
from engine.core.units import FRAME_BYTES
from engine.simulated.base import SimulatedProvider
from engine.simulated.speech import speak

WATCHDOG_S = 10


def make(stage: Stage, name: str, server: SimulatedProvider, **options: Any) -> Any:
    """The adapter of that name, pointed at a local server."""
    kind = provider_class(stage, name)
    return kind(kind.options(**{**server.settings(), **options}))


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


async def exercise(stage: Stage, provider: Any) -> Any:
    """One ordinary use of a provider: a sentence heard, a question answered, or a chunk spoken."""
    await provider.start()
    try:
        if stage is Stage.ASR:
            return await listen(provider.stream(1), "hello my friend")
        raise NotImplementedError
    finally:
        await provider.stop()
