"""pipecat on Twilio's wire, as its own template builds a telephone bot, with providers that have known delays.

    python -m venv /tmp/peer && /tmp/peer/bin/pip install 'pipecat-ai[silero,websocket,deepgram]==1.14.0' 'uvicorn[standard]'
    /tmp/peer/bin/python bench/peers/pipecat_twilio.py --port 8765                                      # for engine load
    /tmp/peer/bin/python bench/peers/pipecat_twilio.py --port 8765 --recogniser http://127.0.0.1:9100   # for engine score

Everything is pipecat's default but what its template for telephones sets: Silero, Smart Turn v3 (bundled), 8 kHz both ways, `uvloop` under
uvicorn. The model and the voice are the same as the engine's `rehearsal` providers: first word after 200 ms, a word each 20 ms; first sound 100 ms
after a sentence, at five times real time. With --recogniser, its own Deepgram service is used; without, words are made from loudness, in process.
--tuned turns on what its documentation has for agents that yield to every sound: three words start a turn that interrupts, and silence ends one.
"""

import argparse
import asyncio
import audioop
import json
import math
import random
import sys
import zlib
from array import array
from collections.abc import AsyncGenerator

import uvicorn
from fastapi import FastAPI, WebSocket
from loguru import logger
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.frames import frames
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair, LLMUserAggregatorParams
from pipecat.processors.frame_processor import FrameDirection
from pipecat.serializers.twilio import TwilioFrameSerializer
from pipecat.services.deepgram.stt import DeepgramSTTService
from pipecat.services.llm_service import LLMService
from pipecat.services.settings import LLMSettings, STTSettings, TTSSettings
from pipecat.services.stt_service import STTService
from pipecat.services.tts_service import TTSService
from pipecat.transports.websocket.fastapi import FastAPIWebsocketParams, FastAPIWebsocketTransport
from pipecat.turns.user_start.min_words_user_turn_start_strategy import MinWordsUserTurnStartStrategy
from pipecat.turns.user_stop.speech_timeout_user_turn_stop_strategy import SpeechTimeoutUserTurnStopStrategy
from pipecat.turns.user_turn_strategies import UserTurnStrategies
from pipecat.utils.time import time_now_iso8601
from pipecat.workers.runner import WorkerRunner

HZ = 8_000
GREETING = "Hello, this is the appointment desk. How can I help you?"
SENTENCES = (
    "On Tuesday afternoon the practice is open from one until six. ",
    "There are free times at two, at twenty past three and at five. ",
    "Each of them is with the same doctor and takes twenty minutes. ",
    "You can change or cancel it by calling this number once again. ",
)
WORDS = ("could", "you", "tell", "me", "what", "is", "free", "on", "Tuesday", "afternoon", "please")
LOUD_RMS, WORD_FRAMES = 300, 10
PIECE_SECONDS, SPEED, CHARS_PER_S, PEAK = 0.1, 5.0, 15, 6_000
TUNE_HZ = (200, 250, 300, 350, 400, 450, 500, 600)


