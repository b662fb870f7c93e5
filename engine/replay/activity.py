"""What a journal says beside the facts: how long adapters took, where an answer's time went, how punctual the sound was.

All of it follows from the facts; it is written so that `jq` can ask a journal without folding it:

    jq 'select(.kind=="activity" and .what=="answer") | .data.total_ms' call.jsonl

Nothing that was said is in it.
"""

from collections.abc import Iterator

from engine.core.commands import CancelLLM, CancelTTS, Commands, RunTool, StartASR, StartLLM, Synthesize
from engine.core.events import (
    ASROpened,
    Event,
    LLMDone,
    LLMToken,
    PlayoutStarted,
    ToolResult,
    TTSChunkDone,
    TTSStarted,
    UserSpeechStopped,
)
from engine.core.state import State
from engine.core.units import MS
from engine.replay.journal import Activity
from engine.replay.teller import Teller

Data = dict[str, int | float | str | bool]


class _Work:
    """Something an adapter was asked for."""

    def __init__(self, provider: str, at: int) -> None:
        self.provider = provider
        self.at = at
        self.first_at: int | None = None

    def data(self, now: int, **more: float | str | bool) -> Data:
        found: Data = {"provider": self.provider, "ms": (now - self.at) / MS}
        if self.first_at is not None:
            found["first_ms"] = (self.first_at - self.at) / MS
        return found | more


class ActivityLog:
    """Turns steps into activity. One for each call."""

    def __init__(self) -> None:
        self._teller = Teller()
        self._work: dict[tuple[str, int, int], _Work] = {}

    def __call__(self, event: Event, before: State, after: State, commands: Commands) -> Iterator[Activity]:
        """What a step completed, in order."""
        self._teller(event, before, after, commands)
        if after.counters.stale == before.counters.stale:
            yield from self._of_fact(event, before, after)
        for command in commands:
            yield from self._of_order(command, after)

    def _of_fact(self, event: Event, before: State, after: State) -> Iterator[Activity]:
        match event:
            case ASROpened():
                yield from self._done("asr", 0, event.ear, after)
            case LLMToken() if work := self._work.get(("llm", event.run, event.request)):
                work.first_at = after.at if work.first_at is None else work.first_at
            case LLMDone():
                more: Data = {
                    "reason": event.reason,
                    "input_tokens": event.input_tokens,
                    "output_tokens": event.output_tokens,
                }
                yield from self._done("llm", event.run, event.request, after, **more)
            case TTSStarted() if work := self._work.get(("tts", event.run, event.chunk)):
                work.first_at = after.at
            case TTSChunkDone():
                yield from self._done("tts", event.run, event.chunk, after, sound_ms=event.duration_ns / MS)
            case ToolResult():
                yield from self._done("tool", 0, event.call, after, failed=event.failed)
            case UserSpeechStopped() if event.heard_ns:
                yield Activity(
                    at=after.at, source="audio", what="caller", data={"behind_ms": (after.at - event.heard_ns) / MS}
                )
            case PlayoutStarted():
                yield from self._answered(event.run, after)
        if after.playout.starved > before.playout.starved:
            run = after.response.run
            yield Activity(at=after.at, source="audio", what="underrun", run=run.number if run else 0)

    def _of_order(self, command: object, after: State) -> Iterator[Activity]:
        match command:
            case StartASR():
                self._work["asr", 0, command.ear] = _Work(command.provider, after.at)
            case StartLLM():
                self._work["llm", command.run, command.request] = _Work(command.provider, after.at)
            case Synthesize():
                self._work["tts", command.run, command.chunk] = _Work(command.provider, after.at)
            case RunTool():
                self._work["tool", 0, command.call] = _Work(command.name, after.at)
            case CancelLLM():
                yield from self._done("llm", command.run, command.request, after, cancelled=True)
            case CancelTTS():
                for key in [key for key in self._work if key[:2] == ("tts", command.run)]:
                    yield from self._done(*key, after, cancelled=True)

    def _done(self, stage: str, run: int, number: int, after: State, **more: float | str | bool) -> Iterator[Activity]:
        work = self._work.pop((stage, run, number), None)
        if work is not None:
            yield Activity(at=after.at, source="adapter", what=stage, run=run, data=work.data(after.at, **more))

    def _answered(self, run: int, after: State) -> Iterator[Activity]:
        """An answer's first sound: who owned the wait for it."""
        answer = next((each for each in reversed(self._teller.story.answers) if each.run == run), None)
        if answer is None or answer.started_at != after.at or not answer.stretches:
            return
        data: Data = {"total_ms": sum(stretch.ns for stretch in answer.stretches) / MS}
        for stretch in answer.stretches:
            name = f"{stretch.owner.value}_ms"
            data[name] = data.get(name, 0) + stretch.ns / MS  # type: ignore[operator]
        yield Activity(at=after.at, source="timing", what="answer", run=run, data=data)
