"""Where the time went between the caller's last word and the agent's first."""

from engine.core.policy import Policy
from engine.core.units import MS
from engine.runtime.latency import Stopwatch, TurnLatency
from tests.fakes import Call, virtually


async def answered(policy: Policy) -> TurnLatency:
    """A turn that was answered, by a model that takes 100 ms and a voice that takes 45."""
    async with Call(greeting="Hello.", policy=policy) as call:
        told: list[TurnLatency] = []
        call.session._observers.append(Stopwatch(told.append))
        call.brain.scripts = [[(100, "It is noon. ")]]
        await call.pass_ms(1_500)
        await call.say("what time is it")
        await call.pass_ms(3_000)
    (only,) = told
    assert (only.run, only.turn) == (2, 1)
    assert only.llm_ns == 100 * MS
    assert only.tts_ns == 45 * MS
    return only


@virtually
async def test_the_parts_of_an_answer_are_measured() -> None:
    only = await answered(Policy(speculate=False))
    assert only.playout_ns == 0
    assert only.total_ns == only.decide_ns + 145 * MS


@virtually
async def test_an_answer_that_was_guessed_waits_for_its_turn_alone() -> None:
    only = await answered(Policy())
    assert only.playout_ns is not None
    assert only.playout_ns > 0
    assert only.total_ns == only.decide_ns


@virtually
async def test_what_answers_no_turn_is_not_measured() -> None:
    async with Call(greeting="Hello.") as call:
        told: list[TurnLatency] = []
        call.session._observers.append(Stopwatch(told.append))
        await call.pass_ms(1_500)
    assert told == []
