"""One call as text: a line for each fact, with the orders it led to.

    2400  caller speaks         -> pause r1
    2600  timer                 -> clear r1, cancel r1   [Listening]
    2610  llm r1 " also"        # a late token of a dead run: nothing

Times are milliseconds since the call began. Every fact and every order can be written and read back (`forms.py` has the words).
What a reader can infer is left out: the request a token belongs to is the run's latest, the ear the current one, the provider
the first of the setup. `Context` is that inference, the same for writer and reader; without one everything is spelled out.
"""

from collections.abc import Iterable
from enum import Enum
from functools import cache
from types import UnionType
from typing import Any, get_args

import msgspec
from msgspec import NODEFAULT, Struct
from msgspec.structs import FieldInfo

from engine.core.commands import (
    CancelLLM,
    CancelTTS,
    ClosePlayout,
    Commands,
    Order,
    SetTimer,
    StartASR,
    StartLLM,
    Synthesize,
)
from engine.core.events import Event, LLMToolCall, SessionStarted, Stage, UserSpeechStarted, UserSpeechStopped
from engine.core.policy import Setup
from engine.replay.forms import CONTENT, FACTS, IDS, ORDERS, Form, default_of, form_for, form_of, slim
from engine.replay.lexer import (
    Kind,
    NotationError,
    Token,
    bare,
    compact,
    content,
    milliseconds,
    nanoseconds,
    quoted,
    tokens,
)

LETTERS = {letter: name for name, letter in IDS.items()}
_LIMITS = {"first_ns": "tts_first_ns", "whole_ns": "tts_chunk_ns"}
"""Limits of an order that are the policy's."""
SILENT = (SetTimer, ClosePlayout)
"""Orders left out of a written call unless asked for: they are read off the state."""


class Context:
    """What has been said so far, as far as later lines lean on it."""

    def __init__(self) -> None:
        self.setup = Setup()
        self.ear = 0
        self.requests = 0
        self.request: dict[int, int] = {}
        self.chunk: dict[int, int] = {}
        self.calls = 0

    def copy(self) -> "Context":
        """The same, to go another way from here."""
        other = Context()
        other.__dict__.update(self.__dict__ | {"request": dict(self.request), "chunk": dict(self.chunk)})
        return other

    def saw(self, event: Event) -> None:
        """Take note of a fact, after it was written and before its orders are."""
        if isinstance(event, SessionStarted):
            self.setup = event.setup
        elif isinstance(event, LLMToolCall):
            self.calls += 1

    def saw_order(self, command: Order) -> None:
        """Take note of one order."""
        match command:
            case StartASR():
                self.ear = command.ear
            case StartLLM():
                self.request[command.run] = self.requests = command.request
            case Synthesize():
                self.chunk[command.run] = command.chunk

    def default(self, cls: type[Struct], name: str, given: dict[str, Any], audio_ns: int | None) -> Any:
        """What a field is where it is not written; NODEFAULT where nothing follows from the call so far."""
        run = given.get("run", 0)
        if name == "audio_ns" and cls in (UserSpeechStarted, UserSpeechStopped):
            return NODEFAULT if audio_ns is None else audio_ns
        if name == "ear" and self.ear and given.get("stage", Stage.ASR) is Stage.ASR:
            return self.ear
        if name == "request" and given.get("stage", Stage.LLM) is Stage.LLM:
            return self.requests + 1 if cls is StartLLM else self.request.get(run, NODEFAULT)
        if name == "chunk" and cls is Synthesize:
            return self.chunk.get(run, 0) + 1
        if name == "call_id" and cls is LLMToolCall:
            return f"call_{self.calls + 1}"
        if name == "provider":
            return self._provider(cls, given)
        if name in _LIMITS and cls is Synthesize:
            return getattr(self.setup.policy, _LIMITS[name])
        return NODEFAULT

    def _provider(self, cls: type[Struct], given: dict[str, Any]) -> Any:
        stage = given.get("stage") or {StartASR: Stage.ASR, StartLLM: Stage.LLM, Synthesize: Stage.TTS}.get(cls)
        named = {Stage.ASR: self.setup.asr, Stage.LLM: self.setup.llm, Stage.TTS: self.setup.tts}.get(
            stage or Stage.TOOL
        )
        return named[0] if named else NODEFAULT


# Writing.


def write_event(event: Event, context: Context | None = None, audio_ns: int | None = None) -> str:
    """A fact in words, without its time. `audio_ns` is where the caller's sound is at that moment, if it is to be left out."""
    return _write(event, FACTS, context, audio_ns)


def write_command(command: Order, context: Context | None = None) -> str:
    """An order in words."""
    if context and isinstance(command, StartLLM):
        return _write_ask(command, context)
    return _write(command, ORDERS, context, None)


