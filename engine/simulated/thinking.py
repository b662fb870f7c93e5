"""What a simulated language model says: it repeats the caller's words, and calls a tool whose name it hears. Always the same."""

from collections.abc import Iterator
from typing import Any

from msgspec import Struct

HELLO = "Hello. How can I help you?"


class Tool(Struct, frozen=True):
    """A tool as the model is shown it."""

    name: str
    properties: tuple[str, ...] = ()
    """Of its arguments."""


class Call(Struct, frozen=True):
    call_id: str
    name: str
    arguments: dict[str, str]


class Thought(Struct, frozen=True):
    """A whole answer."""

    text: str
    calls: tuple[Call, ...] = ()

    @property
    def pieces(self) -> Iterator[str]:
        """The text as tokens: words with the space before them."""
        for number, word in enumerate(self.text.split()):
            yield f" {word}" if number else word


def think(said: str, tools: tuple[Tool, ...] = (), results: tuple[str, ...] = ()) -> Thought:
    """Answer the caller.

    said:     the caller's last words.
    results:  what tools answered since then.
    """
    if results:
        return Thought(f"I found this: {', '.join(results)}.")
    words = said.lower().replace("_", " ")
    called = [tool for tool in tools if any(part in words for part in tool.name.lower().split("_") if len(part) > 3)]
    if called:
        value = said.split()[-1].strip(".?!") if said.split() else ""
        calls = tuple(
            Call(f"call_{number}", tool.name, dict.fromkeys(tool.properties, value))
            for number, tool in enumerate(called, start=1)
        )
        return Thought("Let me look.", calls)
    return Thought(f"You said: {said}" if said.strip() else HELLO)


def properties_of(schema: Any) -> tuple[str, ...]:
    """The names of the arguments in a JSON schema."""
    found = schema.get("properties", {}) if isinstance(schema, dict) else {}
    return tuple(found)


def plain_text(content: Any) -> str:
    """The words of a message, whether they come as text or as a list of parts."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return " ".join(part.get("text", "") for part in content if isinstance(part, dict) and part.get("text"))
    return ""
