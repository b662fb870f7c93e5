"""What the calls of a process know together: when a provider is asked last, when it is probed, and who tries it first."""

import asyncio
import logging

import pytest

from engine.adapters.base import Provider
from engine.core.events import Fact, Outages, OutagesChanged, Stage
from engine.core.policy import Setup
from engine.errors import AdapterError, FailureKind
from engine.runtime.breakers import Breaker, Breakers, Limits, Position
from engine.runtime.watch import Watch
from tests.fakes import FakeModel, FakeProvider, FakeRecognizer, FakeSynthesizer, virtually

SETUP = Setup(asr=("ears", "spare ears"), llm=("brain", "spare brain"), tts=("mouth",))
DOWN = AdapterError("brain", FailureKind.UNAVAILABLE, "down")


class Bench:
    """Breakers over fake providers, on virtual time."""

    def __init__(self, chance: float = 0.5, **limits: int) -> None:
        self.ears, self.brain, self.spare, self.mouth = FakeRecognizer(), FakeModel(), FakeModel(), FakeSynthesizer()
        stages: dict[Stage, dict[str, Provider]] = {
            Stage.ASR: {"ears": self.ears, "spare ears": FakeRecognizer()},
            Stage.LLM: {"brain": self.brain, "spare brain": self.spare},
            Stage.TTS: {"mouth": self.mouth},
        }
        self.loop = asyncio.get_running_loop()
        self.breakers = Breakers(stages, Limits(**limits), clock=self.loop.time_ns, chance=lambda: chance)  # type: ignore[attr-defined]

    def watch(self, setup: Setup = SETUP) -> tuple[Watch, list[Fact]]:
        watch, posted = self.breakers.watch(setup), list[Fact]()
        watch.post = posted.append
        return watch, posted

    def fail(self, times: int = 3, name: str = "brain", stage: Stage = Stage.LLM, watch: Watch | None = None) -> None:
        for _ in range(times):
            self.breakers.failed(stage, name, FailureKind.UNAVAILABLE, watch)

    def of(self, name: str) -> Breaker:
        return next(breaker for breaker in self.breakers if breaker.name == name)

    def position(self, name: str = "brain") -> Position:
        return self.of(name).position


@virtually
async def test_a_provider_that_fails_three_times_is_out_for_every_call() -> None:
    bench = Bench()
    _, first = bench.watch()
    _, other = bench.watch(Setup(llm=("spare brain",)))
    bench.fail(2)
    assert bench.position() is Position.CLOSED
    bench.fail(1)
    assert bench.position() is Position.OPEN
    await asyncio.sleep(0)
    assert first == [OutagesChanged(outages=Outages(llm=("brain",)))]
    assert other == []
    assert bench.watch()[0].told == Outages(llm=("brain",))
    assert bench.watch(Setup(llm=("spare brain",)))[0].told == Outages()
    bench.breakers.stop()


@virtually
async def test_failures_that_lie_far_apart_do_not_open_it() -> None:
    bench = Bench()
    for _ in range(6):
        bench.fail(1)
        await asyncio.sleep(16)
    assert bench.position() is Position.CLOSED


@virtually
async def test_a_provider_that_answers_more_often_than_it_fails_is_not_out() -> None:
    bench = Bench()
    for _ in range(4):
        bench.breakers.answered(Stage.LLM, "brain", 0)
    bench.fail(3)
    assert bench.position() is Position.CLOSED
    bench.fail(1)
    assert bench.position() is Position.OPEN
    bench.breakers.stop()


@virtually
async def test_what_is_not_a_provider_of_ours_is_nobodys_failure() -> None:
    bench = Bench()
    bench.fail(9, "look_up", Stage.TOOL)
    bench.breakers.answered(Stage.TOOL, "look_up", 0)
    assert {breaker.position for breaker in bench.breakers} == {Position.CLOSED}


@virtually
async def test_breakers_can_be_switched_off() -> None:
    bench = Bench(failures=0)
    bench.fail(50)
    bench.breakers.unready(bench.brain, FailureKind.UNAVAILABLE)
    assert bench.position() is Position.CLOSED


