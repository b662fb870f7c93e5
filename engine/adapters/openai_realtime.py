"""OpenAI's realtime transcription, and servers that speak it. Our own detector says where to cut: `finalize` commits.

Source: openai/openai-openapi (2026-08-21), the vendor's guide (2026-10) and captures of live sessions (2026-09). Items may be finished
out of order, so a finished one waits for those before it.
"""

from collections.abc import Iterable
from typing import Any, ClassVar

import msgspec
from msgspec import Struct, field

from engine.adapters.base import ASRFact, Headers
from engine.adapters.http import named_kind, stream_failure
from engine.adapters.openai_account import OpenAIOptions
from engine.adapters.recognition import SocketRecognizer, SocketStream
from engine.adapters.websocket import Dial, query
from engine.audio import Outlet
from engine.core.events import ASROpened
from engine.core.units import ENGINE_HZ, AudioFormat
from engine.errors import AdapterError, FailureKind

WIRE_HZ = 24_000
"""The service refuses less."""
APPEND = '{"type":"input_audio_buffer.append","audio":"'


class OpenAIRealtimeOptions(OpenAIOptions, frozen=True, kw_only=True):
    """Fields of the session. None and empty: not sent."""

    address: ClassVar[str] = "url"
    remedy: ClassVar[str] = "set OPENAI_API_KEY, or url for a server of your own"

    url: str = "wss://api.openai.com/v1"
    model: str = "gpt-live-transcribe"
    """Hears while sound arrives; the gpt-4o models answer only after a pause."""
    language: str = ""
    languages: tuple[str, ...] = ()
    """Several that may be spoken; for gpt-transcribe and gpt-live-transcribe, as keywords are."""
    prompt: str = ""
    keywords: tuple[str, ...] = ()
    delay: str = ""
    """minimal to xhigh, for the live models."""
    noise_reduction: str = ""
    """near_field or far_field."""
    turn_detection: dict[str, Any] | None = None
    """The service's own detector, for models that allow it. None: ours cuts."""
    query: dict[str, str] = field(default_factory=dict)
    """Of the address: some servers want model=… there."""
    extra: dict[str, Any] = field(default_factory=dict)
    """Any other field of the session, as it is."""


TRANSCRIBER = ("model", "language", "languages", "prompt", "keywords", "delay")


class Trouble(Struct, frozen=True):
    type: str | None = None
    code: Any = None


class Message(Struct, frozen=True):
    """Any server event."""

    type: str = ""
    item_id: str = ""
    delta: str = ""
    transcript: str = ""
    error: Trouble = Trouble()


MESSAGE = msgspec.json.Decoder(Message)
TRANSCRIPTION = "conversation.item.input_audio_transcription."


class OpenAIRealtimeStream(SocketStream[OpenAIRealtimeOptions]):
    """A transcription session."""

    name = "openai_realtime"
    greets = True
    message_frames = 2

    def __init__(self, ear: int, options: OpenAIRealtimeOptions, headers: Headers = ()) -> None:
        super().__init__(ear, options, headers)
        self._outlet = Outlet(ENGINE_HZ, AudioFormat(WIRE_HZ))
        self._items: dict[str, list[str]] = {}
        """Items not yet told as final, in the order of the sound -> their pieces of text."""
        self._finished: dict[str, str] = {}

    async def dial(self) -> Dial:
        options = self._options
        address = f"{options.url}/realtime?{query({'intent': 'transcription', **options.query})}"
        return Dial(address, options.headers())

    def encode(self, frames: tuple[bytes, ...]) -> tuple[str, ...]:
        return APPEND, self._outlet.push_base64(b"".join(frames)), '"}'

    def finish(self) -> Iterable[str]:
        return () if self._options.turn_detection else ('{"type":"input_audio_buffer.commit"}',)

    def translate(self, message: str | bytes) -> Iterable[ASRFact]:
        said = MESSAGE.decode(message)
        match said.type:
            case "session.created":
                assert self._socket is not None
                self._socket.send(self._session())
            case "session.updated":
                return (ASROpened(ear=self.ear),) if not self._ready else ()
            case "input_audio_buffer.committed":
                # These come in the order of the sound, as each one's `previous_item_id` repeats.
                self._items.setdefault(said.item_id, [])
            case "error":
                return self._trouble(said.error)
        if said.type.startswith(TRANSCRIPTION):
            return self._transcribe(said.type.removeprefix(TRANSCRIPTION), said)
        return ()

    def _session(self) -> str:
        options = self._options
        values = {name: getattr(options, name) for name in TRANSCRIBER}
        sound: dict[str, Any] = {
            "format": {"type": "audio/pcm", "rate": WIRE_HZ},
            "transcription": {name: value for name, value in values.items() if value},
            "turn_detection": options.turn_detection,
        }
        if options.noise_reduction:
            sound["noise_reduction"] = {"type": options.noise_reduction}
        session = {"type": "transcription", "audio": {"input": sound}, **options.extra}
        return msgspec.json.encode({"type": "session.update", "session": session}).decode()

    def _transcribe(self, kind: str, said: Message) -> Iterable[ASRFact]:
        match kind:
            case "delta":
                self._items.setdefault(said.item_id, []).append(said.delta)
                return self.partial("".join(piece for pieces in self._items.values() for piece in pieces).strip())
            case "completed":
                self._items.setdefault(said.item_id, [])
                self._finished[said.item_id] = said.transcript.strip()
                return self._finals()
            case "failed":
                raise stream_failure(self.name, {"code": said.error.code, "type": said.error.type})
        return ()

    def _finals(self) -> Iterable[ASRFact]:
        finals: list[ASRFact] = []
        while self._items and (first := next(iter(self._items))) in self._finished:
            del self._items[first]
            finals.append(self.final(self._finished.pop(first)))
        return finals

    def _trouble(self, error: Trouble) -> Iterable[ASRFact]:
        code = error.code if isinstance(error.code, str) else ""
        if code == "input_audio_buffer_commit_empty":
            return (self.final(""),)
        if self._ready and error.type != "server_error" and code != "session_expired":
            return ()
        kind = FailureKind.CLOSED if code == "session_expired" else named_kind(code or error.type or "")
        raise AdapterError(self.name, kind, "an error message")


class OpenAIRealtime(SocketRecognizer):
    """The `openai_realtime` recogniser."""

    name = "openai_realtime"
    options = OpenAIRealtimeOptions
    key_env = "OPENAI_API_KEY"
    streams = OpenAIRealtimeStream
