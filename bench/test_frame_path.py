"""What a call costs while nothing happens: one frame of the caller's sound in, one piece of the agent's sound out, memory, tasks.

pytest bench/test_frame_path.py

Cost, not latency: nanoseconds of CPU on the event loop's thread. The detector is the real one where its name says so; a recogniser
is a queue that is emptied, because what a real one costs is another process's.
"""

import asyncio
import base64
import tracemalloc
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.adapters.vad import SileroGate, WebrtcDetector
from engine.core.events import Fact
from engine.core.policy import Policy
from engine.core.units import FRAME_BYTES, FRAME_NS, AudioFormat, Encoding
from engine.runtime.elastic import ElasticLoop
from engine.runtime.inbound import Inbound
from engine.runtime.outbound import Outbound
from engine.transports.base import Capabilities
from engine.transports.memory import MemoryTransport
from engine.transports.wav import read_wav
from tests.fakes import Call, jumping_loop

VOICE = Path(__file__).parents[1] / "tests" / "fixtures" / "audio" / "day-012.wav"
TELEPHONE = AudioFormat(8_000, Encoding.ULAW)


class Sponge:
    """A recogniser's stream that takes everything and keeps little."""

    def __init__(self) -> None:
        self.frames: deque[bytes] = deque(maxlen=8)

    def hear(self, frame: bytes) -> None:
        self.frames.append(frame)


class Mute:
    """An outbound that nobody tells anything."""

    def marked(self, name: str) -> None: ...

    def played(self, run: int, samples: int) -> None: ...


class Quiet:
    """A detector that costs nothing."""

    def score(self, frame: bytes) -> float:
        return 0.0


def inbound(sound: AudioFormat, detector: Any) -> tuple[Inbound, Callable[[], None]]:
    """A way in, and what lets 20 ms pass on its clock."""
    now = [0]

    def tick() -> None:
        now[0] += FRAME_NS

    facts: list[Fact] = []
    capabilities = Capabilities(name="bench", inbound=sound, outbound=sound)
    way = Inbound(capabilities, Policy(), detector, Mute(), facts.append, lambda: now[0])  # type: ignore[arg-type]
    way.attach(Sponge(), lambda: None)  # type: ignore[arg-type]
    return way, tick


def per_frame(benchmark: Any, frames: int, work: Callable[[], None]) -> None:
    benchmark.extra_info["frames"] = frames
    benchmark.pedantic(work, rounds=30, warmup_rounds=2)
    benchmark.extra_info["us_per_frame"] = round(benchmark.stats.stats.median / frames * 1e6, 3)


@pytest.mark.parametrize("detector", [Quiet, WebrtcDetector, SileroGate])
def test_a_browsers_frame(benchmark: Any, detector: Callable[[], Any]) -> None:
    """20 ms of PCM16 at 16 kHz, silence and a human voice in turns."""
    way, tick = inbound(AudioFormat(16_000), detector())
    voice = read_wav(VOICE).pcm
    frames = [voice[start : start + FRAME_BYTES] for start in range(0, len(voice) - FRAME_BYTES, FRAME_BYTES)]
    frames += [bytes(FRAME_BYTES)] * len(frames)

    def hear() -> None:
        for frame in frames:
            tick()
            way.hear(frame)

    per_frame(benchmark, len(frames), hear)


def test_a_telephones_frame(benchmark: Any) -> None:
    """20 ms of μ-law in base64, to the recogniser's hand."""
    way, tick = inbound(TELEPHONE, Quiet())
    payload = base64.b64encode(bytes(range(160))).decode()

    def hear() -> None:
        for _ in range(500):
            tick()
            way.hear_base64(payload)

    per_frame(benchmark, 500, hear)


@pytest.fixture
def loop() -> Iterator[ElasticLoop]:
    made = jumping_loop()
    asyncio.set_event_loop(made)
    yield made
    made.close()


@pytest.mark.parametrize("outbound", [TELEPHONE, AudioFormat(24_000)], ids=["telephone", "browser"])
def test_ten_seconds_of_speech_sent(benchmark: Any, loop: ElasticLoop, outbound: AudioFormat) -> None:
    """Everything that 10 s of the agent's sound cost after it was made: ring, pacing, timers, encoding, facts. Reported per 20 ms."""
    capabilities = Capabilities(name="bench", inbound=outbound, outbound=outbound)
    sound = bytes(2 * outbound.rate_hz // 10)
    runs = iter(range(1, 10**6))

    async def speak() -> None:
        out = Outbound(MemoryTransport(capabilities), lambda fact: None, loop.time_ns, loop)
        run = next(runs)
        out.open(run)
        for _ in range(100):
            await out.write(run, sound)
        await asyncio.sleep(11)
        out.close()

    per_frame(benchmark, 500, lambda: loop.run_until_complete(speak()))


def test_a_minute_of_call(benchmark: Any, loop: ElasticLoop) -> None:
    """Ten turns in a minute, rules and runtime and scripted providers together. Reported per second of call."""

    async def talk() -> None:
        async with Call(greeting="Hello.") as call:
            call.brain.scripts = [[(50, "It is noon, and the sun is shining over the hills.")] for _ in range(10)]
            for _ in range(10):
                await call.say("what time is it", 1_000)
                await call.pass_ms(4_680)

    benchmark.pedantic(lambda: loop.run_until_complete(talk()), rounds=5, warmup_rounds=1)
    benchmark.extra_info["ms_of_cpu_per_second"] = round(benchmark.stats.stats.median / 60 * 1e3, 3)


def test_nothing_grows_with_the_frames(loop: ElasticLoop) -> None:
    """Memory after 100,000 frames is what it was after 5,000."""
    way, tick = inbound(TELEPHONE, Quiet())
    payload = base64.b64encode(bytes(160)).decode()

    def hear(frames: int) -> None:
        for _ in range(frames):
            tick()
            way.hear_base64(payload)

    hear(5_000)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    hear(100_000)
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    # What was not traced before is traced now: the second of sound that is kept.
    assert grown < 64 * 1024, grown


def test_a_call_is_a_handful_of_tasks(loop: ElasticLoop) -> None:
    """The connection, the recogniser, the model, two chunks of speech: five at the most, two in silence."""
    most = idle = 0

    async def talk() -> None:
        nonlocal most, idle
        around = len(asyncio.all_tasks())
        async with Call(greeting="Hello.") as call:
            call.brain.scripts = [
                [(50, "One sentence is here. Another one follows it. And a third. "), (300, "The end.")]
            ]
            await call.pass_ms(2_000)
            idle = len(asyncio.all_tasks()) - around
            saying = asyncio.create_task(call.say("what time is it"))
            while call.loop.time() < 7:
                await asyncio.sleep(0.001)
                most = max(most, len(asyncio.all_tasks()) - around - (not saying.done()))
            await saying

    loop.run_until_complete(talk())
    assert idle == 2
    assert most <= 5
