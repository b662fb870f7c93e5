"""One run as spans: what it asked of whom, when they answered, what was heard of it.

The parts are opened by commands and closed by facts. A part that is closed leaves at once; the run's own span leaves last, when
nothing more can be learnt of what the caller heard.
"""

from collections.abc import Callable
from hashlib import blake2b
from typing import Any

from msgspec import msgpack

from engine.core.commands import CancelLLM, CancelTTS, RunTool, StartLLM, Synthesize
from engine.core.events import (
    AdapterFailed,
    Event,
    LLMDone,
    LLMToken,
    LLMToolCall,
    PlayoutAdvanced,
    PlayoutCleared,
    PlayoutDone,
    PlayoutPaused,
    Stage,
    TimerFired,
    ToolResult,
    TTSChunkDone,
    TTSStarted,
)
from engine.core.floor import ledger_of
from engine.core.playout import heard_chars
from engine.core.state import Cause, Run, RunEnd, State
from engine.core.units import MS, SECOND
from engine.telemetry import names
from engine.telemetry.caller import Heard
from engine.telemetry.records import Attributes, Call, Measure, Open, Part, Record, Span, Trace


class RunSpans:
    """The spans of one run, from its first command to its last playout fact."""

    def __init__(
        self,
        call: Call,
        run: Run,
        trace: Trace,
        base: Attributes,
        models: dict[str, str],
        *,
        stale: int,
        content: bool,
        sampled: bool,
    ) -> None:
        """models: of the whole call, by provider, as far as their answers have named them."""
        self.number = run.number
        self.trace = trace
        self.root_id = self.trace.span_id(Part.ROOT)
        self.began_ns = call.began_ns
        self.agent = call.agent
        self.content = content
        self.sampled = sampled
        self.whole = base
        self.models = models
        self.base: Attributes = {names.CONVERSATION_ID: call.session, names.RUN_ID: run.number}
        self.at = run.began_at
        self.stale = stale
        self.parts: dict[tuple[Part, int], Open] = {}
        self.root: Attributes = {}
        self.out: list[Record] = []
        self.sounded_at: int | None = None
        """When the first sound of it came from the synthesizer."""
        self.heard_ns = 0
        self.pauses = 0
        self.starved = 0
        self.closed = False

    # Opening and closing.

    def open(
        self, part: Part, number: int, name: str, at: int, attributes: Attributes, *, client: bool = False
    ) -> None:
        self.parts[part, number] = Open(name, part, number, at, attributes, client)

    def write(self, part: Open, end_at: int) -> None:
        """Let a span leave. A part that began before its run (the caller's turn) draws the run's beginning back."""
        self.at = min(self.at, part.at)
        self.out.append(
            Span(
                name=part.name,
                trace_id=self.trace.trace_id,
                span_id=self.trace.span_id(part.part, part.number),
                parent_id=self.root_id,
                client=part.client,
                start_ns=self.began_ns + part.at,
                end_ns=self.began_ns + max(part.at, end_at),
                attributes={**self.base, names.SPAN_KIND: part.part.name.lower(), **part.attributes},
                error=part.error,
            )
        )

    def close(self, part: Part, number: int, at: int, seq: int, attributes: Attributes) -> None:
        """Close a part, if it is open: a fact may be of something already given up."""
        found = self.parts.pop((part, number), None)
        if found is not None:
            found.attributes |= {names.SEQ_END: seq, **attributes}
            self.write(found, at)

    def give_up(self, part: Part, number: int, event: Event, after: State, seq: int) -> None:
        """Close what is no longer wanted. What a timer gave up while its run goes on was waited for too long."""
        found = self.parts.get((part, number))
        if found is None:
            return
        live = after.response.run
        if isinstance(event, TimerFired) and live is not None and live.number == self.number:
            found.blame("timeout")
        self.close(part, number, after.at, seq, {names.CANCELLED: True})

    def measure(self, name: str, value: float, labels: dict[str, str] | None = None) -> None:
        self.out.append(Measure(name, value, self.trace.trace_id, self.root_id, labels or {}, self.sampled))

    def note_first(self, part: Open, stage: Stage, at: int) -> None:
        """The first piece of what was asked for."""
        if part.first_at is None:
            part.first_at = at
            waited_s = (at - part.at) / SECOND
            part.attributes[names.FIRST_CHUNK_S] = waited_s
            labels = {names.STAGE: stage.value, names.PROVIDER: part.label(names.PROVIDER)}
            self.measure(names.M_FIRST_BYTE, waited_s, labels)
            if stage is Stage.LLM:
                self.measure(names.M_FIRST_CHUNK, waited_s, {names.PROVIDER: labels[names.PROVIDER]})

    # The language model.

    def ask(self, command: StartLLM, event: Event, after: State, seq: int) -> None:
        attributes: Attributes = {
            names.OPERATION: names.CHAT,
            names.PROVIDER: command.provider,
            names.REQUEST_STREAM: True,
            names.REQUEST: command.request,
            names.SEQ: seq,
        }
        model = self.models.get(command.provider, "")
        if model:
            attributes[names.REQUEST_MODEL] = model
        name = f"{names.CHAT} {model or command.provider}"
        self.open(Part.CHAT, command.request, name, after.at, attributes, client=True)

    def note_token(self, event: LLMToken | LLMToolCall, before: State, after: State, seq: int) -> None:
        """The first piece of anything, and the first that is part of an answer."""
        chat = self.parts.get((Part.CHAT, event.request))
        if chat is None:
            return
        self.note_first(chat, Stage.LLM, after.at)
        if isinstance(event, LLMToken) and names.FIRST_ANSWER_S not in chat.attributes and event.text.strip():
            chat.attributes[names.FIRST_ANSWER_S] = (after.at - chat.at) / SECOND

    def note_answer(self, event: LLMDone, before: State, after: State, seq: int) -> None:
        chat = self.parts.get((Part.CHAT, event.request))
        if chat is None:
            return
        usage: Attributes = {
            names.FINISH_REASONS: (event.reason,),
            names.INPUT_TOKENS: event.input_tokens,
            names.OUTPUT_TOKENS: event.output_tokens,
            names.CACHED_TOKENS: event.cached_tokens,
        }
        if event.model:
            usage[names.REQUEST_MODEL] = usage[names.RESPONSE_MODEL] = event.model
            chat.name = f"{names.CHAT} {event.model}"
            self.models[chat.label(names.PROVIDER)] = event.model
        self.close(Part.CHAT, event.request, after.at, seq, usage)
        labels = {names.PROVIDER: chat.label(names.PROVIDER)}
        self.measure(names.M_CHAT, (after.at - chat.at) / SECOND, labels)
        self.measure(names.M_INPUT_TOKENS, event.input_tokens, labels)
        self.measure(names.M_OUTPUT_TOKENS, event.output_tokens, labels)

    def unask(self, command: CancelLLM, event: Event, after: State, seq: int) -> None:
        self.give_up(Part.CHAT, command.request, event, after, seq)

    # Tools.

    def call(self, command: RunTool, event: Event, after: State, seq: int) -> None:
        call_id = next((call.call_id for call in after.tools.calls if call.number == command.call), "")
        attributes: Attributes = {
            names.OPERATION: names.EXECUTE_TOOL,
            names.TOOL_NAME: command.name,
            names.TOOL_TYPE: "function",
            names.TOOL_CALL_ID: call_id,
            names.CALL: command.call,
            names.SEQ: seq,
        }
        if self.content:
            attributes[names.PII_ARGUMENTS] = command.arguments
        self.open(Part.TOOL, command.call, f"{names.EXECUTE_TOOL} {command.name}", after.at, attributes)

    def note_result(self, event: ToolResult, before: State, after: State, seq: int) -> None:
        found = self.parts.get((Part.TOOL, event.call))
        if found is None:
            return
        attributes: Attributes = {names.CALL_FAILED: event.failed, names.CALL_DETACHED: self.closed}
        if self.content:
            attributes[names.PII_OUTPUT] = event.output
        if event.failed:
            found.blame("tool_error")
        self.close(Part.TOOL, event.call, after.at, seq, attributes)
        self.measure(names.M_TOOL, (after.at - found.at) / SECOND, {names.TOOL_NAME: found.label(names.TOOL_NAME)})

    # The synthesizer.

    def speak(self, command: Synthesize, event: Event, after: State, seq: int) -> None:
        attributes: Attributes = {
            names.OPERATION: names.TEXT_TO_SPEECH,
            names.PROVIDER: command.provider,
            names.CHUNK: command.chunk,
            names.CHUNK_CHARS: len(command.text),
            names.SEQ: seq,
        }
        name = f"{names.TEXT_TO_SPEECH} {command.provider}"
        self.open(Part.TEXT_TO_SPEECH, command.chunk, name, after.at, attributes, client=True)

    def note_sound(self, event: TTSStarted, before: State, after: State, seq: int) -> None:
        found = self.parts.get((Part.TEXT_TO_SPEECH, event.chunk))
        if found is not None:
            self.note_first(found, Stage.TTS, after.at)
            if self.sounded_at is None:
                self.sounded_at = after.at

    def note_spoken(self, event: TTSChunkDone, before: State, after: State, seq: int) -> None:
        self.close(Part.TEXT_TO_SPEECH, event.chunk, after.at, seq, {names.SOUND_MS: event.duration_ns / MS})

    def hush(self, command: CancelTTS, event: Event, after: State, seq: int) -> None:
        for part, number in [key for key in self.parts if key[0] is Part.TEXT_TO_SPEECH]:
            self.give_up(part, number, event, after, seq)

    # Trouble.

    def note_failure(self, event: AdapterFailed, before: State, after: State, seq: int) -> None:
        """A provider gave out: what it had under way ends here."""
        part, number = {
            Stage.LLM: (Part.CHAT, event.request),
            Stage.TTS: (Part.TEXT_TO_SPEECH, event.chunk),
            Stage.TOOL: (Part.TOOL, event.request),
        }.get(event.stage, (Part.ROOT, 0))
        found = self.parts.get((part, number))
        if found is not None:
            found.blame(event.kind.value)
            self.close(part, number, after.at, seq, {})

    # Playout.

    def play(self, heard: Heard | None, after: State, seq: int) -> None:
        """The caller hears the first of it: the wait is over, and it is known who owned which part of it."""
        if (Part.PLAYOUT, 0) in self.parts:
            return
        at = after.at
        self.open(Part.PLAYOUT, 0, names.PLAYOUT, at, {names.SEQ: seq})
        if heard is None or heard.quiet_at is None:
            return
        ledger = ledger_of(after, self.number)
        asked = ledger.chunks[0].asked_at if ledger is not None and ledger.chunks else at
        asked = max(asked, heard.taken_at)
        sounded = max(asked, self.sounded_at if self.sounded_at is not None else asked)
        self.root |= {
            names.V2V_MS: (at - heard.quiet_at) / MS,
            names.ENDPOINT_MS: (heard.taken_at - heard.quiet_at) / MS,
            names.MODEL_MS: (asked - heard.taken_at) / MS,
            names.VOICE_MS: (sounded - asked) / MS,
            names.ENGINE_MS: (at - sounded) / MS,
        }
        self.measure(names.M_V2V, (at - heard.quiet_at) / SECOND)

    def note_heard(
        self,
        event: PlayoutAdvanced | PlayoutPaused | PlayoutCleared | PlayoutDone,
        before: State,
        after: State,
        seq: int,
    ) -> None:
        """More was heard. The span will end where that last happened."""
        playout = self.parts.get((Part.PLAYOUT, 0))
        if playout is None:
            return
        if event.heard_ns > self.heard_ns:
            self.heard_ns = event.heard_ns
            playout.end_at = after.at
        if isinstance(event, PlayoutPaused):
            self.pauses += 1
        if after.playout.starved > before.playout.starved:
            self.starved += 1
            self.measure(names.M_UNDERRUNS, 1)

    # The end.

    def finish(
        self, state: State, run: Run, links: tuple[tuple[int, int], ...], seq: int, *, last: bool = False
    ) -> None:
        """Close the run's own span, and every part but a tool that goes on without it."""
        ended_at = run.ended_at if run.end is not None else state.at
        self.finish_parts(ended_at, seq, tools=last)
        if self.closed:
            return
        self.closed = True
        last_words: Attributes = {
            names.SEQ_END: seq,
            names.STALE_DROPPED: state.counters.stale - self.stale,
            names.STATE_DIGEST: blake2b(msgpack.encode(state), digest_size=16).hexdigest(),
        }
        self.out.append(
            Span(
                name=f"{names.INVOKE_AGENT} {self.agent}",
                trace_id=self.trace.trace_id,
                span_id=self.root_id,
                start_ns=self.began_ns + self.at,
                end_ns=self.began_ns + max(self.at, ended_at),
                attributes=self._attributes(state, run) | last_words,
                links=links,
                error="failed" if run.end is RunEnd.FAILED else "",
            )
        )
        self.measure(names.M_RUN, (ended_at - run.began_at) / SECOND, {names.RUN_END_REASON: _end(run)})

    def finish_parts(self, at: int, seq: int, *, tools: bool) -> None:
        for (part, number), found in list(self.parts.items()):
            if part is Part.PLAYOUT:
                playout = {names.HEARD_MS: self.heard_ns / MS, names.PAUSES: self.pauses, names.STARVED: self.starved}
                self.close(part, number, found.end_at if found.end_at is not None else at, seq, {**playout})
            elif part is not Part.TOOL or tools:
                self.close(part, number, at, seq, {names.CANCELLED: True})

    def _attributes(self, state: State, run: Run) -> Attributes:
        ledger = ledger_of(state, run.number)
        heard = heard_chars(ledger, state.setup.policy.speech_chars_per_s) if ledger is not None else 0
        attributes: Attributes = {
            **self.whole,
            **self.base,
            names.SPAN_KIND: "run",
            names.OPERATION: names.INVOKE_AGENT,
            names.AGENT_NAME: self.agent,
            names.RUN_CAUSE: run.cause.value,
            names.RUN_END_REASON: _end(run),
            names.RUN_SPECULATIVE: not run.committed,
            names.SENT_CHARS: ledger.cut if ledger is not None else 0,
            names.HEARD_CHARS: heard,
            **self.root,
        }
        if run.end is RunEnd.FAILED:
            attributes[names.ERROR_TYPE] = "failed"
        if self.content:
            attributes[names.PII_AGENT_TEXT] = run.text[:heard]
            if run.cause is Cause.TURN:
                attributes[names.PII_USER_TEXT] = run.prompt
        return attributes


def _end(run: Run) -> str:
    return run.end.value if run.end is not None else "unknown"


FACTS: dict[type, Callable[[RunSpans, Any, State, State, int], None]] = {
    LLMToken: RunSpans.note_token,
    LLMToolCall: RunSpans.note_token,
    LLMDone: RunSpans.note_answer,
    TTSStarted: RunSpans.note_sound,
    TTSChunkDone: RunSpans.note_spoken,
    PlayoutAdvanced: RunSpans.note_heard,
    PlayoutPaused: RunSpans.note_heard,
    PlayoutCleared: RunSpans.note_heard,
    PlayoutDone: RunSpans.note_heard,
    AdapterFailed: RunSpans.note_failure,
}
"""Facts that name their run. (event, before, after, seq)"""

ORDERS: dict[type, Callable[[RunSpans, Any, Event, State, int], None]] = {
    StartLLM: RunSpans.ask,
    CancelLLM: RunSpans.unask,
    Synthesize: RunSpans.speak,
    CancelTTS: RunSpans.hush,
    RunTool: RunSpans.call,
}
"""Commands that name their run. (command, event, after, seq)"""
