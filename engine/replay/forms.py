"""How each fact and each order is put into words. A type without a row here is still written, by its class name.

A form is the words it begins with, the numbers it carries (`r1` run, `q1` request, `c1` chunk, `e1` ear, `t1` tool call), the
fields that follow bare, and the field that is a place in the caller's sound (`@1200`). All other fields are `name=value`, written
when they differ from their default; so a field added to a fact needs nothing here.
"""

from types import MappingProxyType
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import FieldInfo, fields

from engine.core import commands as order
from engine.core import events as fact
from engine.core.events import Stage

IDS = MappingProxyType({"run": "r", "request": "q", "chunk": "c", "ear": "e", "call": "t"})
"""Fields that are numbers with a letter."""
CONTENT = frozenset({"text", "output", "arguments"})
"""Fields that hold anyone's words: always quoted, or JSON as it stands."""


class Form(Struct, frozen=True):
    """One way to write one type."""

    cls: type[Struct]
    words: tuple[str, ...]
    args: tuple[str, ...] = ()
    """Fields written bare after the words, in order. Those at the end may be left out where they have a default."""
    place: str = ""
    """The field written `@ms`."""
    fixed: tuple[tuple[str, Any], ...] = ()
    """Fields the words stand for."""
    infos: tuple[FieldInfo, ...] = ()

    def fits(self, value: Struct) -> bool:
        return all(getattr(value, name) == expected for name, expected in self.fixed)


def _form(cls: type[Struct], words: str, *args: str, place: str = "", **fixed: Any) -> Form:
    return Form(cls, tuple(words.split()), args, place, tuple(fixed.items()), fields(cls))


_FACTS = (
    _form(fact.SessionStarted, "session"),
    _form(fact.SessionEnded, "session ended", "reason"),
    _form(fact.TransportLost, "line lost"),
    _form(fact.TransportResumed, "line back"),
    _form(fact.CallAnswered, "answered", "by"),
    _form(fact.UserSpeechStarted, "caller speaks", place="audio_ns"),
    _form(fact.UserSpeechStopped, "caller quiet", place="audio_ns"),
    _form(fact.DTMFPressed, "key", "digit"),
    _form(fact.UserTextReceived, "typed", "text"),
    _form(fact.InputRejected, "rejected", "source", "reason"),
    _form(fact.ASROpened, "asr open"),
    _form(fact.ASRPartial, "asr partial", "text"),
    _form(fact.ASRFinal, "asr final", "text"),
    _form(fact.ASRStartOfTurn, "asr start"),
    _form(fact.ASREagerEndOfTurn, "asr eager", "text"),
    _form(fact.ASRTurnResumed, "asr resumed"),
    _form(fact.ASREndOfTurn, "asr end", "text"),
    _form(fact.TurnPredicted, "predicted", "complete_prob", "text"),
    _form(fact.LLMToken, "llm", "text"),
    _form(fact.LLMToolCall, "llm calls", "name", "arguments"),
    _form(fact.LLMDone, "llm done", "reason"),
    _form(fact.TTSStarted, "tts starts"),
    _form(fact.TTSWords, "tts words"),
    _form(fact.TTSChunkDone, "tts done", "duration_ns"),
    _form(fact.PlayoutStarted, "playing"),
    _form(fact.PlayoutAdvanced, "heard", "heard_ns"),
    _form(fact.PlayoutPaused, "paused", "heard_ns"),
    _form(fact.PlayoutCleared, "cleared", "heard_ns"),
    _form(fact.PlayoutDone, "played", "heard_ns"),
    _form(fact.ToolResult, "tool", "output", failed=False),
    _form(fact.ToolResult, "tool error", "output", failed=True),
    _form(fact.TimerFired, "timer", "clock", place="audio_ns"),
    _form(fact.RunCancelled, "stopped"),
    _form(fact.AdapterFailed, "asr failed", "kind", stage=Stage.ASR),
    _form(fact.AdapterFailed, "llm failed", "kind", stage=Stage.LLM),
    _form(fact.AdapterFailed, "tts failed", "kind", stage=Stage.TTS),
    _form(fact.AdapterFailed, "tool failed", "kind", stage=Stage.TOOL),
    _form(fact.OutagesChanged, "outages", "outages"),
    _form(fact.SayRequested, "say", "text"),
    _form(fact.InterruptRequested, "interrupt"),
    _form(fact.EndRequested, "end", "reason"),
    _form(fact.TransferRequested, "transfer", "target"),
    _form(fact.TransferFailed, "transfer failed", "target", "reason"),
)

_ORDERS = (
    _form(order.StartASR, "asr"),
    _form(order.FinalizeASR, "finalize"),
    _form(order.StopASR, "stop asr"),
    _form(order.StartLLM, "llm"),
    _form(order.CancelLLM, "cancel llm"),
    _form(order.Synthesize, "tts", "text"),
    _form(order.CancelTTS, "cancel tts"),
    _form(order.OpenPlayout, "open"),
    _form(order.PausePlayout, "pause"),
    _form(order.ResumePlayout, "resume"),
    _form(order.ClearPlayout, "clear"),
    _form(order.ClosePlayout, "close"),
    _form(order.RunTool, "tool", "name", "arguments"),
    _form(order.CancelTool, "cancel tool"),
    _form(order.SetTimer, "wait"),
    _form(order.Transfer, "transfer", "target"),
    _form(order.EndSession, "hang up", "reason"),
)


def _completed(forms: tuple[Form, ...], union: Any) -> tuple[Form, ...]:
    """The forms, and a plain one for each type of the union that has none."""
    named = {form.cls for form in forms}
    return forms + tuple(_form(cls, cls.__name__) for cls in union.__args__ if cls not in named)


FACTS = _completed(_FACTS, fact.Event)
ORDERS = _completed(_ORDERS, order.Order)


def form_of(value: Struct, forms: tuple[Form, ...]) -> Form:
    """The form a value is written in. Raises KeyError for a type that is neither fact nor order."""
    for form in BY_TYPE[type(value)]:
        if form.fits(value):
            return form
    raise KeyError(type(value).__name__)


def form_for(words: list[str], forms: tuple[Form, ...]) -> Form | None:
    """The form whose words begin these, the longest such; None when there is none."""
    fitting = [form for form in forms if tuple(words[: len(form.words)]) == form.words]
    return max(fitting, key=lambda form: len(form.words), default=None)


BY_TYPE: dict[type, list[Form]] = {}
for _each in FACTS + ORDERS:
    BY_TYPE.setdefault(_each.cls, []).append(_each)


def default_of(info: FieldInfo) -> Any:
    """A field's default, or msgspec.NODEFAULT."""
    if info.default_factory is not msgspec.NODEFAULT:
        return info.default_factory()
    return info.default


def slim(value: Any) -> Any:
    """Plain data of a value, without the fields of structs that have their default value."""
    if isinstance(value, Struct):
        if type(value).__struct_config__.array_like:
            return msgspec.to_builtins(value)
        kept = ((info, getattr(value, info.name)) for info in fields(type(value)))
        return {info.encode_name: slim(each) for info, each in kept if each != default_of(info)}
    if isinstance(value, tuple):
        return [slim(each) for each in value]
    return msgspec.to_builtins(value)