@virtually
async def test_it_is_asked_with_waits_that_double_up_to_a_limit() -> None:
    bench = Bench(probe_ns_max=10 * 10**9)
    bench.brain.well = DOWN
    bench.fail()
    asked = []
    for second in range(1, 41):
        await asyncio.sleep(1)
        if bench.brain.asked_ready > len(asked):
            asked.append(second)
    assert asked == [2, 6, 14, 24, 34]
    assert bench.spare.asked_ready == 0
    bench.breakers.stop()


@pytest.mark.parametrize(("chance", "first_s"), [(0.0, 1.6), (1.0, 2.4)])
@virtually
async def test_waits_are_spread_by_a_fifth_either_way(chance: float, first_s: float) -> None:
    bench = Bench(chance)
    bench.fail()
    await asyncio.sleep(first_s - 0.02)
    assert bench.brain.asked_ready == 0
    await asyncio.sleep(0.04)
    assert bench.brain.asked_ready == 1


@virtually
async def test_a_model_that_is_ready_is_tried_by_one_call_and_comes_back_when_that_is_answered() -> None:
    bench = Bench()
    trial, first = bench.watch()
    _, second = bench.watch()
    bench.fail()
    await asyncio.sleep(3)
    assert bench.position() is Position.HALF_OPEN
    assert [fact.outages for fact in first] == [Outages(llm=("brain",)), Outages()]  # type: ignore[attr-defined]
    assert len(second) == 1
    assert bench.watch()[0].told == Outages(llm=("brain",))
    bench.breakers.answered(Stage.LLM, "brain", 10**8)
    assert bench.position() is Position.CLOSED
    await asyncio.sleep(0)
    assert second[-1] == OutagesChanged(outages=Outages())
    assert trial.told == Outages()


@virtually
async def test_when_the_call_that_tries_it_fails_it_is_out_again_for_longer() -> None:
    bench = Bench()
    trial, _ = bench.watch()
    other, _ = bench.watch()
    bench.fail()
    await asyncio.sleep(3)
    bench.fail(1, watch=other)
    assert bench.position() is Position.HALF_OPEN, "a call that is not the one proves nothing"
    bench.brain.well = DOWN
    bench.fail(1, watch=trial)
    assert bench.position() is Position.OPEN
    assert bench.of("brain").openings == 2
    asked = bench.brain.asked_ready
    await asyncio.sleep(3.9)
    assert bench.brain.asked_ready == asked
    await asyncio.sleep(0.2)
    assert bench.brain.asked_ready == asked + 1
    bench.breakers.stop()


@virtually
async def test_a_recogniser_is_tried_by_a_new_call_because_those_under_way_keep_theirs() -> None:
    bench = Bench()
    under_way, _ = bench.watch()
    bench.fail(name="ears", stage=Stage.ASR)
    await asyncio.sleep(3)
    assert bench.position("ears") is Position.HALF_OPEN
    assert under_way.told == Outages(asr=("ears",))
    new, _ = bench.watch()
    assert new.told == Outages()
    assert bench.watch()[0].told == Outages(asr=("ears",))


@virtually
async def test_a_call_that_ends_without_trying_leaves_that_to_another() -> None:
    bench = Bench()
    first, _ = bench.watch()
    second, _ = bench.watch()
    bench.fail()
    await asyncio.sleep(3)
    assert (first.told, second.told) == (Outages(), Outages(llm=("brain",)))
    first.close()
    assert second.told == Outages()
    second.close()
    assert bench.watch()[0].told == Outages()


@virtually
async def test_a_spare_that_is_ready_is_back_at_once_for_no_call_would_try_it() -> None:
    bench = Bench()
    bench.fail(name="spare brain")
    await asyncio.sleep(3)
    assert bench.position("spare brain") is Position.CLOSED


@virtually
async def test_a_spare_that_was_to_be_tried_is_back_with_the_one_before_it() -> None:
    bench = Bench()
    bench.brain.well = DOWN
    bench.fail()
    bench.fail(name="spare brain")
    await asyncio.sleep(3)
    assert bench.position("spare brain") is Position.HALF_OPEN
    bench.breakers.answered(Stage.LLM, "brain", 0)
    assert (bench.position(), bench.position("spare brain")) == (Position.CLOSED, Position.CLOSED)
    assert bench.position("ears") is Position.CLOSED