def write_commands(commands: Iterable[Order], context: Context | None = None, *, silent: bool = False) -> str:
    """The orders of one step, separated by commas; the context takes note of them. `silent`: what is usually left out, too."""
    shown = [command for command in commands if silent or not isinstance(command, SILENT)]
    parts: list[str] = []
    for index, command in enumerate(shown):
        before = shown[index - 1] if index else None
        run = command.run if isinstance(command, CancelTTS) and isinstance(before, CancelLLM) else 0
        if run and parts[-1] == f"cancel llm r{run}":
            parts[-1] = f"cancel r{run}"
        else:
            parts.append(write_command(command, context))
        if context:
            context.saw_order(command)
    return ", ".join(parts)


def _write_ask(command: StartLLM, context: Context) -> str:
    """A question to a model in short: the last message stands for the history."""
    parts = _heads(command, form_of(command, ORDERS), context, None)
    if command.messages:
        last = command.messages[-1]
        parts += ([] if last.role.value == "user" else [last.role.value]) + [quoted(last.text)]
    return " ".join(parts + _options(command, form_of(command, ORDERS), context, without=("messages",)))


def _write(value: Any, forms: tuple[Form, ...], context: Context | None, audio_ns: int | None) -> str:
    form = form_of(value, forms)
    parts = _heads(value, form, context, audio_ns)
    needed = len(form.args)
    infos = {info.name: info for info in form.infos}
    while needed and getattr(value, form.args[needed - 1]) == default_of(infos[form.args[needed - 1]]):
        needed -= 1
    parts += [_written(getattr(value, name), infos[name]) for name in form.args[:needed]]
    if form.place and not _inferred(value, form, infos[form.place], context, audio_ns):
        parts.append(f"@{milliseconds(getattr(value, form.place))}")
    return " ".join(parts + _options(value, form, context))


def _heads(value: Any, form: Form, context: Context | None, audio_ns: int | None) -> list[str]:
    """The first word, the numbers, the other words."""
    ids = [
        f"{IDS[info.name]}{getattr(value, info.name)}"
        for info in form.infos
        if info.name in IDS and not _inferred(value, form, info, context, audio_ns)
    ]
    return [*form.words[:1], *ids, *form.words[1:]] if ids and form.words[0] in _STAGES else [*form.words, *ids]


_STAGES = ("asr", "llm", "tts", "tool")


def _options(value: Any, form: Form, context: Context | None, without: tuple[str, ...] = ()) -> list[str]:
    named = {"at", form.place, *IDS, *form.args, *without, *(name for name, _ in form.fixed)}
    return [
        f"{_key(info.name)}={_written(getattr(value, info.name), info)}"
        for info in form.infos
        if info.name not in named and not _inferred(value, form, info, context, None)
    ]


def _inferred(value: Any, form: Form, info: FieldInfo, context: Context | None, audio_ns: int | None) -> bool:
    """Whether a reader knows this field without being told."""
    found = getattr(value, info.name)
    if context:
        given = {name: getattr(value, name) for name in ("run", "stage") if hasattr(value, name)}
        default = context.default(form.cls, info.name, given, audio_ns)
        if default is not NODEFAULT:
            return bool(found == default)
    return bool(found == default_of(info))


def _key(name: str) -> str:
    return "by" if name == "provider" else name.removesuffix("_ns")


def _field(key: str, infos: dict[str, FieldInfo]) -> str:
    """The field a key stands for."""
    return "provider" if key == "by" else key if key in infos else f"{key}_ns"


def _written(value: Any, info: FieldInfo) -> str:
    if value is None:
        return "never"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Enum):
        return bare(str(value.value))
    if isinstance(value, str):
        return content(value) if info.name in CONTENT else bare(value)
    if isinstance(value, int) and info.name.endswith("_ns"):
        return milliseconds(value)
    if isinstance(value, int | float):
        return repr(value)
    return compact(slim(value))


# Reading.


class Expected(Struct, frozen=True):
    """An order as a script states it: only what is written counts."""

    cls: type[Struct]
    fields: dict[str, Any]
    last: tuple[str, str] | None = None
    """For a question to a model: role and text of its last message."""

    def fits(self, command: Order) -> bool:
        """Whether an order is the one meant."""
        if type(command) is not self.cls:
            return False
        if self.last and isinstance(command, StartLLM):
            said = command.messages[-1] if command.messages else None
            if not said or (said.role.value, said.text) != self.last:
                return False
        return all(getattr(command, name) == value for name, value in self.fields.items())


def parse_event(text: str, at: int = 0, context: Context | None = None, audio_ns: int | None = None) -> Event:
    """Read one fact. `audio_ns` is where the caller's sound is, for facts that do not say. Raises NotationError."""
    return read_event(tokens(text), at, context, audio_ns)


def read_event(found: list[Token], at: int = 0, context: Context | None = None, audio_ns: int | None = None) -> Event:
    """Read one fact from its tokens. Raises NotationError."""
    form, given, _ = _read(found, FACTS)
    event: Event = _made(form, given | {"at": at}, context, audio_ns)
    return event


def parse_command(text: str, context: Context | None = None) -> Order:
    """Read one order, whole. Raises NotationError where fields are missing."""
    form, given, _ = _read(tokens(text), ORDERS)
    command: Order = _made(form, given, context, None)
    return command


