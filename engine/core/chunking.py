"""Tokens into speakable pieces: where may the synthesizer be given text? Pure functions of text."""

import re

from engine.core.policy import Policy
from engine.core.units import LIMITS

_SENTENCE = re.compile(r"""[.!?…؟।]+["')\]”»]*(?=\s)|[。！？]+[」』”）]*|\n+""")
_CLAUSE = re.compile(r"[,;:—–،](?=\s)|[，、；：]")
_ABBREVIATIONS = frozenset("mr mrs ms dr st vs etc e.g i.e approx inc ltd jr sr prof".split())
_MARKUP = str.maketrans(dict.fromkeys("*#`~|<>", ""))


def spoken(text: str) -> str:
    """Text without the marks of markup, which no voice should read out."""
    return text.translate(_MARKUP)


def split_speakable(pending: str, *, first: bool, written: bool, policy: Policy) -> int:
    """How many characters of `pending` may be spoken now; 0 when it is better to wait.

    Up to the last sentence end. The first piece may end at a comma, so that sound starts early; later ones only when they grow
    long. When the answer is `written`, everything that is left.
    """
    if not pending.strip():
        return len(pending) if written else 0
    if len(pending) >= LIMITS.chunk_chars:
        return _last_cut(pending[: LIMITS.chunk_chars])
    end = _sentence_end(pending, first)
    if end:
        return end
    if written:
        return len(pending)
    soft = policy.chunk_first_chars if first else policy.chunk_soft_chars
    clause = _CLAUSE.search(pending, soft - 1)
    return clause.end() if clause else 0


def _sentence_end(pending: str, first: bool) -> int:
    """The end of the first sentence for the first piece (sound early), of the last whole one otherwise (better prosody)."""
    ends = [match.end() for match in _SENTENCE.finditer(pending) if _ends_sentence(pending, match)]
    if not ends:
        return 0
    return ends[0] if first else ends[-1]


def _ends_sentence(pending: str, match: re.Match[str]) -> bool:
    if match.group()[0] == "\n":
        return bool(pending[: match.start()].strip())
    if not match.group().startswith("."):
        return True
    word = pending[: match.start()].rpartition(" ")[2].lower().lstrip("(\"'")
    rest = pending[match.end() :].lstrip()
    if word == "no":  # The number sign, before a number.
        return not rest[:1].isdigit()
    if word in {"a.m", "p.m"}:  # They end a sentence when the next word begins with a capital.
        return rest[:1].isupper()
    return word not in _ABBREVIATIONS and not (len(word) == 1 and word.isalpha() and word != "i")


def _last_cut(text: str) -> int:
    """The best place to cut a piece that is too long: sentence, clause, word, anywhere."""
    for pattern in (_SENTENCE, _CLAUSE):
        ends = [match.end() for match in pattern.finditer(text)]
        if ends and ends[-1] >= len(text) // 4:
            return ends[-1]
    return text.rfind(" ") + 1 or len(text)
