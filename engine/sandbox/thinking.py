"""What a simulated language model says: it repeats the caller's words, and calls a tool whose name it hears. Always the same."""

from collections.abc import Iterator
from itertools import takewhile
from typing import Any

from msgspec import Struct

from engine.core.recovery import CONTINUE

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
            yield f" {word}" if number or self.text.startswith(" ") else word


class Dialogue:
    """The words of a history, as a server reads them one message after the other."""

    def __init__(self) -> None:
        self.said = ""
        """The caller's last words."""
        self.begun = ""
        """What was said already of the answer to them, where the model is told to go on from there."""
        self._answer = ""

    def user(self, text: str) -> None:
        """Words that are not the model's own. Empty ones are none."""
        if text == CONTINUE:
            self.begun = self._answer
        elif text:
            self.said, self.begun = text, ""

    def assistant(self, text: str) -> None:
        """Words of the model's own."""
        self._answer = text


def think(dialogue: Dialogue, tools: tuple[Tool, ...] = (), results: tuple[str, ...] = ()) -> Thought:
    """Answer the caller.

    results:  what tools answered since the caller's last words.
    """
    thought = _answer(dialogue.said, tools, results)
    if not dialogue.begun:
        return thought
    # Word for word where it was broken off, whatever was said to fill the wait; the space before a word belongs to it.
    words = thought.text.split()
    said = sum(
        1
        for _ in takewhile(
            lambda pair: _bare(pair[0]) == _bare(pair[1]), zip(words, dialogue.begun.split(), strict=False)
        )
    )
    return Thought(" ".join(["", *words[said:]]), thought.calls)


def _bare(word: str) -> str:
    return word.strip(".,:;?!…").lower()


def _answer(said: str, tools: tuple[Tool, ...], results: tuple[str, ...]) -> Thought:
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
