"""Takes what was said out of a journal and seals it anew.

Gone are all texts of the call, the caller's and the agent's (an answer repeats what it was asked), arguments and results of tools,
keys pressed, numbers and addresses. What stays is what happened when: facts, orders, phases, times, lengths. Digests that were made
over words are emptied too: a digest of four keys is found by trying ten thousand.
"""

from pathlib import Path
from typing import Any

import msgspec

from engine.errors import JournalCorrupt, JournalError
from engine.replay.journal import Chain, Header, Torn
from engine.replay.reader import Journal
from engine.replay.sheet import Sheet

WORDS = frozenset({"text", "arguments", "output", "target", "call_id", "session"})
"""Keys whose text is replaced by its length."""
SETUP_WORDS = frozenset({"instructions", "greeting"})
"""The agent's own script: often the same for all calls, sometimes with the customer's name in it."""
DIGESTS = frozenset({"state", "digest"})
"""Made over words."""

_decode = msgspec.json.Decoder().decode


def redact(source: Path, target: Path) -> int:
    """Write `source` without its words to `target`; returns how many events there were.

    Raises OSError (also when `target` exists), JournalCorrupt when the source is not what was written, JournalError when it is
    torn on the way out.
    """
    with Journal(source) as journal:
        sheet = Sheet(target)
        try:
            _copy(journal, sheet)
        except BaseException:
            sheet.close(b"", 0)
            target.unlink(missing_ok=True)
            raise
        if sheet.failure:
            target.unlink(missing_ok=True)
            raise JournalError(f"{target}: {sheet.failure}")
        return journal.events


def _copy(journal: Journal, sheet: Sheet) -> None:
    written = Chain()
    if journal.changed:
        raise JournalCorrupt(0, journal.changed)
    header: Header = msgspec.structs.replace(
        journal.header, redacted=True, session=_length(journal.header.session), digest=""
    )
    sheet.write(written.seal(header))
    last = b""
    for line in journal.lines():
        if last:
            sheet.write(last)
        if isinstance(line.entry, Torn):
            last = line.raw
            continue
        if journal.changed:
            raise JournalCorrupt(line.offset, journal.changed)
        last = written.seal_data(_without_words(_decode(line.raw)))
    sheet.close(last, 0)


def _without_words(value: Any, key: str = "") -> Any:
    """Plain data with the words taken out, whatever it is nested in."""
    if isinstance(value, dict):
        return {name: _without_words(each, name) for name, each in value.items()}
    if isinstance(value, list):
        return [_without_words(each, key) for each in value]
    if not isinstance(value, str):
        return value
    if key in WORDS | SETUP_WORDS:
        return _length(value)
    if key == "digit":
        return "?"
    return "" if key in DIGESTS else value


def _length(text: str) -> str:
    return f"[{len(text)} characters]" if text else ""
