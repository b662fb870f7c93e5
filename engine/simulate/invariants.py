"""What must hold after every step of a call, and what must sometimes happen in some call.

*Always*: nothing of a dead run leaves; what was heard was sent; one tool call has one result; a stale fact changes nothing; every wait has
a deadline; everything is bounded; when trouble ends, the agent answers. *Sometimes*: the rare situations the rules are for. A
sometimes that never happens in thousands of calls means that the world has stopped testing that rule.
"""

from typing import TYPE_CHECKING

from msgspec.structs import replace

from engine.core.commands import (
    CancelLLM,
    CancelTool,
    CancelTTS,
    Commands,
    EndSession,
    Message,
    Role,
    StartASR,
    StartLLM,
    StopASR,
    Synthesize,
)
from engine.core.events import (
    AdapterFailed,
    ASRPartial,
    Event,
    Fact,
    LLMDone,
    LLMToken,
    OutagesChanged,
    SessionEnded,
    Stage,
    ToolResult,
    TransportLost,
    UserTextReceived,
)
from engine.core.floor import floor_run, is_synthesised, ledger_of, sound_ns
from engine.core.playout import ROUNDING_NS
from engine.core.response import SAYS_MAX
from engine.core.state import CallState, Cause, Run, RunEnd, State, TurnEnd
from engine.core.tools import OPEN
from engine.core.turn import words_of
from engine.core.units import LIMITS, SECOND

if TYPE_CHECKING:
    from engine.simulate.world import Call

SOMETIMES = (
    "a turn is answered", "the caller interrupts", "the caller interrupts during a tool call", "a run is cancelled before its first sound",
    "the agent resumes after a noise", "the agent resumes after a backchannel", "a backchannel is kept", "a stop word takes the floor",
    "a guess is committed", "a guess is superseded", "a guess fails", "heard text is cut at a word time", "heard text is cut in proportion",
    "an uninterruptible run hears the caller", "a late token is dropped", "a tool answers after its run", "a detached result is told",
    "a tool times out", "a tool is cancelled", "a tool answers twice", "a filler is said", "a model is hedged", "a hedge wins",
    "a model is retried", "the next model goes on", "another model goes on in the middle", "the agent apologises", "the agent gives up",
    "the voice is changed in the middle", "the voice is gone", "the ear is changed", "the ear is deaf", "a typed turn interrupts",
    "keys are a turn", "the agent asks whether anyone is there", "the agent says goodbye to nobody", "the wire is lost and found",
    "playout is taken as lost", "speech without words is asked about", "a turn ends at the cap", "a turn is split and joined",
    "a final comes twice", "a call is ended by the agent", "the sound starves", "a model that is out is passed over",
    "all models are out and one is asked", "a voice that is out is left", "an ear that is out is not waited for",
    "the beginning of a backchannel is waited for", "the line goes with sound on its way",
)  # fmt: skip


BEGINNINGS = ("i", "all")
"""Of what a simulated caller says who listens."""


class Broken(Exception):
    """An invariant does not hold."""

    def __init__(self, what: str, call: "Call") -> None:
        super().__init__(what)
        self.what = what
        self.step = call.steps
        self.now = call.now


