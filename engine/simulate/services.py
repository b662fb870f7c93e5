"""The providers of a simulated call: they answer late, twice, in the wrong order, after they were told to stop, or not at all."""

from typing import TYPE_CHECKING

from engine.core.commands import (
    CancelLLM,
    CancelTool,
    CancelTTS,
    FinalizeASR,
    Role,
    RunTool,
    StartASR,
    StartLLM,
    StopASR,
    Synthesize,
)
from engine.core.events import (
    AdapterFailed,
    ASRFinal,
    ASROpened,
    ASRPartial,
    Fact,
    LLMDone,
    LLMToken,
    LLMToolCall,
    RunCancelled,
    Stage,
    ToolResult,
    TTSChunkDone,
    TTSStarted,
    TTSWords,
    Word,
)
from engine.core.units import MS, SECOND
from engine.errors import FailureKind

if TYPE_CHECKING:
    from engine.simulate.world import Call

ANSWERS = (
    "It is noon.",
    "Certainly. I have three times free on Monday: ten, eleven and half past two. Which would you like?",
    "Well, that depends on the day, on the weather and on how many people are coming.",
    "Yes.",
    "Dr. Smith is in at 9 a.m. on Tuesday. Shall I book it?",
    "Let me explain this in some detail. First we look at the calendar. Then we look at the list. Then we call you back.",
)
KINDS = (
    FailureKind.TIMEOUT,
    FailureKind.UNAVAILABLE,
    FailureKind.RATE_LIMITED,
    FailureKind.REJECTED,
    FailureKind.CLOSED,
)


