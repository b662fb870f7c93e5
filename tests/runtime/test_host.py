"""Many calls in one process: who is let in, what they share, and how it ends."""

import asyncio
from collections.abc import Callable

import pytest

from engine.core.commands import Commands
from engine.core.events import Event, Outages, SessionEnded, SessionStarted, UserTextReceived
from engine.core.policy import Policy, Setup
from engine.core.state import State
from engine.core.units import SECOND
from engine.errors import AdapterError, FailureKind
from engine.runtime import session as session_module
from engine.runtime.effects import Providers
from engine.runtime.host import FULL, STOPPING, CallInfo, Host, ObserverFactory
from engine.runtime.session import Outcome
from engine.transports.memory import MemoryTransport
from tests.fakes import (
    CAPABILITIES,
    FakeModel,
    FakeProvider,
    FakeRecognizer,
    FakeSynthesizer,
    FakeToolbox,
    LoudnessDetector,
    virtually,
)


class FakeAgent:
    toolbox = FakeToolbox()

    def setup(self, transport: str = "") -> Setup:
        return Setup(policy=Policy(), asr=("ears",), llm=("brain",), tts=("mouth",), transport=transport)


class House:
    """A host with fake providers."""

    def __init__(self, *observers: ObserverFactory, calls_max: int = 3) -> None:
        self.ears, self.brain, self.mouth = FakeRecognizer(), FakeModel(), FakeSynthesizer()
        providers = Providers(asr={"ears": self.ears}, llm={"brain": self.brain}, tts={"mouth": self.mouth})
        loop = asyncio.get_running_loop()
        clock: Callable[[], int] = lambda: round(loop.time() * SECOND)  # noqa: E731
        self.host = Host(providers, LoudnessDetector, observers=observers, calls_max=calls_max, clock=clock)

    def call(self, call_id: str = "") -> tuple[MemoryTransport, "asyncio.Task[Outcome]"]:
        transport = MemoryTransport(CAPABILITIES)
        return transport, asyncio.create_task(self.host.call(transport, FakeAgent(), call_id))

    @property
    def providers(self) -> list[FakeProvider]:
        return [self.ears, self.brain, self.mouth]


class Diary:
    """An observer that can be closed."""

    def __init__(self, info: CallInfo) -> None:
        self.info = info
        self.events: list[Event] = []
        self.closed = 0

    def __call__(self, event: Event, before: State, after: State, commands: Commands) -> None:
        self.events.append(event)

    def close(self) -> None:
        self.closed += 1


@virtually
async def test_calls_share_the_providers_and_nothing_else() -> None:
    house = House()
    calls = [house.call(f"call-{number}") for number in range(3)]
    await asyncio.sleep(1)
    assert house.host.calls == 3
    assert len(house.ears.streams) == 3
    assert house.host.session("call-1") is not house.host.session("call-2")
    for transport, _ in calls:
        transport.close("the caller hung up")
    outcomes = await asyncio.gather(*(running for _, running in calls))
    assert {outcome.reason for outcome in outcomes} == {"the caller hung up"}
    assert house.host.calls == 0
    assert (house.host.counts.begun, house.host.counts.ended) == (3, 3)


@virtually
async def test_one_call_too_many_is_turned_away_at_once() -> None:
    house = House(calls_max=1)
    transport, first = house.call()
    await asyncio.sleep(0.1)
    assert not house.host.has_room
    refused, second = house.call()
    outcome = await second
    assert (outcome.reason, outcome.admitted, outcome.state) == (FULL, False, None)
    assert await refused.carry(None) == FULL  # type: ignore[arg-type]
    assert house.host.counts.refused == 1
    transport.close("done")
    await first
    assert house.host.has_room


@virtually
async def test_a_second_call_of_the_same_name_is_turned_away() -> None:
    house = House()
    transport, first = house.call("same")
    await asyncio.sleep(0.1)
    _, second = house.call("same")
    assert not (await second).admitted
    transport.close("done")
    assert (await first).admitted


