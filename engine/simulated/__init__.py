"""Providers that speak the real wire protocols on this machine, with chosen delays and faults, and need no key.

They serve `engine serve --simulate-providers`, the tests of the adapters and the fault matrix. Nothing here is shared with the
adapters, so that the two cannot share one misunderstanding; the vendors' own clients prove the servers (tests/vendors).
"""

from importlib import import_module

from engine.core.events import Stage
from engine.simulated.base import Behaviour, SimulatedProvider

SERVERS: dict[Stage, dict[str, str]] = {
    Stage.ASR: {
        "assemblyai": "engine.simulated.assemblyai:AssemblyAIServer",
        "deepgram": "engine.simulated.deepgram_asr:DeepgramServer",
        "gladia": "engine.simulated.gladia:GladiaServer",
        "openai_realtime": "engine.simulated.openai_realtime:OpenAIRealtimeServer",
        "openai_transcribe": "engine.simulated.openai_transcribe:TranscriptionServer",
        "sherpa": "engine.simulated.vosk:SherpaServer",
        "soniox": "engine.simulated.soniox:SonioxServer",
        "speechmatics": "engine.simulated.speechmatics:SpeechmaticsServer",
        "vosk": "engine.simulated.vosk:VoskServer",
    },
    Stage.LLM: {
        "anthropic": "engine.simulated.anthropic:AnthropicServer",
        "gemini": "engine.simulated.gemini:GeminiServer",
        "openai": "engine.simulated.openai_llm:OpenAIServer",
        "openai_responses": "engine.simulated.openai_llm:OpenAIServer",
    },
    Stage.TTS: {
        "azure": "engine.simulated.own_voices:AzureServer",
        "cartesia": "engine.simulated.cartesia:CartesiaServer",
        "deepgram": "engine.simulated.deepgram_tts:AuraServer",
        "elevenlabs": "engine.simulated.elevenlabs:ElevenLabsServer",
        "openai_speech": "engine.simulated.openai_speech:OpenAISpeechServer",
        "piper": "engine.simulated.own_voices:PiperServer",
        "rime": "engine.simulated.rime:RimeServer",
        "wyoming": "engine.simulated.own_voices:WyomingServer",
    },
}
"""Stage -> name of the adapter -> the server it speaks to, as "module:Class". Imported on first use."""


def simulated(stage: Stage, name: str, behaviour: Behaviour | None = None) -> SimulatedProvider:
    """A server for the adapter of that name, not yet serving. Raises KeyError where there is none."""
    module, _, attribute = SERVERS[stage][name].partition(":")
    server: SimulatedProvider = getattr(import_module(module), attribute)(behaviour)
    return server
