"""pipecat's services, each by itself: frames are queued to it, and what it pushes is taken by a processor behind it."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from loguru import logger
from pipecat.clocks.system_clock import SystemClock
from pipecat.frames.frames import (
    EndFrame,
    ErrorFrame,
    Frame,
    InputAudioRawFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMTextFrame,
    StartFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
    TTSSpeakFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor, FrameProcessorSetup
from pipecat.utils.asyncio.task_manager import TaskManager

from bench.peers.work import Driver, Hearing, Job, Mouth, Speech, main

RATE_HZ = 24_000
Make = Callable[[Job, aiohttp.ClientSession], FrameProcessor]


class Taker(FrameProcessor):
    """What stands behind a service, or before it."""

    def __init__(self, take: Callable[[Frame], None]) -> None:
        super().__init__(enable_direct_mode=True)
        self._take = take

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        self._take(frame)


def complain(frame: Frame) -> None:
    """Upstream comes only trouble."""
    if isinstance(frame, ErrorFrame):
        print(frame.error, file=sys.stderr)


@asynccontextmanager
async def running(service: FrameProcessor, take: Callable[[Frame], None]) -> AsyncIterator[None]:
    before, behind = Taker(complain), Taker(take)
    before.link(service)
    service.link(behind)
    setup = FrameProcessorSetup(
        clock=SystemClock(), task_manager=TaskManager(), pipeline_worker=None, audio_out_sample_rate=RATE_HZ
    )
    for processor in (before, behind, service):
        await processor.setup(setup)
    await service.queue_frame(StartFrame(audio_in_sample_rate=16_000, audio_out_sample_rate=RATE_HZ))
    await asyncio.sleep(0.2)
    yield
    await service.queue_frame(EndFrame())
    await asyncio.sleep(0.1)
    await service.cleanup()


def ear(make: Make) -> Driver:
    @asynccontextmanager
    async def driver(job: Job) -> AsyncIterator[Hearing]:
        def take(frame: Frame) -> None:
            if isinstance(frame, TranscriptionFrame):
                hearing.understood(frame.text)

        async with aiohttp.ClientSession() as session:
            service = make(job, session)

            async def finish() -> None:
                await service.queue_frame(VADUserStoppedSpeakingFrame())
                await service.queue_frame(VADUserStartedSpeakingFrame())

            hearing = Hearing(lambda sound: service.queue_frame(InputAudioRawFrame(sound, 16_000, 1)), finish)
            async with running(service, take):
                await service.queue_frame(VADUserStartedSpeakingFrame())
                yield hearing

    return driver


def brain(make: Make) -> Driver:
    @asynccontextmanager
    async def driver(job: Job) -> AsyncIterator[Any]:
        pieces: list[str] = []
        over = asyncio.Event()

        def take(frame: Frame) -> None:
            if isinstance(frame, LLMTextFrame):
                pieces.append(frame.text)
            elif isinstance(frame, LLMFullResponseEndFrame):
                over.set()

        async with aiohttp.ClientSession() as session:
            service = make(job, session)

            async def ask(question: str) -> str:
                pieces.clear()
                over.clear()
                await service.queue_frame(LLMContextFrame(LLMContext([{"role": "user", "content": question}])))
                await over.wait()
                return "".join(pieces)

            async with running(service, take):
                yield ask

    return driver


def voice(make: Make) -> Driver:
    @asynccontextmanager
    async def driver(job: Job) -> AsyncIterator[Mouth]:
        speech = Speech(RATE_HZ)

        def take(frame: Frame) -> None:
            if isinstance(frame, TTSAudioRawFrame):
                speech.take(frame.audio)

        async with aiohttp.ClientSession() as session:
            service = make(job, session)

            async def speak(text: str) -> int:
                await service.queue_frame(TTSSpeakFrame(text))
                return await speech.come(job.speech_s)

            async with running(service, take):
                yield Mouth(speak, RATE_HZ)

    return driver


def hear_deepgram(job: Job, _: Any) -> FrameProcessor:
    from pipecat.services.deepgram.stt import DeepgramSTTService

    return DeepgramSTTService(api_key=job.key, base_url=job.url)


def hear_assemblyai(job: Job, _: Any) -> FrameProcessor:
    from pipecat.services.assemblyai.stt import AssemblyAISTTService

    return AssemblyAISTTService(api_key=job.key, api_endpoint_base_url=f"{job.ws_url}/v3/ws")


def hear_soniox(job: Job, _: Any) -> FrameProcessor:
    from pipecat.services.soniox.stt import SonioxSTTService

    return SonioxSTTService(api_key=job.key, url=f"{job.ws_url}/transcribe-websocket")


def hear_gladia(job: Job, _: Any) -> FrameProcessor:
    from pipecat.services.gladia.stt import GladiaSTTService

    return GladiaSTTService(api_key=job.key, url=f"{job.url}/v2/live")


def hear_openai_realtime(job: Job, _: Any) -> FrameProcessor:
    from pipecat.services.openai.stt import OpenAIRealtimeSTTService

    settings = OpenAIRealtimeSTTService.Settings(model="gpt-live-transcribe")
    return OpenAIRealtimeSTTService(api_key=job.key, base_url=f"{job.ws_url}/v1/realtime", settings=settings)


def hear_openai_transcribe(job: Job, _: Any) -> FrameProcessor:
    from pipecat.services.openai.stt import OpenAISTTService

    return OpenAISTTService(api_key=job.key, base_url=f"{job.url}/v1")


def ask_openai(job: Job, _: Any) -> FrameProcessor:
    from pipecat.services.openai.llm import OpenAILLMService

    return OpenAILLMService(api_key=job.key, base_url=f"{job.url}/v1")


def ask_openai_responses(job: Job, _: Any) -> FrameProcessor:
    from pipecat.services.openai.responses.llm import OpenAIResponsesHttpLLMService

    return OpenAIResponsesHttpLLMService(api_key=job.key, base_url=f"{job.url}/v1")


def ask_anthropic(job: Job, _: Any) -> FrameProcessor:
    from anthropic import AsyncAnthropic
    from pipecat.services.anthropic.llm import AnthropicLLMService

    return AnthropicLLMService(api_key=job.key, client=AsyncAnthropic(api_key=job.key, base_url=job.url))


def ask_gemini(job: Job, _: Any) -> FrameProcessor:
    from google.genai.types import HttpOptions
    from pipecat.services.google.llm import GoogleLLMService

    return GoogleLLMService(api_key=job.key, http_options=HttpOptions(base_url=job.url))


def speak_cartesia(job: Job, _: Any) -> FrameProcessor:
    from pipecat.services.cartesia.tts import CartesiaTTSService

    settings = CartesiaTTSService.Settings(voice="v")
    return CartesiaTTSService(api_key=job.key, url=f"{job.ws_url}/tts/websocket", settings=settings)


def speak_deepgram(job: Job, _: Any) -> FrameProcessor:
    from pipecat.services.deepgram.tts import DeepgramTTSService

    return DeepgramTTSService(api_key=job.key, base_url=job.ws_url)


def speak_elevenlabs(job: Job, _: Any) -> FrameProcessor:
    from pipecat.services.elevenlabs.tts import ElevenLabsTTSService

    return ElevenLabsTTSService(api_key=job.key, url=job.ws_url, settings=ElevenLabsTTSService.Settings(voice="v"))


def speak_rime(job: Job, _: Any) -> FrameProcessor:
    from pipecat.services.rime.tts import RimeTTSService

    return RimeTTSService(api_key=job.key, url=f"{job.ws_url}/ws3", settings=RimeTTSService.Settings(voice="luna"))


def speak_openai(job: Job, _: Any) -> FrameProcessor:
    from pipecat.services.openai.tts import OpenAITTSService

    return OpenAITTSService(api_key=job.key, base_url=f"{job.url}/v1")


def speak_piper(job: Job, session: aiohttp.ClientSession) -> FrameProcessor:
    from pipecat.services.piper.tts import PiperHttpTTSService

    return PiperHttpTTSService(base_url=f"{job.url}/synthesize", aiohttp_session=session)


DRIVERS = {
    ("asr", "assemblyai"): ear(hear_assemblyai),
    ("asr", "deepgram"): ear(hear_deepgram),
    ("asr", "gladia"): ear(hear_gladia),
    ("asr", "openai_realtime"): ear(hear_openai_realtime),
    ("asr", "openai_transcribe"): ear(hear_openai_transcribe),
    ("asr", "soniox"): ear(hear_soniox),
    ("llm", "anthropic"): brain(ask_anthropic),
    ("llm", "gemini"): brain(ask_gemini),
    ("llm", "openai"): brain(ask_openai),
    ("llm", "openai_responses"): brain(ask_openai_responses),
    ("tts", "cartesia"): voice(speak_cartesia),
    ("tts", "deepgram"): voice(speak_deepgram),
    ("tts", "elevenlabs"): voice(speak_elevenlabs),
    ("tts", "openai_speech"): voice(speak_openai),
    ("tts", "piper"): voice(speak_piper),
    ("tts", "rime"): voice(speak_rime),
}
REASONS = {
    ("asr", "speechmatics"): "speaks another protocol of the vendor's, /v2/agent",
    ("tts", "azure"): "speaks the native library's socket, not the HTTP that ours speaks",
}

if __name__ == "__main__":
    logger.remove()
    main(DRIVERS, REASONS)
