"""Providers that speak the real wire protocols on this machine, with chosen delays and faults, and need no key.

They serve `engine serve --simulate-providers`, the tests of the adapters and the fault matrix. Nothing here is shared with the
adapters, so that the two cannot share one misunderstanding; the vendors' own clients prove the servers (tests/vendors).
"""

from importlib import import_module

from engine.core.events import Stage
from engine.sandbox.base import Behaviour, SimulatedProvider

SERVERS: dict[Stage, dict[str, str]] = {
    Stage.ASR: {
        "assemblyai": "engine.sandbox.assemblyai:AssemblyAIServer",
        "deepgram": "engine.sandbox.deepgram_asr:DeepgramServer",
        "gladia": "engine.sandbox.gladia:GladiaServer",
        "openai_realtime": "engine.sandbox.openai_realtime:OpenAIRealtimeServer",
        "openai_transcribe": "engine.sandbox.openai_transcribe:TranscriptionServer",
        "sherpa": "engine.sandbox.vosk:SherpaServer",
        "soniox": "engine.sandbox.soniox:SonioxServer",
        "speechmatics": "engine.sandbox.speechmatics:SpeechmaticsServer",
        "vosk": "engine.sandbox.vosk:VoskServer",
    },
    Stage.LLM: {
        "anthropic": "engine.sandbox.anthropic:AnthropicServer",
        "gemini": "engine.sandbox.gemini:GeminiServer",
        "openai": "engine.sandbox.openai_llm:OpenAIServer",
        "openai_responses": "engine.sandbox.openai_llm:OpenAIServer",
    },
    Stage.TTS: {
        "azure": "engine.sandbox.own_voices:AzureServer",
        "cartesia": "engine.sandbox.cartesia:CartesiaServer",
        "deepgram": "engine.sandbox.deepgram_tts:AuraServer",
        "deepgram_flux": "engine.sandbox.deepgram_flux:FluxSpeechServer",
        "elevenlabs": "engine.sandbox.elevenlabs:ElevenLabsServer",
        "openai_speech": "engine.sandbox.openai_speech:OpenAISpeechServer",
        "piper": "engine.sandbox.own_voices:PiperServer",
        "rime": "engine.sandbox.rime:RimeServer",
        "wyoming": "engine.sandbox.own_voices:WyomingServer",
    },
}
"""Stage -> name of the adapter -> the server it speaks to, as "module:Class". Imported on first use."""


def simulated(stage: Stage, name: str, behaviour: Behaviour | None = None) -> SimulatedProvider:
    """A server for the adapter of that name, not yet serving. Raises KeyError where there is none."""
    module, _, attribute = SERVERS[stage][name].partition(":")
    server: SimulatedProvider = getattr(import_module(module), attribute)(behaviour)
    return server
