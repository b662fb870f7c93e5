"""Tools: what a model is told of a function, and what becomes of what it sends.

    @tool(timeout_ms=5_000, filler="Let me look.")
    async def find_slots(day: str) -> list[str]:
        '''Free times on a day.

        day: as YYYY-MM-DD.
        '''

A tool's name, description and JSON schema come from its signature and docstring. What a model sends is checked against the
signature; what does not fit goes back to the model as a sentence it can act on. Nothing a tool does can harm the engine: whatever
it raises becomes a failed result.
"""

import asyncio
import contextvars
import functools
import inspect
import logging
import re
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypedDict, Unpack, get_type_hints, overload

import msgspec
from msgspec import Struct

from engine.core.policy import OnInterrupt, ToolSpec
from engine.core.units import LIMITS, MS
from engine.errors import ConfigError, ToolError

log = logging.getLogger("engine.tools")

THREADS = 8
"""Synchronous tools running at once in a process. A guess: they wait for disks and databases, not for the CPU."""
THREADED_MAX = 64
"""Synchronous tools running or waiting for a thread; one more is refused, so that a stuck database cannot fill the memory."""

NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_-]{0,63}")
"""What every provider accepts as a tool's name (OpenAI: 64 characters)."""
ARGUMENT_LINE = re.compile(r"(\w+)\s*:\s+(\S.*)")


class Tool:
    """A function that the model may call. Still callable as it was."""

    def __init__(self, function: Callable[..., Any], spec: ToolSpec, arguments: type[Struct]) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.spec = spec
        self.arguments = arguments

    def __call__(self, *positional: Any, **named: Any) -> Any:
        return self.function(*positional, **named)

    def __repr__(self) -> str:
        return f"<tool {self.spec.name}>"


class ToolOptions(TypedDict, total=False):
    """What may be said of a tool beside its function; see `make_tool`."""

    name: str
    on_interrupt: OnInterrupt | str
    timeout_ms: int
    filler: str
    ends_call: bool
    transfers_call: bool


@overload
def tool(function: Callable[..., Any], /) -> Tool: ...


@overload
def tool(**options: Unpack[ToolOptions]) -> Callable[[Callable[..., Any]], Tool]: ...


def tool(function: Callable[..., Any] | None = None, /, **options: Unpack[ToolOptions]) -> Any:
    """Make a function, sync or async, a tool: `@tool`, or `@tool(timeout_ms=5_000)` with what `make_tool` takes."""
    return functools.partial(make_tool, **options) if function is None else make_tool(function, **options)


def make_tool(
    function: Callable[..., Any],
    *,
    name: str = "",
    on_interrupt: OnInterrupt | str = OnInterrupt.CANCEL,
    timeout_ms: int = 0,
    filler: str = "",
    ends_call: bool = False,
    transfers_call: bool = False,
) -> Tool:
    """Make a function, sync or async, a tool.

    name:           the function's own where empty.
    on_interrupt:   what becomes of it when the caller takes the floor while it runs: cancel, detach or finish.
    timeout_ms:     0: the policy's.
    filler:         what to say while it runs; the policy's where empty.
    ends_call:      the call ends after its result has been spoken of.
    transfers_call: the caller is handed over then, to the number or SIP address on the result's first line.
    Raises:         ConfigError, where the signature cannot be described in JSON.
    """
    name = name or function.__name__
    if not NAME.fullmatch(name):
        raise ConfigError(f"{name!r} cannot be a tool's name; letters, digits, _ and -, at most 64")
    try:
        interrupted = OnInterrupt(on_interrupt)
    except ValueError:
        allowed = ", ".join(OnInterrupt)
        raise ConfigError(f"tool {name}: on_interrupt is {on_interrupt!r}; allowed: {allowed}") from None
    if timeout_ms < 0:
        raise ConfigError(f"tool {name}: timeout_ms is {timeout_ms}; it must be 0 (the policy's) or more")
    arguments = arguments_of(name, function)
    described, texts = read_docstring(function, frozenset(arguments.__struct_fields__))
    spec = ToolSpec(
        name=name,
        description=described,
        parameters=schema_of(arguments, texts),
        on_interrupt=interrupted,
        timeout_ns=timeout_ms * MS,
        filler=filler,
        ends_call=ends_call,
        transfers_call=transfers_call,
    )
    return Tool(function, spec, arguments)


def arguments_of(name: str, function: Callable[..., Any]) -> type[Struct]:
    """The signature as a Struct, which is the check and the schema at once."""
    hints = get_type_hints(function, include_extras=True)
    fields: list[Any] = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise ConfigError(f"tool {name}: {parameter} cannot be given by name, so no model can give it")
        kind = hints.get(parameter.name, str)
        default = parameter.default
        if default is parameter.empty:
            fields.append((parameter.name, kind))
        elif isinstance(default, list | dict | set):
            fields.append(
                (parameter.name, kind, msgspec.field(default_factory=functools.partial(type(default), default)))
            )
        else:
            fields.append((parameter.name, kind, default))
    return msgspec.defstruct(name, fields, kw_only=True, forbid_unknown_fields=True)


