"""A whole call as it is written: lines of facts at their times, with the orders expected of them."""

import msgspec
from msgspec import Struct

from engine.replay.lexer import Kind, NotationError, Token, comment, nanoseconds, tokens
from engine.replay.notation import Expected, read_expected


class Line(Struct, frozen=True):
    """One line of a script."""

    number: int
    at: int
    """Nanoseconds."""
    fact: tuple[Token, ...]
    """Empty: time passes, no more."""
    orders: tuple[Expected, ...]
    phase: str = ""
    """The phase after it, where it is stated."""
    comment: str = ""
    source: str = ""


class Script(Struct, frozen=True):
    """A call as written."""

    lines: tuple[Line, ...]
    recorded: bool
    """Every fact is in it, timers too; so nothing may be added when it is run."""


RECORDED = "recorded"


def parse_script(text: str) -> Script:
    """Read a script: lines `time fact -> orders [Phase] # comment`. A line that begins with `->` goes on with the orders above.

    A first line `recorded` says that timers are among the facts, as in a printed journal. Raises NotationError with the line.
    """
    lines: list[Line] = []
    recorded = False
    for number, source in enumerate(text.split("\n"), 1):
        try:
            found = tokens(source)
            if not found:
                continue
            if found[0] == Token(Kind.WORD, RECORDED):
                recorded = True
            elif found[0].kind is Kind.ARROW:
                lines[-1] = _continued(lines[-1], source, found)
            else:
                lines.append(_line(number, source, found))
            if len(lines) > 1 and lines[-1].at < lines[-2].at:
                raise NotationError("time runs backwards")
        except (NotationError, IndexError) as error:
            raise NotationError(f"line {number}, {source.strip()!r}: {error}") from None
    return Script(tuple(lines), recorded)


def _line(number: int, source: str, found: list[Token]) -> Line:
    at = nanoseconds(found[0].value)
    arrow = next((i for i, token in enumerate(found) if token.kind is Kind.ARROW), len(found))
    phase = next((token.value for token in found if token.kind is Kind.PHASE), "")
    rest = [token for token in found[arrow + 1 :] if token.kind is not Kind.PHASE]
    fact = tuple(token for token in found[1:arrow] if token.kind is not Kind.PHASE)
    return Line(number, at, fact, tuple(read_expected(rest)) if rest else (), phase, comment(source), source.strip())


def _continued(line: Line, source: str, found: list[Token]) -> Line:
    phase = next((token.value for token in found if token.kind is Kind.PHASE), line.phase)
    rest = [token for token in found[1:] if token.kind is not Kind.PHASE]
    return msgspec.structs.replace(
        line, orders=line.orders + tuple(read_expected(rest)), phase=phase, source=f"{line.source}\n{source.strip()}"
    )