class Watch:
    """Eyes on one call."""

    def __init__(self, call: "Call") -> None:
        self.call = call
        self.seen: dict[str, int] = {}
        self.answered: set[int] = set()
        """Turns whose answer was heard to its end."""

    def stamped(self, fact: Fact, at: int) -> Event:
        return replace(fact, at=at)  # type: ignore[return-value]

    # Always.

    def check(self, event: Event, before: State, after: State, commands: Commands) -> None:
        """After every step."""
        if after.counters.stale > before.counters.stale:
            counted = replace(before, counters=after.counters)
            self._must(after == counted and not commands, "a stale fact changed something")
        self._must(after.at >= before.at and after.audio_ns >= before.audio_ns, "time ran backwards")
        self._must(len(after.conversation.messages) <= LIMITS.messages, "the history grows")
        self._must(len(after.tools.calls) <= 8 * LIMITS.tool_calls, "tool calls pile up")
        if not after.ended:
            self._check_waits(after)
            self._check_heard(after)
        if after.conversation is not before.conversation:
            self._check_history(after)
        self._check_asked(before, after, commands)
        self._check_prompt(before, after, commands)
        self._check_floor(before, after)
        self._check_ends(event, before, after, commands)
        self._check_bounds(after)
        self._notice(event, before, after, commands)

    def _check_asked(self, before: State, after: State, commands: Commands) -> None:
        """A run's first question goes to a model that is not out; where all are, it is asked all the same."""
        names, out = after.setup.llm, after.outages.llm
        for order in commands:
            if not isinstance(order, StartLLM) or order.run <= before.response.runs:
                continue
            if set(names) <= set(out):
                self.saw("all models are out and one is asked")
            else:
                self._must(order.provider not in out, "a run begins with a model that is out")
                if names[0] in out:
                    self.saw("a model that is out is passed over")

    def _check_prompt(self, before: State, after: State, commands: Commands) -> None:
        """A model that is to answer the caller is asked with the caller's words last."""
        run = after.response.run
        for order in commands:
            if isinstance(order, StartLLM) and order.run > before.response.runs and run is not None:
                last = order.messages[-1]
                ends = last.role is Role.USER and not last.backchannel
                self._must(ends or run.cause is not Cause.TURN, "a question does not end with the caller's words")

    def _check_floor(self, before: State, after: State) -> None:
        """The floor changes hands only when its run has ended; a turn is answered to its end once."""
        old, new = floor_run(before), floor_run(after)
        past = {run.number: run for run in after.response.past}
        if old is not None and (new is None or new.number != old.number):
            self._must(
                old.number in past and past[old.number].end is not None, f"r{old.number} lost the floor without an end"
            )
        known = {run.number for run in before.response.past}
        for run in after.response.past:
            if run.number not in known and run.end is RunEnd.FINISHED and run.turn:
                self._must(run.turn not in self.answered, f"turn {run.turn} is answered twice")
                self.answered.add(run.turn)

    def _check_ends(self, event: Event, before: State, after: State, commands: Commands) -> None:
        """What was asked for ends: answered, failed, cancelled or given up. Nothing is merely forgotten."""
        asked = before.response.run.requests if before.response.run is not None else ()
        kept = after.response.run.requests if after.response.run is not None else ()
        for number in {request.number for request in asked} - {request.number for request in kept}:
            over = isinstance(event, LLMDone | AdapterFailed) and event.request == number
            self._must(over or _orders(commands, CancelLLM, "request", number), f"request {number} was forgotten")
        old = before.response.run
        if old is not None and (after.response.run is None or after.response.run.number != old.number):
            ledger = ledger_of(after, old.number)
            whole = ledger is None or is_synthesised(ledger)
            self._must(
                whole or _orders(commands, CancelTTS, "run", old.number), f"the voice of r{old.number} was forgotten"
            )
        states = {call.number: call.state for call in after.tools.calls}
        for call in before.tools.calls:
            if call.state is CallState.RUNNING and states.get(call.number) is not CallState.RUNNING:
                answered = isinstance(event, ToolResult) and event.call == call.number
                failed = isinstance(event, AdapterFailed) and event.stage is Stage.TOOL and event.request == call.number
                over = answered or failed or _orders(commands, CancelTool, "call", call.number)
                self._must(over, f"tool call {call.number} was forgotten")
        ear = before.ear
        if ear.number and ear.retry_at is None and after.ear.number != ear.number:
            self._must(_orders(commands, StopASR, "ear", ear.number), f"ear {ear.number} was forgotten")

    def _check_bounds(self, state: State) -> None:
        turn, response, playout = state.turn, state.response, state.playout
        run = response.run
        longest = LIMITS.response_chars + len(state.setup.policy.apology) + 1
        self._must(
            max(len(turn.text), len(turn.partial)) <= LIMITS.transcript_chars and len(turn.keys) <= 64, "a turn grows"
        )
        self._must(run is None or len(run.text) <= longest, "an answer grows")
        self._must(len(response.past) <= LIMITS.runs_remembered and len(response.says) <= SAYS_MAX, "runs pile up")
        self._must(len(playout.ledgers) <= LIMITS.runs_remembered + 1, "ledgers pile up")
        # What is asked for again counts twice, and behind it comes what was not asked for yet.
        self._must(all(len(ledger.chunks) <= 2 * LIMITS.chunks for ledger in playout.ledgers), "chunks pile up")

    def _check_waits(self, state: State) -> None:
        """No flag may latch: whoever waits has a moment at which the wait is over."""
        waits = state.response.run is not None or any(call.state in OPEN for call in state.tools.calls)
        waits = waits or bool(words_of(state.turn)) or bool(state.contest.run)
        due = state.deadlines.wall_ns is not None or state.deadlines.audio_ns is not None
        self._must(not waits or due, "something waits without a deadline")
        run = state.response.run
        held = {call.run for call in state.tools.calls if call.state is CallState.HELD}
        self._must(not held or (run is not None and held == {run.number}), "a tool call waits for a run that is gone")
        if run is not None and state.lost_at is None:
            moving = run.requests or run.retry_at is not None or run.calls or state.deadlines.wall_ns is not None
            self._must(bool(moving), "a run waits for nothing")

    def _check_heard(self, state: State) -> None:
        for ledger in state.playout.ledgers:
            emitted = self.call.wire.pacer.ns(self.call.wire.emitted.get(ledger.run, 0))
            # A run that drained counts as heard to the end of its sound, which is rounded to whole samples.
            self._must(ledger.heard_ns <= emitted + ROUNDING_NS, f"r{ledger.run} was heard further than it was sent")
            self._must(
                any(chunk.duration_ns is None for chunk in ledger.chunks) or ledger.heard_ns <= sound_ns(ledger),
                f"r{ledger.run} was heard further than it was made",
            )

    def _check_history(self, state: State) -> None:
        """The agent's words are a prefix of what it was going to say; every call has its one result."""
        messages = state.conversation.messages
        made = [call.call_id for message in messages for call in message.calls]
        results = [message.call_id for message in messages if message.role is Role.TOOL]
        self._must(sorted(made) == sorted(results), "a tool call without exactly one result")
        self._must(len(set(made)) == len(made), "a tool call stands in the history twice")
        for run in state.response.past:
            said = " ".join(m.text for m in messages if m.run == run.number and m.role is Role.ASSISTANT)
            self._must(_is_prefix(said, run.text), f"r{run.number} said what it never wrote")
        self._must(
            all(_is_whole(state, message) for message in messages), "a message of a run that was never committed"
        )

    def check_emission(self, run: int) -> None:
        """Sound leaves the engine: it must be of the run that has the floor."""
        state = self.call.state
        self._must(run not in self.call.wire.dead, f"sound of the dead r{run} left")
        live = floor_run(state)
        self._must(live is not None and live.number == run, f"sound of r{run} left without the floor")
        self._must(state.contest.run != run, f"r{run} speaks although it yielded")

    def check_end(self) -> None:
        """After trouble has stopped: nothing is stuck, and the probe was answered."""
        state, now = self.call.state, self.call.now
        if state.ended:
            return
        self._must(self.call.probe_answered or bool(state.response.ending), "the probe was not answered")
        run = state.response.run
        self._must(run is None or now - run.began_at < 45 * SECOND, "a run never ends")

    def _must(self, holds: bool, what: str) -> None:
        if not holds:
            raise Broken(what, self.call)

    # Sometimes.

    def saw(self, what: str) -> None:
        assert what in SOMETIMES, what
        self.seen[what] = self.seen.get(what, 0) + 1

    def _notice(self, event: Event, before: State, after: State, commands: Commands) -> None:
        self._notice_endings(event, before, after)
        self._notice_turns(event, before, after)
        self._notice_services(event, before, after, commands)
        if isinstance(event, LLMToken) and after.counters.stale > before.counters.stale:
            self.saw("a late token is dropped")
        if isinstance(event, ToolResult) and after.counters.stale > before.counters.stale:
            self.saw("a tool answers twice")
        if any(isinstance(command, EndSession) for command in commands):
            self.saw("a call is ended by the agent")
        if before.lost_at is not None and after.lost_at is None:
            self.saw("the wire is lost and found")
        if isinstance(event, TransportLost | SessionEnded) and self.call.wire.played_until > self.call.now:
            self.saw("the line goes with sound on its way")
        if after.playout.starved > before.playout.starved:
            self.saw("the sound starves")

    def _notice_endings(self, event: Event, before: State, after: State) -> None:
        old = before.response.past[-1].number if before.response.past else 0
        for run in after.response.past:
            if run.number > old:
                self._notice_ending(run, event, before, after)

    def _notice_ending(self, run: Run, event: Event, before: State, after: State) -> None:
        match run.end:
            case RunEnd.FINISHED if run.cause is Cause.TURN:
                self.saw("a turn is answered")
                if self.call.caller.probed_at is not None and run.began_at >= self.call.caller.probed_at:
                    self.call.probe_answered = True
            case RunEnd.INTERRUPTED:
                self.saw("the caller interrupts")
                if any(call.state is CallState.RUNNING and call.run == run.number for call in before.tools.calls):
                    self.saw("the caller interrupts during a tool call")
                ledger = ledger_of(after, run.number)
                if ledger is not None and ledger.heard_ns > 0:
                    timed = any(chunk.words for chunk in ledger.chunks)
                    self.saw("heard text is cut at a word time" if timed else "heard text is cut in proportion")
            case RunEnd.CANCELLED:
                self.saw("a run is cancelled before its first sound")
            case RunEnd.SUPERSEDED:
                self.saw("a guess fails" if isinstance(event, AdapterFailed) else "a guess is superseded")
            case RunEnd.FAILED if run.failed:
                self.saw("the agent apologises")
                if self.call.caller.probed_at is not None and run.began_at >= self.call.caller.probed_at:
                    self.call.probe_answered = True
            case RunEnd.FAILED:
                ledger = ledger_of(after, run.number)
                self.saw("the voice is gone" if ledger is not None and ledger.mute else "playout is taken as lost")
        if run.cause is Cause.FAREWELL:
            self.saw("the agent gives up")
        if run.cause is Cause.TOOL and run.end is RunEnd.FINISHED:
            self.saw("a detached result is told")

    def _notice_turns(self, event: Event, before: State, after: State) -> None:
        if after.contest.resumed > before.contest.resumed:
            heard = words_of(before.turn)
            self.saw("the agent resumes after a backchannel" if heard else "the agent resumes after a noise")
        if after.conversation.messages and after.conversation.messages[-1].backchannel:
            self.saw("a backchannel is kept")
        if isinstance(event, ASRPartial) and after.contest.run and words_of(after.turn) in BEGINNINGS:
            self.saw("the beginning of a backchannel is waited for")
        if after.contest.interrupted > before.contest.interrupted:
            if words_of(before.turn) == "" and words_of(after.turn) == "stop":
                self.saw("a stop word takes the floor")
            if isinstance(event, UserTextReceived):
                self.saw("a typed turn interrupts")
        if after.turn.taken > before.turn.taken:
            ends = {
                TurnEnd.KEYED: "keys are a turn",
                TurnEnd.UNHEARD: "speech without words is asked about",
                TurnEnd.CAP: "a turn ends at the cap",
            }
            if after.turn.last_end in ends:
                self.saw(ends[after.turn.last_end])
            run = floor_run(before)
            if run is not None and not run.interruptible:
                self.saw("an uninterruptible run hears the caller")
            if len(after.conversation.messages) == len(before.conversation.messages) and after.turn.last_text:
                self.saw("a turn is split and joined")
        guess = before.response.run
        if guess is not None and not guess.committed and floor_run(after) is not None:
            self.saw("a guess is committed")
        if after.idle.prompts > before.idle.prompts:
            self.saw("the agent asks whether anyone is there")
        if after.idle.over and not before.idle.over:
            self.saw("the agent says goodbye to nobody")

    def _notice_services(self, event: Event, before: State, after: State, commands: Commands) -> None:
        run = after.response.run
        if run is not None and before.response.run is not None and run.number == before.response.run.number:
            if run.filled and not before.response.run.filled:
                self.saw("a filler is said")
            if run.hedged and not before.response.run.hedged:
                self.saw("a model is hedged")
            if len(before.response.run.requests) == 2 and isinstance(event, LLMToken) and run.provider:
                self.saw("a hedge wins")
            if run.retry_at is not None and before.response.run.retry_at is None:
                self.saw("a model is retried")
        failed = event.stage if isinstance(event, AdapterFailed) else None
        if failed is Stage.LLM and any(isinstance(command, StartLLM) for command in commands):
            self.saw("the next model goes on")
            if run is not None and run.text:
                self.saw("another model goes on in the middle")
        if failed is Stage.TTS and any(isinstance(command, Synthesize) for command in commands):
            self.saw("the voice is changed in the middle")
        if after.ear.provider != before.ear.provider:
            self.saw("the ear is changed")
        if isinstance(event, OutagesChanged) and any(isinstance(command, StartASR) for command in commands):
            self.saw("an ear that is out is not waited for")
        if after.playout.voice != before.playout.voice and failed is not Stage.TTS:
            self.saw("a voice that is out is left")
        if after.ear.unheard > before.ear.unheard and any(isinstance(command, StopASR) for command in commands):
            self.saw("the ear is deaf")
        for call in after.tools.calls:
            old = next((one for one in before.tools.calls if one.number == call.number), None)
            if old is not None and old.state is not call.state:
                if call.state is CallState.TIMED_OUT:
                    self.saw("a tool times out")
                elif call.state is CallState.CANCELLED:
                    self.saw("a tool is cancelled")
                elif call.detached:
                    self.saw("a tool answers after its run")
        if after.turn.final and after.counters.stale == before.counters.stale and _same_final(event, before, after):
            self.saw("a final comes twice")


def _orders(commands: Commands, order: type, field: str, number: int) -> bool:
    return any(type(command) is order and getattr(command, field) == number for command in commands)


def _same_final(event: Event, before: State, after: State) -> bool:
    text = getattr(event, "text", None)
    return type(event).__name__ == "ASRFinal" and text == before.turn.final and after.turn.text == before.turn.text


def _is_prefix(said: str, written: str) -> bool:
    """Whether what stands in the history is how the text begins, spaces aside."""
    return "".join(written.split()).startswith("".join(said.split()))


def _is_whole(state: State, message: Message) -> bool:
    run = next((run for run in state.response.past if run.number == message.run), None)
    return run is None or run.committed
