"""The vendors' own clients, used as their documentation shows."""

import asyncio
import base64
from array import array
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from bench.peers.work import Hearing, Job, Mouth, main

RATE_HZ = 24_000


@asynccontextmanager
async def reading(coming: Any) -> AsyncIterator[None]:
    """Read in a task of its own, while the block lasts."""
    task = asyncio.create_task(coming)
    yield
    task.cancel()
    await asyncio.wait([task])


def deepgram(job: Job) -> Any:
    from deepgram import AsyncDeepgramClient, DeepgramClientEnvironment

    environment = DeepgramClientEnvironment(base=job.url, production=job.ws_url, agent=job.ws_url, agent_rest=job.url)
    return AsyncDeepgramClient(api_key=job.key, environment=environment)


@asynccontextmanager
async def hear_deepgram(job: Job) -> AsyncIterator[Hearing]:
    sound = {"encoding": "linear16", "sample_rate": 16_000}
    async with deepgram(job).listen.v1.connect(model="nova-3", interim_results=True, **sound) as connection:
        hearing = Hearing(connection.send_media, connection.send_finalize)

        async def read() -> None:
            async for message in connection:
                if message.type == "Results" and message.is_final:
                    hearing.understood(message.channel.alternatives[0].transcript)

        async with reading(read()):
            yield hearing


@asynccontextmanager
async def hear_assemblyai(job: Job) -> AsyncIterator[Hearing]:
    """In pieces of 60 ms, as ours: shorter than 50 are refused."""
    from assemblyai.streaming.v3 import AsyncRealTimeTranscriber, RealTimeEvents, RealTimeParameters
    from assemblyai.streaming.v3.models import RealTimeTranscriberOptions

    client = AsyncRealTimeTranscriber(RealTimeTranscriberOptions(api_key=job.key, api_host=job.ws_url))
    await client.connect(RealTimeParameters(sample_rate=16_000, format_turns=True))
    held: list[bytes] = []

    async def hear(frame: bytes) -> None:
        held.append(frame)
        if len(held) == 3:
            await client.stream(b"".join(held))
            held.clear()

    hearing = Hearing(hear)
    client.on(RealTimeEvents.Turn, lambda _, turn: turn.end_of_turn and hearing.understood(turn.transcript))
    yield hearing
    await client.disconnect(terminate=True)


def openai(job: Job) -> Any:
    from openai import AsyncOpenAI

    return AsyncOpenAI(api_key=job.key, base_url=f"{job.url}/v1", max_retries=0)


@asynccontextmanager
async def hear_openai_realtime(job: Job) -> AsyncIterator[Hearing]:
    """In pieces of 40 ms, as ours. The resampling to 24 kHz, which is no part of the client, is left out."""
    form = {"format": {"type": "audio/pcm", "rate": RATE_HZ}, "turn_detection": None}
    heard = {"input": {**form, "transcription": {"model": "gpt-live-transcribe"}}}
    async with openai(job).realtime.connect(extra_query={"intent": "transcription"}) as connection:
        await connection.session.update(session={"type": "transcription", "audio": heard})
        held: list[bytes] = []
        frames = iter(at_24_khz(job.sound))

        async def hear(_: bytes) -> None:
            held.append(next(frames))
            if len(held) == 2:
                await connection.input_audio_buffer.append(audio=base64.b64encode(b"".join(held)).decode())
                held.clear()

        hearing = Hearing(hear, connection.input_audio_buffer.commit)

        async def read() -> None:
            async for event in connection:
                if event.type == "conversation.item.input_audio_transcription.completed":
                    hearing.understood(event.transcript)

        async with reading(read()):
            yield hearing


def at_24_khz(path: str) -> list[bytes]:
    """The sound's frames with every second sample twice: it is the client that is measured, and the double hears the tones all the same."""
    samples = array("h", Path(path).read_bytes())
    doubled = array(
        "h", (sample for one, two in zip(samples[::2], samples[1::2], strict=True) for sample in (one, two, two))
    )
    sound = doubled.tobytes()
    return [sound[at : at + 960] for at in range(0, len(sound), 960)]


@asynccontextmanager
async def hear_soniox(job: Job) -> AsyncIterator[Hearing]:
    from soniox import AsyncSonioxClient
    from soniox.types.realtime import RealtimeSTTConfig

    config = RealtimeSTTConfig(model="stt-rt-v3", audio_format="pcm_s16le", sample_rate=16_000, num_channels=1)
    address = f"{job.ws_url}/transcribe-websocket"
    async with (
        AsyncSonioxClient(api_key=job.key, api_base_url=job.url, websocket_base_url=address) as client,
        client.realtime.stt.connect(config=config) as session,
    ):
        hearing = Hearing(session.send_byte_chunk, session.finalize)

        async def read() -> None:
            async for event in session.receive_events():
                hearing.understood("".join(token.text for token in event.tokens if token.is_final))

        async with reading(read()):
            yield hearing


