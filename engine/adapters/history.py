"""The conversation's history as the stricter services want it, and what they want back that it has no room for."""

from collections import OrderedDict, defaultdict, deque
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from engine.core.commands import Message, Role
from engine.core.policy import ToolSpec

Part = dict[str, Any]
USER = "user"
BEGINNING = "(The call begins.)"
"""The history must begin with the user; an agent that greets speaks first."""
SIGNATURES_MAX = 4_096
SIGNATURE_CHARS_MAX = 64 * 1024


def instructions_of(messages: tuple[Message, ...]) -> str:
    """The first message where it is the system's; most services take it apart from the rest."""
    return messages[0].text if messages and messages[0].role is Role.SYSTEM else ""


def paired(messages: tuple[Message, ...]) -> Iterator[Message]:
    """The history after the instructions, every tool call followed by its result at once, and neither without the other.

    Left out are calls that were never answered, results whose call was forgotten, words that were only a backchannel, and messages
    without anything. Some servers number their calls from one in every answer: a result is the next one of that name.
    """
    results: defaultdict[str, deque[tuple[int, Message]]] = defaultdict(deque)
    for place, message in enumerate(messages):
        if message.role is Role.TOOL:
            results[message.call_id].append((place, message))
    for place, message in enumerate(messages):
        if message.role is Role.TOOL or message.backchannel or (not place and instructions_of(messages)):
            continue
        answered = {call.call_id: result for call in message.calls if (result := _next(results[call.call_id], place))}
        if message.text.strip() or answered:
            yield replace(message, calls=tuple(call for call in message.calls if call.call_id in answered))
        yield from answered.values()


def _next(results: deque[tuple[int, Message]], place: int) -> Message | None:
    while results:
        at, result = results.popleft()
        if at > place:
            return result
    return None


def alternating(turns: Iterable[tuple[str, list[Part]]], under: str, opening: Part) -> list[dict[str, Any]]:
    """A history in which neighbours of one role are one message, and which the user begins.

    turns:    a role, and parts of its message under the service's own names. Without parts there is no turn.
    under:    the name of what holds a message's parts.
    opening:  what the user is made to say where somebody else would begin.
    """
    found: list[dict[str, Any]] = []
    for role, parts in turns:
        if not parts:
            continue
        if not found and role != USER:
            found.append({"role": USER, under: [opening]})
        if not found or found[-1]["role"] != role:
            found.append({"role": role, under: []})
        found[-1][under] += parts
    return found or [{"role": USER, under: [opening]}]


def json_object(text: str) -> object:
    """The arguments of a call as an object; {} where the model wrote no JSON object."""
    try:
        found = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def schema_of(tool: ToolSpec) -> Raw:
    """A tool's parameters, JSON Schema, as they are."""
    return Raw(tool.parameters.encode())


class Signatures:
    """What Google's models want back with each call of a tool: the last few are kept."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, str] = OrderedDict()

    def keep(self, call_id: str, signature: str) -> None:
        """Keep a call's signature, where it has one."""
        if not 0 < len(signature) <= SIGNATURE_CHARS_MAX:
            return
        self._kept[call_id] = signature
        if len(self._kept) > SIGNATURES_MAX:
            self._kept.popitem(last=False)

    def of(self, call_id: str) -> str:
        """A call's signature. Empty: it had none, or it is lost."""
        return self._kept.get(call_id, "")
