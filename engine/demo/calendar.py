"""The demo's appointment calendar: a week of opening hours and one SQLite table.

What cannot be (a closed day, a taken time) is an answer, not an exception, and names the nearest times that can. Days are
YYYY-MM-DD and times HH:MM, as a language model writes them. Methods block for the length of a small query: call them from a thread.
"""

import sqlite3
import weakref
from datetime import date, timedelta
from pathlib import Path
from threading import Lock

from msgspec import Struct

from engine.errors import ConfigError, ToolError

SLOT_MINUTES = 20
HOURS = ((8, 18),) * 5 + ((9, 13), None)
"""Opening and closing hour, Monday to Sunday. None: closed."""
HORIZON_DAYS = 366
"""Nothing is booked further ahead."""
APPOINTMENTS_MAX = 20_000
"""A bound on the table: 600 days of full books."""
NEARBY = 2
"""Free times named when the wanted one cannot be had."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS appointments (
    id INTEGER PRIMARY KEY,
    day TEXT NOT NULL,
    time TEXT NOT NULL,
    name TEXT NOT NULL DEFAULT '',
    UNIQUE (day, time)
) STRICT
"""


class Appointment(Struct, frozen=True):
    """One line of the book."""

    id: int
    day: str
    time: str
    name: str = ""


class Slots(Struct, frozen=True):
    """What is free on a day."""

    day: str
    open: str
    """Such as "08:00-18:00"; empty: closed all day."""
    free: tuple[str, ...]


class Answer(Struct, frozen=True, omit_defaults=True):
    """What became of a wish."""

    done: bool
    appointment: Appointment | None = None
    reason: str = ""
    """Why not: closed, past, far, taken, between (not on the book's grid of times), unknown."""
    open: str = ""
    free: tuple[str, ...] = ()
    """The nearest free times of that day."""


class Calendar:
    """The book. One connection for the process; a lock makes one call wait for the other."""

    def __init__(self, path: str = "") -> None:
        """path: the database's file, made where there is none; empty: in memory, gone with the process. Raises ConfigError."""
        try:
            self._book = sqlite3.connect(
                Path(path).expanduser() if path else ":memory:",
                timeout=5,
                isolation_level=None,
                check_same_thread=False,
            )
        except sqlite3.Error as error:
            raise ConfigError(f"the calendar {path} cannot be opened: {error}") from error
        # Nobody tells an agent that it is over: the file is let go of with the book.
        weakref.finalize(self, self._book.close)
        try:
            self._book.execute("PRAGMA journal_mode=WAL")
            self._book.execute(SCHEMA)
        except sqlite3.Error as error:
            raise ConfigError(f"the calendar {path} cannot be opened: {error}") from error
        self._lock = Lock()

    def slots(self, today: date, day: date) -> Slots:
        """Free times of a day, in order."""
        taken = {each.time for each in self.appointments(day, day)}
        times = grid(day) if not refusal(today, day) else ()
        return Slots(day.isoformat(), opening(day), tuple(time for time in times if time not in taken))

    def book(self, today: date, day: date, time: str, name: str = "") -> Answer:
        """Write an appointment down, if the time can be had."""
        if (answer := self._impossible(today, day, time)) is not None:
            return answer
        with self._lock:
            try:
                row = self._book.execute(
                    "INSERT INTO appointments (day, time, name) SELECT ?, ?, ?"
                    " WHERE (SELECT count(*) FROM appointments) < ? RETURNING id",
                    (day.isoformat(), time, name, APPOINTMENTS_MAX),
                ).fetchone()
            except sqlite3.IntegrityError:
                row = ()
        if row is None:
            raise ToolError("The appointment book is full. Nothing was booked.")
        if not row:
            return self._refused(today, day, time, "taken")
        return Answer(True, Appointment(row[0], day.isoformat(), time, name))

    def move(self, today: date, old_day: date, old_time: str, day: date, time: str) -> Answer:
        """Give an appointment another time, or leave it as it was."""
        if (answer := self._impossible(today, day, time)) is not None:
            return answer
        with self._lock:
            try:
                row = self._book.execute(
                    "UPDATE appointments SET day = ?, time = ? WHERE day = ? AND time = ? RETURNING id, name",
                    (day.isoformat(), time, old_day.isoformat(), old_time),
                ).fetchone()
            except sqlite3.IntegrityError:
                row = ()
        if row is None:
            return Answer(False, reason="unknown")
        if not row:
            return self._refused(today, day, time, "taken")
        return Answer(True, Appointment(row[0], day.isoformat(), time, row[1]))

    def cancel(self, day: date, time: str) -> Answer:
        """Strike an appointment out."""
        with self._lock:
            row = self._book.execute(
                "DELETE FROM appointments WHERE day = ? AND time = ? RETURNING id, day, time, name",
                (day.isoformat(), time),
            ).fetchone()
        return Answer(True, Appointment(*row)) if row else Answer(False, reason="unknown")

    def appointments(self, first: date, last: date) -> tuple[Appointment, ...]:
        """What stands in the book from one day to another, both included; at most 200."""
        with self._lock:
            rows = self._book.execute(
                "SELECT id, day, time, name FROM appointments WHERE day BETWEEN ? AND ? ORDER BY day, time LIMIT 200",
                (first.isoformat(), last.isoformat()),
            ).fetchall()
        return tuple(Appointment(*row) for row in rows)

    def _impossible(self, today: date, day: date, time: str) -> Answer | None:
        """The answer where no book in the world has that time."""
        if reason := refusal(today, day):
            return Answer(False, reason=reason, open=opening(day))
        if time not in grid(day):
            hours = grid(day)
            return self._refused(today, day, time, "between" if hours[0] <= time <= hours[-1] else "closed")
        return None

    def _refused(self, today: date, day: date, time: str, reason: str) -> Answer:
        near = sorted(self.slots(today, day).free, key=lambda free: abs(minutes(free) - minutes(time)))[:NEARBY]
        return Answer(False, reason=reason, open=opening(day), free=tuple(sorted(near)))


def refusal(today: date, day: date) -> str:
    """Why nothing can be booked on a day; empty where it can."""
    if day < today:
        return "past"
    if day > today + timedelta(days=HORIZON_DAYS):
        return "far"
    return "" if HOURS[day.weekday()] else "closed"


def opening(day: date) -> str:
    """Opening hours of a day; empty: closed."""
    hours = HOURS[day.weekday()]
    return f"{hours[0]:02}:00-{hours[1]:02}:00" if hours else ""


def grid(day: date) -> tuple[str, ...]:
    """Every time of a day at which an appointment may begin."""
    hours = HOURS[day.weekday()]
    if hours is None:
        return ()
    begins = range(hours[0] * 60, hours[1] * 60, SLOT_MINUTES)
    return tuple(f"{minute // 60:02}:{minute % 60:02}" for minute in begins)


def minutes(time: str) -> int:
    """Minutes since midnight."""
    return int(time[:2]) * 60 + int(time[3:])
