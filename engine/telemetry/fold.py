"""A call as spans, log lines and measures: a fold over (event, before, after, commands).

It reads no clock and asks nobody: fed from a journal it gives what the live call gave, id for id. It never touches OpenTelemetry;
`pipeline.py` does.

A trace is one run. What happens between runs (the caller's turn, the moves from Idle to Transcribing) belongs to the run that
answers it, and waits for it; what no run answers goes into the session's own trace when the call ends.
"""

from engine.core.commands import CancelTool, Commands, Order
from engine.core.events import (
    AdapterFailed,
    ASRFinal,
    ASRPartial,
    Event,
    PlayoutCleared,
    PlayoutStarted,
    SessionStarted,
    Stage,
    TimerFired,
    ToolResult,
    UserSpeechStarted,
)
from engine.core.floor import ledger_of
from engine.core.state import Cause, Phase, Run, RunEnd, State
from engine.core.units import MS, SECOND
from engine.telemetry import names
from engine.telemetry.caller import Heard, Listening, outcome, recogniser, recognition_span, turn_span
from engine.telemetry.lines import line_of, titles, worth_a_line
from engine.telemetry.records import (
    SESSION_RUN,
    Attributes,
    Call,
    Measure,
    Open,
    Part,
    Record,
    format_traceparent,
    trace_of,
)
from engine.telemetry.runs import FACTS, ORDERS, RunSpans
from engine.telemetry.session import Whole, session_span, stray_span

WAITING = 64
"""Spans kept for the run that will answer; past it they go into the session's trace."""
TURNS = 8
"""Turns of the caller remembered for the latency of the runs that answer them."""

OWN = frozenset({PlayoutStarted, ASRPartial, ASRFinal, ToolResult, AdapterFailed, SessionStarted, UserSpeechStarted})
"""Facts that are more than their run's."""


