"""Days and times as people say them and as recognisers write them, both ways.

Reads "monday at ten twenty", "November 20th, 3:30 PM", "the day after tomorrow at five o'clock p.m.", "half past three"; says
"Monday, November thirtieth" and "ten twenty a.m.". English only. No clock: what day it is comes with the question.
"""

import re
from datetime import date, timedelta

from msgspec import Struct

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MONTHS = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip
UNITS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen",
    "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
TENS = ("", "", "twenty", "thirty", "forty", "fifty")
ORDINALS = (
    "", "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth", "eleventh", "twelfth",
    "thirteenth", "fourteenth", "fifteenth", "sixteenth", "seventeenth", "eighteenth", "nineteenth", "twentieth",
)  # fmt: skip
SOUNDS_LIKE = {"for": 4, "fore": 4, "to": 2, "too": 2, "ate": 8, "won": 1, "tree": 3}
"""What a recogniser may write for the hour after "at"."""
PARTS = {"morning": "morning", "afternoon": "afternoon", "evening": "afternoon", "tonight": "afternoon"}
NOT = frozenset({"not", "can't", "cannot"})
"""Before a day or a time: that one is not meant. "Not on friday" included."""
TIME_MARKS = frozenset({"at", "around", "about"})
ONE_BEFORE = frozenset(
    {"first", "second", "third", "last", "this", "that", "which", "the", "other", "another", "earlier", "later"}
)
ONE_AFTER = frozenset({"moment", "second", "minute", "more", "of", "thing", "appointment", "on", "at"})
"""Around "one" they say that it is no hour: "the first one", "one moment"."""
MORNING_HOUR = 7
"""Without a.m. or p.m., an hour from 7 to 11 is taken for the morning and one from 1 to 6 for the afternoon."""

TOKEN = re.compile(r"\d{1,2}:\d\d|\d+(?:st|nd|rd|th)?|[a-z']+")
MERIDIEM = re.compile(r"\b([ap])\s?\.?\s?m\b\.?")


class Mention(Struct, frozen=True):
    """A day or a time that was said."""

    start: int
    """Index of its first token."""
    end: int
    """Index after its last."""
    day: date | None = None
    time: str = ""
    """HH:MM."""
    marked: bool = True
    """A bare number is no time unless something around it says so."""


def tokens(text: str) -> list[str]:
    """Lower-case words and numbers; "p.m." becomes "pm", "twenty-first" two words, "o'clock" one."""
    text = text.lower().replace("’", "'").replace("-", " ")
    text = re.sub(r"\bo'?\s?clock\b", "oclock", text)
    text = re.sub(r"(\d)([ap]\.?m)", r"\1 \2", text)
    return TOKEN.findall(MERIDIEM.sub(r"\1m", text))


def mentions(words: list[str], today: date, part: str = "") -> list[Mention]:
    """Days and times in the order they were said.

    today:  what "tomorrow" counts from.
    part:   morning or afternoon, where the conversation has settled that.
    """
    found: list[Mention] = []
    at = 0
    while at < len(words):
        digits = digits_from(words, at)
        mention = read_day(words, at, today) or (None if digits else read_time(words, at, part))
        if mention is not None and not NOT.intersection(words[max(0, at - 2) : at]):
            found.append(mention)
        at = mention.end if mention is not None else at + max(digits, 1)
    return found


def digits_from(words: list[str], at: int) -> int:
    """How many words a telephone number takes that begins here; 0: it is none. "ten twenty five" is still a time."""
    end = at
    while number(words, end)[1] or word_at(words, end) in ("oh", "o", "double", "hundred"):
        end += 1
    return end - at if end - at > 3 else 0


# Numbers.


def number(words: list[str], at: int) -> tuple[int, int]:
    """A cardinal below sixty at this place: its value and how many words it takes; (-1, 0) where there is none."""
    word = word_at(words, at)
    if word.isdigit():
        return int(word), 1
    if word in UNITS:
        return UNITS.index(word), 1
    if word in TENS[2:]:
        unit = word_at(words, at + 1)
        if unit in UNITS[1:10]:
            return TENS.index(word) * 10 + UNITS.index(unit), 2
        return TENS.index(word) * 10, 1
    return -1, 0


