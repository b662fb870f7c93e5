"""Rime, on its JSON socket `ws3`. All settings are in the address.

Sound and words name their context, the end of a chunk does not: it is told apart by order, as it is asked for.
Source: docs.rime.ai and the peers' plugins (2026-08).
"""

from collections import deque
from collections.abc import Iterable

import msgspec
from msgspec import Struct, field

from engine.adapters.base import Headers, Options
from engine.adapters.synthesis import Context, ContextVoice, SocketSynthesizer
from engine.adapters.websocket import Dial, query
from engine.core.units import SECOND
from engine.errors import AdapterError, FailureKind


class RimeOptions(Options, frozen=True, kw_only=True):
    """Parameters of the address. None and empty: the service's own default."""

    url: str = "wss://users-ws.rime.ai/ws3"
    speaker: str = "astra"
    modelId: str = "mistv2"  # noqa: N815  the service's own name
    lang: str = "eng"
    samplingRate: int = 24_000  # noqa: N815
    speedAlpha: float | None = None  # noqa: N815
    timeScaleFactor: float | None = None  # noqa: N815
    query: dict[str, str | int | float | bool] = field(default_factory=dict)
    """Any other parameter, as it is."""


SENT = ("speaker", "modelId", "lang", "samplingRate", "speedAlpha", "timeScaleFactor")


class WordTimes(Struct, frozen=True):
    """Parallel lists; in seconds."""

    words: tuple[str, ...] = ()
    start: tuple[float, ...] = ()
    end: tuple[float, ...] = ()


class Message(Struct, frozen=True):
    """Everything the server may say."""

    type: str = ""
    data: bytes = b""
    context_id: str | None = field(default=None, name="contextId")
    word_timestamps: WordTimes | None = None


MESSAGE = msgspec.json.Decoder(Message)


class RimeVoice(ContextVoice[RimeOptions]):
    """One socket of a call."""

    name = "rime"

    def __init__(self, options: RimeOptions, headers: Headers = ()) -> None:
        super().__init__(options, options.samplingRate, headers)
        self._order: deque[str] = deque()

    def dial(self) -> Dial:
        options = self._options
        self._order.clear()
        values = {name: getattr(options, name) for name in SENT} | {"audioFormat": "pcm", "segment": "never"}
        headers = {"Authorization": f"Bearer {options.api_key}"}
        return Dial(f"{options.url}?{query(values | options.query)}", headers)

    def ask(self, context: str, text: str) -> Iterable[str]:
        self._order.append(context)
        yield msgspec.json.encode({"text": text, "contextId": context}).decode()
        yield msgspec.json.encode({"operation": "flush", "contextId": context}).decode()

    def cancel(self, context: str) -> Iterable[str]:
        # Clearing takes all that waits, so it is said only when nothing of it is wanted any more.
        return () if any(self.context(name) for name in self._order) else ('{"operation":"clear"}',)

    def translate(self, message: str | bytes) -> None:
        said = MESSAGE.decode(message)
        context = self.context(said.context_id or (self._order[0] if self._order else ""))
        match said.type:
            case "chunk" if context is not None:
                context.put_sound(said.data)
            case "timestamps" if context is not None and said.word_timestamps is not None:
                self._place(context, said.word_timestamps)
            case "done":
                self._done(said.context_id)
            case "error":
                raise AdapterError(self.name, FailureKind.UNAVAILABLE, "an error message")

    def _place(self, context: Context, times: WordTimes) -> None:
        # Times count from the chunk's beginning for one peer, from the last word of the message before for the other.
        base_ns = context.words.end_ns
        if times.start and times.start[0] * SECOND >= base_ns:
            base_ns = 0
        ends = [base_ns + int(end * SECOND) for end in times.end]
        context.put_words(context.words.words(times.words, ends))

    def _done(self, name: str | None) -> None:
        if name is None and self._order:
            name = self._order[0]
        if name is not None and name in self._order:
            self._order.remove(name)
            self.ended(name)


class Rime(SocketSynthesizer):
    """The `rime` synthesizer."""

    name = "rime"
    options = RimeOptions
    key_env = "RIME_API_KEY"
    voices = RimeVoice
