"""What a decision costs: one fact through the table, in the states a call is in most of the time.

The caveat first: these are hot loops on one state; a call's caches are colder. Median of rounds, one process, no peer: the peers decide in callbacks
spread over tasks, which cannot be timed alone.
"""

from typing import Any

import pytest

from engine.core.commands import StartLLM
from engine.core.events import (
    ASROpened,
    ASRPartial,
    Event,
    InputRejected,
    LLMToken,
    PlayoutAdvanced,
    PlayoutStarted,
    SessionStarted,
    TTSChunkDone,
    UserSpeechStarted,
    UserTextReceived,
)
from engine.core.policy import Setup
from engine.core.reduce import begin, deadlines, reduce
from engine.core.state import State
from engine.core.units import MS
from engine.simulate.runs import play

SETUP = Setup(instructions="Be brief.", asr=("ear",), llm=("model",), tts=("voice",))


def idle() -> State:
    state, _ = reduce(begin(), SessionStarted(setup=SETUP))
    return reduce(state, ASROpened(at=10 * MS, ear=1))[0]


def speaking() -> State:
    """In the middle of an answer, with ten turns of history."""
    state = idle()
    for turn in range(10):
        state, commands = reduce(state, UserTextReceived(at=state.at + MS, text=f"question number {turn}?"))
    asked = next(command for command in commands if isinstance(command, StartLLM))
    for event in (
        LLMToken(at=state.at + 2 * MS, run=asked.run, request=asked.request, text="It is noon. And then "),
        TTSChunkDone(at=state.at + 3 * MS, run=asked.run, chunk=1, duration_ns=900 * MS),
        PlayoutStarted(at=state.at + 4 * MS, run=asked.run),
    ):
        state, _ = reduce(state, event)
    return state


def facts(state: State) -> dict[str, Event]:
    run = state.response.run
    assert run is not None
    at = state.at + MS
    return {
        "a token": LLMToken(at=at, run=run.number, request=run.requests[0].number, text="word "),
        "a partial": ASRPartial(at=at, ear=1, text="mm"),
        "the caller speaks": UserSpeechStarted(at=at, audio_ns=5_000 * MS, heard_ns=5_040 * MS),
        "playout advances": PlayoutAdvanced(at=at, run=run.number, heard_ns=200 * MS),
        "nothing but a counter": InputRejected(at=at, source="bench", reason="none"),
        "a stale token": LLMToken(at=at, run=run.number - 1, request=1, text="late"),
    }


@pytest.mark.parametrize("name", list(facts(speaking())))
@pytest.mark.benchmark(group="reduce, while the agent speaks")
def test_one_fact(benchmark: Any, name: str) -> None:
    state = speaking()
    event = facts(state)[name]
    benchmark(reduce, state, event)


@pytest.mark.benchmark(group="reduce, parts")
def test_the_deadlines_alone(benchmark: Any) -> None:
    benchmark(deadlines, speaking())


@pytest.mark.benchmark(group="reduce, parts")
def test_comparing_two_whole_states(benchmark: Any) -> None:
    benchmark(State.__eq__, speaking(), speaking())


@pytest.mark.benchmark(group="simulation")
def test_one_simulated_call(benchmark: Any) -> None:
    outcome = benchmark(play, 17)
    benchmark.extra_info["times real time"] = outcome.call_ns / 1e9 / benchmark.stats.stats.median
