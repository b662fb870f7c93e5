"""The demo agent: what it is told, and the tools with which it keeps the book."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Annotated

from msgspec import Meta

from engine.agent import Agent
from engine.demo.calendar import HORIZON_DAYS, Answer, Appointment, Calendar, Slots
from engine.demo.domain import DOMAIN
from engine.errors import ConfigError, ToolError
from engine.toolbox import Tool, tool

GREETING = "Hello, this is the appointment desk. How can I help you?"

INSTRUCTIONS = """\
You are the receptionist of a small practice and you are on the telephone. You book, move, cancel and look up appointments with
your tools, and you know the book only through them: never name a free time or confirm anything that a tool has not told you.
Today is {today:%A}, {today}. Appointments last twenty minutes. The practice is open Monday to Friday from 8:00 to 18:00 and
Saturday from 9:00 to 13:00.
Speak as one does on the telephone: one or two short sentences, no lists, no symbols; days and times in words, such as "Tuesday,
November twenty-fourth, at three p.m.". What you read was recognised from speech and may hold mistakes: where it makes no sense, ask.
When a day and a time are given, book at once and say what you booked. When a wanted time cannot be had, offer the nearest ones.
Cancel only what the caller has named or agreed to. When the caller says goodbye, call end_call and say goodbye."""

Day = Annotated[str, Meta(pattern=r"^\d{4}-\d{2}-\d{2}$", examples=["2026-11-24"])]
Time = Annotated[str, Meta(pattern=r"^([01]\d|2[0-3]):[0-5]\d$", examples=["15:00"])]


def make_agent(database: str = "", today: str = "") -> Agent:
    """The demo agent with a book of its own.

    database:  the SQLite file, made where there is none; empty: in memory, gone with the process.
    today:     the day it takes for today, YYYY-MM-DD; empty: the real one. For recordings that must stay true.
    Raises:    ConfigError.
    """
    try:
        fixed = date.fromisoformat(today) if today else None
    except ValueError:
        raise ConfigError(f"agent.settings.today is {today!r}; allowed: a day as YYYY-MM-DD") from None

    def now() -> date:
        return fixed or date.today()

    return Agent(
        lambda: INSTRUCTIONS.format(today=now()),
        tools=make_tools(Calendar(database), now),
        greeting=GREETING,
        domain=DOMAIN,
    )


def make_tools(book: Calendar, now: Callable[[], date]) -> tuple[Tool, ...]:
    """The receptionist's tools, on one book."""

    @tool
    def find_slots(day: Day) -> Slots:
        """Free times on a day, and its opening hours.

        day: as YYYY-MM-DD.
        """
        return book.slots(now(), as_day(day))

    @tool(on_interrupt="finish")
    def book_appointment(day: Day, time: Time, name: str = "") -> Answer:
        """Book an appointment. Where the time cannot be had, the answer says why and names the nearest free ones.

        day: as YYYY-MM-DD.
        time: as HH:MM, 24 hours.
        name: the caller's, if given.
        """
        return book.book(now(), as_day(day), time, name[:100])

    @tool(on_interrupt="finish")
    def move_appointment(old_day: Day, old_time: Time, day: Day, time: Time) -> Answer:
        """Give an appointment another time. Where that cannot be had, nothing changes.

        old_day: its present day, as YYYY-MM-DD.
        old_time: its present time, as HH:MM.
        day: the new day.
        time: the new time.
        """
        return book.move(now(), as_day(old_day), old_time, as_day(day), time)

    @tool(on_interrupt="finish")
    def cancel_appointment(day: Day, time: Time) -> Answer:
        """Cancel an appointment.

        day: as YYYY-MM-DD.
        time: as HH:MM, 24 hours.
        """
        return book.cancel(as_day(day), time)

    @tool
    def list_appointments(day: Day | None = None) -> tuple[Appointment, ...]:
        """Appointments that stand in the book.

        day: only those of this day, as YYYY-MM-DD; without it, all that are to come.
        """
        first = as_day(day) if day else now()
        return book.appointments(first, first if day else first + timedelta(days=HORIZON_DAYS))

    @tool(ends_call=True)
    def end_call() -> str:
        """Hang up, after you have said goodbye. Only when the caller has."""
        return "The call ends when you have said goodbye."

    return find_slots, book_appointment, move_appointment, cancel_appointment, list_appointments, end_call


def as_day(day: str) -> date:
    """A day the model wrote. Raises ToolError."""
    try:
        return date.fromisoformat(day)
    except ValueError:
        raise ToolError(f"{day} is no day of the calendar.") from None
