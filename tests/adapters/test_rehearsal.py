import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import aclosing
from typing import Any, TypeVar

import pytest

from engine.adapters import rehearsal
from engine.adapters.base import LLMRequest, SpeechRequest
from engine.core.events import ASRFinal, ASROpened, ASRPartial, LLMDone, LLMToken
from engine.errors import AdapterError
from engine.runtime.elastic import JUMP, ElasticLoop

Item = TypeVar("Item")
LOUD = (3_000).to_bytes(2, "little") + (-3_000).to_bytes(2, "little", signed=True)


def run(main: Coroutine[Any, Any, Item]) -> tuple[Item, float]:
    """On a clock that jumps: the result, and the seconds that passed on it."""
    loop = ElasticLoop()
    loop.follow(lambda: JUMP)
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(main), loop.time()


async def first(items: AsyncIterator[Item], count: int) -> list[Item]:
    found: list[Item] = []
    async with aclosing(items) as stream:  # type: ignore[type-var]
        async for item in stream:
            found.append(item)
            if len(found) == count:
                break
    return found


def test_loud_frames_become_words_and_quiet_ones_none() -> None:
    async def main() -> list[Any]:
        stream = rehearsal.Recognizer(rehearsal.RecognizerOptions(partial_ms=40)).stream(3)
        for frame in (bytes(640), LOUD * 160, LOUD * 160, LOUD * 160, LOUD * 160):
            stream.hear(frame)
        stream.finalize()
        stream.finalize()
        return await first(stream.facts(), 4)

    facts, _ = run(main())
    assert facts[0] == ASROpened(ear=3)
    assert facts[1:3] == [ASRPartial(ear=3, text="could"), ASRPartial(ear=3, text="could you")]
    assert isinstance(facts[3], ASRFinal)
    assert facts[3].text.endswith("please?")


def test_the_model_takes_its_time_and_says_its_sentences() -> None:
    async def main() -> list[Any]:
        model = rehearsal.Model(rehearsal.ModelOptions(first_token_ms=200, token_ms=20, sentences=1))
        return [fact async for fact in model.stream(LLMRequest(run=1, request=1, messages=()))]

    facts, seconds = run(main())
    tokens = [fact.text for fact in facts if isinstance(fact, LLMToken)]
    assert "".join(tokens) == rehearsal.SENTENCES[0]
    assert isinstance(facts[-1], LLMDone)
    assert round(seconds, 2) == round(0.2 + 0.02 * (len(tokens) - 1), 2)


async def spoken(text: str) -> bytes:
    voice = rehearsal.Synthesizer(rehearsal.VoiceOptions(rate_hz=8_000, speed=5)).voice()
    await voice.open()
    sound = b"".join([piece async for piece in voice.speak(SpeechRequest(run=1, chunk=1, text=text))])
    await voice.close()
    return sound


def test_the_voice_hums_as_long_as_the_text_takes_to_say() -> None:
    sound, seconds = run(spoken("x" * 30))
    assert len(sound) == 2 * 8_000 * 30 // rehearsal.CHARS_PER_S
    assert max(memoryview(sound).cast("h")) == rehearsal.PEAK
    assert 0.1 < seconds < 0.6


def test_each_text_has_a_tune_of_its_own() -> None:
    once, again, other = (run(spoken(text))[0] for text in ("x" * 30, "x" * 30, "y" * 30))
    assert once == again
    assert once != other
    assert once[:1_600] != once[1_600:3_200]


def test_every_other_answer_fails_each_time_in_another_way() -> None:
    async def said(model: rehearsal.Model) -> tuple[int, str]:
        """How many pieces came, and how it ended."""
        pieces = 0
        try:
            async with asyncio.timeout(10):
                async for _ in model.stream(LLMRequest(run=1, request=1, messages=())):
                    pieces += 1
        except AdapterError as error:
            return pieces, error.kind
        except TimeoutError:
            return pieces, "silent"
        return pieces, "whole"

    async def main() -> list[tuple[int, str]]:
        model = rehearsal.Model(rehearsal.ModelOptions(fail_every=2, sentences=1))
        return [await said(model) for _ in range(6)]

    found, _ = run(main())
    assert [how for _, how in found] == ["whole", "closed", "whole", "silent", "whole", "unavailable"]
    assert [pieces for pieces, _ in found[1::2]] == [2, 2, 0]


def test_a_failing_recogniser_and_a_failing_voice_fail_too() -> None:
    async def main() -> None:
        stream = rehearsal.Recognizer(rehearsal.RecognizerOptions(fail_every=1, partial_ms=20)).stream(1)
        for _ in range(3):
            stream.hear(LOUD * 160)
        with pytest.raises(AdapterError, match="closed"):
            await first(stream.facts(), 4)
        voice = rehearsal.Synthesizer(rehearsal.VoiceOptions(fail_every=1)).voice()
        with pytest.raises(AdapterError, match="closed"):
            await first(voice.speak(SpeechRequest(run=1, chunk=1, text="Hello there, how are you?")), 9)

    run(main())
