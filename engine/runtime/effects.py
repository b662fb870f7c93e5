"""What each command does: a table from its type to a function. Here asynchronous work is begun, watched and stopped.

Rule 1. One task for each live recognition stream, model request, chunk under synthesis and tool. Facts leave it through `post` only
        while it is the live one: late output of a cancelled task reaches neither the state nor the wire.
Rule 2. There is one `except AdapterError`, and it makes a fact. What to do about it is a rule of the core.
Rule 3. Cancelling never waits. When all that a cleared run had under way has ended, `RunCancelled` says so; a provider that does not
        let go is given `LETTING_GO_NS`, then it is left to end alone.
"""

import asyncio
import functools
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from typing import Any, Protocol, get_args

from msgspec import Struct

from engine.adapters.base import LanguageModel, LLMRequest, Recognizer, RecognizerStream, Synthesizer, Voice
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
from engine.core.units import LIMITS, SECOND
from engine.errors import AdapterError, FailureKind
from engine.runtime.chunks import Chunk, Chunks
from engine.runtime.inbound import Inbound
from engine.runtime.outbound import Outbound

log = logging.getLogger("engine.runtime")

LETTING_GO_NS = 2 * SECOND
"""A cancelled task has this long to close its connection. Providers take tens of milliseconds."""

Key = tuple[Stage, int, int]
"""A live task: (ASR, ear, 0), (LLM, run, request), (TTS, run, chunk), (TOOL, call, 0)."""
Work = Callable[[], Coroutine[Any, Any, None]]
Failed = Callable[..., Fact]
"""Makes the fact of a failure, given `provider`, `kind` and `retry_ns`."""


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
        headers: Callable[[Stage, int, int], tuple[tuple[str, str], ...]] | None = None,
    ) -> None:
        """headers: of a run's request or chunk, for providers that take them."""
        self._providers = providers
        self._tools = tools
        self._toolbox = toolbox
        self._inbound = inbound
        self._outbound = outbound
        self._post = post
        self._ends = ends
        self._loop = loop
        self._call_id = call_id
        self._headers = headers or (lambda stage, run, number: ())
        self._live: dict[Key, asyncio.Task[None]] = {}
        self._owners: dict[asyncio.Task[None], int] = {}
        """The run that each task works for. 0: the session."""
        self._ending: set[asyncio.Task[None]] = set()
        """Those of them that were cancelled and have not ended."""
        self._cleared: dict[int, asyncio.TimerHandle | None] = {}
        """Cleared runs whose RunCancelled is owed."""
        self._streams: dict[int, RecognizerStream] = {}
        self._voices: dict[str, Voice] = {}
        self._chunks: dict[int, Chunks] = {}

    def do(self, commands: Commands) -> None:
        """Carry out what one fact led to, in order."""
        for command in commands:
            TABLE[type(command)](self, command)
        for run in [run for run, timer in self._cleared.items() if timer is None]:
            self._settle(run)

    @property
    def waiting(self) -> bool:
        """Whether anything asked of a provider is under way."""
        return any(key[0] is not Stage.ASR for key in self._live)

    # Recognition.

    def start_asr(self, command: StartASR) -> None:
        stream = self._providers.asr[command.provider].stream(command.ear)
        self._streams[command.ear] = stream
        failed = functools.partial(AdapterFailed, stage=Stage.ASR, ear=command.ear)
        self._begin((Stage.ASR, command.ear, 0), 0, command.provider, lambda: self._listen(command.ear, stream), failed)
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
        self._cancel((Stage.ASR, command.ear, 0))

    def _deaf(self, command: StartASR, failed: Failed) -> None:
        """A stream raised where it may not: the recogniser's trouble, not the call's."""
        log.exception("adapter fault", extra={"provider": command.provider})
        self._cancel((Stage.ASR, command.ear, 0))
        self._post(failed(provider=command.provider, kind=FailureKind.PROTOCOL, retry_ns=0))

    async def _listen(self, ear: int, stream: RecognizerStream) -> None:
        key = (Stage.ASR, ear, 0)
        try:
            async for fact in stream.facts():
                if not self._is_live(key):
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
            self._begin((Stage.LLM, 0, 0), 0, provider, self._providers.llm[provider].ready, failed)

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
        self._begin(key, command.run, command.provider, lambda: self._think(key, model.stream(request)), failed)

    def cancel_llm(self, command: CancelLLM) -> None:
        self._cancel((Stage.LLM, command.run, command.request))

    async def _think(self, key: Key, facts: AsyncIterator[Fact]) -> None:
        done = False
        async for fact in facts:
            if self._is_live(key):
                done = done or type(fact) is LLMDone
                self._post(fact)
        if not done and self._is_live(key):
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
                self._cancel((Stage.TTS, command.run, chunk.request.chunk))

    def voice(self, provider: str) -> Voice:
        """This call's voice of a synthesizer. The first asking begins to connect it."""
        voice = self._voices.get(provider)
        if voice is None:
            voice = self._voices[provider] = self._providers.tts[provider].voice()
            failed = functools.partial(AdapterFailed, stage=Stage.TTS)
            self._begin((Stage.TTS, 0, len(self._voices)), 0, provider, voice.open, failed)
        return voice

    def _begin_chunk(self, run: int, chunk: Chunk) -> None:
        chunks = self._chunks[run]

        def failed(**cause: Any) -> AdapterFailed:
            number, duration_ns = chunk.request.chunk, chunk.duration_ns
            return AdapterFailed(stage=Stage.TTS, run=run, chunk=number, duration_ns=duration_ns, **cause)

        key = (Stage.TTS, run, chunk.request.chunk)
        self._begin(key, run, chunk.provider, lambda: chunks.speak(chunk), failed)

    # Playout.

    def open_playout(self, command: OpenPlayout) -> None:
        self._outbound.open(command.run)

    def pause_playout(self, command: PausePlayout) -> None:
        self._outbound.pause(command.run)

    def resume_playout(self, command: ResumePlayout) -> None:
        self._outbound.resume(command.run)

    def clear_playout(self, command: ClearPlayout) -> None:
        self._outbound.clear(command.run)
        self._cleared.setdefault(command.run, None)

    def close_playout(self, command: ClosePlayout) -> None:
        self._outbound.forget(command.run)

    # Tools.

    def run_tool(self, command: RunTool) -> None:
        failed = functools.partial(_tool_failed, command.call)
        key = (Stage.TOOL, command.call, 0)
        self._begin(key, command.run, command.name, lambda: self._use(key, command), failed)

    def cancel_tool(self, command: CancelTool) -> None:
        self._cancel((Stage.TOOL, command.call, 0))

    async def _use(self, key: Key, command: RunTool) -> None:
        assert self._toolbox is not None, f"tool {command.name!r} was asked for, and the session has no toolbox"
        output, failed = await self._toolbox.call(command.name, command.arguments)
        if self._is_live(key):
            self._post(ToolResult(call=command.call, output=output[: LIMITS.tool_output_chars], failed=failed))

    # The session.

    def set_timer(self, command: SetTimer) -> None:
        self._inbound.deadline_ns = command.audio_ns
        self._ends.arm(command.wall_ns)

    def transfer(self, command: Transfer) -> None:
        self._ends.transfer(command.target)

    def end_session(self, command: EndSession) -> None:
        self._ends.hang_up(command.reason)

    # Tasks.

    def _begin(self, key: Key, run: int, provider: str, work: Work, failed: Failed) -> None:
        task = self._loop.create_task(self._guard(key, provider, work, failed))
        self._live[key] = task
        self._owners[task] = run
        task.add_done_callback(functools.partial(self._ended, key))

    async def _guard(self, key: Key, provider: str, work: Work, failed: Failed) -> None:
        """Run one piece of work; whatever goes wrong in it is a fact."""
        try:
            await work()
            return
        except AdapterError as error:
            kind, retry_ns = error.kind, error.retry_ns
            told = {"provider": provider, "kind": kind.value, "detail": error.detail}
            log.warning("%s failed: %s (%s)", *told.values(), extra=told)
        except Exception:
            # A fault of an adapter is one provider's trouble, not the call's.
            kind, retry_ns = FailureKind.PROTOCOL, 0
            log.exception("adapter fault", extra={"provider": provider})
        if self._is_live(key):
            del self._live[key]
            self._post(failed(provider=provider, kind=kind, retry_ns=retry_ns))

    def _is_live(self, key: Key) -> bool:
        return self._live.get(key) is asyncio.current_task()

    def _cancel(self, key: Key) -> None:
        task = self._live.pop(key, None)
        if task is not None and not task.done():
            self._ending.add(task)
            task.cancel()

    def _ended(self, key: Key, task: asyncio.Task[None]) -> None:
        if self._live.get(key) is task:
            del self._live[key]
        self._ending.discard(task)
        run = self._owners.pop(task)
        if run in self._cleared:
            self._settle(run)

    def _settle(self, run: int) -> None:
        """Say that a cleared run is over, or come back when its last task has ended."""
        if any(self._owners[task] == run for task in self._ending):
            if self._cleared[run] is None:
                self._cleared[run] = self._loop.call_later(LETTING_GO_NS / SECOND, self._give_up, run)
            return
        timer = self._cleared.pop(run)
        if timer is not None:
            timer.cancel()
        self._chunks.pop(run, None)
        self._post(RunCancelled(run=run))

    def _give_up(self, run: int) -> None:
        log.warning("a cancelled provider does not let go", extra={"run": run})
        for task in [task for task in self._ending if self._owners[task] == run]:
            self._ending.discard(task)
        self._settle(run)

    async def stop(self) -> None:
        """End everything under way, within bounds."""
        tasks = list(self._owners)
        self._live.clear()
        for timer in self._cleared.values():
            if timer is not None:
                timer.cancel()
        self._cleared.clear()
        for task in tasks:
            task.cancel()
        tasks += [self._loop.create_task(self._close(voice)) for voice in self._voices.values()]
        if tasks:
            _, pending = await asyncio.wait(tasks, timeout=LETTING_GO_NS / SECOND)
            for task in pending:
                task.cancel()
        # Nothing of the session is held: it can go at once, without waiting for a collection.
        for held in (self._voices, self._streams, self._chunks):
            held.clear()
        del self._post, self._ends, self._headers

    async def _close(self, voice: Voice) -> None:
        try:
            await voice.close()
        except Exception:
            log.exception("adapter fault", extra={"provider": type(voice).__name__})


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
