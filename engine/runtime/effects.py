"""What each command does: a table from its type to a function. Providers and tools are asked in tasks of their own (work.py).

Rule 1. Facts leave a task through `post` only while it is the live one under its key: late output of what was cancelled reaches
        neither the state nor the wire.
"""

import asyncio
import functools
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Protocol, get_args

from msgspec import Struct

from engine.adapters.base import Headers, LanguageModel, LLMRequest, Recognizer, RecognizerStream, Synthesizer, Voice
from engine.core.commands import (
    CancelLLM,
    CancelTool,
    CancelTTS,
    ClearPlayout,
    ClosePlayout,
    Command,
    Commands,
    EndSession,
    FinalizeASR,
    OpenPlayout,
    Order,
    PausePlayout,
    ResumePlayout,
    RunTool,
    SetTimer,
    StartASR,
    StartLLM,
    StopASR,
    Synthesize,
    Transfer,
)
from engine.core.events import AdapterFailed, ASREndOfTurn, ASRFinal, Fact, LLMDone, RunCancelled, Stage, ToolResult
from engine.core.policy import ToolSpec
from engine.core.recovery import first_model
from engine.core.state import State
from engine.core.units import LIMITS
from engine.errors import AdapterError, FailureKind
from engine.runtime.chunks import Chunk, Chunks
from engine.runtime.inbound import Inbound
from engine.runtime.outbound import Outbound
from engine.runtime.work import Failed, Key, Work

log = logging.getLogger("engine.runtime")


class Toolbox(Protocol):
    """The tools of an agent."""

    async def call(self, name: str, arguments: str) -> tuple[str, bool]:
        """The result for the model, and whether the tool failed. Never raises but CancelledError."""


class Providers(Struct, frozen=True, kw_only=True):
    """The providers of a process, by the names that a Setup uses. Started; shared by all calls."""

    asr: Mapping[str, Recognizer] = {}
    llm: Mapping[str, LanguageModel] = {}
    tts: Mapping[str, Synthesizer] = {}


class Ends(Protocol):
    """What effects ask of the session around them."""

    def arm(self, wall_ns: int | None) -> None:
        """The next moment on the wall clock at which the rules want to be asked."""

    def hang_up(self, reason: str) -> None:
        """End the call."""

    def transfer(self, target: str) -> None:
        """Hand the caller over."""


