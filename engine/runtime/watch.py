"""What one call tells the circuit breakers of the providers it asks, and what it is told of them. It reads steps and changes nothing."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from engine.core.commands import CancelLLM, Commands, StopASR
from engine.core.events import (
    AdapterFailed,
    ASREndOfTurn,
    ASRFinal,
    Event,
    Fact,
    LLMDone,
    LLMToken,
    LLMToolCall,
    Outages,
    OutagesChanged,
    SessionEnded,
    Stage,
    TimerFired,
    TTSChunkDone,
)
from engine.core.policy import Setup
from engine.core.state import Request, State
from engine.core.units import SECOND
from engine.errors import FailureKind

SLOW_NS = 2 * SECOND
"""A model that is outrun by one asked later, after this long, has failed. Field medians of the first token are 0.4 to 0.9 s."""


class Judge(Protocol):
    """Who counts what calls have found."""

    def failed(self, stage: Stage, name: str, kind: FailureKind, watch: "Watch") -> None: ...

    def answered(self, stage: Stage, name: str, asked_ago_ns: int) -> None: ...

    def leave(self, watch: "Watch") -> None: ...


class Watch:
    """One call's eyes for the breakers: an observer of its session, which is told what other calls have found."""

    def __init__(self, breakers: Judge, setup: Setup) -> None:
        self.setup = setup
        self.told = Outages()
        """What the call knows by now."""
        self.post: Callable[[Fact], None] | None = None
        """Tells the session. None: it has not begun."""
        self._breakers = breakers
        self._refused: set[tuple[Stage, str]] = set()
        self._heard = 0
        """The last ear that finished a word."""

    def uses(self, stage: Stage, name: str) -> bool:
        """Whether the call may come to ask this provider."""
        setup = self.setup
        return name in {Stage.ASR: setup.asr, Stage.LLM: setup.llm, Stage.TTS: setup.tts}[stage]

    def tell(self, outages: Outages) -> None:
        """Say what is known, if it is news."""
        if outages != self.told:
            self.told = outages
            # In a turn of its own: one call's failure must not hold up the others, nor they it.
            asyncio.get_running_loop().call_soon(self._pass_on, OutagesChanged(outages=outages))

    def _pass_on(self, fact: OutagesChanged) -> None:
        if self.post is not None:
            self.post(fact)

    def __call__(self, event: Event, before: State, after: State, commands: Commands) -> None:
        look = LOOKS.get(type(event))
        if look is not None:
            look(self, event, before, after, commands)

    def note_failure(self, event: AdapterFailed, before: State, after: State, commands: Commands) -> None:
        """A provider says so itself. What is said of an earlier run is stale; of no run (run 0) it is of the connection."""
        if after.counters.stale > before.counters.stale and (event.run or event.ear):
            return
        self._fail(event.stage, event.provider, event.kind)

    def note_patience(self, event: TimerFired, before: State, after: State, commands: Commands) -> None:
        """The rules have given up on one that says nothing."""
        run = after.response.run
        for command in commands:
            if isinstance(command, StopASR) and command.ear == before.ear.number:
                self._fail(Stage.ASR, self.setup.asr[before.ear.provider], FailureKind.TIMEOUT)
            elif isinstance(command, CancelLLM) and run is not None and run.number == command.run:
                request = _request(before, command.request)
                if request is not None:
                    self._fail(Stage.LLM, self.setup.llm[request.provider], FailureKind.TIMEOUT)

    def note_first(self, event: LLMToken | LLMToolCall, before: State, after: State, commands: Commands) -> None:
        """Of two models the one that was asked later was quicker."""
        run = before.response.run
        if run is None or len(run.requests) < 2:
            return
        for request in run.requests:
            slow = request.number < event.request and after.at - request.asked_at >= SLOW_NS
            if slow and any(isinstance(each, CancelLLM) and each.request == request.number for each in commands):
                self._fail(Stage.LLM, self.setup.llm[request.provider], FailureKind.TIMEOUT)

    def note_answer(self, event: LLMDone, before: State, after: State, commands: Commands) -> None:
        request = _request(before, event.request)
        if request is not None and after.counters.stale == before.counters.stale:
            self._answer(Stage.LLM, self.setup.llm[request.provider], after.at - request.asked_at)

    def note_spoken(self, event: TTSChunkDone, before: State, after: State, commands: Commands) -> None:
        ledger = next((ledger for ledger in before.playout.ledgers if ledger.run == event.run), None)
        if ledger is not None and after.counters.stale == before.counters.stale:
            asked_at = ledger.chunks[event.chunk - 1].asked_at
            self._answer(Stage.TTS, self.setup.tts[before.playout.voice], after.at - asked_at)

    def note_heard(self, event: ASRFinal | ASREndOfTurn, before: State, after: State, commands: Commands) -> None:
        """The first words of a stream: that later ones come says nothing of a new connection."""
        if event.text and event.ear != self._heard and after.counters.stale == before.counters.stale:
            self._heard = event.ear
            self._answer(Stage.ASR, self.setup.asr[before.ear.provider], after.at - before.ear.asked_at)

    def note_end(self, event: SessionEnded, before: State, after: State, commands: Commands) -> None:
        self.post = None

    def close(self) -> None:
        """The call is over, however it ended."""
        self.post = None
        self._breakers.leave(self)

    def _fail(self, stage: Stage, name: str, kind: FailureKind) -> None:
        if kind is FailureKind.REJECTED:
            # What one conversation holds may be refused again and again; one call counts it once.
            if (stage, name) in self._refused:
                return
            self._refused.add((stage, name))
        self._breakers.failed(stage, name, kind, self)

    def _answer(self, stage: Stage, name: str, asked_ago_ns: int) -> None:
        self._breakers.answered(stage, name, asked_ago_ns)


def _request(state: State, number: int) -> Request | None:
    run = state.response.run
    return next((each for each in run.requests if each.number == number), None) if run is not None else None


LOOKS: dict[type[Fact], Callable[..., None]] = {
    AdapterFailed: Watch.note_failure,
    TimerFired: Watch.note_patience,
    LLMToken: Watch.note_first,
    LLMToolCall: Watch.note_first,
    LLMDone: Watch.note_answer,
    TTSChunkDone: Watch.note_spoken,
    ASRFinal: Watch.note_heard,
    ASREndOfTurn: Watch.note_heard,
    SessionEnded: Watch.note_end,
}