@virtually
async def test_a_call_that_breaks_ends_alone(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    real = session_module.reduce

    def broken(state: State, event: Event) -> tuple[State, Commands]:
        assert not isinstance(event, UserTextReceived), "a broken invariant"
        return real(state, event)

    monkeypatch.setattr(session_module, "reduce", broken)
    diaries: list[Diary] = []

    def keep(info: CallInfo) -> Diary:
        diaries.append(Diary(info))
        return diaries[-1]

    house = House(keep)
    bad, breaking = house.call("bad")
    good, going_on = house.call("good")
    await asyncio.sleep(1)
    assert bad.peer.line is not None
    bad.peer.line.typed("boom")
    assert (await breaking).faulty
    assert not going_on.done()
    assert house.host.counts.faulty == 1
    assert [diary.closed for diary in diaries] == [1, 0]
    good.close("done")
    assert not (await going_on).faulty
    assert isinstance(diaries[1].events[-1], SessionEnded)


@virtually
async def test_observers_are_made_told_and_closed() -> None:
    diaries: list[Diary] = []
    house = House(lambda info: diaries.append(Diary(info)) or diaries[-1])  # type: ignore[func-returns-value]
    transport, running = house.call("named")
    await asyncio.sleep(1)
    transport.close("done")
    await running
    assert diaries[0].info.call_id == "named"
    assert diaries[0].info.setup.transport == "memory"
    assert isinstance(diaries[0].events[-1], SessionEnded)
    assert diaries[0].closed == 1


@virtually
async def test_a_journal_that_cannot_be_opened_does_not_keep_the_caller_out(caplog: pytest.LogCaptureFixture) -> None:
    def full_disk(info: CallInfo) -> Diary:
        raise OSError("no space left on device")

    house = House(full_disk)
    transport, running = house.call()
    await asyncio.sleep(1)
    transport.close("done")
    assert (await running).reason == "done"
    assert "could not be made" in caplog.text


@virtually
async def test_an_observer_that_cannot_be_closed_does_not_keep_the_others_open(
    caplog: pytest.LogCaptureFixture,
) -> None:
    diaries: list[Diary] = []

    class Stuck(Diary):
        def close(self) -> None:
            raise OSError("no space left on device")

    house = House(lambda info: diaries.append(Diary(info)) or diaries[-1], Stuck)  # type: ignore[func-returns-value]
    transport, running = house.call()
    await asyncio.sleep(1)
    transport.close("done")
    await running
    assert diaries[0].closed == 1
    assert "could not be closed" in caplog.text


@virtually
async def test_draining_lets_calls_end_by_themselves() -> None:
    house = House()
    transport, running = house.call()
    await asyncio.sleep(0.1)
    draining = asyncio.create_task(house.host.drain(10 * SECOND))
    await asyncio.sleep(5)
    assert not draining.done()
    assert not house.host.has_room
    _, refused = house.call()
    assert not (await refused).admitted
    transport.close("done")
    await draining
    assert (await running).reason == "done"


@virtually
async def test_draining_hangs_up_on_those_who_stay() -> None:
    house = House()
    _, running = house.call()
    await asyncio.sleep(0.1)
    await house.host.drain(2 * SECOND)
    assert (await running).reason == STOPPING


@virtually
async def test_providers_start_once_and_stop_once() -> None:
    house = House()
    await house.host.start()
    await house.host.stop()
    assert [(provider.started, provider.stopped) for provider in house.providers] == [(1, 1)] * 3


@virtually
async def test_a_provider_that_cannot_be_reached_yet_does_not_keep_the_house_shut(
    caplog: pytest.LogCaptureFixture,
) -> None:
    house = House()

    async def start() -> None:
        raise AdapterError("mouth", FailureKind.UNAVAILABLE, "no route")

    house.mouth.start = start  # type: ignore[method-assign]
    await house.host.start()
    assert "mouth could not be made ready" in caplog.text
    await house.host.stop()


@virtually
async def test_a_provider_that_breaks_at_the_start_stops_those_that_did() -> None:
    house = House()

    async def start() -> None:
        raise OSError("no such device")

    house.mouth.start = start  # type: ignore[method-assign]
    with pytest.raises(OSError, match="no such device"):
        await house.host.start()
    assert [(provider.started, provider.stopped) for provider in house.providers] == [(1, 1), (1, 1), (0, 0)]


@virtually
async def test_a_provider_that_does_not_stop_does_not_keep_the_others(caplog: pytest.LogCaptureFixture) -> None:
    house = House()
    await house.host.start()

    async def stop() -> None:
        raise OSError("stuck")

    house.brain.stop = stop  # type: ignore[method-assign]
    await house.host.stop()
    assert (house.ears.stopped, house.mouth.stopped) == (1, 1)


class SpareAgent(FakeAgent):
    def setup(self, transport: str = "") -> Setup:
        policy = Policy(idle_ns=0)
        return Setup(policy=policy, asr=("ears",), llm=("brain", "spare"), tts=("mouth",), transport=transport)


@virtually
async def test_calls_learn_from_each_other_which_provider_is_out_and_when_it_is_back() -> None:
    house, spare, diaries = House(calls_max=9), FakeModel(), list[Diary]()
    providers = Providers(
        asr={"ears": house.ears}, llm={"brain": house.brain, "spare": spare}, tts={"mouth": house.mouth}
    )
    host = Host(
        providers,
        LoudnessDetector,
        observers=[lambda info: diaries.append(Diary(info)) or diaries[-1]],  # type: ignore[func-returns-value]
        calls_max=9,
        clock=asyncio.get_running_loop().time_ns,  # type: ignore[attr-defined]
    )
    await host.start()
    down = AdapterError("brain", FailureKind.CLOSED, "hung up")
    house.brain.well = down
    house.brain.scripts = [[(10, down)]] * 4

    async def ask() -> tuple[MemoryTransport, "asyncio.Task[Outcome]"]:
        transport = MemoryTransport(CAPABILITIES)
        running = asyncio.create_task(host.call(transport, SpareAgent()))
        await asyncio.sleep(0.1)
        assert transport.peer.line is not None
        transport.peer.line.typed("what time is it?")
        await asyncio.sleep(0.5)
        return transport, running

    calls = [await ask(), await ask()]
    asked = len(house.brain.asked)
    assert [(each.stage.value, each.name) for each in host.breakers if each.position] == [("llm", "brain")]
    calls.append(await ask())
    assert len(house.brain.asked) == asked, "the third call does not even try"
    assert isinstance(diaries[2].events[0], SessionStarted)
    assert diaries[2].events[0].outages == Outages(llm=("brain",))
    assert len(spare.asked) == 3
    house.brain.well, house.brain.scripts = None, []
    await asyncio.sleep(31)
    for transport, _ in calls:
        assert transport.peer.line is not None
        transport.peer.line.typed("and now?")
        await asyncio.sleep(0.01)
    assert len(house.brain.asked) == asked + 1, "one call under way is let through, and asks it in its next run"
    for transport, _ in calls:
        transport.close("done")
    await asyncio.gather(*(running for _, running in calls))
    await host.stop()


@virtually
async def test_a_provider_that_cannot_be_reached_at_the_start_is_asked_last_from_the_first_call() -> None:
    house = House()

    async def start() -> None:
        raise AdapterError("brain", FailureKind.UNAVAILABLE, "no route")

    house.brain.start = start  # type: ignore[method-assign]
    await house.host.start()
    assert [each.name for each in house.host.breakers if each.position] == ["brain"]
    transport, running = house.call()
    await asyncio.sleep(0.1)
    assert transport.peer.line is not None
    transport.peer.line.typed("what time is it?")
    await asyncio.sleep(0.5)
    assert len(house.brain.asked) == 1, "the only one is asked all the same"
    transport.close("done")
    await running
    await house.host.stop()
