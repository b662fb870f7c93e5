"""The CPU that an adapter, or a vendor's own client, takes for the same work against the same simulated provider.

`python -m bench.adapter_cost serve asr deepgram` serves; `python -m bench.adapter_cost engine asr deepgram URL` and
`python -m bench.adapter_cost vendor asr deepgram URL` do the work once in a process of their own and print what it cost.
"""

import asyncio
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import uvloop

from engine.core.events import Stage
from engine.core.units import FRAME_BYTES
from engine.sandbox import simulated
from engine.sandbox.base import KEY

SECONDS = 60
"""Of the caller's sound. Quiet: what is measured is the way, not the words."""
CHUNKS = 20
TEXT = "Your table is booked for eight o'clock tonight, and we look forward to seeing you."
FRAMES = SECONDS * 50
PACE = 50
"""Frames between two turns of the loop: a second of sound, as if 50 calls sent one each."""


async def serve(stage: Stage, name: str) -> None:
    server = simulated(stage, name)
    async with server.serve() as url:
        print(url, flush=True)
        await asyncio.Event().wait()


async def engine(stage: Stage, name: str, url: str) -> float:
    """CPU seconds for a second of the call."""
    from engine.adapters.base import SpeechRequest
    from engine.adapters.registry import provider_class
    from engine.core.events import ASROpened

    server = simulated(stage, name)
    server.url = url
    kind = provider_class(stage, name)
    provider = kind(kind.options(**server.settings()))
    await provider.start()
    try:
        if stage is Stage.ASR:
            stream = provider.stream(1)
            facts = stream.facts()
            assert isinstance(await anext(facts), ASROpened)
            reading = asyncio.create_task(read(facts))
            cost = await timed(lambda: pour(stream.hear))
            reading.cancel()
            await asyncio.wait([reading])
            await facts.aclose()
            return cost / SECONDS
        voice = provider.voice()
        await voice.open()
        size = 0

        async def speak() -> None:
            nonlocal size
            for chunk in range(CHUNKS):
                async for piece in voice.speak(SpeechRequest(run=1, chunk=chunk, text=TEXT)):
                    size += len(piece) if isinstance(piece, bytes) else 0

        cost = await timed(speak)
        await voice.close()
        return cost / (size / 2 / voice.rate_hz)
    finally:
        await provider.stop()


async def read(facts: Any) -> None:
    async for _ in facts:
        pass


async def pour(hear: Callable[[bytes], object]) -> None:
    frame = bytes(FRAME_BYTES)
    for number in range(FRAMES):
        sent = hear(frame)
        if asyncio.iscoroutine(sent):
            await sent
        if number % PACE == 0:
            await asyncio.sleep(0.001)


async def timed(work: Callable[[], Any]) -> float:
    began = time.process_time()
    await work()
    return time.process_time() - began


async def deepgram(url: str) -> float:
    from deepgram import AsyncDeepgramClient, DeepgramClientEnvironment

    ws = url.replace("http", "ws")
    environment = DeepgramClientEnvironment(base=url, production=ws, agent=ws, agent_rest=url)
    client = AsyncDeepgramClient(api_key=KEY, environment=environment)
    sound = {"encoding": "linear16", "sample_rate": 16_000}
    async with client.listen.v1.connect(model="nova-3", interim_results=True, **sound) as connection:
        reading = asyncio.create_task(read(connection))
        cost = await timed(lambda: pour(connection.send_media))
        reading.cancel()
        await asyncio.wait([reading])
    return cost / SECONDS


async def openai_realtime(url: str) -> float:
    import base64

    import openai

    from engine.audio import Outlet
    from engine.core.units import AudioFormat

    outlet = Outlet(16_000, AudioFormat(24_000))
    form = {"format": {"type": "audio/pcm", "rate": 24_000}, "turn_detection": None}
    heard = {"input": {**form, "transcription": {"model": "gpt-live-transcribe"}}}
    client = openai.AsyncOpenAI(api_key=KEY, base_url=f"{url}/v1")
    async with client.realtime.connect(extra_query={"intent": "transcription"}) as connection:
        await connection.session.update(session={"type": "transcription", "audio": heard})
        reading = asyncio.create_task(read(connection))

        async def send(frame: bytes) -> None:
            audio = base64.b64encode(outlet.push(frame)).decode()
            await connection.input_audio_buffer.append(audio=audio)

        cost = await timed(lambda: pour(send))
        reading.cancel()
        await asyncio.wait([reading])
    return cost / SECONDS


async def cartesia(url: str) -> float:
    import base64

    import cartesia as vendor

    form = {"container": "raw", "encoding": "pcm_s16le", "sample_rate": 24_000}
    asked = {"model_id": "sonic-3", "voice": {"mode": "id", "id": "v"}, "output_format": form, "add_timestamps": True}
    client = vendor.AsyncCartesia(api_key=KEY, base_url=url, websocket_base_url=url.replace("http", "ws"))
    size = 0
    async with client.tts.websocket_connect() as connection:

        async def speak() -> None:
            nonlocal size
            for _ in range(CHUNKS):
                context = connection.context()
                await context.send(transcript=TEXT, continue_=False, **asked)
                async for message in context.receive():
                    if message.type == "chunk":
                        size += len(base64.b64decode(message.data))

        cost = await timed(speak)
    return cost / (size / 2 / 24_000)


VENDORS = {("asr", "deepgram"): deepgram, ("asr", "openai_realtime"): openai_realtime, ("tts", "cartesia"): cartesia}
"""Clients that can be pointed at a local address and speak the socket that our adapter speaks."""


def main() -> None:
    what, stage, name, *rest = sys.argv[1:]
    if what == "serve":
        uvloop.run(serve(Stage(stage), name))
        return
    work = engine(Stage(stage), name, *rest) if what == "engine" else VENDORS[stage, name](*rest)
    print(json.dumps({"us_per_second": uvloop.run(work) * 1e6}))


if __name__ == "__main__":
    main()
