"""What the engine adds: from the fact that decides to the byte that leaves, with providers that answer at once.

pytest bench/test_latency.py

Latency, not cost: real time on uvloop, one call in the process. Reported, not gated.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from engine.core.events import ASREndOfTurn, ASRFinal, Fact, UserTextReceived
from engine.core.policy import Policy, Setup
from engine.core.units import FRAME_BYTES, FRAME_NS, AudioFormat
from engine.runtime.effects import Providers
from engine.runtime.session import Session
from engine.transports.base import Capabilities
from engine.transports.memory import MemoryTransport
from tests.fakes import FakeModel, FakeRecognizer, FakeSynthesizer, LoudnessDetector

TURNS = 300
VOICE = b"\x70\x17" * (FRAME_BYTES // 2)


class Bench:
    """A call whose providers answer in the same turn of the event loop, or the next."""

    def __init__(self, *, marks: bool = False) -> None:
        self.ears, self.brain, self.mouth = FakeRecognizer(), FakeModel(), FakeSynthesizer()
        self.mouth.first_ms, self.mouth.slowness, self.mouth.ms_per_char = 0, 0, 2
        self.brain.scripts = [[(0, "It is noon.")] for _ in range(TURNS + 20)]
        capabilities = Capabilities(
            name="bench", inbound=AudioFormat(16_000), outbound=AudioFormat(24_000), marks=marks
        )
        self.transport = MemoryTransport(capabilities)
        setup = Setup(policy=Policy(speculate=False, idle_ns=0), asr=("ears",), llm=("brain",), tts=("mouth",))
        providers = Providers(asr={"ears": self.ears}, llm={"brain": self.brain}, tts={"mouth": self.mouth})
        self.spoken_ns = 0
        self.session = Session(self.transport, setup, providers, detector=LoudnessDetector(), clock=self.clock)
        self.transport.peer.follow(self.clock)

    def clock(self) -> int:
        """Real time, and besides as much as the caller has spoken: frames are not waited for."""
        return time.monotonic_ns() + self.spoken_ns

    def speak(self, frame: bytes) -> None:
        self.spoken_ns += FRAME_NS
        self.transport.peer.speak(frame)

    async def heard_since(self, pieces: int) -> None:
        while len(self.transport.peer.sent) == pieces:  # noqa: ASYNC110 - an event would cost what is measured
            await asyncio.sleep(0)

    async def quiet(self) -> None:
        while self.session.state.response.run is not None:
            await asyncio.sleep(0.001)
            self.transport.peer.catch_up()


def on_uvloop(work: Callable[[], Coroutine[Any, Any, list[int]]]) -> list[int]:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work())


def report(capsys: pytest.CaptureFixture[str], name: str, times_ns: list[int]) -> None:
    """Print what was measured. It is in nobody's table of costs: a latency has a tail, and the tail is the point."""
    times_ns.sort()
    parts = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0)]
    found = (f"{part} {times_ns[min(len(times_ns) - 1, int(len(times_ns) * at))] / 1_000:,.0f}" for part, at in parts)
    with capsys.disabled():
        print(f"\n{name}: {', '.join(found)} µs of {len(times_ns)}")


@pytest.mark.parametrize("words", ["typed", "spoken"])
def test_from_the_callers_last_fact_to_the_agents_first_byte(capsys: pytest.CaptureFixture[str], words: str) -> None:
    """The turn is decided -> model asked -> token -> synthesizer asked -> sound -> the transport has it."""

    async def talk() -> list[int]:
        bench, times = Bench(), []
        running = asyncio.create_task(bench.session.run())
        await asyncio.sleep(0.05)
        for turn in range(TURNS):
            pieces = len(bench.transport.peer.sent)
            fact: Fact = UserTextReceived(text="what time is it")
            if words == "spoken":
                # A recogniser that brings its own end of turn: the final alone decides.
                bench.session.post(ASRFinal(ear=1, text=f"question number {turn}"))
                fact = ASREndOfTurn(ear=1)
            began = time.perf_counter_ns()
            bench.session.post(fact)
            await bench.heard_since(pieces)
            times.append(time.perf_counter_ns() - began)
            await bench.quiet()
        bench.transport.close("done")
        await running
        return times

    report(capsys, f"{words} turn, decided -> first byte", on_uvloop(talk))


def test_from_the_deciding_frame_to_silence(capsys: pytest.CaptureFixture[str]) -> None:
    """The callback that hears the frame is the callback that clears the peer."""

    async def talk() -> list[int]:
        bench, times = Bench(), []
        bench.mouth.ms_per_char = 300
        bench.brain.scripts = [
            script for _ in range(60) for script in ([(0, "It is noon.")], [])
        ]  # nothing to say to "stop"
        cleared: list[int] = []
        clear = bench.transport.clear

        def noted(run: int) -> None:
            clear(run)
            cleared.append(time.perf_counter_ns())

        bench.transport.clear = noted  # type: ignore[method-assign]
        running = asyncio.create_task(bench.session.run())
        await asyncio.sleep(0.05)
        peer = bench.transport.peer
        for _ in range(60):
            pieces = len(peer.sent)
            bench.session.post(UserTextReceived(text="what time is it"))
            await bench.heard_since(pieces)
            while not cleared:
                began = time.perf_counter_ns()
                bench.speak(VOICE)
            times.append(cleared.pop() - began)
            bench.session.post(UserTextReceived(text="stop"))
            for _ in range(20):
                bench.speak(bytes(FRAME_BYTES))
            await bench.quiet()
            cleared.clear()
        bench.transport.close("done")
        await running
        return times

    report(capsys, "deciding frame -> clear", on_uvloop(talk))
