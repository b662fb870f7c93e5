"""Real peers with behaviour a test can set: providers that answer in virtual time, a detector that hears loudness, a caller."""

import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any, ClassVar, Self

from engine.adapters.base import ASRFact, Headers, LLMFact, LLMRequest, Options, SpeechRequest, VoiceDetector
from engine.core.commands import Commands
from engine.core.events import ASRFinal, ASROpened, ASRPartial, Event, LLMDone, LLMToken, LLMToolCall, TTSWords, Word
from engine.core.policy import Policy, Setup, ToolSpec
from engine.core.state import State
from engine.core.units import FRAME_NS, MS, SECOND, AudioFormat
from engine.errors import AdapterError
from engine.runtime.effects import Providers
from engine.runtime.elastic import JUMP, ElasticLoop
from engine.runtime.session import Observer, Outcome, Session
from engine.transports.base import Capabilities
from engine.transports.memory import MemoryTransport

FRAME_MS = FRAME_NS // MS
LOUD = (6000).to_bytes(2, "little", signed=True) + (-6000).to_bytes(2, "little", signed=True)


class FakeStream:
    """A recognition stream that says what the test tells it to."""

    def __init__(self, ear: int, opens_after_ms: int = 10) -> None:
        self.ear = ear
        self.heard: list[bytes] = []
        self.finalized = 0
        self.closed = False
        self._opens_after_ms = opens_after_ms
        self._queue: asyncio.Queue[ASRFact | Exception] = asyncio.Queue()

    def hear(self, frame: bytes) -> None:
        self.heard.append(frame)

    def finalize(self) -> None:
        self.finalized += 1

    def say(self, fact: ASRFact | Exception) -> None:
        self._queue.put_nowait(fact)

    async def facts(self) -> AsyncIterator[ASRFact]:
        try:
            await asyncio.sleep(self._opens_after_ms / 1000)
            yield ASROpened(ear=self.ear)
            while True:
                fact = await self._queue.get()
                if isinstance(fact, Exception):
                    raise fact
                yield fact
        finally:
            self.closed = True


class FakeProvider:
    options: ClassVar[type[Options]] = Options
    key_env: ClassVar[str] = ""

    def __init__(self) -> None:
        self.started = 0
        self.stopped = 0
        self.asked_ready = 0
        self.well: AdapterError | None = None
        """What it answers when it is asked whether it is ready. None: that it is."""

    async def start(self) -> None:
        self.started += 1

    async def ready(self) -> None:
        self.asked_ready += 1
        if self.well is not None:
            raise self.well

    async def stop(self) -> None:
        self.stopped += 1


class FakeRecognizer(FakeProvider):
    name: ClassVar[str] = "ears"

    def __init__(self) -> None:
        super().__init__()
        self.streams: list[FakeStream] = []
        self.headers: list[Headers] = []

    def stream(self, ear: int, headers: Headers = ()) -> FakeStream:
        self.streams.append(FakeStream(ear))
        self.headers.append(headers)
        return self.streams[-1]


class FakeModel(FakeProvider):
    """Answers each question with the next script: (delay in ms, text | tool call | AdapterError) one after the other."""

    name: ClassVar[str] = "brain"

    def __init__(self, *scripts: Sequence[tuple[int, object]]) -> None:
        super().__init__()
        self.scripts = list(scripts)
        self.asked: list[LLMRequest] = []
        self.cancelled: list[int] = []
        self.letting_go_ms = 0
        self.ends_silently = 0
        """Answers that break off without an end."""

    async def stream(self, request: LLMRequest) -> AsyncIterator[LLMFact]:
        self.asked.append(request)
        if self.ends_silently:
            self.ends_silently -= 1
            return
        script = self.scripts.pop(0) if self.scripts else [(50, "All right.")]
        run, number = request.run, request.request
        try:
            for delay_ms, item in script:
                await asyncio.sleep(delay_ms / 1000)
                if isinstance(item, Exception):
                    raise item
                if isinstance(item, str):
                    yield LLMToken(run=run, request=number, text=item)
                else:
                    assert isinstance(item, tuple)
                    name, arguments = item
                    call_id = f"call_{name}"
                    yield LLMToolCall(run=run, request=number, call_id=call_id, name=name, arguments=arguments)
            yield LLMDone(run=run, request=number)
        except (asyncio.CancelledError, GeneratorExit):
            self.cancelled.append(run)
            if self.letting_go_ms:
                await asyncio.sleep(self.letting_go_ms / 1000)
            raise