class RehearsedModel(LLMService):
    """The same words for every question."""

    def __init__(self) -> None:
        unset = dict.fromkeys(vars(LLMSettings()))
        super().__init__(settings=LLMSettings(**unset | {"model": "rehearsal", "extra": {}}))
        self._tokens = [word + " " for word in "".join(SENTENCES).split()]

    async def process_frame(self, frame: frames.Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if not isinstance(frame, frames.LLMContextFrame):
            await self.push_frame(frame, direction)
            return
        await self.push_frame(frames.LLMFullResponseStartFrame())
        await asyncio.sleep(0.2)
        for index, token in enumerate(self._tokens):
            if index:
                await asyncio.sleep(0.02)
            await self.push_frame(frames.LLMTextFrame(token))
        await self.push_frame(frames.LLMFullResponseEndFrame())


class RehearsedVoice(TTSService):
    """A tune that is the same for the same text, as long as the text takes to say."""

    def __init__(self) -> None:
        settings = TTSSettings(model="rehearsal", voice="rehearsal", language=None)
        super().__init__(sample_rate=HZ, push_start_frame=True, push_stop_frames=True, settings=settings)
        samples = range(round(PIECE_SECONDS * HZ))
        self._notes = [
            array("h", (round(PEAK * math.sin(2 * math.pi * hz * index / HZ)) for index in samples)).tobytes()
            for hz in TUNE_HZ
        ]

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[frames.Frame | None, None]:
        await asyncio.sleep(0.1)
        left = 2 * (len(text) * HZ // CHARS_PER_S)
        tune = random.Random(zlib.crc32(text.encode()))
        while left > 0:
            note = tune.choice(self._notes)[:left]
            yield frames.TTSAudioRawFrame(note, HZ, 1, context_id=context_id)
            left -= len(note)
            if left > 0:
                await asyncio.sleep(PIECE_SECONDS / SPEED)


class RehearsedRecogniser(STTService):
    """A word for each 200 ms of loud sound; the final 50 ms after the detector hears the end."""

    def __init__(self) -> None:
        settings = STTSettings(model="rehearsal", language=None)
        super().__init__(sample_rate=HZ, ttfs_p99_latency=0.35, settings=settings)
        self._loud = 0

    async def run_stt(self, audio: bytes) -> AsyncGenerator[frames.Frame | None, None]:
        if audioop.rms(audio, 2) > LOUD_RMS:
            self._loud += 1
            if self._loud % WORD_FRAMES == 0:
                text = " ".join(WORDS[: self._loud // WORD_FRAMES])
                yield frames.InterimTranscriptionFrame(text, self._user_id, time_now_iso8601())
        yield None

    async def process_frame(self, frame: frames.Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, frames.VADUserStoppedSpeakingFrame) and self._loud >= WORD_FRAMES:
            self._loud = 0
            self.request_finalize()
            self.create_task(self._finish())

    async def _finish(self) -> None:
        await asyncio.sleep(0.05)
        self.confirm_finalize()
        await self.push_frame(frames.TranscriptionFrame(" ".join(WORDS) + "?", self._user_id, time_now_iso8601()))


def turns(tuned: bool) -> LLMUserAggregatorParams:
    start = [MinWordsUserTurnStartStrategy(min_words=3)] if tuned else None
    stop = [SpeechTimeoutUserTurnStopStrategy()] if tuned else None
    strategies = UserTurnStrategies(start=start, stop=stop)
    return LLMUserAggregatorParams(vad_analyzer=SileroVADAnalyzer(), user_turn_strategies=strategies)


async def hold_call(websocket: WebSocket, given: argparse.Namespace) -> None:
    """One call, as the template's bot() and run_bot() hold it; there is no account to hang up with."""
    await websocket.accept()
    await websocket.receive_text()  # connected
    start = json.loads(await websocket.receive_text())["start"]
    no_account = TwilioFrameSerializer.InputParams(auto_hang_up=False)
    serializer = TwilioFrameSerializer(stream_sid=start["streamSid"], call_sid=start["callSid"], params=no_account)
    sound = FastAPIWebsocketParams(audio_in_enabled=True, audio_out_enabled=True, serializer=serializer)
    transport = FastAPIWebsocketTransport(websocket=websocket, params=sound)
    stt: STTService = RehearsedRecogniser()
    if given.recogniser:
        stt = DeepgramSTTService(api_key="simulated-key", base_url=given.recogniser)
    user, assistant = LLMContextAggregatorPair(LLMContext(), user_params=turns(given.tuned))
    voice = RehearsedVoice()
    pipeline = Pipeline([transport.input(), stt, user, RehearsedModel(), voice, transport.output(), assistant])
    telephone = {"audio_in_sample_rate": HZ, "audio_out_sample_rate": HZ}
    rates = PipelineParams(enable_metrics=True, enable_usage_metrics=True, **telephone)
    worker = PipelineWorker(pipeline, params=rates)
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)

    @transport.event_handler("on_client_connected")
    async def greet(transport: object, client: object) -> None:
        await worker.queue_frames([frames.TTSSpeakFrame(GREETING)])

    @transport.event_handler("on_client_disconnected")
    async def leave(transport: object, client: object) -> None:
        await runner.cancel()

    await runner.run()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=8_765)
    parser.add_argument("--recogniser", default="", help="http address of one that speaks Deepgram's wire")
    parser.add_argument("--tuned", action="store_true")
    given = parser.parse_args()
    logger.remove()
    logger.add(sys.stderr, level="ERROR")
    app = FastAPI()

    @app.websocket("/ws")
    async def ws(websocket: WebSocket) -> None:
        await hold_call(websocket, given)

    uvicorn.run(app, host="127.0.0.1", port=given.port, log_level="warning")


if __name__ == "__main__":
    main()