def ordinal(words: list[str], at: int) -> tuple[int, int]:
    """An ordinal up to thirty-first: its value and how many words it takes; (-1, 0) where there is none."""
    word = word_at(words, at)
    if found := re.fullmatch(r"(\d+)(?:st|nd|rd|th)", word):
        return int(found[1]), 1
    if word in ORDINALS[1:]:
        return ORDINALS.index(word), 1
    if word == "thirtieth":
        return 30, 1
    unit = word_at(words, at + 1)
    if word in ("twenty", "thirty") and unit in ORDINALS[1:10]:
        return TENS.index(word) * 10 + ORDINALS.index(unit), 2
    return -1, 0


def word_at(words: list[str], at: int) -> str:
    return words[at] if 0 <= at < len(words) else ""


# Days.


def read_day(words: list[str], at: int, today: date) -> Mention | None:
    """A day at this place."""
    word = words[at]
    if word in ("today", "tonight"):
        return Mention(at, at + 1, today)
    if word == "tomorrow":
        return Mention(at, at + 1, today + timedelta(days=1))
    if words[at : at + 3] == ["day", "after", "tomorrow"]:
        return Mention(at, at + 3, today + timedelta(days=2))
    if word.removesuffix("s") in WEEKDAYS:
        # "tuesday the twenty fourth", "tuesday, november 24th": the date says more.
        skip = at + 1 + (word_at(words, at + 1) == "the")
        if (exact := read_date(words, skip, today)) is not None:
            return Mention(at, exact.end, exact.day)
        ahead = (WEEKDAYS.index(word.removesuffix("s")) - today.weekday()) % 7 or 7
        return Mention(at, at + 1, today + timedelta(days=ahead))
    return read_date(words, at, today)


def read_date(words: list[str], at: int, today: date) -> Mention | None:
    """A day of a month: "november twentieth", "may 8", "the twenty fourth of november", "the twenty fourth"."""
    word = word_at(words, at)
    if word in MONTHS:
        skip = at + 1 + (word_at(words, at + 1) == "the")
        day, taken = ordinal(words, skip)
        if not taken:
            day, taken = number(words, skip)
        return dated(at, skip + taken, MONTHS.index(word) + 1, day, today) if taken else None
    day, taken = ordinal(words, at)
    end = at + taken
    if taken and word_at(words, end) == "of" and word_at(words, end + 1) in MONTHS:
        return dated(at, end + 2, MONTHS.index(words[end + 1]) + 1, day, today)
    # "the first one" is no date; "on the first" and "the twenty fourth" are.
    before = words[max(0, at - 2) : at]
    sure = day > 3 or word_at(words, at - 2).removesuffix("s") in ("on", *WEEKDAYS)
    if taken and before[-1:] == ["the"] and sure and word_at(words, end) != "one":
        return dated(at, end, today.month if day >= today.day else today.month % 12 + 1, day, today)
    return None


def dated(start: int, end: int, month: int, day: int, today: date) -> Mention | None:
    """The next such day that is not past."""
    for year in (today.year, today.year + 1):
        try:
            found = date(year, month, day)
        except ValueError:
            continue
        if found >= today:
            return Mention(start, end, found)
    return None


# Times.


def read_time(words: list[str], at: int, part: str) -> Mention | None:
    """A time of day at this place."""
    word = words[at]
    before, after = word_at(words, at - 1), word_at(words, at + 1)
    marked = before in TIME_MARKS
    if word == "one" and (before in ONE_BEFORE or (after in ONE_AFTER and not marked)):
        return None
    if word in ("noon", "midday", "midnight"):
        return Mention(at, at + 1, time="00:00" if word == "midnight" else "12:00")
    if found := re.fullmatch(r"(\d{1,2}):(\d\d)", word):
        return clock(words, at, at + 1, int(found[1]), int(found[2]), part)
    if (relative := read_relative(words, at, part)) is not None:
        return relative
    hour, taken = number(words, at)
    if not taken and marked and word in SOUNDS_LIKE and not number(words, at + 1)[1]:
        hour, taken = SOUNDS_LIKE[word], 1
    if not taken or (hour > 23 if word.isdigit() else not 1 <= hour <= 12):
        return None
    end = at + taken
    minute, more = read_minute(words, end)
    bare = not (marked or more or word_at(words, end + more) in ("oclock", "am", "pm"))
    mention = clock(words, at, end + more, hour, minute, part)
    if mention is None or not bare or mention.end > end:
        return mention
    if number(words, end)[1] or number(words, at - 1)[1]:
        # One of several digits: a telephone number, not a time.
        return None
    return Mention(mention.start, mention.end, time=mention.time, marked=False)