class FakeVoice:
    rate_hz = 24_000

    def __init__(self, maker: "FakeSynthesizer") -> None:
        self._maker = maker
        self.opened = self.closed = 0

    async def open(self) -> None:
        self.opened += 1

    async def speak(self, request: SpeechRequest) -> AsyncIterator[bytes | TTSWords]:
        maker = self._maker
        maker.asked.append(request)
        maker.alive += 1
        maker.alive_max = max(maker.alive_max, maker.alive)
        try:
            await asyncio.sleep(maker.first_ms / 1000)
            left_ms, made_ms = len(request.text) * maker.ms_per_char, 0
            if maker.words:
                yield TTSWords(run=request.run, chunk=request.chunk, words=words_of(request.text, maker.ms_per_char))
            while left_ms > 0:
                if maker.fails_on and maker.fails_on in request.text and made_ms >= maker.fails_after_ms:
                    maker.fails_on = ""
                    raise maker.error
                piece_ms = min(left_ms, maker.piece_ms)
                await asyncio.sleep(piece_ms * maker.slowness / 1000)
                made_ms += piece_ms
                left_ms -= piece_ms
                # Each run and chunk sounds different, so that what arrives can be told apart.
                level = 100 * request.run + request.chunk
                yield level.to_bytes(2, "little", signed=True) * (self.rate_hz * piece_ms // 1000)
        finally:
            maker.alive -= 1

    async def close(self) -> None:
        self.closed += 1


class FakeSynthesizer(FakeProvider):
    name: ClassVar[str] = "mouth"

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[SpeechRequest] = []
        self.voices: list[FakeVoice] = []
        self.headers: list[Headers] = []
        self.first_ms = 40
        self.piece_ms = 50
        self.ms_per_char = 60
        self.slowness = 0.1
        """Time to make a second of sound, in seconds."""
        self.words = True
        self.alive = self.alive_max = 0
        self.fails_on = ""
        """Part of a text that cannot be finished, the first time."""
        self.fails_after_ms = 0
        self.error: Exception = RuntimeError("set me")

    def voice(self, headers: Headers = ()) -> FakeVoice:
        self.voices.append(FakeVoice(self))
        self.headers.append(headers)
        return self.voices[-1]


def words_of(text: str, ms_per_char: int) -> tuple[Word, ...]:
    found, start = [], 0
    for word in text.split(" "):
        start += len(word) + 1
        found.append(Word(start - 1, (start - 1) * ms_per_char * MS))
    return tuple(found)


class LoudnessDetector:
    """Speech is whatever is not silence."""

    def score(self, frame: bytes) -> float:
        return 1.0 if any(frame) else 0.0


class FakeToolbox:
    def __init__(self) -> None:
        self.called: list[tuple[str, str]] = []
        self.delay_ms = 0
        self.result = ("done", False)

    async def call(self, name: str, arguments: str) -> tuple[str, bool]:
        self.called.append((name, arguments))
        await asyncio.sleep(self.delay_ms / 1000)
        return self.result


CAPABILITIES = Capabilities(name="memory", inbound=AudioFormat(16_000), outbound=AudioFormat(24_000))


class Call:
    """A session on a memory transport in virtual time, and everything a test wants to look at."""

    def __init__(
        self,
        capabilities: Capabilities = CAPABILITIES,
        *,
        observers: Sequence[Observer] = (),
        detector: VoiceDetector | None = None,
        **setup: Any,
    ) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, ElasticLoop)
        self.loop = loop
        self.capabilities = capabilities
        self.ears, self.brain, self.mouth, self.tools = FakeRecognizer(), FakeModel(), FakeSynthesizer(), FakeToolbox()
        self.steps: list[tuple[Event, State, Commands]] = []
        self.transport = MemoryTransport(capabilities)
        self.peer = self.transport.peer
        self.peer.follow(loop.time_ns)
        given = {"policy": Policy(), "asr": ("ears",), "llm": ("brain",), "tts": ("mouth",)} | setup
        self.session = Session(
            self.transport,
            Setup(**given),
            Providers(asr={"ears": self.ears}, llm={"brain": self.brain}, tts={"mouth": self.mouth}),
            detector=detector or LoudnessDetector(),
            toolbox=self.tools,
            observers=[self.watch, *observers],
            call_id="test",
            clock=loop.time_ns,
        )
        self.running: asyncio.Task[Outcome] | None = None

    def watch(self, event: Event, before: State, after: State, commands: Commands) -> None:
        self.steps.append((event, after, commands))

    async def __aenter__(self) -> Self:
        self.running = asyncio.create_task(self.session.run())
        await asyncio.sleep(0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self.running is not None
        self.peer.hang_up()
        await self.running

    @property
    def state(self) -> State:
        return self.session.state

    @property
    def stream(self) -> FakeStream:
        return self.ears.streams[-1]

    def facts(self, kind: type) -> list[Any]:
        return [event for event, _, _ in self.steps if isinstance(event, kind)]

    def orders(self, kind: type) -> list[Any]:
        return [command for _, _, commands in self.steps for command in commands if isinstance(command, kind)]

    async def pass_ms(self, duration_ms: int, *, voice: bool = False) -> None:
        """Time passes at both ends; the caller speaks or is quiet."""
        sound = self.capabilities.inbound
        frame = (LOUD if voice else bytes(4)) * (sound.rate_hz * FRAME_MS // 1000 // 2)
        for _ in range(duration_ms // FRAME_MS):
            await asyncio.sleep(FRAME_MS / 1000)
            self.peer.catch_up()
            self.peer.speak(frame)

    async def say(self, text: str, duration_ms: int = 800) -> None:
        """The caller says something, and the recogniser gets it right, 300 ms after the end."""
        await self.pass_ms(duration_ms, voice=True)
        self.stream.say(ASRPartial(ear=self.stream.ear, text=text))
        await self.pass_ms(300)
        self.stream.say(ASRFinal(ear=self.stream.ear, text=text))
        await self.pass_ms(20)


def virtually(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test's coroutine on virtual time."""

    @functools.wraps(test)
    def run(*given: Any, **named: Any) -> None:
        with asyncio.Runner(loop_factory=jumping_loop) as runner:
            runner.run(test(*given, **named))

    return run


def jumping_loop() -> ElasticLoop:
    loop = ElasticLoop()
    loop.follow(lambda: JUMP)
    return loop


def tool(name: str, **given: Any) -> ToolSpec:
    return ToolSpec(name=name, **given)


def fails(kind: Any, retry_ns: int = 0) -> AdapterError:
    return AdapterError("fake", kind, retry_ns=retry_ns)


def seconds(ns: int) -> float:
    return ns / SECOND
