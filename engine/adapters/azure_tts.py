"""Azure Speech, a request for each chunk. Its own socket is documented for Microsoft's clients alone.

Source: the vendor's REST reference, and the peers' plugins (2026-08). It tells nothing of its words.
"""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from html import escape

import httpx

from engine.adapters.base import Options
from engine.adapters.http import make_client
from engine.adapters.synthesis_http import HttpSynthesizer
from engine.errors import ConfigError

FORMATS = {
    8_000: "raw-8khz-16bit-mono-pcm",
    16_000: "raw-16khz-16bit-mono-pcm",
    22_050: "raw-22050hz-16bit-mono-pcm",
    24_000: "raw-24khz-16bit-mono-pcm",
    44_100: "raw-44100hz-16bit-mono-pcm",
    48_000: "raw-48khz-16bit-mono-pcm",
}


class AzureOptions(Options, frozen=True, kw_only=True):
    """Where and how to speak. Empty: the voice's own default."""

    region: str = "eastus"
    base_url: str = ""
    """In place of the region's own address."""
    voice: str = "en-US-AvaMultilingualNeural"
    language: str = "en-US"
    rate: str = ""
    """As SSML has it: "+10%"."""
    pitch: str = ""
    sample_rate: int = 24_000


class Azure(HttpSynthesizer):
    """The `azure` synthesizer."""

    name = "azure"
    options = AzureOptions
    key_env = "AZURE_SPEECH_KEY"
    warm_path = "cognitiveservices/voices/list"

    def __init__(self, options: AzureOptions) -> None:
        if options.sample_rate not in FORMATS:
            allowed = ", ".join(map(str, FORMATS))
            raise ConfigError(f"azure.sample_rate is {options.sample_rate}; it must be one of {allowed}")
        headers = {
            "Ocp-Apim-Subscription-Key": options.api_key,
            "Content-Type": "application/ssml+xml",
            "X-Microsoft-OutputFormat": FORMATS[options.sample_rate],
            "User-Agent": "engine",
        }
        address = options.base_url or f"https://{options.region}.tts.speech.microsoft.com"
        super().__init__(make_client(address, headers), "cognitiveservices/v1", options.sample_rate)
        self._options = options

    def ask(self, text: str, headers: Mapping[str, str]) -> AbstractAsyncContextManager[httpx.Response]:
        """See synthesis_http."""
        return self.client.stream("POST", self.address, content=self._ssml(text).encode(), headers=headers)

    def _ssml(self, text: str) -> str:
        options = self._options
        spoken = escape(text)
        if options.rate or options.pitch:
            wanted = {"rate": options.rate, "pitch": options.pitch}
            attributes = "".join(f' {name}="{escape(value)}"' for name, value in wanted.items() if value)
            spoken = f"<prosody{attributes}>{spoken}</prosody>"
        language, voice = escape(options.language), escape(options.voice)
        root = f'<speak version="1.0" xmlns="http://www.w3.org/2001/10/synthesis" xml:lang="{language}">'
        return f'{root}<voice name="{voice}">{spoken}</voice></speak>'