class Services:
    """All providers of one call."""

    def __init__(self, call: "Call") -> None:
        self.call = call
        self.world = call.world
        self.stopped: set[tuple[str, int]] = set()
        """What was cancelled: ("ear" | "request" | "run" | "call", number)."""
        self.ear = 0
        self.ear_open = False
        self.unheard: list[str] = []
        """Words spoken while no recogniser listened: kept, and given to the next."""
        self.segment = ""
        """Words of the present utterance without a final."""

    def later(self, delay: int, fact: Fact, scope: str, number: int, leak: str) -> None:
        """Post a fact after a delay, unless its scope was cancelled by then - or even so, where that fault strikes."""

        def arrive() -> None:
            if (scope, number) not in self.stopped or self.world.strikes(leak, self.call.now):
                self.call.post(fact)

        self.call.later(delay, arrive)

    # Recognition.

    def start_asr(self, order: StartASR) -> None:
        self.ear, self.ear_open = order.ear, False
        now = self.call.now
        if self.world.strikes("asr_never_opens", now):
            return
        if self.world.strikes("asr_refused", now):
            failed = AdapterFailed(stage=Stage.ASR, provider=order.provider, kind=self._kind(), ear=order.ear)
            self.later(self.world.delay(5, 400), failed, "ear", order.ear, "asr_late_after_stop")
            return

        def opened() -> None:
            if self.ear == order.ear and ("ear", order.ear) not in self.stopped:
                self.ear_open = True
                self.call.post(ASROpened(ear=order.ear))
                # Where the rules leave this ear at once, its words are put by again.
                unheard, self.unheard = self.unheard, []
                for words in unheard:
                    self.hear(words, done=True)

        self.call.later(self.world.delay(20, 600), opened)

    def stop_asr(self, order: StopASR) -> None:
        self.stopped.add(("ear", order.ear))
        if order.ear == self.ear:
            self.ear_open = False
            if self.segment:
                self.unheard.append(self.segment)
                self.segment = ""

    def hear(self, words: str, *, done: bool) -> None:
        """The caller has said this so far in the present utterance."""
        now, ear = self.call.now, self.ear
        if not self.ear_open:
            if done:
                self.unheard.append(words)
            return
        if self.world.strikes("asr_dies", now):
            failed = AdapterFailed(stage=Stage.ASR, provider="ear", kind=self._kind(), ear=ear)
            self.later(10 * MS, failed, "ear", ear, "asr_late_after_stop")
            self.segment = words
            return
        if self.world.strikes("asr_deaf", now):
            return
        self.segment = words
        if "asr_no_partials" not in self.world.faults:
            self.later(self.world.delay(40, 400), ASRPartial(ear=ear, text=words), "ear", ear, "asr_late_after_stop")

    def finalize(self, order: FinalizeASR) -> None:
        words, self.segment = self.segment, ""
        if not words:
            return
        late = self.world.strikes("asr_final_late", self.call.now)
        delay = self.world.delay(5, 300) + (2 * SECOND if late else 0)
        for copy in range(2 if self.world.strikes("asr_final_twice", self.call.now) else 1):
            final = ASRFinal(ear=order.ear, text=words)
            self.later(delay + copy * 30 * MS, final, "ear", order.ear, "asr_late_after_stop")

    # The model.

    def start_llm(self, order: StartLLM) -> None:
        now, world = self.call.now, self.world
        first = world.delay(100, 1_500)
        if world.strikes("llm_silent", now):
            return
        if world.strikes("llm_refused", now):
            self._fail_llm(order, first)
            return
        after_tool = order.messages[-1].role is Role.TOOL
        at = first
        if world.setup.tools and not after_tool and world.random.random() < 0.4:
            for count in range(world.random.choice((1, 1, 2))):
                name = world.random.choice((*world.setup.tools, None))
                call = LLMToolCall(
                    run=order.run, request=order.request, call_id=f"c{order.request}.{count}",
                    name=name.name if name is not None else "no_such_tool", arguments="{}",
                )  # fmt: skip
                self._llm(at, call, order)
                at += 20 * MS
            self._llm(at, LLMDone(run=order.run, request=order.request, reason="tool_calls"), order)
            return
        text = "" if world.strikes("llm_empty", now) else world.random.choice(ANSWERS)
        if world.strikes("llm_rambles", now):
            text = text * 12
        for word in text.split():
            if world.strikes("llm_dies", now) and at > first:
                self._fail_llm(order, at)
                return
            if world.strikes("llm_stalls", now) and at > first:
                return
            self._llm(at, LLMToken(run=order.run, request=order.request, text=word + " "), order)
            at += world.delay(5, 60)
        for copy in range(2 if world.strikes("llm_done_twice", now) else 1):
            self._llm(at + copy * MS, LLMDone(run=order.run, request=order.request), order)

    def _llm(self, delay: int, fact: Fact, order: StartLLM) -> None:
        self.later(delay, fact, "request", order.request, "llm_late_after_cancel")

    def _fail_llm(self, order: StartLLM, delay: int) -> None:
        retry = self.world.random.choice((0, 0, 300 * MS, 30 * SECOND))
        failed = AdapterFailed(
            stage=Stage.LLM,
            provider=order.provider,
            kind=self._kind(),
            run=order.run,
            request=order.request,
            retry_ns=retry,
        )
        self._llm(delay, failed, order)

    def cancel_llm(self, order: CancelLLM) -> None:
        self.stopped.add(("request", order.request))

    # The voice.

    def synthesize(self, order: Synthesize) -> None:
        """Chunks of a run are made one after the other; one that fails has made some sound, or none."""
        now, world = self.call.now, self.world
        serial = self.call.synthesis(order.run)
        start = max(now, self.call.voice_free.get(order.run, 0))
        first = start + world.delay(40, 600)
        whole = max(120, len(order.text) * 66) * MS
        made, end, kind = whole, first + world.delay(20, 300), None
        if world.strikes("tts_silent", now):
            made, end, kind = 0, start + order.first_ns, FailureKind.TIMEOUT
        elif world.strikes("tts_refused", now):
            made, end, kind = 0, first, self._kind()
        elif world.strikes("tts_dies", now):
            made, kind = whole // 2, self._kind()
        timed = made
        if made and world.strikes("tts_wrong_rate", now):  # The sound is shorter, or longer, than its word times say.
            made = made * world.random.choice((1, 9)) // 3
        self.call.voice_free[order.run] = end

        def sound() -> None:
            if self._is_heard(order.run, serial):
                self.call.post(TTSStarted(run=order.run, chunk=order.chunk))

        def done() -> None:
            alive = self.call.synthesis(order.run) == serial
            if alive and made:
                self.call.wire.wrote(order.run, made)
            if alive and kind is None:
                self.call.wire.chunk_ended(order.run)
            if not self._is_heard(order.run, serial):
                return
            if world.words and made:
                self.call.post(TTSWords(run=order.run, chunk=order.chunk, words=_words(order.text, whole, timed)))
            self.call.post(self._end_of_chunk(order, kind, made))

        if made:
            self.call.at(first, sound)
        self.call.at(end, done)

    def _is_heard(self, run: int, serial: int) -> bool:
        """Whether facts of this synthesis still arrive: until it is cancelled, or after, where that fault strikes."""
        return self.call.synthesis(run) == serial or self.world.strikes("tts_late_after_cancel", self.call.now)

    def _end_of_chunk(self, order: Synthesize, kind: FailureKind | None, made: int) -> Fact:
        # Positions on the wire are whole samples.
        made = self.call.wire.pacer.ns(self.call.wire.pacer.samples(made))
        if kind is None:
            return TTSChunkDone(run=order.run, chunk=order.chunk, duration_ns=made)
        return AdapterFailed(
            stage=Stage.TTS, provider=order.provider, kind=kind, run=order.run, chunk=order.chunk, duration_ns=made
        )

    def cancel_tts(self, order: CancelTTS) -> None:
        self.call.next_synthesis(order.run)
        self.call.voice_free.pop(order.run, None)
        self.call.later(self.world.delay(1, 200), lambda: self.call.post(RunCancelled(run=order.run)))

    # Tools.

    def run_tool(self, order: RunTool) -> None:
        now, world = self.call.now, self.world
        if world.strikes("tool_never", now):
            return
        delay = world.delay(20, 6_000)
        if world.strikes("tool_fails", now):
            failed = AdapterFailed(
                stage=Stage.TOOL, provider=order.name, kind=FailureKind.PROTOCOL, run=order.run, request=order.call
            )
            self.later(delay, failed, "call", order.call, "tool_late_after_cancel")
            return
        for copy in range(2 if world.strikes("tool_twice", now) else 1):
            result = ToolResult(call=order.call, output='{"ok":true}')
            self.later(delay + copy * 40 * MS, result, "call", order.call, "tool_late_after_cancel")

    def cancel_tool(self, order: CancelTool) -> None:
        self.stopped.add(("call", order.call))

    def _kind(self) -> FailureKind:
        return self.world.random.choice(KINDS)


def _words(text: str, whole_ns: int, timed_ns: int) -> tuple[Word, ...]:
    """Word times in proportion to the characters, as far as they go."""
    words: list[Word] = []
    position = 0
    for word in text.split():
        position = text.index(word, position) + len(word)
        end = whole_ns * position // len(text)
        if end <= timed_ns:
            words.append(Word(position, end))
    return tuple(words)
