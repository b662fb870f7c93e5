"""`engine check`: a real session with each configured provider, and one sentence spoken around the loop.

A synthesizer speaks it, each recogniser hears what was spoken, in real time, and each model is asked a question. Without a key it says
which variable is missing, as every command does.
"""

import asyncio
import os
import time
from argparse import ArgumentParser, Namespace
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, suppress
from typing import Any

import uvloop

from engine import config
from engine.adapters.base import LLMRequest, RecognizerStream, SpeechRequest
from engine.audio import Outlet
from engine.cli import add_config
from engine.config import Config
from engine.core.commands import Message, Role
from engine.core.events import ASREndOfTurn, ASRFinal, ASRPartial, LLMDone, LLMToken, Stage, TTSWords
from engine.core.units import ENGINE_HZ, FRAME_BYTES, FRAME_NS, SECOND, AudioFormat
from engine.errors import AdapterError, EngineError
from engine.server.rehearsal import Behaviours, behaviours, rehearsing, with_keys

SENTENCE = "The quick brown fox jumps over the lazy dog."
QUESTION = "Say hello in one short sentence."
PATIENCE_S = 20.0
"""For any one step."""
QUIET_MS = 2_000
"""Of silence after the sentence, in which its last words may come."""
VERSIONS = (
    "model", "model_id", "modelId", "speech_model", "voice", "voice_id", "speaker",
    "anthropic_version", "cartesia_version", "api_version",
)  # fmt: skip
"""Options that say what was asked for. A language model's answer names its model besides, dated where the service dates them."""
PAUSE_MS = 200
"""Of silence after which the recogniser is asked to finish, as in a call."""


def options(parser: ArgumentParser) -> None:
    for stage, what in ((Stage.ASR, "recogniser"), (Stage.LLM, "language model"), (Stage.TTS, "synthesizer")):
        parser.add_argument(f"--{stage}", metavar="NAME", help=f"check this {what}, whatever is configured")
    parser.add_argument(
        "--simulate-providers", nargs="*", metavar="WISH", help="check the simulated ones (see engine serve)"
    )
    add_config(parser)


def run(arguments: Namespace) -> int:
    wishes: list[str] | None = arguments.simulate_providers
    environ = dict(os.environ) if wishes is None else with_keys(os.environ)
    for stage in (Stage.ASR, Stage.LLM, Stage.TTS):
        if name := getattr(arguments, stage.value):
            environ[f"ENGINE_{stage.name}"] = name
    found = config.load(arguments.config, environ=environ)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        good = runner.run(check(found) if wishes is None else rehearse(found, behaviours(wishes)))
    if not good:
        raise EngineError("not every provider answered")
    return 0


async def rehearse(found: Config, wished: Behaviours) -> bool:
    """Check the providers' doubles."""
    async with rehearsing(found, wished) as (rehearsed, _):
        return await check(rehearsed)


async def check(found: Config) -> bool:
    """Check all configured providers and print a line for each; returns whether all are well."""
    sound, good = b"", True
    async with AsyncExitStack() as stack:
        for stage in (Stage.TTS, Stage.LLM, Stage.ASR):
            for name in found.agent.providers[stage]:
                provider = found.provider(stage, name)
                stack.push_async_callback(provider.stop)
                try:
                    async with asyncio.timeout(PATIENCE_S):
                        reached = await _start(provider)
                        if stage is Stage.TTS:
                            heard, line = await _speak(provider)
                            sound = sound or heard
                        elif stage is Stage.LLM:
                            line = await _ask(provider)
                        else:
                            line = await _hear(provider.stream(1), sound)
                except AdapterError as error:
                    good, line, reached = False, f"failed: {error}", ""
                except TimeoutError:
                    good, line, reached = False, f"failed: nothing for {PATIENCE_S:.0f} s", ""
                print(f"{stage.value} {name}: {_versions(found, stage, name)}{reached}{line}", flush=True)
    return good


def _versions(found: Config, stage: Stage, name: str) -> str:
    options = found.options.get(f"{stage.value}.{name}")
    values = [str(value) for field in VERSIONS if (value := getattr(options, field, ""))]
    return f"{', '.join(values)}; " if values else ""


async def _start(provider: Any) -> str:
    began = time.perf_counter()
    await provider.start()
    return f"ready in {_ms(began)} ms, "


