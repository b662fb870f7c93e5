"""LiveKit's plugins, each by itself, without a session or a room."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from livekit import rtc
from livekit.agents import llm, stt, tts

from bench.peers.work import Driver, Hearing, Job, Mouth, main

Make = Callable[[Job, aiohttp.ClientSession], Any]


def ear(make: Make) -> Driver:
    """A plugin that takes a stream of sound."""

    @asynccontextmanager
    async def driver(job: Job) -> AsyncIterator[Hearing]:
        async with aiohttp.ClientSession() as session:
            stream = make(job, session).stream()

            def hear(sound: bytes) -> None:
                stream.push_frame(rtc.AudioFrame(sound, 16_000, 1, 320))

            # No flush: a session leaves it to the service to find the end.
            hearing = Hearing(hear)

            async def read() -> None:
                async for event in stream:
                    if event.type is stt.SpeechEventType.FINAL_TRANSCRIPT:
                        hearing.understood(event.alternatives[0].text)

            reading = asyncio.create_task(read())
            yield hearing
            await stream.aclose()
            await asyncio.wait([reading])

    return driver


def segments(make: Make) -> Driver:
    """A plugin that takes a whole stretch of speech."""

    @asynccontextmanager
    async def driver(job: Job) -> AsyncIterator[Hearing]:
        async with aiohttp.ClientSession() as session:
            plugin = make(job, session)
            held: list[bytes] = []

            async def finish() -> None:
                sound = b"".join(held)
                held.clear()
                event = await plugin.recognize(rtc.AudioFrame(sound, 16_000, 1, len(sound) // 2))
                hearing.understood(event.alternatives[0].text)

            hearing = Hearing(held.append, finish)
            yield hearing
            await plugin.aclose()

    return driver


def brain(make: Make) -> Driver:
    @asynccontextmanager
    async def driver(job: Job) -> AsyncIterator[Any]:
        async with aiohttp.ClientSession() as session:
            plugin = make(job, session)

            async def ask(question: str) -> str:
                context = llm.ChatContext.empty()
                context.add_message(role="user", content=question)
                async with plugin.chat(chat_ctx=context) as stream:
                    return "".join([chunk.delta.content or "" async for chunk in stream if chunk.delta])

            yield ask
            await plugin.aclose()

    return driver


def voice(make: Make, *, streams: bool = True) -> Driver:
    """streams: it takes a text in pieces over a socket, which is how a session uses it then."""

    @asynccontextmanager
    async def driver(job: Job) -> AsyncIterator[Mouth]:
        async with aiohttp.ClientSession() as session:
            plugin: tts.TTS = make(job, session)

            async def speak(text: str) -> int:
                if not streams:
                    async with plugin.synthesize(text) as pieces:
                        return sum([len(piece.frame.data) * 2 async for piece in pieces])
                async with plugin.stream() as spoken:
                    spoken.push_text(text)
                    spoken.end_input()
                    return sum([len(piece.frame.data) * 2 async for piece in spoken])

            yield Mouth(speak, plugin.sample_rate)
            await plugin.aclose()

    return driver


def hear_deepgram(job: Job, session: aiohttp.ClientSession) -> Any:
    from livekit.plugins import deepgram

    return deepgram.STT(model="nova-3", api_key=job.key, base_url=f"{job.url}/v1/listen", http_session=session)


def hear_assemblyai(job: Job, session: aiohttp.ClientSession) -> Any:
    from livekit.plugins import assemblyai

    return assemblyai.STT(api_key=job.key, base_url=job.ws_url, http_session=session)


def hear_soniox(job: Job, session: aiohttp.ClientSession) -> Any:
    from livekit.plugins import soniox

    return soniox.STT(api_key=job.key, base_url=f"{job.ws_url}/transcribe-websocket", http_session=session)


def hear_gladia(job: Job, session: aiohttp.ClientSession) -> Any:
    from livekit.plugins import gladia

    return gladia.STT(api_key=job.key, base_url=f"{job.url}/v2/live", http_session=session)


def hear_openai_transcribe(job: Job, _: Any) -> Any:
    from livekit.plugins import openai

    return openai.STT(model="gpt-4o-mini-transcribe", api_key=job.key, base_url=f"{job.url}/v1")


def ask_openai(job: Job, _: Any) -> Any:
    from livekit.plugins import openai

    return openai.LLM(model="m", api_key=job.key, base_url=f"{job.url}/v1")


def ask_openai_responses(job: Job, _: Any) -> Any:
    from livekit.plugins import openai

    return openai.responses.LLM(model="m", api_key=job.key, base_url=f"{job.url}/v1", use_websocket=False)


def ask_anthropic(job: Job, _: Any) -> Any:
    from livekit.plugins import anthropic

    return anthropic.LLM(model="claude-haiku-4-5", api_key=job.key, base_url=job.url)


def ask_gemini(job: Job, _: Any) -> Any:
    from google.genai.types import HttpOptions
    from livekit.plugins import google

    return google.LLM(model="gemini-2.5-flash", api_key=job.key, http_options=HttpOptions(base_url=job.url))


def speak_cartesia(job: Job, session: aiohttp.ClientSession) -> Any:
    from livekit.plugins import cartesia

    return cartesia.TTS(api_key=job.key, base_url=job.url, http_session=session)


def speak_deepgram(job: Job, session: aiohttp.ClientSession) -> Any:
    from livekit.plugins import deepgram

    return deepgram.TTS(api_key=job.key, base_url=f"{job.url}/v1/speak", http_session=session)


def speak_elevenlabs(job: Job, session: aiohttp.ClientSession) -> Any:
    from livekit.plugins import elevenlabs

    form = "pcm_24000"
    return elevenlabs.TTS(api_key=job.key, base_url=f"{job.url}/v1", encoding=form, http_session=session)


def speak_openai(job: Job, _: Any) -> Any:
    from livekit.plugins import openai

    return openai.TTS(api_key=job.key, base_url=f"{job.url}/v1", response_format="pcm")


def speak_azure(job: Job, session: aiohttp.ClientSession) -> Any:
    from livekit.plugins import azure

    address = f"{job.url}/cognitiveservices/v1"
    return azure.TTS(speech_key=job.key, speech_endpoint=address, http_session=session)


def speak_rime(job: Job, session: aiohttp.ClientSession) -> Any:
    from livekit.plugins import rime

    return rime.TTS(api_key=job.key, base_url=job.ws_url, use_websocket=True, http_session=session)


DRIVERS = {
    ("asr", "assemblyai"): ear(hear_assemblyai),
    ("asr", "deepgram"): ear(hear_deepgram),
    ("asr", "gladia"): ear(hear_gladia),
    ("asr", "openai_transcribe"): segments(hear_openai_transcribe),
    ("asr", "soniox"): ear(hear_soniox),
    ("llm", "anthropic"): brain(ask_anthropic),
    ("llm", "gemini"): brain(ask_gemini),
    ("llm", "openai"): brain(ask_openai),
    ("llm", "openai_responses"): brain(ask_openai_responses),
    ("tts", "azure"): voice(speak_azure, streams=False),
    ("tts", "cartesia"): voice(speak_cartesia),
    ("tts", "deepgram"): voice(speak_deepgram),
    ("tts", "elevenlabs"): voice(speak_elevenlabs),
    ("tts", "openai_speech"): voice(speak_openai, streams=False),
    ("tts", "rime"): voice(speak_rime),
}
REASONS = {
    (
        "asr",
        "openai_realtime",
    ): "never commits: it leaves ends to the service's own voice detection, which the double lacks",
    ("asr", "speechmatics"): "speaks another protocol of the vendor's, /v2/agent",
}

if __name__ == "__main__":
    main(DRIVERS, REASONS)
