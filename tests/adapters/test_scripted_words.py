"""Days and times, read and said."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.adapters.scripted_words import mentions, say_day, say_list, say_number, say_ordinal, say_time, tokens

TODAY = date(2026, 11, 23)
"""A Monday."""

SAID = [
    ("today", ["2026-11-23"]),
    ("tomorrow", ["2026-11-24"]),
    ("the day after tomorrow", ["2026-11-25"]),
    ("monday", ["2026-11-30"]),
    ("next sunday", ["2026-11-29"]),
    ("november twentieth", ["2027-11-20"]),
    ("november the twenty fourth", ["2026-11-24"]),
    ("the twenty-fourth of november", ["2026-11-24"]),
    ("December 1st", ["2026-12-01"]),
    ("december one", ["2026-12-01"]),
    ("tuesday november twenty fourth", ["2026-11-24"]),
    ("tuesday the first", ["2026-12-01"]),
    ("on the first", ["2026-12-01"]),
    ("the thirtieth", ["2026-11-30"]),
    ("the fifth", ["2026-12-05"]),
    ("may eighth", ["2027-05-08"]),
    ("may i come in", []),
    ("may twenty", ["2027-05-20"]),
    ("not on wednesday but thursday", ["2026-11-26"]),
    ("i can't do ten o'clock", []),
    ("tonight at ten to six", ["2026-11-23", "17:50"]),
    ("from ten to three", ["10:00", "15:00"]),
    ("at midnight", ["00:00"]),
    ("eleven twenty nine", ["11:29"]),
    ("six five five oh three six", []),
    ("my number is double three forty five nine", []),
    ("fifteen", []),
    ("february thirtieth", []),
    ("monday at ten twenty", ["2026-11-30", "10:20"]),
    ("tomorrow at seven a.m.", ["2026-11-24", "07:00"]),
    ("tomorrow at three", ["2026-11-24", "15:00"]),
    ("thursday at six o'clock p.m.", ["2026-11-26", "18:00"]),
    ("september fourteenth at ten o'clock p.m.", ["2027-09-14", "22:00"]),
    ("five o'clock p.m.", ["17:00"]),
    ("five o clock", ["17:00"]),
    ("eleven twenty p m", ["23:20"]),
    ("one a.m.", ["01:00"]),
    ("at twelve", ["12:00"]),
    ("at noon", ["12:00"]),
    ("twelve thirty a.m.", ["00:30"]),
    ("3:30 PM", ["15:30"]),
    ("3pm", ["15:00"]),
    ("at 15:40", ["15:40"]),
    ("ten oh five", ["10:05"]),
    ("half past three", ["15:30"]),
    ("quarter past nine", ["09:15"]),
    ("quarter to nine", ["08:45"]),
    ("twenty past four", ["16:20"]),
    ("three in the afternoon", ["15:00"]),
    ("eight in the evening", ["20:00"]),
    ("ten forty five", ["10:45"]),
    ("at for", ["16:00"]),
    ("tuesday at to", ["2026-11-24", "14:00"]),
    ("move it from ten to three p.m.", ["10:00", "15:00"]),
    ("two five one zero two seven three four", []),
    ("four six four eight", []),
    ("twenty five", []),
    ("at twenty five", []),
    ("at 99", []),
    ("the first one", []),
    ("one moment please", []),
    ("10:75", []),
    ("", []),
]


@pytest.mark.parametrize(("said", "meant"), SAID)
def test_what_callers_say_is_understood(said: str, meant: list[str]) -> None:
    found = mentions(tokens(said), TODAY)
    assert [each.day.isoformat() if each.day else each.time for each in found] == meant


@pytest.mark.parametrize(
    ("said", "marked"), [("at three", True), ("three o'clock", True), ("three ten", True), ("three", False)]
)
def test_a_bare_number_is_known_as_such(said: str, marked: bool) -> None:
    assert [each.marked for each in mentions(tokens(said), TODAY)] == [marked]


@pytest.mark.parametrize(("part", "time"), [("morning", "04:00"), ("afternoon", "16:00"), ("", "16:00")])
def test_the_part_of_the_day_settles_the_hour(part: str, time: str) -> None:
    assert [each.time for each in mentions(["at", "four"], TODAY, part)] == [time]


@given(st.integers(0, 23), st.integers(0, 59))
def test_a_time_that_is_said_is_read_as_the_same(hour: int, minute: int) -> None:
    time = f"{hour:02}:{minute:02}"
    assert [each.time for each in mentions(tokens(f"at {say_time(time)}"), TODAY)] == [time]


@given(st.integers(0, 364))
def test_a_day_that_is_said_is_read_as_the_same(ahead: int) -> None:
    day = TODAY + timedelta(days=ahead)
    said = say_day(day, TODAY).removesuffix(f", {day.year}")
    assert [each.day for each in mentions(tokens(said), TODAY)] == [day]


@given(st.text())
def test_any_text_is_read_without_complaint(text: str) -> None:
    mentions(tokens(text), TODAY)


@given(st.lists(st.sampled_from(sorted({word for said, _ in SAID for word in tokens(said)})), max_size=12))
def test_any_words_are_read_without_complaint(words: list[str]) -> None:
    for each in mentions(words, TODAY):
        assert each.start < each.end <= len(words)


def test_days_and_times_read_naturally() -> None:
    assert say_day(date(2026, 11, 24), TODAY) == "Tuesday, November twenty-fourth"
    assert say_day(date(2027, 1, 30), TODAY) == "Saturday, January thirtieth, 2027"
    assert say_day(date(2027, 8, 31), date(2027, 1, 1)) == "Tuesday, August thirty-first"
    assert [say_time(time) for time in ("15:00", "08:05", "12:00", "12:20", "10:40")] == [
        "three p.m.",
        "eight oh five a.m.",
        "noon",
        "twelve twenty p.m.",
        "ten forty a.m.",
    ]
    assert (say_number(21), say_ordinal(12)) == ("twenty-one", "twelfth")
    assert [say_list(parts) for parts in (["a"], ["a", "b"], ["a", "b", "c"])] == ["a", "a and b", "a, b, and c"]
