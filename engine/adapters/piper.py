"""Piper's own HTTP server: a request for each chunk, answered by a whole WAV.

Source: OHF-Voice/piper1-gpl 1.7 (2026-08-22); before its version 1.5 the path was "/". The server is GPL-3 and a process of its own.
"""

import struct
from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, ClassVar

import httpx
from msgspec import field

from engine.adapters.base import Options
from engine.adapters.http import make_client
from engine.adapters.synthesis_http import HttpSynthesizer
from engine.errors import AdapterError, FailureKind

HEADER_BYTES_MAX = 4_096


class PiperOptions(Options, frozen=True, kw_only=True):
    """Where the server is, and fields of a request. None and empty: the voice's own default."""

    key_required: ClassVar[bool] = False

    base_url: str = "http://127.0.0.1:5000"
    path: str = "synthesize"
    voice: str = ""
    speaker_id: int | None = None
    length_scale: float | None = None
    noise_scale: float | None = None
    noise_w_scale: float | None = None
    sample_rate: int = 22_050
    """Of the voice: 16,000 for the low ones, 22,050 for the others. It is not sent, and compared with what comes."""
    extra: dict[str, Any] = field(default_factory=dict)
    """Any other field, as it is."""


class Piper(HttpSynthesizer):
    """The `piper` synthesizer."""

    name = "piper"
    options = PiperOptions
    warm_path = "voices"

    def __init__(self, options: PiperOptions) -> None:
        super().__init__(make_client(options.base_url), options.path, options.sample_rate)
        names = ("voice", "speaker_id", "length_scale", "noise_scale", "noise_w_scale")
        self._body = {
            name: value for name in names if (value := getattr(options, name)) not in (None, "")
        } | options.extra

    def ask(self, text: str, headers: Mapping[str, str]) -> AbstractAsyncContextManager[httpx.Response]:
        """See synthesis_http."""
        return self.client.stream("POST", self.address, json={**self._body, "text": text}, headers=headers)

    async def unwrap(self, response: httpx.Response) -> AsyncGenerator[bytes, None]:
        """See synthesis_http."""
        head, begun = b"", False
        async for piece in super().unwrap(response):
            if begun:
                yield piece
                continue
            head += piece
            if (start := self._sound_start(head)) is not None:
                begun = True
                yield head[start:]
        if not begun:
            raise AdapterError(self.name, FailureKind.PROTOCOL, "no sound in the file")

    def _sound_start(self, head: bytes) -> int | None:
        """Where the samples begin, once the header is there. Raises AdapterError for a file of another kind."""
        if head and not b"RIFF".startswith(head[:4]):
            raise AdapterError(self.name, FailureKind.PROTOCOL, "no WAV")
        at = 12
        while at + 8 <= len(head):
            name, size = head[at : at + 4], int.from_bytes(head[at + 4 : at + 8], "little")
            if name == b"data":
                return at + 8
            if name == b"fmt " and at + 24 <= len(head):
                _, channels, rate_hz = struct.unpack_from("<HHI", head, at + 8)
                (bits,) = struct.unpack_from("<H", head, at + 22)
                if (channels, rate_hz, bits) != (1, self.rate_hz, 16):
                    detail = f"{channels} channels of {bits} bits at {rate_hz} Hz, and not 1 of 16 at {self.rate_hz}"
                    raise AdapterError(self.name, FailureKind.PROTOCOL, detail)
            at += 8 + size
        if len(head) > HEADER_BYTES_MAX:
            raise AdapterError(self.name, FailureKind.PROTOCOL, "a header without end")
        return None