def read_relative(words: list[str], at: int, part: str) -> Mention | None:
    """ "half past three", "quarter to nine", "ten past five"."""
    minute, taken = {"half": (30, 1), "quarter": (15, 1)}.get(words[at]) or number(words, at)
    way = word_at(words, at + taken)
    if not taken or way not in ("past", "after", "to", "before"):
        return None
    if words[at] not in ("half", "quarter") and (minute not in (5, 10, 20, 25) or word_at(words, at - 1) == "from"):
        # "move it from ten to three" are two times.
        return None
    hour, more = number(words, at + taken + 1)
    if not more or not 1 <= hour <= 12:
        return None
    hour, minute = (hour, minute) if way in ("past", "after") else ((hour - 2) % 12 + 1, 60 - minute)
    return clock(words, at, at + taken + 1 + more, hour, minute, part)


def read_minute(words: list[str], at: int) -> tuple[int, int]:
    """Minutes after an hour: "twenty", "oh five", "30". A lone digit is none."""
    if word_at(words, at) in ("oh", "o"):
        minute, taken = number(words, at + 1)
        return (minute, 2) if taken == 1 and 1 <= minute <= 9 else (0, 0)
    minute, taken = number(words, at)
    return (minute, taken) if 10 <= minute <= 59 and ordinal(words, at)[1] == 0 else (0, 0)


def clock(words: list[str], start: int, end: int, hour: int, minute: int, part: str) -> Mention | None:
    """A whole time, with what follows it: o'clock, a.m., "in the afternoon"."""
    if word_at(words, end) == "oclock":
        end += 1
    said = ""
    if word_at(words, end) in ("am", "pm"):
        said = words[end]
        end += 1
    elif words[end : end + 2] == ["in", "the"] and word_at(words, end + 2) in PARTS:
        part = PARTS[words[end + 2]]
        end += 3
    if hour <= 12:
        late = said == "pm" or (not said and (part == "afternoon" or (part == "" and 1 <= hour < MORNING_HOUR)))
        hour = hour % 12 + (12 if late or (hour == 12 and said != "am") else 0)
    if hour > 23 or minute > 59:
        return None
    return Mention(start, end, time=f"{hour:02}:{minute:02}")


# Saying.


def say_number(value: int) -> str:
    """A number below sixty in words."""
    if value < 20:
        return UNITS[value]
    return TENS[value // 10] + (f"-{UNITS[value % 10]}" if value % 10 else "")


def say_ordinal(value: int) -> str:
    """A day of the month in words."""
    if value <= 20:
        return ORDINALS[value]
    if value == 30:
        return "thirtieth"
    return f"{TENS[value // 10]}-{ORDINALS[value % 10]}"


def say_day(day: date, today: date) -> str:
    """ "Tuesday, November twenty-fourth", with the year where it is another."""
    said = f"{WEEKDAYS[day.weekday()].title()}, {MONTHS[day.month - 1].title()} {say_ordinal(day.day)}"
    return said if day.year == today.year else f"{said}, {day.year}"


def say_time(time: str) -> str:
    """ "three p.m.", "ten twenty a.m.", "noon"."""
    hour, minute = int(time[:2]), int(time[3:])
    if minute == 0 and hour % 12 == 0:
        return "noon" if hour else "midnight"
    spoken = say_number((hour - 1) % 12 + 1)
    if minute:
        spoken += f" oh {say_number(minute)}" if minute < 10 else f" {say_number(minute)}"
    return f"{spoken} {'a.m.' if hour < 12 else 'p.m.'}"


def say_list(parts: list[str], joint: str = "and") -> str:
    """ "a", "a and b", "a, b, and c"."""
    if len(parts) < 3:
        return f" {joint} ".join(parts)
    return f"{', '.join(parts[:-1])}, {joint} {parts[-1]}"


def sentence(text: str) -> str:
    """With a full stop, unless it ends in one ("at three p.m.")."""
    return text if text.endswith((".", "?", "!")) else f"{text}."
