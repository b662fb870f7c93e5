"""Our own adapters, driven as the runtime drives them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from msgspec.structs import fields

from bench.peers.work import Driver, Hearing, Job, Mouth, main
from engine.adapters.base import LLMRequest, SpeechRequest
from engine.adapters.registry import provider_class
from engine.core.commands import Message, Role
from engine.core.events import ASREndOfTurn, ASRFinal, ASROpened, LLMToken, Stage
from engine.sandbox import SERVERS, simulated


@asynccontextmanager
async def running(stage: Stage, name: str, job: Job) -> AsyncIterator[Any]:
    server = simulated(stage, name)
    server.url = job.url
    kind = provider_class(stage, name)
    required = {field.name: f"any-{field.name}" for field in fields(kind.options) if field.required}
    provider = kind(kind.options(**{**required, **server.settings()}))
    await provider.start()
    try:
        yield provider
    finally:
        await provider.stop()


def ear(name: str) -> Driver:
    @asynccontextmanager
    async def driver(job: Job) -> AsyncIterator[Hearing]:
        async with running(Stage.ASR, name, job) as provider:
            stream = provider.stream(1)
            hearing = Hearing(stream.hear, stream.finalize)
            facts = stream.facts()
            assert isinstance(await anext(facts), ASROpened)

            async def read() -> None:
                async for fact in facts:
                    if isinstance(fact, ASRFinal | ASREndOfTurn):
                        hearing.understood(fact.text)

            reading = asyncio.create_task(read())
            yield hearing
            reading.cancel()
            await asyncio.wait([reading])
            await facts.aclose()

    return driver


def brain(name: str) -> Driver:
    @asynccontextmanager
    async def driver(job: Job) -> AsyncIterator[Any]:
        async with running(Stage.LLM, name, job) as provider:

            async def ask(question: str) -> str:
                request = LLMRequest(run=1, request=1, messages=(Message(Role.USER, question),))
                return "".join([fact.text async for fact in provider.stream(request) if isinstance(fact, LLMToken)])

            yield ask

    return driver


def voice(name: str) -> Driver:
    @asynccontextmanager
    async def driver(job: Job) -> AsyncIterator[Mouth]:
        async with running(Stage.TTS, name, job) as provider:
            ours = provider.voice()
            await ours.open()

            async def speak(text: str) -> int:
                pieces = ours.speak(SpeechRequest(run=1, chunk=1, text=text))
                return sum([len(piece) async for piece in pieces if isinstance(piece, bytes)])

            yield Mouth(speak, ours.rate_hz)
            await ours.close()

    return driver


KINDS = {Stage.ASR: ear, Stage.LLM: brain, Stage.TTS: voice}
DRIVERS = {(stage.value, name): KINDS[stage](name) for stage, names in SERVERS.items() for name in names}

if __name__ == "__main__":
    main(DRIVERS)