@asynccontextmanager
async def hear_speechmatics(job: Job) -> AsyncIterator[Hearing]:
    from speechmatics.rt import AsyncClient, AudioEncoding, AudioFormat, ServerMessageType, TranscriptionConfig

    sound = AudioFormat(encoding=AudioEncoding.PCM_S16LE, sample_rate=16_000, chunk_size=640)
    config = TranscriptionConfig(language="en", enable_partials=True)
    async with AsyncClient(api_key=job.key, url=f"{job.ws_url}/v2") as client:
        hearing = Hearing(client.send_audio, client.force_end_of_utterance)
        client.on(
            ServerMessageType.ADD_TRANSCRIPT, lambda message: hearing.understood(message["metadata"]["transcript"])
        )
        await client.start_session(transcription_config=config, audio_format=sound)
        yield hearing
        await client.stop_session()


@asynccontextmanager
async def hear_gladia(job: Job) -> AsyncIterator[Hearing]:
    from gladiaio_sdk import GladiaClient

    asked: Any = {"encoding": "wav/pcm", "bit_depth": 16, "sample_rate": 16_000, "channels": 1}
    asked["messages_config"] = {"receive_partial_transcripts": True}
    session = GladiaClient(api_key=job.key, api_url=job.url).live_v2_async().start_session(asked)

    def keep(message: Any) -> None:
        if message.type == "transcript" and message.data.is_final:
            hearing.understood(message.data.utterance.text)

    over = asyncio.Event()
    session.on("message", keep)
    session.once("ended", lambda _: over.set())
    hearing = Hearing(session.send_audio)
    yield hearing
    session.stop_recording()
    await over.wait()


@asynccontextmanager
async def hear_openai_transcribe(job: Job) -> AsyncIterator[Hearing]:
    import io
    import wave

    async with openai(job) as client:
        held: list[bytes] = []

        async def finish() -> None:
            file = io.BytesIO()
            with wave.open(file, "wb") as out:
                out.setparams((1, 2, 16_000, 0, "NONE", ""))
                out.writeframes(b"".join(held))
            held.clear()
            asked = {"model": "gpt-4o-mini-transcribe", "response_format": "json"}
            answer = await client.audio.transcriptions.create(file=("audio.wav", file.getvalue()), **asked)
            hearing.understood(answer.text)

        hearing = Hearing(held.append, finish)
        yield hearing


@asynccontextmanager
async def ask_openai(job: Job) -> AsyncIterator[Any]:
    async with openai(job) as client:

        async def ask(question: str) -> str:
            said = [{"role": "user", "content": question}]
            options = {"stream": True, "stream_options": {"include_usage": True}}
            stream = await client.chat.completions.create(model="m", messages=said, **options)
            return "".join([choice.delta.content or "" async for chunk in stream for choice in chunk.choices])

        yield ask


@asynccontextmanager
async def ask_openai_responses(job: Job) -> AsyncIterator[Any]:
    async with openai(job) as client:

        async def ask(question: str) -> str:
            said = [{"role": "user", "content": question}]
            events = await client.responses.create(model="m", input=said, stream=True)
            return "".join([event.delta async for event in events if event.type == "response.output_text.delta"])

        yield ask


@asynccontextmanager
async def ask_anthropic(job: Job) -> AsyncIterator[Any]:
    import anthropic

    async with anthropic.AsyncAnthropic(api_key=job.key, base_url=job.url, max_retries=0) as client:

        async def ask(question: str) -> str:
            said: Any = [{"role": "user", "content": question}]
            async with client.messages.stream(model="claude-haiku-4-5", max_tokens=999, messages=said) as stream:
                return "".join([piece async for piece in stream.text_stream])

        yield ask


@asynccontextmanager
async def ask_gemini(job: Job) -> AsyncIterator[Any]:
    from google import genai
    from google.genai import types

    client = genai.Client(api_key=job.key, http_options=types.HttpOptions(base_url=job.url))

    async def ask(question: str) -> str:
        stream = await client.aio.models.generate_content_stream(model="gemini-2.5-flash", contents=question)
        return "".join([chunk.text or "" async for chunk in stream])

    yield ask
    await client.aio.aclose()
    client.close()


