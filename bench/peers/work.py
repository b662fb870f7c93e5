"""What everybody is given to do, and how its cost is taken. Standard library and uvloop: a peer runs this in an interpreter of its own.

A driver is an asynchronous context manager that opens one peer's client for one provider, and gives what does the work:

- hearing:   `Hearing`: takes a frame; asks for the words at a sentence's end. The driver tells it what was understood.
- answering: a coroutine function, question -> answer.
- speaking:  a coroutine function, text -> bytes of PCM16 that came; with its rate.

The client is open and has done a little of the same before the clock of the process (user and system time, all threads) is read.
What the feeding itself costs is measured in the same process, and taken off.
"""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import uvloop

FRAME_BYTES = 640
BURST = 10
"""Frames fed in one turn of the loop, as those of ten calls may come. Kinder to queues and tasks than one at a time would be."""
BURST_S = 0.01
"""Makes the feeding 20 times as fast as speech: the servers keep up, and nothing piles up."""
FIRST_S = 2.0
"""For the words of the first sentence; some come only with the next one's sound."""
PATIENCE_S = 20.0
WORDS_A_SECOND = 2.5
"""Of speech: 150 words a minute. Makes a token, which is a word here, a piece of a call-second."""

Feed = Callable[[bytes], Awaitable[object] | None]
Answer = Callable[[str], Awaitable[str]]


class Job(NamedTuple):
    """What is done. All peers get the same."""

    url: str
    """http://host:port of the provider's double."""
    key: str
    sound: str
    """A file of PCM16 at 16 kHz, whole frames: sentences between silences."""
    ends: list[int]
    """The frames at which a caller has fallen silent."""
    last_word: str
    question: str
    answer: str
    questions: int
    text: str
    texts: int
    speech_s: float
    """How long the text is when it is spoken."""

    @property
    def ws_url(self) -> str:
        return self.url.replace("http", "ws", 1)


class Hearing:
    """What an ear's driver gives and is told."""

    def __init__(self, hear: Feed, finish: Callable[[], Awaitable[object] | None] | None = None) -> None:
        self.hear = hear
        self._finish = finish
        self.text = ""
        self.changed = asyncio.Event()

    async def finish(self) -> None:
        """A sentence is over: ask for its words, where the service wants to be asked."""
        if self._finish is not None and (asked := self._finish()) is not None:
            await asked

    def understood(self, text: str) -> None:
        """Words that stay."""
        self.text += f" {text}"
        self.changed.set()

    async def until(self, word: str) -> None:
        while not self.text or word not in self.text.lower():
            self.changed.clear()
            await self.changed.wait()


class Mouth(NamedTuple):
    """What a voice's driver gives."""

    speak: Callable[[str], Awaitable[int]]
    """A text -> bytes of PCM16 that came for it."""
    rate_hz: int


class Speech:
    """Sound as it comes, for a peer that does not say when a text is done: it is when all of it has come."""

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._bytes = 0
        self._more = asyncio.Event()

    def take(self, sound: bytes | memoryview) -> None:
        self._bytes += len(sound)
        self._more.set()

    async def come(self, seconds: float) -> int:
        # Some drop a fade's worth at either end.
        while self._bytes < (seconds - 0.1) * self._rate_hz * 2:
            self._more.clear()
            await self._more.wait()
        came, self._bytes = self._bytes, 0
        return came


Driver = Callable[[Job], AbstractAsyncContextManager[Any]]
Drivers = Mapping[tuple[str, str], Driver]


async def feed(frames: list[bytes], hear: Feed, ends: list[int], finish: Callable[[], Awaitable[None]]) -> None:
    for number, frame in enumerate(frames):
        sent = hear(frame)
        if sent is not None:
            await sent
        if number in ends:
            await finish()
        if number % BURST == 0:
            await asyncio.sleep(BURST_S)


async def nothing() -> None:
    """What a feeding without a client does at a sentence's end."""


async def cpu_s(work: Awaitable[object]) -> float:
    """User and system time of this process, while that is done."""
    began = time.process_time()
    async with asyncio.timeout(PATIENCE_S):
        await work
    return time.process_time() - began


def frames_of(path: str) -> list[bytes]:
    sound = Path(path).read_bytes()
    return [sound[at : at + FRAME_BYTES] for at in range(0, len(sound), FRAME_BYTES)]


async def measure_hearing(driver: Driver, job: Job) -> float:
    frames = frames_of(job.sound)
    feeding = await cpu_s(feed(frames, lambda _: None, job.ends, nothing))
    async with driver(job) as hearing:
        warming = job.ends[0] + 1
        await feed(frames[:warming], hearing.hear, job.ends, hearing.finish)
        # What a first answer costs alone is nobody's running cost, whether the client waits for it or not.
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_S):
                await hearing.until("")

        async def work() -> None:
            await feed(frames[warming:], hearing.hear, [end - warming for end in job.ends], hearing.finish)
            await hearing.until(job.last_word)

        cost = await cpu_s(work()) - feeding * (1 - warming / len(frames))
    return cost / ((len(frames) - warming) / 50)


async def measure_answering(driver: Driver, job: Job) -> float:
    async with driver(job) as ask:
        await ask("are you there")

        async def work() -> None:
            for _ in range(job.questions):
                answer = await ask(job.question)
                assert answer == job.answer, answer[:100]

        cost = await cpu_s(work())
    return cost / (job.questions * len(job.answer.split()) / WORDS_A_SECOND)


async def measure_speaking(driver: Driver, job: Job) -> float:
    async with driver(job) as mouth:
        await mouth.speak(job.text)
        came = 0

        async def work() -> None:
            nonlocal came
            for _ in range(job.texts):
                came += await mouth.speak(job.text)

        cost = await cpu_s(work())
    seconds = came / 2 / mouth.rate_hz
    assert abs(seconds / job.texts / job.speech_s - 1) < 0.1, f"{seconds:.1f} s of sound came"
    return cost / seconds


MEASURES = {"asr": measure_hearing, "llm": measure_answering, "tts": measure_speaking}


def main(drivers: Drivers, reasons: Mapping[tuple[str, str], str] = MappingProxyType({})) -> None:
    """`python -m bench.peers.NAME STAGE PROVIDER JOB.json`: what one call-second costs, in µs of CPU.

    reasons: why there is no driver, where there is none.
    """
    stage, name, path = sys.argv[1:]
    if (stage, name) not in drivers:
        sys.exit(reasons.get((stage, name), "it has no such provider"))
    job = Job(**json.loads(Path(path).read_text()))
    print(json.dumps({"us": 1e6 * uvloop.run(MEASURES[stage](drivers[stage, name], job))}))
