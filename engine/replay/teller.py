"""A call told run by run: a fold over its steps, like the rules themselves, that fills in a `Story`."""

from engine.core.commands import Commands, OpenPlayout, PausePlayout, ResumePlayout, RunTool, StartLLM, Synthesize
from engine.core.events import (
    AdapterFailed,
    Clock,
    Event,
    InputRejected,
    LLMToken,
    LLMToolCall,
    PlayoutStarted,
    SessionEnded,
    Stage,
    TimerFired,
    ToolResult,
    TTSStarted,
)
from engine.core.floor import ledger_of
from engine.core.state import State
from engine.core.turn import words_of
from engine.core.units import MS
from engine.replay.story import Answer, Interruption, Mark, Owner, Story, Trouble
from engine.replay.waits import guess_wait, stretches, taken_wait


class Teller:
    """Takes the steps of a call one by one. `story` is told as far as they went."""

    def __init__(self) -> None:
        self.story = Story()
        self._runs: dict[int, Answer] = {}
        self._contest: Interruption | None = None

    def __call__(self, event: Event, before: State, after: State, commands: Commands) -> None:
        """Take one step."""
        story = self.story
        story.events += 1
        story.ended_at = after.at
        if after.counters.stale > before.counters.stale:
            name = type(event).__name__
            story.stale[name] = story.stale.get(name, 0) + 1
            return
        self._note_trouble(event, before, after)
        self._begin_runs(before, after)
        self._note_marks(event, after, commands)
        self._note_contest(event, before, after, commands)
        if after.response.past is not before.response.past:
            self._end_runs(after)
        if after.playout is not before.playout:
            self._follow_sound(after)

    # Runs.

    def _begin_runs(self, before: State, after: State) -> None:
        run = after.response.run
        if run is None:
            return
        answer = self._runs.get(run.number)
        if answer is None:
            answer = Answer(run=run.number, cause=run.cause.value, began_at=after.at, guessed=not run.committed)
            self._runs[run.number] = answer
            self.story.answers.append(answer)
            if answer.guessed:
                answer.guess = guess_wait(after)
        answer.prompt, answer.text = run.prompt or answer.prompt, run.text
        if run.committed and run.turn and not answer.turn:
            turn = after.turn
            answer.turn = run.turn
            answer.quiet_at = turn.last_quiet_at
            answer.taken_at = turn.last_taken_at
            answer.turn_end = turn.last_end.value if turn.last_end else ""
            answer.wait = taken_wait(before, after)

    def _note_marks(self, event: Event, after: State, commands: Commands) -> None:
        self._mark_event(event, after)
        for command in commands:
            match command:
                case StartLLM():
                    self._mark(command.run, after.at, Owner.MODEL, command.provider)
                case RunTool():
                    self._mark(command.run, after.at, Owner.TOOL, command.name)
                case Synthesize():
                    self._mark(command.run, after.at, Owner.SYNTHESIZER, command.provider)
                case OpenPlayout() if (answer := self._runs.get(command.run)) and answer.opened_at is None:
                    answer.opened_at = after.at

    def _mark_event(self, event: Event, after: State) -> None:
        match event:
            case LLMToken() if event.text.strip() and self._last(event.run) is Owner.MODEL:
                self._mark(event.run, after.at, Owner.CHUNKING, "first token")
            case LLMToolCall() if (run := after.response.run) and run.number == event.run and not run.committed:
                self._mark(event.run, after.at, Owner.ENDPOINTING, "a tool waits for the turn's end")
            case TTSStarted():
                self._mark(event.run, after.at, Owner.TRANSPORT, after.setup.transport)
            case AdapterFailed() if event.stage in (Stage.LLM, Stage.TTS):
                self._mark(event.run, after.at, Owner.RETRY, f"{event.provider}: {event.kind.value}")
            case ToolResult() if (run := after.response.run) and self._last(run.number) is Owner.TOOL:
                self._mark(run.number, after.at, Owner.CHUNKING, "tool result")
            case PlayoutStarted() if (answer := self._runs.get(event.run)) and answer.started_at is None:
                answer.started_at = after.at
                answer.stretches = stretches(answer, after.at)

    def _last(self, run: int) -> Owner | None:
        answer = self._runs.get(run)
        return answer.marks[-1].owner if answer and answer.marks else None

    def _mark(self, run: int, at: int, owner: Owner, why: str) -> None:
        """From here something else is waited for, unless the first sound is already on its way."""
        answer = self._runs.get(run)
        if answer is None or answer.started_at is not None or answer.sound_at is not None:
            return
        if owner is Owner.CHUNKING and answer.token_at is None:
            answer.token_at = at
        if answer.chunk_at is not None and owner not in (Owner.TRANSPORT, Owner.RETRY):
            return
        if owner is Owner.SYNTHESIZER:
            answer.chunk_at = at
        elif owner is Owner.TRANSPORT:
            answer.sound_at = at
        last = answer.marks[-1] if answer.marks else None
        if last and last.at == at:
            answer.marks = answer.marks[:-1]
        answer.marks = (*answer.marks, Mark(at, owner, why))

    def _end_runs(self, after: State) -> None:
        for run in after.response.past:
            answer = self._runs.get(run.number)
            if answer and not answer.end and run.end:
                answer.end, answer.ended_at, answer.text = run.end.value, run.ended_at, run.text
                if answer.silence_ns is not None:
                    answer.stretches = stretches(answer, run.ended_at)

    def _follow_sound(self, after: State) -> None:
        for ledger in after.playout.ledgers:
            answer = self._runs.get(ledger.run)
            if answer:
                answer.heard_ns = ledger.heard_ns
                answer.sound_ns = sum(chunk.duration_ns or 0 for chunk in ledger.chunks)

    # Two voices.

    def _note_contest(self, event: Event, before: State, after: State, commands: Commands) -> None:
        old, new = before.contest, after.contest
        if new.interrupted > old.interrupted:
            self._lose_floor(event, before, after)
        elif new.resumed > old.resumed:
            self._decide("resumed", "quiet again, and no word that asks for the floor", after)
        elif new.run and not old.run:
            self._contest = Interruption(run=new.run, onset_at=_onset(after), yielded_at=after.at)
            self.story.interruptions.append(self._contest)
        elif old.run and not new.run and any(isinstance(command, PausePlayout | ResumePlayout) for command in commands):
            self._decide("resumed", "the line came back", after)

    def _lose_floor(self, event: Event, before: State, after: State) -> None:
        run = before.response.run or (after.response.past[-1] if after.response.past else None)
        number = run.number if run else 0
        if self._contest is None or self._contest.run != number:
            self._contest = Interruption(run=number, onset_at=_onset(before))
            self.story.interruptions.append(self._contest)
        outcome = next(
            (past.end.value for past in after.response.past if past.number == number and past.end), "cancelled"
        )
        self._decide(outcome, _why(event, before, after), after)

    def _decide(self, outcome: str, why: str, after: State) -> None:
        contest, self._contest = self._contest, None
        if contest is None:
            return
        ledger = ledger_of(after, contest.run)
        contest.decided_at, contest.outcome, contest.why = after.at, outcome, why
        contest.heard_ns = ledger.heard_ns if ledger else 0

    # Trouble.

    def _note_trouble(self, event: Event, before: State, after: State) -> None:
        story = self.story
        match event:
            case AdapterFailed():
                about = f", run r{event.run}" if event.run else ""
                self._say(after, f"{event.stage.value} provider {event.provider} failed: {event.kind.value}{about}")
            case InputRejected():
                self._say(after, f"input from {event.source} could not be used and was dropped")
            case TimerFired(clock=Clock.WALL) if before.deadlines.wall_ns is not None:
                late = event.at - before.deadlines.wall_ns
                if late > story.late_ns_max:
                    story.late_ns_max, story.late_at = late, after.at
            case SessionEnded():
                story.ended = event.reason
        if after.playout.starved > before.playout.starved:
            self._say(
                after, f"the ear caught up with run r{_starved(before, after)}, which had more to say (an underrun)"
            )
        if after.counters.backwards > before.counters.backwards:
            self._say(after, f"{type(event).__name__} came with a time from the past")

    def _say(self, after: State, what: str) -> None:
        self.story.troubles.append(Trouble(after.at, what))


def _onset(state: State) -> int:
    return state.turn.onset_at if state.turn.onset_at is not None else state.at


def _starved(before: State, after: State) -> int:
    run = after.response.run or before.response.run
    return run.number if run else 0


def _why(event: Event, before: State, after: State) -> str:
    """What took the floor, in words that repeat none of the caller's."""
    turn, policy = after.turn, after.setup.policy
    name = type(event).__name__
    if name == "InterruptRequested":
        return "the application asked for it"
    if turn.typed or name == "UserTextReceived":
        return "the caller typed"
    if turn.keys or name == "DTMFPressed":
        return "the caller pressed a key"
    if before.contest.heard or name == "ASRStartOfTurn":
        return "the recogniser heard a turn begin"
    words = words_of(before.turn) or words_of(turn) or (turn.last_text if turn.taken > before.turn.taken else "")
    if words:
        count = len(words.split())
        return f"{count} word{'s' * (count > 1)} recognised"
    return f"speech longer than {policy.interrupt_ns // MS} ms (interrupt_ns)"