class Effects:
    """One call's work under way."""

    def __init__(
        self,
        providers: Providers,
        tools: tuple[ToolSpec, ...],
        toolbox: Toolbox | None,
        inbound: Inbound,
        outbound: Outbound,
        post: Callable[[Fact], None],
        ends: Ends,
        loop: asyncio.AbstractEventLoop,
        call_id: str,
        headers: Callable[[Stage, int, int], Headers] | None = None,
    ) -> None:
        """headers: of a run's request or chunk, or (run 0) of the call as a whole, for providers that take them."""
        self._providers = providers
        self._tools = tools
        self._toolbox = toolbox
        self._inbound = inbound
        self._outbound = outbound
        self._post = post
        self._ends = ends
        self._call_id = call_id
        self._headers = headers or (lambda stage, run, number: ())
        self._work = Work(loop, post, self._let_go)
        self._streams: dict[int, RecognizerStream] = {}
        self._voices: dict[str, Voice] = {}
        self._chunks: dict[int, Chunks] = {}

    def do(self, commands: Commands) -> None:
        """Carry out what one fact led to, in order."""
        for command in commands:
            TABLE[type(command)](self, command)
        self._work.settle()

    @property
    def waiting(self) -> bool:
        """Whether anything asked of a provider is under way."""
        return any(key[0] is not Stage.ASR for key in self._work.live)

    # Recognition.

    def start_asr(self, command: StartASR) -> None:
        headers = self._headers(Stage.ASR, 0, command.ear)
        stream = self._providers.asr[command.provider].stream(command.ear, headers)
        self._streams[command.ear] = stream
        failed = functools.partial(AdapterFailed, stage=Stage.ASR, ear=command.ear)
        self._work.begin(
            (Stage.ASR, command.ear, 0), 0, command.provider, lambda: self._listen(command.ear, stream), failed
        )
        deaf = functools.partial(self._deaf, command, failed)
        self._inbound.attach(stream, deaf)

    def finalize_asr(self, command: FinalizeASR) -> None:
        stream = self._streams.get(command.ear)
        if stream is not None:
            self._inbound.finalize(stream)

    def stop_asr(self, command: StopASR) -> None:
        stream = self._streams.pop(command.ear, None)
        if stream is not None:
            self._inbound.detach(stream)
        self._work.cancel((Stage.ASR, command.ear, 0))

    def _deaf(self, command: StartASR, failed: Failed) -> None:
        """A stream raised where it may not: the recogniser's trouble, not the call's."""
        log.exception("adapter fault", extra={"provider": command.provider})
        self._work.cancel((Stage.ASR, command.ear, 0))
        self._post(failed(provider=command.provider, kind=FailureKind.PROTOCOL, retry_ns=0))

    async def _listen(self, ear: int, stream: RecognizerStream) -> None:
        key = (Stage.ASR, ear, 0)
        try:
            async for fact in stream.facts():
                if not self._work.is_live(key):
                    continue
                if type(fact) is ASRFinal or type(fact) is ASREndOfTurn:
                    self._inbound.forget()
                self._post(fact)
            raise AdapterError("", FailureKind.CLOSED, "the stream ended")
        finally:
            self._inbound.detach(stream)
            self._streams.pop(ear, None)

    # The language model.

    def warm(self, state: State) -> None:
        """Connect ahead of need: the first voice, and the first model, whose connections may have been closed since the last call."""
        setup = state.setup
        if setup.tts:
            self.voice(setup.tts[state.playout.voice])
        if setup.llm:
            provider = setup.llm[first_model(state)]
            failed = functools.partial(AdapterFailed, stage=Stage.LLM)
            self._work.begin((Stage.LLM, 0, 0), 0, provider, self._providers.llm[provider].ready, failed)

    def start_llm(self, command: StartLLM) -> None:
        model = self._providers.llm[command.provider]
        request = LLMRequest(
            run=command.run,
            request=command.request,
            messages=command.messages,
            tools=self._tools,
            session=self._call_id,
            headers=self._headers(Stage.LLM, command.run, command.request),
        )
        failed = functools.partial(AdapterFailed, stage=Stage.LLM, run=command.run, request=command.request)
        key = (Stage.LLM, command.run, command.request)
        self._work.begin(key, command.run, command.provider, lambda: self._think(key, model.stream(request)), failed)

    def cancel_llm(self, command: CancelLLM) -> None:
        self._work.cancel((Stage.LLM, command.run, command.request))

    async def _think(self, key: Key, facts: AsyncIterator[Fact]) -> None:
        done = False
        async for fact in facts:
            if self._work.is_live(key):
                done = done or type(fact) is LLMDone
                self._post(fact)
        if not done and self._work.is_live(key):
            raise AdapterError("", FailureKind.CLOSED, "the answer broke off")

    # Synthesis.

    def synthesize(self, command: Synthesize) -> None:
        voice = self.voice(command.provider)
        chunks = self._chunks.get(command.run)
        if chunks is None:
            self._chunks = {run: old for run, old in self._chunks.items() if old.busy}
            begin = functools.partial(self._begin_chunk, command.run)
            chunks = self._chunks[command.run] = Chunks(command.run, self._outbound, self._post, begin)
        chunks.ask(Chunk(command, voice, self._headers(Stage.TTS, command.run, command.chunk)))

    def cancel_tts(self, command: CancelTTS) -> None:
        chunks = self._chunks.get(command.run)
        if chunks is not None:
            for chunk in chunks.forget():
                self._work.cancel((Stage.TTS, command.run, chunk.request.chunk))

    def voice(self, provider: str) -> Voice:
        """This call's voice of a synthesizer. The first asking begins to connect it."""
        voice = self._voices.get(provider)
        if voice is None:
            voice = self._voices[provider] = self._providers.tts[provider].voice(self._headers(Stage.TTS, 0, 0))
            failed = functools.partial(AdapterFailed, stage=Stage.TTS)
            self._work.begin((Stage.TTS, 0, len(self._voices)), 0, provider, voice.open, failed)
        return voice

    def _begin_chunk(self, run: int, chunk: Chunk) -> None:
        chunks = self._chunks[run]

        def failed(**cause: Any) -> AdapterFailed:
            number, duration_ns = chunk.request.chunk, chunk.duration_ns
            return AdapterFailed(stage=Stage.TTS, run=run, chunk=number, duration_ns=duration_ns, **cause)

        key = (Stage.TTS, run, chunk.request.chunk)
        self._work.begin(key, run, chunk.provider, lambda: chunks.speak(chunk), failed)

    # Playout.

    def open_playout(self, command: OpenPlayout) -> None:
        self._outbound.open(command.run)

    def pause_playout(self, command: PausePlayout) -> None:
        self._outbound.pause(command.run)

    def resume_playout(self, command: ResumePlayout) -> None:
        self._outbound.resume(command.run)

    def clear_playout(self, command: ClearPlayout) -> None:
        self._outbound.clear(command.run)
        self._work.clear(command.run)

    def close_playout(self, command: ClosePlayout) -> None:
        self._outbound.forget(command.run)

    # Tools.

    def run_tool(self, command: RunTool) -> None:
        failed = functools.partial(_tool_failed, command.call)
        key = (Stage.TOOL, command.call, 0)
        self._work.begin(key, command.run, command.name, lambda: self._use(key, command), failed)

    def cancel_tool(self, command: CancelTool) -> None:
        self._work.cancel((Stage.TOOL, command.call, 0))

    async def _use(self, key: Key, command: RunTool) -> None:
        assert self._toolbox is not None, f"tool {command.name!r} was asked for, and the session has no toolbox"
        output, failed = await self._toolbox.call(command.name, command.arguments)
        if self._work.is_live(key):
            self._post(ToolResult(call=command.call, output=output[: LIMITS.tool_output_chars], failed=failed))

    # The session.

    def set_timer(self, command: SetTimer) -> None:
        self._inbound.deadline_ns = command.audio_ns
        self._ends.arm(command.wall_ns)

    def transfer(self, command: Transfer) -> None:
        self._ends.transfer(command.target)

    def end_session(self, command: EndSession) -> None:
        self._ends.hang_up(command.reason)

    # The end.

    def _let_go(self, run: int) -> None:
        """All that a cleared run had under way has ended."""
        self._chunks.pop(run, None)
        self._post(RunCancelled(run=run))

    async def stop(self) -> None:
        """End everything under way, within bounds."""
        await self._work.stop(voice.close for voice in self._voices.values())
        # Nothing of the session is held: it can go at once, without waiting for a collection.
        for held in (self._voices, self._streams, self._chunks):
            held.clear()
        del self._post, self._ends, self._headers


def _tool_failed(call: int, *, provider: str, kind: FailureKind, retry_ns: int) -> ToolResult:
    return ToolResult(call=call, output=f"{provider} failed.", failed=True)


TABLE: dict[type[Command], Callable[[Effects, Any], None]] = {
    StartASR: Effects.start_asr,
    FinalizeASR: Effects.finalize_asr,
    StopASR: Effects.stop_asr,
    StartLLM: Effects.start_llm,
    CancelLLM: Effects.cancel_llm,
    Synthesize: Effects.synthesize,
    CancelTTS: Effects.cancel_tts,
    OpenPlayout: Effects.open_playout,
    PausePlayout: Effects.pause_playout,
    ResumePlayout: Effects.resume_playout,
    ClearPlayout: Effects.clear_playout,
    ClosePlayout: Effects.close_playout,
    RunTool: Effects.run_tool,
    CancelTool: Effects.cancel_tool,
    SetTimer: Effects.set_timer,
    Transfer: Effects.transfer,
    EndSession: Effects.end_session,
}
assert TABLE.keys() == set(get_args(Order)), "a command without an effect"