@asynccontextmanager
async def speak_cartesia(job: Job) -> AsyncIterator[Mouth]:
    import cartesia

    form = {"container": "raw", "encoding": "pcm_s16le", "sample_rate": RATE_HZ}
    asked: Any = {"model_id": "sonic-3", "voice": {"mode": "id", "id": "v"}, "output_format": form}
    client = cartesia.AsyncCartesia(api_key=job.key, base_url=job.url, websocket_base_url=job.ws_url)
    async with client, client.tts.websocket_connect() as connection:

        async def speak(text: str) -> int:
            context = connection.context()
            await context.send(transcript=text, continue_=False, add_timestamps=True, **asked)
            messages = [message async for message in context.receive()]
            return sum(len(base64.b64decode(message.data)) for message in messages if message.type == "chunk")

        yield Mouth(speak, RATE_HZ)


@asynccontextmanager
async def speak_deepgram(job: Job) -> AsyncIterator[Mouth]:
    sound = {"encoding": "linear16", "sample_rate": RATE_HZ}
    async with deepgram(job).speak.v1.connect(model="aura-2-thalia-en", **sound) as connection:

        async def speak(text: str) -> int:
            size = 0
            await connection._send({"type": "Speak", "text": text})
            await connection.send_flush()
            async for message in connection:
                if isinstance(message, bytes):
                    size += len(message)
                elif message.type == "Flushed":
                    break
            return size

        yield Mouth(speak, RATE_HZ)


@asynccontextmanager
async def speak_elevenlabs(job: Job) -> AsyncIterator[Mouth]:
    """The vendor's socket is one text's, and blocking: a thread."""
    from elevenlabs.client import ElevenLabs

    speech = ElevenLabs(api_key=job.key, base_url=job.url).text_to_speech
    speech._ws_base_url = job.ws_url

    def whole(text: str) -> int:
        return sum(map(len, speech.convert_realtime("voice", text=iter([text]), output_format="pcm_24000")))

    yield Mouth(lambda text: asyncio.to_thread(whole, text), RATE_HZ)


@asynccontextmanager
async def speak_openai(job: Job) -> AsyncIterator[Mouth]:
    async with openai(job) as client:

        async def speak(text: str) -> int:
            asked: Any = {"model": "gpt-4o-mini-tts", "voice": "marin", "input": text, "response_format": "pcm"}
            async with client.audio.speech.with_streaming_response.create(**asked) as response:
                return sum([len(piece) async for piece in response.iter_bytes()])

        yield Mouth(speak, RATE_HZ)


@asynccontextmanager
async def speak_wyoming(job: Job) -> AsyncIterator[Mouth]:
    from wyoming.audio import AudioChunk, AudioStop
    from wyoming.client import AsyncClient
    from wyoming.tts import Synthesize

    async with AsyncClient.from_uri(job.url.replace("http:", "tcp:")) as client:

        async def speak(text: str) -> int:
            size = 0
            await client.write_event(Synthesize(text=text).event())
            while (event := await client.read_event()) is not None and not AudioStop.is_type(event.type):
                if AudioChunk.is_type(event.type):
                    size += len(AudioChunk.from_event(event).audio)
            return size

        yield Mouth(speak, 22_050)


DRIVERS = {
    ("asr", "assemblyai"): hear_assemblyai,
    ("asr", "deepgram"): hear_deepgram,
    ("asr", "gladia"): hear_gladia,
    ("asr", "openai_realtime"): hear_openai_realtime,
    ("asr", "openai_transcribe"): hear_openai_transcribe,
    ("asr", "soniox"): hear_soniox,
    ("asr", "speechmatics"): hear_speechmatics,
    ("llm", "anthropic"): ask_anthropic,
    ("llm", "gemini"): ask_gemini,
    ("llm", "openai"): ask_openai,
    ("llm", "openai_responses"): ask_openai_responses,
    ("tts", "cartesia"): speak_cartesia,
    ("tts", "deepgram"): speak_deepgram,
    ("tts", "elevenlabs"): speak_elevenlabs,
    ("tts", "openai_speech"): speak_openai,
    ("tts", "wyoming"): speak_wyoming,
}
REASONS = dict.fromkeys(
    (("asr", "vosk"), ("asr", "sherpa"), ("tts", "piper")), "a server of one's own, without a client"
) | {
    ("tts", "azure"): "the vendor's client is a native library that speaks another wire",
    ("tts", "rime"): "the vendor has no client for its socket",
}

if __name__ == "__main__":
    main(DRIVERS, REASONS)
