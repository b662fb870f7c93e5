"""What watching costs: processor time of a whole call with telemetry on and off, and of its parts.

    pytest bench/test_telemetry.py -s

The call is the one of tests/test_jaeger.py with recorded human speech as the caller, through the whole runtime in virtual time:
codec, detector (silero), endpointing, pacing, journal; only the providers are played. "On" is everything: spans, log lines, metrics, sent over
HTTP to a collector in another process. The exporting thread's time counts, the collector's does not.
"""

import asyncio
import multiprocessing
import statistics
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from engine.adapters.vad import make_detector, warm
from engine.core.events import ASRFinal, ASRPartial
from engine.core.policy import ToolSpec
from engine.core.units import FRAME_BYTES, FRAME_NS, SECOND
from engine.replay.journal import Recorder
from engine.replay.sheet import Sheet
from engine.telemetry import Call, Settings, Telemetry
from engine.telemetry.fold import Fold
from engine.transports.wav import read_wav
from tests import fakes
from tests.calls import BARGE_IN, steps_of
from tests.telemetry.collector import collector

ROUNDS = 24
CALLS = 4
"""In a round, each way: together they fill a batch, as 30 calls at once do in the five seconds that a record waits."""
SPEECH = Path(__file__).parent.parent / "tests/fixtures/audio"
SAID = ("day-000.wav", "time-010.wav", "date-002.wav", "digits-009.wav")


def _serve(pipe: Connection) -> None:
    with collector() as server:
        pipe.send(server.endpoint)
        pipe.recv()


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """A collector in a process of its own."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs,))
    process.start()
    yield ours.recv()
    ours.send("enough")
    process.join()
    ours.close()
    theirs.close()


def frames_of(name: str) -> list[bytes]:
    sound = read_wav(SPEECH / name)
    assert sound.rate_hz == 16_000
    whole = len(sound.pcm) // FRAME_BYTES * FRAME_BYTES
    return [sound.pcm[start : start + FRAME_BYTES] for start in range(0, whole, FRAME_BYTES)]


TALK = [frames_of(name) for name in SAID]
SILENCE = bytes(FRAME_BYTES)


def hold(telemetry: Telemetry | None, number: int, folder: Path) -> float:
    """One call: a greeting, four turns, a tool in each other, an interruption. Returns its length in seconds."""
    observer = telemetry.observer(Call(session=str(number), began_ns=time.time_ns())) if telemetry else None
    recorder = Recorder(Sheet(folder / f"{time.time_ns()}.jsonl"), session=str(number), started_ns=time.time_ns())
    lasted = 0.0

    async def work() -> None:
        nonlocal lasted
        call = fakes.Call(
            observers=[recorder, observer] if observer else [recorder],
            detector=make_detector("silero"),
            tools=(ToolSpec("find_slots"),),
            greeting="Hello, how can I help you?",
        )
        answer = [(300, f" word{index}") for index in range(1)] + [(20, f" word {index},") for index in range(30)]
        answer.append((20, " and that is all. "))
        call.brain.scripts = [
            [(300, ("find_slots", "{}"))],
            answer,
            answer,
            [(300, ("find_slots", "{}"))],
            answer,
            answer,
        ]
        async with call:
            await listen(call, [SILENCE] * 120)
            for frames in TALK:
                await listen(call, frames)
                for words in range(1, 6):
                    call.stream.say(ASRPartial(ear=call.stream.ear, text=" ".join(["word"] * words)))
                    await listen(call, [SILENCE] * 3)
                call.stream.say(ASRFinal(ear=call.stream.ear, text="what is free on monday?"))
                await listen(call, [SILENCE] * 250)
            lasted = call.loop.time()

    fakes.virtually(work)()
    recorder.close()
    if observer:
        observer.close()
    return lasted


async def listen(call: fakes.Call, frames: list[bytes]) -> None:
    for frame in frames:
        await asyncio.sleep(FRAME_NS / SECOND)
        call.peer.pass_time(FRAME_NS)
        call.peer.speak(frame)


def test_a_watched_call_costs_at_most_a_tenth_more(
    endpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By turns on and off, each first as often as the other, so that both meet the same weather; the median of the ratios."""
    warm()
    telemetry = Telemetry(Settings(endpoint=endpoint, interval_s=1e6), "bench")
    lasted_s = hold(telemetry, 0, tmp_path)
    telemetry.flush()
    rounds: list[tuple[float, float]] = []
    for number in range(ROUNDS):
        spent = {
            watched: spend(telemetry, number, tmp_path, watched=watched)
            for watched in (number % 2 == 0, number % 2 == 1)
        }
        rounds.append((spent[False], spent[True]))
    assert telemetry.close()
    off_ms, on_ms = (statistics.median(side) / CALLS / lasted_s * 1e3 for side in zip(*rounds, strict=True))
    ratios = sorted(on / off for off, on in rounds)
    ratio = statistics.median(ratios)
    with capsys.disabled():
        quarter = len(ratios) // 4
        spread = f"half of the rounds between {ratios[quarter]:.3f} and {ratios[-1 - quarter]:.3f}"
        print(
            f"\nprocessor per second of call: {off_ms:.2f} ms off, {on_ms:.2f} ms on, median ratio {ratio:.3f} ({spread})"
        )
    assert ratio <= 1.10


def spend(telemetry: Telemetry, number: int, folder: Path, *, watched: bool) -> float:
    """Processor time of some calls, in seconds, with what the exporting thread needs for them."""
    began = time.process_time()
    for call in range(CALLS):
        hold(telemetry if watched else None, number * CALLS + call, folder)
    telemetry.flush()
    return time.process_time() - began


def test_the_fold_of_a_call(benchmark: Any) -> None:
    """A call of ten seconds with two turns, 39 steps, as records: the part that runs between the caller's frames."""
    steps = steps_of(BARGE_IN)

    def fold() -> None:
        taken = Fold(Call(session="bench", began_ns=0))
        for step in steps:
            taken(*step)

    benchmark.pedantic(fold, rounds=50, warmup_rounds=5)
    benchmark.extra_info["us_per_step"] = round(benchmark.stats.stats.median / len(steps) * 1e6, 2)
