"""The appointment book: what can be had, what cannot, and that nothing is ever booked twice."""

import sqlite3
import threading
from datetime import date, timedelta
from pathlib import Path

import pytest

from engine.demo import calendar
from engine.demo.calendar import Answer, Appointment, Calendar, grid
from engine.errors import ConfigError, ToolError

MONDAY = date(2026, 11, 23)
TUESDAY, SATURDAY, SUNDAY = date(2026, 11, 24), date(2026, 11, 28), date(2026, 11, 29)


@pytest.fixture
def book() -> Calendar:
    return Calendar()


def test_an_empty_day_is_free_from_opening_to_closing(book: Calendar) -> None:
    slots = book.slots(MONDAY, TUESDAY)
    assert (slots.day, slots.open) == ("2026-11-24", "08:00-18:00")
    assert slots.free[:3] == ("08:00", "08:20", "08:40")
    assert slots.free[-1] == "17:40"
    assert len(slots.free) == 30


def test_saturdays_are_short_and_sundays_closed(book: Calendar) -> None:
    assert book.slots(MONDAY, SATURDAY).free[-1] == "12:40"
    assert book.slots(MONDAY, SUNDAY) == calendar.Slots("2026-11-29", "", ())


def test_what_is_booked_is_free_no_longer(book: Calendar) -> None:
    assert book.book(MONDAY, TUESDAY, "15:00", "Ada") == Answer(True, Appointment(1, "2026-11-24", "15:00", "Ada"))
    assert "15:00" not in book.slots(MONDAY, TUESDAY).free
    assert book.appointments(TUESDAY, TUESDAY) == (Appointment(1, "2026-11-24", "15:00", "Ada"),)


@pytest.mark.parametrize(
    ("day", "time", "answer"),
    [
        (TUESDAY, "15:00", Answer(False, reason="taken", open="08:00-18:00", free=("14:40", "15:20"))),
        (TUESDAY, "15:10", Answer(False, reason="between", open="08:00-18:00", free=("14:40", "15:20"))),
        (TUESDAY, "19:00", Answer(False, reason="closed", open="08:00-18:00", free=("17:20", "17:40"))),
        (TUESDAY, "06:00", Answer(False, reason="closed", open="08:00-18:00", free=("08:00", "08:20"))),
        (SUNDAY, "10:00", Answer(False, reason="closed")),
        (date(2026, 11, 20), "10:00", Answer(False, reason="past", open="08:00-18:00")),
        (date(2028, 1, 3), "10:00", Answer(False, reason="far", open="08:00-18:00")),
    ],
)
def test_what_cannot_be_had_is_answered_with_the_nearest_that_can(
    day: date, time: str, answer: Answer, book: Calendar
) -> None:
    book.book(MONDAY, TUESDAY, "15:00")
    book.book(MONDAY, TUESDAY, "10:00")
    assert book.book(MONDAY, day, time) == answer
    assert book.move(MONDAY, TUESDAY, "10:00", day, time) == answer
    assert len(book.appointments(MONDAY, MONDAY + timedelta(days=800))) == 2


def test_an_appointment_keeps_its_name_when_it_moves(book: Calendar) -> None:
    book.book(MONDAY, TUESDAY, "15:00", "Ada")
    assert book.move(MONDAY, TUESDAY, "15:00", SATURDAY, "09:20").appointment == Appointment(
        1, "2026-11-28", "09:20", "Ada"
    )
    assert "15:00" in book.slots(MONDAY, TUESDAY).free


def test_an_appointment_may_be_moved_to_its_own_time(book: Calendar) -> None:
    book.book(MONDAY, TUESDAY, "15:00")
    assert book.move(MONDAY, TUESDAY, "15:00", TUESDAY, "15:00").done


def test_what_is_not_in_the_book_cannot_be_moved_or_cancelled(book: Calendar) -> None:
    assert book.move(MONDAY, TUESDAY, "15:00", TUESDAY, "16:00") == Answer(False, reason="unknown")
    assert book.cancel(TUESDAY, "15:00") == Answer(False, reason="unknown")


def test_a_cancelled_time_can_be_had_again(book: Calendar) -> None:
    book.book(MONDAY, TUESDAY, "15:00")
    assert book.cancel(TUESDAY, "15:00").done
    assert book.book(MONDAY, TUESDAY, "15:00").done


def test_a_full_day_offers_nothing(book: Calendar) -> None:
    for time in grid(SATURDAY):
        book.book(MONDAY, SATURDAY, time)
    assert book.book(MONDAY, SATURDAY, "09:00") == Answer(False, reason="taken", open="09:00-13:00")


def test_a_full_book_takes_no_more(book: Calendar, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calendar, "APPOINTMENTS_MAX", 1)
    book.book(MONDAY, TUESDAY, "15:00")
    with pytest.raises(ToolError, match="full"):
        book.book(MONDAY, TUESDAY, "16:00")


def test_one_time_is_given_to_one_of_many_who_ask_at_once(book: Calendar) -> None:
    answers: list[Answer] = []
    start = threading.Barrier(8)

    def ask() -> None:
        start.wait()
        answers.append(book.book(MONDAY, TUESDAY, "15:00"))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answer.done for answer in answers) == [False] * 7 + [True]


def test_two_processes_share_one_file(tmp_path: Path) -> None:
    path = str(tmp_path / "book.db")
    first, second = Calendar(path), Calendar(path)
    assert first.book(MONDAY, TUESDAY, "15:00").done
    assert second.book(MONDAY, TUESDAY, "15:00").reason == "taken"
    with sqlite3.connect(path) as kept:
        assert kept.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert kept.execute("SELECT day, time FROM appointments").fetchall() == [("2026-11-24", "15:00")]
    kept.close()


def test_a_file_that_cannot_be_opened_is_the_operators(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be opened"):
        Calendar(str(tmp_path / "none" / "book.db"))
    (tmp_path / "text.db").write_text("this is no database, and long enough to be seen as none" * 30)
    with pytest.raises(ConfigError, match="not a database"):
        Calendar(str(tmp_path / "text.db"))