async def _speak(provider: Any) -> tuple[bytes, str]:
    """The sentence as PCM16 at the engine's rate, and what there is to say of it."""
    voice = provider.voice()
    try:
        began = time.perf_counter()
        await voice.open()
        opened = _ms(began)
        outlet, sound, words, first = Outlet(voice.rate_hz, AudioFormat(ENGINE_HZ)), b"", 0, -1
        began = time.perf_counter()
        async with aclosing(voice.speak(SpeechRequest(run=1, chunk=1, text=SENTENCE))) as pieces:
            async for piece in pieces:
                if isinstance(piece, TTSWords):
                    words += len(piece.words)
                    continue
                first = _ms(began) if first < 0 else first
                sound += outlet.push(piece)
        sound += outlet.flush()
    finally:
        await voice.close()
    told = f"{words} word times" if words else "no word times"
    seconds = AudioFormat(ENGINE_HZ).duration_ns(len(sound)) / SECOND
    return sound, f"connected in {opened} ms, first sound after {first} ms, {seconds:.1f} s of speech, {told}"


async def _ask(provider: Any) -> str:
    began, first, size = time.perf_counter(), -1, 0
    request = LLMRequest(run=1, request=1, messages=(Message(Role.USER, QUESTION),))
    done = LLMDone(run=1, request=1)
    async with aclosing(provider.stream(request)) as facts:
        async for fact in facts:
            if isinstance(fact, LLMToken):
                first = _ms(began) if first < 0 else first
                size += len(fact.text)
            elif isinstance(fact, LLMDone):
                done = fact
    model = f"{done.model}, " if done.model else ""
    counted = f", {done.output_tokens} tokens" if done.output_tokens else ""
    return f"{model}first token after {first} ms, {size} characters in {_ms(began)} ms{counted}"


async def _hear(stream: RecognizerStream, sound: bytes) -> str:
    if not sound:
        return "not heard: no synthesizer spoke"
    facts = stream.facts()
    began = time.perf_counter()
    async with aclosing(facts):  # type: ignore[type-var]
        await anext(facts)
        opened = _ms(began)
        began = time.perf_counter()
        saying = asyncio.create_task(_say(stream, sound))
        try:
            text, first, last = await _gather(facts, began, saying)
        finally:
            saying.cancel()
            with suppress(asyncio.CancelledError):
                await saying
    late = last - AudioFormat(ENGINE_HZ).duration_ns(len(sound)) * 1000 // SECOND
    error = word_error(SENTENCE, text)
    return (
        f"connected in {opened} ms, first words after {first} ms, the last {late} ms after the sentence, "
        f'word error {error:.0%}: "{text}"'
    )


async def _say(stream: RecognizerStream, sound: bytes) -> None:
    """Speak in real time, and then be quiet."""
    frames = [sound[at : at + FRAME_BYTES].ljust(FRAME_BYTES, b"\0") for at in range(0, len(sound), FRAME_BYTES)]
    pause = len(frames) + PAUSE_MS * 1_000_000 // FRAME_NS
    loop = asyncio.get_running_loop()
    began = loop.time()
    for number, frame in enumerate([*frames, *[bytes(FRAME_BYTES)] * (QUIET_MS * 1_000_000 // FRAME_NS)]):
        await asyncio.sleep(max(0.0, began + number * FRAME_NS / SECOND - loop.time()))
        stream.hear(frame)
        if number == pause:
            stream.finalize()


async def _gather(facts: AsyncIterator[Any], began: float, saying: "asyncio.Task[None]") -> tuple[str, int, int]:
    """What was understood, and after how many ms the first and the last of it came."""
    text, partial, first, last = "", "", -1, -1
    coming = asyncio.ensure_future(anext(facts))
    while True:
        await asyncio.wait({coming, saying}, return_when=asyncio.FIRST_COMPLETED)
        if not coming.done():
            coming.cancel()
            with suppress(asyncio.CancelledError):
                await coming
            return " ".join(f"{text} {partial}".split()), first, last
        fact = coming.result()
        if isinstance(fact, ASRPartial | ASRFinal | ASREndOfTurn) and fact.text:
            first, last = (_ms(began) if first < 0 else first), _ms(began)
            if isinstance(fact, ASRPartial):
                partial = fact.text
            else:
                text = fact.text if isinstance(fact, ASREndOfTurn) else f"{text} {fact.text}"
                partial = ""
        coming = asyncio.ensure_future(anext(facts))


def word_error(said: str, heard: str) -> float:
    """Words wrong, missing or too many, for each word said. Case and punctuation do not count."""
    wanted, found = _words(said), _words(heard)
    row = list(range(len(found) + 1))
    for number, word in enumerate(wanted, start=1):
        above, row[0] = row[0], number
        for column, other in enumerate(found, start=1):
            above, row[column] = row[column], min(above + (word != other), row[column] + 1, row[column - 1] + 1)
    return row[-1] / max(1, len(wanted))


def _words(text: str) -> list[str]:
    return "".join(letter if letter.isalnum() else " " for letter in text.lower()).split()


def _ms(began: float) -> int:
    return round((time.perf_counter() - began) * 1000)
