"""Where the time went between the caller's last word and the agent's first."""

from engine.core.units import MS
from engine.runtime.latency import Stopwatch, TurnLatency
from tests.fakes import Call, virtually


@virtually
async def test_the_parts_of_an_answer_are_measured() -> None:
    async with Call(greeting="Hello.") as call:
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
    assert only.playout_ns == 0
    assert only.total_ns == only.decide_ns + 145 * MS


@virtually
async def test_what_answers_no_turn_is_not_measured() -> None:
    async with Call(greeting="Hello.") as call:
        told: list[TurnLatency] = []
        call.session._observers.append(Stopwatch(told.append))
        await call.pass_ms(1_500)
    assert told == []