def schema_of(arguments: type[Struct], texts: Mapping[str, str]) -> str:
    """JSON Schema of the arguments, as JSON text: one object, whose parts stand under $defs only if there are any."""
    try:
        _, parts = msgspec.json.schema_components([arguments], ref_template="#/$defs/{name}")
    except TypeError as error:
        raise ConfigError(f"tool {arguments.__name__}: its arguments have no JSON schema: {error}") from error
    schema = parts.pop(arguments.__name__)
    del schema["title"]
    for argument, text in texts.items():
        schema["properties"][argument].setdefault("description", text)
    if parts:
        schema["$defs"] = parts
    return msgspec.json.encode(schema).decode()


def read_docstring(function: Callable[..., Any], arguments: frozenset[str]) -> tuple[str, dict[str, str]]:
    """The tool's description, and what is said of each argument in lines of the form `name: text`."""
    kept: list[str] = []
    texts: dict[str, str] = {}
    for line in (inspect.getdoc(function) or "").splitlines():
        found = ARGUMENT_LINE.fullmatch(line.strip())
        if found and found[1] in arguments:
            texts[found[1]] = found[2]
        else:
            kept.append(line)
    return "\n".join(kept).strip(), texts


class Toolbox:
    """The tools of one agent, ready to be called by what a model writes."""

    def __init__(self, tools: Iterable[Tool | Callable[..., Any]]) -> None:
        made = [each if isinstance(each, Tool) else make_tool(each) for each in tools]
        self._tools = {each.spec.name: each for each in made}
        if len(self._tools) != len(made):
            names = [each.spec.name for each in made]
            twice = sorted({name for name in names if names.count(name) > 1})
            raise ConfigError(f"tools of the same name: {', '.join(twice)}")
        self._threads: ThreadPoolExecutor | None = None
        self._threaded = 0

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        return tuple(each.spec for each in self._tools.values())

    async def call(self, name: str, arguments: str) -> tuple[str, bool]:
        """Call a tool with the JSON text a model wrote.

        Returns:  the result for the model, plain text or JSON, and whether it failed. It never raises, except that it is
                  cancelled when its task is.
        """
        chosen = self._tools.get(name)
        if chosen is None:
            return f"There is no tool {name!r}. There are: {', '.join(self._tools) or 'none'}.", True
        try:
            given = read_arguments(chosen, arguments)
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
            why = error if isinstance(error, msgspec.DecodeError) else "they are not JSON of a reasonable depth"
            return f"{name} was not run, because its arguments do not fit: {why}. Mend them and call it again.", True
        try:
            return written(await self._run(chosen, given)), False
        except ToolError as error:
            return str(error), True
        except Exception as error:
            # Foreign code: whatever it raises must not end the call. Its text may hold the caller's words: to the log goes the
            # place, and to the model the kind.
            log.exception("tool failed", extra={"tool": name})
            return f"{name} failed ({type(error).__name__}).", True

    async def _run(self, chosen: Tool, given: dict[str, Any]) -> Any:
        if inspect.iscoroutinefunction(chosen.function):
            return await chosen.function(**given)
        if self._threaded >= THREADED_MAX:
            raise ToolError(f"{chosen.spec.name} is too busy just now. Try again later.")
        if self._threads is None:
            self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="tool")
        call = functools.partial(contextvars.copy_context().run, chosen.function, **given)
        self._threaded += 1
        future = asyncio.get_running_loop().run_in_executor(self._threads, call)
        # A thread cannot be stopped: a cancelled call's place is free again only when its function has returned.
        future.add_done_callback(self._returned)
        return await asyncio.shield(future)

    def _returned(self, future: "asyncio.Future[Any]") -> None:
        self._threaded -= 1
        if not future.cancelled():
            future.exception()  # taken, so that an abandoned call does not complain when it is collected

    def close(self) -> None:
        """Let the threads end; calls not begun are dropped."""
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
            self._threads = None


def read_arguments(chosen: Tool, arguments: str) -> dict[str, Any]:
    """Arguments as the function takes them. Models send "" and null for none, and now and then "3" for 3.

    Raises DecodeError, and UnicodeEncodeError or RecursionError for what is no text or too deep.
    """
    text = arguments.strip()
    given = msgspec.json.decode(text if text not in ("", "null") else "{}", type=chosen.arguments, strict=False)
    return {field: getattr(given, field) for field in given.__struct_fields__}


def written(result: Any) -> str:
    """A tool's result as the model reads it."""
    if result is None:
        return "done"
    text = result if isinstance(result, str) else msgspec.json.encode(result).decode()
    if len(text) > LIMITS.tool_output_chars:
        mark = " (the rest was cut off)"
        return text[: LIMITS.tool_output_chars - len(mark)] + mark
    return text