class Fold:
    """One call. Feed it every step in order; it returns what has become known."""

    def __init__(self, call: Call, *, content: bool = False, sample: float | None = None) -> None:
        """sample: share of traces to keep, unless a parent has decided; None: all, whoever decided what."""
        self.call = call
        self.content = content
        self.limit = int(sample * 2**64) if sample is not None else None
        self.whole = Whole(call)
        self.seq = -1
        self.runs: dict[int, RunSpans] = {}
        self.ended: dict[int, Run] = {}
        self.models: dict[str, str] = {}
        """By provider, as their answers named them: an answer that is cut short names none."""
        self.waiting: list[Open] = []
        self.listening = Listening()
        self.onset = (-1, -1)
        """When the detector told of the caller's voice, and when it had begun."""
        self.turns: dict[int, Heard] = {}
        self.contest: Open | None = None
        self.out: list[Record] = []
        self.last: State | None = None
        self.over = False

    def __call__(self, event: Event, before: State, after: State, commands: Commands) -> list[Record]:
        """Take one step; return the records it completed."""
        self.seq += 1
        self.out = []
        self.last = after
        if after.response is not before.response:
            self._begin_runs(before, after)
        if after.counters.stale == before.counters.stale:
            self._note(event, before, after)
        else:
            self._measure(names.M_STALE, 1, run=getattr(event, "run", 0))
        if after.turn.taken != before.turn.taken:
            self._take_turn(after)
        if after.contest is not before.contest:
            self._follow_contest(before, after)
        if type(event) in (AdapterFailed, TimerFired):
            self._follow_providers(before, after)
        if after.phase is not before.phase:
            self._move(event, before, after, commands)
        for command in commands:
            self._order(command, event, after)
        self._log(event, before, after, commands)
        if after.response is not before.response:
            self._note_ends(after)
        if self.ended:
            self._finish_runs(event, after)
        if after.ended and not self.over:
            self._close(after, torn=False)
        return self._gathered()

    def finish(self) -> list[Record]:
        """No step will follow. A call that did not end by itself is closed as of its last step, and marked as torn."""
        self.out = []
        if self.last is not None and not self.over:
            self._close(self.last, torn=True)
        return self._gathered()

    def headers(self, stage: Stage, run: int, number: int) -> tuple[tuple[str, str], ...]:
        """Trace context for a provider: the parent of what it does is the request's or chunk's span, which is yet to be written.

        Run 0: the session's own span, for a connection that belongs to the call.
        """
        if run == SESSION_RUN:
            trace_id, span_id = self.whole.trace_id, self.whole.root_id
        else:
            trace = trace_of(self.call.key, run)
            trace_id = trace.trace_id
            span_id = trace.span_id(Part.CHAT if stage is Stage.LLM else Part.TEXT_TO_SPEECH, number)
        return (("traceparent", format_traceparent(trace_id, span_id, sampled=self.samples(trace_id))),)

    # Facts and orders.

    def _note(self, event: Event, before: State, after: State) -> None:
        note = FACTS.get(type(event))
        if note is not None:
            spans = self.runs.get(event.run)  # type: ignore[union-attr]  # Every fact of the table names its run.
            if spans is not None:
                note(spans, event, before, after, self.seq)
        if type(event) not in OWN:
            return
        match event:
            case PlayoutStarted():
                self._note_playing(event, after)
            case UserSpeechStarted():
                if after.turn.onset_at == after.at:
                    self.onset = (after.at, after.at - max(0, event.heard_ns - event.audio_ns))
            case ASRPartial() | ASRFinal():
                self._listen(event, after)
            case ToolResult():
                for spans in self.runs.values():
                    spans.note_result(event, before, after, self.seq)
            case AdapterFailed():
                stage = {names.STAGE: event.stage.value, names.PROVIDER: event.provider}
                self._measure(names.M_ERRORS, 1, stage | {names.ERROR_TYPE: event.kind.value}, event.run)
            case SessionStarted():
                self.whole.base = {names.CONVERSATION_ID: self.call.session, names.TRANSPORT: event.setup.transport}
                self.whole.call_id = event.call_id

    def _note_playing(self, event: PlayoutStarted, after: State) -> None:
        spans, live = self.runs.get(event.run), after.response.run
        if spans is not None:
            answers = live is not None and live.number == event.run and live.cause is Cause.TURN
            spans.play(self.turns.get(live.turn) if live is not None and answers else None, after, self.seq)

    def _listen(self, event: ASRPartial | ASRFinal, after: State) -> None:
        heard = self.listening
        if heard.first_at is None:
            heard.first_at = after.at
        if isinstance(event, ASRFinal):
            heard.finals += 1
            heard.final_at = after.at
        else:
            heard.partials += 1

    def _order(self, command: Order, event: Event, after: State) -> None:
        order = ORDERS.get(type(command))
        if order is not None:
            spans = self.runs.get(command.run)  # type: ignore[union-attr]  # Every command of the table names its run.
            if spans is not None:
                order(spans, command, event, after, self.seq)
        elif isinstance(command, CancelTool):
            for spans in self.runs.values():
                spans.give_up(Part.TOOL, command.call, event, after, self.seq)

    # Runs.

    def _begin_runs(self, before: State, after: State) -> None:
        for number in range(before.response.runs + 1, after.response.runs + 1):
            run = _run(after, number)
            if run is not None:
                trace, stale = trace_of(self.call.key, number), after.counters.stale
                kept = self.samples(trace.trace_id)
                spans = RunSpans(
                    self.call, run, trace, self.whole.base, self.models, stale=stale, content=self.content, sampled=kept
                )
                self.runs[number] = spans
                for part in self.waiting:
                    spans.write(part, part.end_at or part.at)
                self.waiting.clear()

    def _follow_providers(self, before: State, after: State) -> None:
        """Another provider was asked to go on: the fact that told us so, or the timer, changed which one is in use."""
        was, now = before.response.run, after.response.run
        model = was is not None and now is not None and was.number == now.number and was.provider != now.provider
        voice = before.playout.voice != after.playout.voice and bool(after.playout.tried)
        ear = before.ear.provider != after.ear.provider
        for stage, changed in ((Stage.LLM, model), (Stage.TTS, voice), (Stage.ASR, ear)):
            if changed:
                self._measure(names.M_FALLBACKS, 1, {names.STAGE: stage.value}, now.number if now is not None else 0)

    def _note_ends(self, after: State) -> None:
        for run in after.response.past:
            if run.number in self.runs and not self.runs[run.number].closed:
                self.ended[run.number] = run

    def _finish_runs(self, event: Event, after: State) -> None:
        """Write the runs that are over. One that was cut waits for the fact that says how much of it was heard."""
        for number, run in list(self.ended.items()):
            ledger = ledger_of(after, number)
            cleared = isinstance(event, PlayoutCleared) and event.run == number
            silent = ledger is None or ledger.started_at is None or run.end is RunEnd.FINISHED
            if silent or cleared or after.ended:
                self._finish_run(after, run)

    def _finish_run(self, after: State, run: Run) -> None:
        self.ended.pop(run.number, None)
        spans = self.runs[run.number]
        spans.finish(after, run, self._links(run.number), self.seq)

    def _links(self, number: int) -> tuple[tuple[int, int], ...]:
        """A run links to its session and to the run before it."""
        session = ((self.whole.trace_id, self.whole.root_id),)
        if number == 1:
            return session
        trace = trace_of(self.call.key, number - 1)
        return (*session, (trace.trace_id, trace.span_id(Part.ROOT)))

    # The caller.

    def _take_turn(self, after: State) -> None:
        heard, self.listening = self.listening, Listening()
        self.turns[after.turn.taken] = Heard(after.turn.last_quiet_at, after.turn.last_taken_at)
        if len(self.turns) > TURNS:
            del self.turns[min(self.turns)]
        self._place(turn_span(heard, after, self.seq, content=self.content), after)
        if heard.first_at is not None:
            self._place(recognition_span(heard, after, self.seq), after)
        if heard.finals and after.turn.last_quiet_at is not None:
            waited_ns = max(0, heard.final_at - after.turn.last_quiet_at)
            labels = {names.STAGE: Stage.ASR.value, names.PROVIDER: recogniser(after)}
            run = after.response.run
            self._measure(names.M_FIRST_BYTE, waited_ns / SECOND, labels, run.number if run is not None else 0)

    def _follow_contest(self, before: State, after: State) -> None:
        """Two voices at once, from the moment the agent yielded to the decision."""
        was, now = before.contest, after.contest
        if now.resumed > was.resumed:
            self._measure(names.M_FALSE_INTERRUPTIONS, 1, run=was.run)
        if now.interrupted > was.interrupted:
            run = before.response.run
            self._measure(names.M_INTERRUPTIONS, 1, run=run.number if run is not None else 0)
            self._note_stop(before, after)
        if self.contest is not None and now.run != was.run:
            self.contest.attributes |= {names.OUTCOME: outcome(was, now), names.SEQ_END: self.seq}
            spans = self.runs.get(was.run)
            if spans is not None:
                spans.write(self.contest, after.at)
            self.contest = None
        if now.run and not was.run:
            self.contest = Open(names.CONTEST, Part.CONTEST, self.seq, after.at, {names.SEQ: self.seq})

    def _note_stop(self, before: State, after: State) -> None:
        """How long the agent went on speaking into the caller's words."""
        run, told_at = before.response.run, after.contest.onset_at
        spans = self.runs.get(run.number) if run is not None else None
        if spans is not None and told_at is not None:
            onset_at = self.onset[1] if told_at == self.onset[0] else told_at
            took_ns = max(0, after.contest.silenced_at - onset_at)
            spans.root[names.ONSET_TO_STOP_MS] = took_ns / MS
            spans.measure(names.M_STOP, took_ns / SECOND)

    # Phases.

    def _move(self, event: Event, before: State, after: State, commands: Commands) -> None:
        attributes: Attributes = {
            names.EVENT: type(event).__name__,
            names.PHASE_FROM: before.phase.value,
            names.PHASE_TO: after.phase.value,
            names.COMMANDS: titles(commands),
            names.SEQ: self.seq,
        }
        name = f"{names.TRANSITION} {before.phase.value} → {after.phase.value}"
        part = Open(name, Part.TRANSITION, self.seq, after.at, attributes, end_at=after.at)
        cut = before.response.run if after.phase in (Phase.INTERRUPTED, Phase.CANCELLED) else None
        self._place(part, after, cut or after.response.run or before.response.run)

    def _place(self, part: Open, after: State, run: Run | None = None) -> None:
        """Give a span to its run; to the next one where none is live; to the session where none comes."""
        home = run or after.response.run
        spans = self.runs.get(home.number) if home is not None else None
        if spans is not None and not spans.closed:
            spans.write(part, part.end_at or part.at)
        else:
            self.waiting.append(part)
            if len(self.waiting) > WAITING:
                self._write_session(self.waiting.pop(0))

    # The session.

    def _close(self, state: State, *, torn: bool) -> None:
        self.over = True
        for number, spans in self.runs.items():
            run = self.ended.get(number) or _run(state, number)
            if run is not None:
                spans.finish(state, run, self._links(number), self.seq, last=True)
            else:
                spans.finish_parts(state.at, self.seq, tools=True)
        for part in self.waiting:
            self._write_session(part)
        self.waiting.clear()
        self.ended.clear()
        self.out.append(session_span(self.whole, state, self.seq, torn=torn))

    def _write_session(self, part: Open) -> None:
        self.out.append(stray_span(self.whole, part))

    # What leaves.

    def _log(self, event: Event, before: State, after: State, commands: Commands) -> None:
        """A line for a fact that decided something, or that is rare."""
        if not worth_a_line(event, before, after, commands):
            return
        run = after.response.run or before.response.run
        trace = trace_of(self.call.key, run.number) if run is not None else self.whole.trace
        trace_id = trace.trace_id if run is not None else self.whole.trace_id
        number = run.number if run is not None else 0
        self.out.append(
            line_of(event, after, commands, self.call, trace_id, trace.span_id(Part.ROOT), run=number, seq=self.seq)
        )

    def _measure(self, name: str, value: float, labels: dict[str, str] | None = None, run: int = 0) -> None:
        """run: whose trace is the exemplar; 0: the session's."""
        trace = trace_of(self.call.key, run) if run else self.whole.trace
        trace_id = trace.trace_id if run else self.whole.trace_id
        span_id = trace.span_id(Part.ROOT)
        self.out.append(Measure(name, value, trace_id, span_id, labels or {}, self.samples(trace_id)))

    def _gathered(self) -> list[Record]:
        """What has become known. A run that is written, and whose tools have answered, is forgotten."""
        done = [spans for spans in self.runs.values() if spans.out]
        for spans in done:
            self.out += spans.out
            spans.out = []
            if spans.closed and not spans.parts:
                del self.runs[spans.number]
        if self.limit is None or not self.out:
            return self.out
        return [record for record in self.out if self._keeps(record)]

    def _keeps(self, record: Record) -> bool:
        return isinstance(record, Measure) or self.samples(record.trace_id)

    def samples(self, trace_id: int) -> bool:
        """Whether a trace is exported: as the caller's trace was, or by its id alone, so that every replay decides alike."""
        if self.limit is None:
            return True
        if self.whole.parent is not None:
            return self.whole.parent.sampled
        return (trace_id & (2**64 - 1)) < self.limit


def _run(state: State, number: int) -> Run | None:
    """A run that the state still knows."""
    live = state.response.run
    if live is not None and live.number == number:
        return live
    return next((run for run in state.response.past if run.number == number), None)
