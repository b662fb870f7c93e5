"""Names of providers and where they live. Imported on first use, so that an unused provider costs nothing.

A line here is all it takes: the contract test runs on it, the configuration accepts it, telemetry names it.
"""

from importlib import import_module
from typing import Any

from engine.core.events import Stage
from engine.errors import ConfigError

PROVIDERS: dict[Stage, dict[str, str]] = {
    Stage.ASR: {
        "assemblyai": "engine.adapters.assemblyai:AssemblyAI",
        "deepgram": "engine.adapters.deepgram_asr:Deepgram",
        "gladia": "engine.adapters.gladia:Gladia",
        "openai_realtime": "engine.adapters.openai_realtime:OpenAIRealtime",
        "openai_transcribe": "engine.adapters.openai_transcribe:OpenAITranscribe",
        "pocketsphinx": "engine.adapters.pocketsphinx:Pocketsphinx",
        "rehearsal": "engine.adapters.rehearsal:Recognizer",
        "sherpa": "engine.adapters.sherpa:Sherpa",
        "soniox": "engine.adapters.soniox:Soniox",
        "speechmatics": "engine.adapters.speechmatics:Speechmatics",
        "vosk": "engine.adapters.vosk:Vosk",
    },
    Stage.LLM: {
        "anthropic": "engine.adapters.anthropic:Anthropic",
        "gemini": "engine.adapters.gemini:Gemini",
        "openai": "engine.adapters.openai_chat:OpenAIChat",
        "openai_responses": "engine.adapters.openai_responses:OpenAIResponses",
        "rehearsal": "engine.adapters.rehearsal:Model",
        "scripted": "engine.adapters.scripted:Scripted",
    },
    Stage.TTS: {
        "azure": "engine.adapters.azure_tts:Azure",
        "cartesia": "engine.adapters.cartesia:Cartesia",
        "deepgram": "engine.adapters.deepgram_tts:Aura",
        "deepgram_flux": "engine.adapters.deepgram_flux:Flux",
        "elevenlabs": "engine.adapters.elevenlabs:ElevenLabs",
        "espeak": "engine.adapters.espeak:Espeak",
        "openai_speech": "engine.adapters.openai_speech:OpenAISpeech",
        "piper": "engine.adapters.piper:Piper",
        "rehearsal": "engine.adapters.rehearsal:Synthesizer",
        "rime": "engine.adapters.rime:Rime",
        "wyoming": "engine.adapters.wyoming:Wyoming",
    },
}
"""Stage -> name in the configuration -> "module:Class"."""

EXTRAS = {"pocketsphinx": "offline", "espeakng_loader": "offline"}
"""Package -> the extra of this project that brings it."""


def provider_class(stage: Stage, name: str) -> Any:
    """The adapter class of that name. Raises ConfigError, with what is allowed, or with the extra that is missing."""
    try:
        module, _, attribute = PROVIDERS[stage][name].partition(":")
    except KeyError:
        allowed = ", ".join(sorted(PROVIDERS[stage])) or "none"
        raise ConfigError(f"unknown {stage.value} provider {name!r}; known: {allowed}") from None
    try:
        return getattr(import_module(module), attribute)
    except ImportError as error:
        hint = f" (pip install 'engine[{EXTRAS[error.name]}]')" if error.name in EXTRAS else ""
        raise ConfigError(
            f"{stage.value} provider {name!r} needs a package that is not installed: {error.name}{hint}"
        ) from error
