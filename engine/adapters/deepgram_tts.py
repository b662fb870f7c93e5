"""Deepgram Aura, on v1/speak. Its sound carries no name, so it is told apart by order: one flush, one chunk.

Source: Deepgram's AsyncAPI specification (2026-07-22) and docs (2025 to 2026). It tells nothing of its words.
"""

from collections import deque
from collections.abc import Iterable
from typing import ClassVar

import msgspec
from msgspec import Struct, field

from engine.adapters.base import Headers, Options
from engine.adapters.synthesis import ContextVoice, SocketSynthesizer
from engine.adapters.websocket import Dial, query
from engine.errors import AdapterError, FailureKind

CLEAR = ""
"""Stands in the order for a Clear that was not confirmed yet: nothing before it is wanted."""


class AuraOptions(Options, frozen=True, kw_only=True):
    """Query parameters. None: the service's own default."""

    url: str = "wss://api.deepgram.com"
    model: str = "aura-2-thalia-en"
    """Voice and model in one."""
    sample_rate: int = 24_000
    """8000, 16000, 24000, 32000 or 48000."""
    speed: float | None = None
    mip_opt_out: bool | None = None
    query: dict[str, str | int | float | bool] = field(default_factory=dict)
    """Any other parameter, as it is."""


class Message(Struct, frozen=True):
    """Anything the server may say. A warning's fields have had other names."""

    type: str = ""
    code: str | None = None
    description: str | None = None
    warn_code: str | None = None
    warn_msg: str | None = None

    @property
    def warning(self) -> str:
        return f"{self.code} {self.description} {self.warn_code} {self.warn_msg}".lower()


MESSAGE = msgspec.json.Decoder(Message)


class AuraVoice(ContextVoice[AuraOptions]):
    """One socket of a call."""

    name = "deepgram"
    farewell = '{"type":"Close"}'
    reasons: ClassVar[dict[str, FailureKind]] = {"DATA-0001": FailureKind.RATE_LIMITED}
    """Too many characters in a minute: closed with the code of a wrong request, and mended by waiting."""

    def __init__(self, options: AuraOptions, headers: Headers = ()) -> None:
        super().__init__(options, options.sample_rate, headers)
        self._order: deque[str] = deque()
        """Chunks that the next sounds are of, in the order they were asked for."""

    def dial(self) -> Dial:
        options = self._options
        self._order.clear()
        values = {name: getattr(options, name) for name in ("model", "sample_rate", "speed", "mip_opt_out")}
        address = f"{options.url}/v1/speak?{query({'encoding': 'linear16', **values, **options.query})}"
        return Dial(address, {"Authorization": f"Token {options.api_key}"})

    def ask(self, context: str, text: str) -> Iterable[str]:
        self._order.append(context)
        return msgspec.json.encode({"type": "Speak", "text": text}).decode(), '{"type":"Flush"}'

    def cancel(self, context: str) -> Iterable[str]:
        if any(self.context(name) for name in self._order):
            # A Clear would take the sound of the others too; what comes for this one is dropped instead.
            return ()
        self._order.clear()
        self._order.append(CLEAR)
        return ('{"type":"Clear"}',)

    def translate(self, message: str | bytes) -> None:
        head = self._order[0] if self._order else None
        if isinstance(message, bytes):
            if head and (context := self.context(head)):
                context.put_sound(message)
            return
        said = MESSAGE.decode(message)
        match said.type:
            case "Flushed" if head:
                self.ended(self._order.popleft())
            case "Cleared" if head == CLEAR:
                self._order.popleft()
            case "Warning" if "flush" in said.warning:
                # No more than 20 in a minute are obeyed. The text would be spoken before the next one's, so this line is left.
                raise AdapterError(self.name, FailureKind.RATE_LIMITED, "it takes no more flushes")
            case "Error":
                raise AdapterError(self.name, FailureKind.UNAVAILABLE, "an error message")


class Aura(SocketSynthesizer):
    """The `deepgram` synthesizer."""

    name = "deepgram"
    options = AuraOptions
    key_env = "DEEPGRAM_API_KEY"
    voices = AuraVoice