def read_expected(found: list[Token]) -> list[Expected]:
    """Read the orders of one step from their tokens. Raises NotationError."""
    parts: list[list[Token]] = [[]]
    for token in found:
        if token.kind is Kind.COMMA:
            parts.append([])
        else:
            parts[-1].append(token)
    return [expected for part in parts for expected in _expected(part)]


def _expected(found: list[Token]) -> list[Expected]:
    words = [token.value for token in found]
    if words[:1] == ["cancel"] and len(found) > 1 and found[1].kind is Kind.ID and found[1].value[0] == "r":
        ids = {LETTERS[token.value[0]]: int(token.value[1:]) for token in found[1:]}
        return [Expected(CancelLLM, ids), Expected(CancelTTS, {"run": ids["run"]})]
    form, given, last = _read(found, ORDERS)
    return [Expected(form.cls, given, last)]


def _read(found: list[Token], forms: tuple[Form, ...]) -> tuple[Form, dict[str, Any], tuple[str, str] | None]:
    """Which form, the fields given, and for a question to a model its last message."""
    words = [token.value for token in found if token.kind is Kind.WORD]
    form = form_for(words, forms)
    if not form:
        raise NotationError(f"nothing is called {' '.join(token.value for token in found)!r}")
    infos = {info.name: info for info in form.infos}
    given: dict[str, Any] = dict(form.fixed)
    values: list[str] = []
    skip = len(form.words)
    for token in found:
        match token.kind:
            case Kind.ID:
                _give(form, given, infos, LETTERS[token.value[0]], token.value[1:])
            case Kind.PLACE:
                _give(form, given, infos, form.place, token.value)
            case Kind.KEY:
                _give(form, given, infos, _field(token.name, infos), token.value)
            case Kind.WORD if skip:
                skip -= 1
            case _:
                values.append(token.value)
    if form.cls is StartLLM and values:
        return form, given, (values[0] if len(values) > 1 else "user", values[-1])
    if len(values) > len(form.args):
        raise NotationError(f"{' '.join(form.words)!r} has no place for {values[-1]!r}")
    for name, value in zip(form.args, values, strict=False):
        _give(form, given, infos, name, value)
    return form, given, None


def _give(form: Form, given: dict[str, Any], infos: dict[str, FieldInfo], name: str, text: str) -> None:
    if name not in infos:
        raise NotationError(f"{' '.join(form.words)!r} has no field {name!r}")
    if name in given:
        raise NotationError(f"{' '.join(form.words)!r} says {name!r} twice")
    given[name] = _value(text, infos[name])


def _value(text: str, info: FieldInfo) -> Any:
    kind, optional = _bare_type(info.type)
    if optional and text == "never":
        return None
    try:
        if kind is bool:
            return {"yes": True, "no": False}[text]
        if kind is int:
            return nanoseconds(text) if info.name.endswith("_ns") else int(text)
        if kind is float:
            return float(text)
        if kind is str:
            return text
        if isinstance(kind, type) and issubclass(kind, Enum):
            return kind(text)
        return msgspec.json.decode(text.encode(), type=info.type)
    except (ValueError, KeyError, msgspec.ValidationError) as error:
        raise NotationError(f"{info.name} cannot be {text!r}: {error}") from None


@cache
def _bare_type(annotation: Any) -> tuple[Any, bool]:
    """The type without `| None`, and whether it had it."""
    if isinstance(annotation, UnionType):
        kinds = [kind for kind in get_args(annotation) if kind is not type(None)]
        if len(kinds) == 1:
            return kinds[0], True
    return annotation, False


def _made(form: Form, given: dict[str, Any], context: Context | None, audio_ns: int | None) -> Any:
    values = {}
    for info in form.infos:
        value = given.get(info.name, NODEFAULT)
        if value is NODEFAULT and context:
            value = context.default(form.cls, info.name, given, audio_ns)
        if value is NODEFAULT:
            value = default_of(info)
        if value is NODEFAULT:
            raise NotationError(f"{' '.join(form.words)!r} must say {info.name!r}")
        values[info.name] = value
    return form.cls(**values)


# Lines.


def write_line(at: int, fact: str, orders: str = "", phase: str = "", note: str = "", *, width: int = 10) -> str:
    """One line of a written call. `at` in nanoseconds; `width` is the column of times, in characters."""
    line = f"{milliseconds(at):<{width}} {fact}"
    if orders or phase:
        line = f"{line:<{width + 40}}" + (f" -> {orders}" if orders else "")
    if phase:
        line = f"{line}  [{phase}]"
    if note:
        line = f"{line}  # {note}"
    return line.rstrip()


def write_step(event: Event, commands: Commands, context: Context, phase: str = "", note: str = "") -> str:
    """One step of a recorded call as a line; the context takes note of it."""
    fact = write_event(event, context, event.at)
    context.saw(event)
    orders = write_commands(commands, context)
    return write_line(event.at, fact, orders, phase, note)
