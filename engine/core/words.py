"""What words say about turn-taking: is it a backchannel, a stop word, a finished sentence? Pure functions of text.

Heuristics, on purpose: a recogniser's own end of turn and a `TurnDetector`'s judgement come before them. Words are compared in any
script; the lists of how sentences end are English, and asked only where the policy's language is.
"""

import re
from enum import StrEnum
from functools import lru_cache

_NO_WORD = re.compile(
    r"[\s\x00-\x1f!-&(-/:-@\[-`{-\xa9\xab-\xb4\xb6-\xb9\xbb-\xbf×÷"  # ASCII but ' and Latin-1
    r"\u2010-\u2bff\u3000-\u3004\u3008-\u3020"  # general and CJK punctuation, symbols
    r"\uff01-\uff0f\uff1a-\uff20،؛؟۔।॥\U0001f000-\U0001faff]+"  # full width, Arabic, Devanagari, pictures
)
"""What stands between words. Named one by one: the marks that follow letters in many scripts are no letters to `re`."""


@lru_cache(maxsize=512)
def normalised(text: str) -> str:
    """Lower case, no punctuation, single spaces: two spellings of the same words compare equal."""
    return _NO_WORD.sub(" ", text.lower().replace(".", "").replace("’", "'")).strip()


def joined(*parts: str) -> str:
    """Non-empty parts with one space between them."""
    return " ".join(part.strip() for part in parts if part.strip())


def word_count(text: str) -> int:
    return len(normalised(text).split())


@lru_cache(maxsize=16)
def _phrases(phrases: tuple[str, ...]) -> tuple[str, ...]:
    """Normalised, each before those it begins with."""
    return tuple(sorted(map(normalised, phrases), reverse=True))


def is_backchannel(text: str, backchannels: tuple[str, ...]) -> bool:
    """Whether `text` is nothing but signs of listening, one after the other ("yeah okay", "mm hmm")."""
    rest = normalised(text)
    if not rest:
        return False
    while rest:
        for phrase in _phrases(backchannels):
            if rest == phrase or rest.startswith(phrase + " "):
                rest = rest[len(phrase) :].lstrip()
                break
        else:
            return False
    return True


def may_become_backchannel(text: str, backchannels: tuple[str, ...]) -> bool:
    """Whether `text` is how signs of listening begin ("i" of "i see", "yeah all" of "yeah all right")."""
    words = normalised(text).split()
    for count in range(len(words)):
        head, tail = " ".join(words[:count]), " ".join(words[count:])
        begins = any(phrase.startswith(tail) for phrase in _phrases(backchannels))
        if begins and (not head or is_backchannel(head, backchannels)):
            return True
    return False


def opens_with_stop_word(text: str, stop_words: tuple[str, ...]) -> bool:
    """Whether `text` begins with a word that takes the floor at any length."""
    words = normalised(text) + " "
    return any(words.startswith(phrase + " ") for phrase in _phrases(stop_words))


def continues(before: str, after: str) -> str | None:
    """What `after` adds to `before` when it repeats it; None when it is something else. Both in any spelling."""
    old, new = normalised(before).split(), after.split()
    spelled = [normalised(word) for word in new]
    if old and spelled[: len(old)] == old:
        return " ".join(new[len(old) :])
    return None


class Completeness(StrEnum):
    """How finished words sound."""

    FINISHED = "finished"
    UNSURE = "unsure"
    UNFINISHED = "unfinished"


_TRAILING = frozenset(
    "and but or because so um uh er hmm the a an my your our his her their is are was am at on in to for with from of by "
    "i i'm i'd i'll it's that's if that which who when until about like maybe also then than as not can could would "
    "this next every between around before after".split()
)
"""Words that English does not end a sentence with, mostly function words."""

_CLOSED = frozenset("yes yeah yep no nope correct sure thanks goodbye bye exactly absolutely definitely please".split())
"""Words that close a reply."""

_WHOLE = ("thank you", "that's all", "that's it", "that is all", "never mind", "i don't know", "no thanks")

_DIGITS = frozenset("zero oh one two three four five six seven eight nine".split())
_NUMBER_ASKED = re.compile(r"\b(number|digits|phone|code|account|reference|pin)\b")
_TIME_WORDS = re.compile(r"\b(am|pm|o'clock|noon|midnight)$")


def trailing_digits(text: str) -> int:
    """How many digits, spoken or written, `text` ends with."""
    count = 0
    for word in reversed(normalised(text).split()):
        if word.isdigit():
            count += len(word)
        elif word in _DIGITS:
            count += 1
        else:
            break
    return count


@lru_cache(maxsize=512)
def completeness(text: str, question: str, language: str) -> Completeness:
    """How finished `text` sounds as an answer to `question`, what the agent said last. language: of both, as in BCP 47."""
    bare, words = text.rstrip(), normalised(text)
    last = words.rpartition(" ")[2]
    english = language[:2] == "en"
    if not words or bare.endswith(("...", "…", ",", "-", ":", "，", "、", "،")) or (english and last in _TRAILING):
        return Completeness.UNFINISHED
    digits = trailing_digits(words)
    if digits:
        return _number_completeness(digits, words, question)
    if bare.endswith((".", "?", "!", "。", "？", "！", "؟", "।")):
        return Completeness.FINISHED
    return _english_completeness(words, last, question) if english else Completeness.UNSURE


def _english_completeness(words: str, last: str, question: str) -> Completeness:
    if _TIME_WORDS.search(words) or words.endswith(_WHOLE):
        return Completeness.FINISHED
    if last in _CLOSED or (words in {"okay", "ok", "right"} and question.rstrip().endswith("?")):
        return Completeness.FINISHED
    return Completeness.UNSURE


def _number_completeness(digits: int, words: str, question: str) -> Completeness:
    """Numbers being read out come in groups: telephone numbers have 7, 10 or 11 digits, and callers pause after 3 and 6."""
    if digits in {7, 10, 11, 16}:
        return Completeness.FINISHED
    if digits >= 3 or _NUMBER_ASKED.search(words) or _NUMBER_ASKED.search(question.lower()):
        return Completeness.UNFINISHED
    return Completeness.UNSURE