@virtually
async def test_an_answer_proves_only_what_was_asked_after_it_was_out() -> None:
    bench = Bench()
    await asyncio.sleep(5)
    bench.fail()
    await asyncio.sleep(1)
    bench.breakers.answered(Stage.LLM, "brain", 2 * 10**9)
    assert bench.position() is Position.OPEN
    bench.breakers.answered(Stage.LLM, "brain", 5 * 10**8)
    assert bench.position() is Position.CLOSED
    await asyncio.sleep(5)
    assert bench.brain.asked_ready == 0, "one that is back is not asked"


@virtually
async def test_one_that_is_proved_while_it_is_asked_is_not_half_open() -> None:
    bench = Bench()
    bench.fail()
    answer = asyncio.Event()

    async def ready() -> None:
        await answer.wait()

    bench.brain.ready = ready  # type: ignore[method-assign]
    await asyncio.sleep(2.5)
    bench.breakers.answered(Stage.LLM, "brain", 0)
    answer.set()
    await asyncio.sleep(1)
    assert bench.position() is Position.CLOSED


@virtually
async def test_a_provider_that_could_not_be_made_ready_is_out_before_the_first_call() -> None:
    bench = Bench()
    bench.breakers.unready(bench.mouth, FailureKind.UNAVAILABLE)
    bench.breakers.unready(bench.mouth, FailureKind.UNAVAILABLE)
    assert bench.of("mouth").openings == 1
    assert bench.watch()[0].told == Outages(tts=("mouth",))
    bench.breakers.stop()


@virtually
async def test_providers_are_asked_one_at_a_time_and_one_that_hangs_does_not_keep_the_others() -> None:
    bench = Bench()
    asking: list[str] = []

    def slow(name: str, provider: FakeProvider) -> None:
        async def ready() -> None:
            assert not asking
            asking.append(name)
            try:
                await asyncio.sleep(60)
            finally:
                asking.remove(name)

        provider.ready = ready  # type: ignore[method-assign]

    slow("brain", bench.brain)
    bench.fail()
    bench.fail(name="mouth", stage=Stage.TTS)
    await asyncio.sleep(3)
    assert asking == ["brain"]
    assert bench.position("mouth") is Position.OPEN
    await asyncio.sleep(6)
    assert bench.position("mouth") is Position.HALF_OPEN
    assert bench.position() is Position.OPEN
    bench.breakers.stop()


@virtually
async def test_a_fault_of_an_adapter_leaves_it_out_and_is_told(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()

    async def ready() -> None:
        raise ValueError("a fault")

    bench.brain.ready = ready  # type: ignore[method-assign]
    bench.fail()
    await asyncio.sleep(3)
    assert bench.position() is Position.OPEN
    assert "adapter fault" in caplog.text
    bench.breakers.stop()


@virtually
async def test_every_change_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "engine.host")
    bench = Bench()
    bench.watch()
    bench.fail()
    await asyncio.sleep(3)
    bench.breakers.answered(Stage.LLM, "brain", 0)
    assert [record.message for record in caplog.records] == [
        "llm brain is out and is asked last: unavailable",
        "llm brain is ready again and is tried by one call",
        "llm brain is back",
    ]
    assert {(record.stage, record.provider) for record in caplog.records} == {("llm", "brain")}  # type: ignore[attr-defined]


@virtually
async def test_stopping_ends_the_asking() -> None:
    bench = Bench()
    bench.breakers.stop()
    bench.brain.well = DOWN
    bench.fail()
    await asyncio.sleep(1)
    bench.breakers.stop()
    await asyncio.sleep(10)
    assert bench.brain.asked_ready == 0
    hanging = Bench()

    async def ready() -> None:
        await asyncio.Event().wait()

    hanging.brain.ready = ready  # type: ignore[method-assign]
    hanging.fail()
    await asyncio.sleep(2.5)
    hanging.breakers.stop()
    await asyncio.sleep(0)
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("probe")]
