"""What the scripted receptionist knows of a conversation, and what it does about it: ask, call a tool, tell the result."""

from datetime import date
from enum import StrEnum
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from engine.adapters.scripted_words import say_day, say_list, say_time, sentence

OFFERED_MAX = 3
"""Free times read out at once: more are not remembered."""
FIRST_TIMES = {"": ("08", "12", "15"), "morning": ("08", "10", "11"), "afternoon": ("12", "14", "16")}
"""Hours from which the first free time is offered, so that the offers lie apart."""

STILL = "One moment, I'm still at it."
MORE = "Is there anything else I can do for you?"
LOST = "I'm sorry, the appointment book did not answer. Shall I try again?"
FAREWELL = "Thank you for calling. Goodbye."


class Wish(StrEnum):
    """What the caller wants."""

    NONE = ""
    BOOK = "book"
    MOVE = "move"
    CANCEL = "cancel"
    LOOK = "look"
    FREE = "free"


class Asked(StrEnum):
    """What was asked last, so that a short answer can be understood."""

    NOTHING = ""
    SLOT = "slot"
    """A day, a time or both."""
    CHOICE = "choice"
    """One of the offered times."""
    WHICH = "which"
    """Which of several appointments."""
    SURE = "sure"
    """Whether to cancel the one that was found."""
    AGAIN = "again"
    """Whether to try again."""
    MORE = "more"
    """Whether there is anything else."""


class Slot(Struct, frozen=True):
    """A day and a time, either of which may still be open."""

    day: str = ""
    time: str = ""

    @property
    def whole(self) -> bool:
        return bool(self.day and self.time)

    def filled(self, day: str, time: str) -> "Slot":
        return Slot(day or self.day, time or self.time)


class Talk(Struct, frozen=True, kw_only=True):
    """What the conversation has come to."""

    today: date
    wish: Wish = Wish.NONE
    wanted: Slot = Slot()
    """The time to book, or to move to."""
    target: Slot = Slot()
    """The appointment to move, cancel or look up."""
    part: str = ""
    """Morning or afternoon, where the caller said so."""
    asked: Asked = Asked.NOTHING
    offers: tuple[Slot, ...] = ()
    made: Slot = Slot()
    """The last appointment booked or moved in this conversation."""
    missed: int = 0
    """Turns not understood, in a row."""
    said: str = ""
    """The last answer."""


class Reply(Struct, frozen=True):
    """What to do now: say something, call a tool, or both in this order."""

    text: str = ""
    tool: str = ""
    arguments: dict[str, str] = {}


Turn = tuple[Talk, Reply]


def begin(talk: Talk, wish: Wish, asked: Asked = Asked.NOTHING) -> Talk:
    """A new wish, with nothing known of it yet. A wish for a time that was being asked about becomes a booking."""
    keeps = talk.wish is Wish.FREE and wish is Wish.BOOK
    return replace(
        talk,
        wish=wish,
        wanted=talk.wanted if keeps else Slot(),
        target=Slot(),
        part=talk.part if keeps else "",
        offers=(),
        asked=asked,
    )


# What to do about it.


def decide(talk: Talk) -> Turn:
    """The next act for a wish, from what is known of it."""
    if talk.wish is Wish.BOOK or (talk.wish is Wish.FREE and talk.wanted.whole):
        return decide_booking(replace(talk, wish=Wish.BOOK))
    if talk.wish is Wish.FREE:
        if not talk.wanted.day:
            return replace(talk, asked=Asked.SLOT), Reply("For which day?")
        return replace(talk, asked=Asked.NOTHING), Reply("Let me look.", "find_slots", {"day": talk.wanted.day})
    if talk.wish is Wish.LOOK:
        return talk, Reply(tool="list_appointments", arguments={"day": talk.target.day} if talk.target.day else {})
    return decide_change(talk)


def decide_booking(talk: Talk) -> Turn:
    if talk.wanted.whole:
        return replace(talk, asked=Asked.NOTHING), call("book_appointment", talk.wanted)
    if talk.wanted.day:
        return replace(talk, asked=Asked.NOTHING), Reply("Let me look.", "find_slots", {"day": talk.wanted.day})
    if talk.wanted.time:
        return replace(talk, asked=Asked.SLOT), Reply(f"At {say_time(talk.wanted.time)} on which day?")
    return replace(talk, asked=Asked.SLOT), Reply("Sure. What day and time would you like?")


def decide_change(talk: Talk) -> Turn:
    """Move or cancel: first find the appointment, then say what becomes of it."""
    if not talk.target.whole and talk.made.whole and talk.made.filled(talk.target.day, talk.target.time) == talk.made:
        talk = replace(talk, target=talk.made)
    if not talk.target.whole:
        arguments = {"day": talk.target.day} if talk.target.day else {}
        return replace(talk, asked=Asked.NOTHING), Reply(tool="list_appointments", arguments=arguments)
    if talk.wish is Wish.CANCEL:
        return replace(talk, asked=Asked.NOTHING), call("cancel_appointment", talk.target)
    if not (talk.wanted.day or talk.wanted.time):
        return replace(talk, asked=Asked.SLOT), Reply("What day and time would you like instead?")
    wanted = talk.target.filled(talk.wanted.day, talk.wanted.time)
    moved = {"old_day": talk.target.day, "old_time": talk.target.time, "day": wanted.day, "time": wanted.time}
    return replace(talk, wanted=wanted, asked=Asked.NOTHING), Reply(tool="move_appointment", arguments=moved)


def call(tool: str, slot: Slot) -> Reply:
    return Reply(tool=tool, arguments={"day": slot.day, "time": slot.time})


# What the tools answer.


def learn(talk: Talk, tool: str, output: str) -> Turn:
    """Take a tool's result and decide what to say of it."""
    if tool == "end_call":
        return talk, Reply(FAREWELL)
    try:
        result = msgspec.json.decode(output)
        if isinstance(result, dict) and result.get("status") == "still running":
            return talk, Reply(STILL)
        match tool:
            case "find_slots":
                return learn_slots(talk, result)
            case "list_appointments":
                return learn_list(talk, tuple(Slot(each["day"], each["time"]) for each in result))
            case "book_appointment" | "move_appointment" | "cancel_appointment":
                return learn_answer(talk, tool, result)
    except (msgspec.DecodeError, KeyError, TypeError, ValueError):
        # Cancelled, timed out or failed: the result is a sentence for a language model, and all that is sure is that it went wrong.
        pass
    return replace(talk, asked=Asked.AGAIN), Reply(LOST)


def learn_slots(talk: Talk, result: dict[str, Any]) -> Turn:
    """Offer some of a day's free times."""
    day, free = result["day"], tuple(result["free"])
    said = say_day(date.fromisoformat(day), talk.today)
    inside = tuple(time for time in free if not talk.part or (time < "12") == (talk.part == "morning"))
    offers: list[str] = []
    for hour in FIRST_TIMES[talk.part]:
        offers += [time for time in inside if time >= hour and time not in offers][:1]
    if not offers:
        reason = f"I have nothing free on {said}" if result["open"] or free else f"We're closed on {said}"
        return nothing_there(talk), Reply(f"{reason}. Would another day work?")
    times = say_list([say_time(time) for time in offers[:OFFERED_MAX]])
    asked = replace(talk, asked=Asked.CHOICE, offers=tuple(Slot(day, time) for time in offers[:OFFERED_MAX]))
    return asked, Reply(f"On {said}, I have {sentence(times)} What time would you like?")


def nothing_there(talk: Talk) -> Talk:
    """The wish goes on; the day it was about is forgotten."""
    return replace(talk, wanted=Slot("", talk.wanted.time), asked=Asked.SLOT, offers=())


def learn_list(talk: Talk, listed: tuple[Slot, ...]) -> Turn:
    """Read out what stands in the book, or pick out the appointment that is to be changed."""
    if talk.target.time:
        listed = tuple(each for each in listed if each.time == talk.target.time)
    spoken = [speak(each, talk) for each in listed[:OFFERED_MAX]]
    if not listed:
        where = f" on {say_day(date.fromisoformat(talk.target.day), talk.today)}" if talk.target.day else ""
        return begin(talk, Wish.NONE, Asked.MORE), Reply(f"I can't find an appointment{where}. {MORE}")
    if talk.wish is Wish.LOOK or talk.wish is Wish.NONE:
        count = "an appointment" if len(listed) == 1 else f"{len(listed)} appointments"
        first = "" if len(listed) <= OFFERED_MAX else "The first are "
        text = (
            f"You have {count}. {first}{sentence(say_list(spoken))}"
            if first
            else f"You have {count} {sentence(say_list(spoken))}"
        )
        made = listed[0] if len(listed) == 1 else talk.made
        return replace(begin(talk, Wish.NONE, Asked.MORE), made=made), Reply(f"{text} {MORE}")
    if len(listed) > 1:
        text = f"I see appointments {sentence(say_list(spoken))} Which one do you mean?"
        return replace(talk, asked=Asked.WHICH, offers=listed[:OFFERED_MAX]), Reply(text)
    named = talk.target.day or talk.target.time
    talk = replace(talk, target=listed[0])
    if talk.wish is Wish.CANCEL and not named:
        return replace(talk, asked=Asked.SURE), Reply(
            f"You have an appointment {spoken[0]}, is that the one to cancel?"
        )
    return decide_change(talk)


def speak(slot: Slot, talk: Talk) -> str:
    """ "on Tuesday, November twenty-fourth, at three p.m."."""
    return f"on {say_day(date.fromisoformat(slot.day), talk.today)}, at {say_time(slot.time)}"


def learn_answer(talk: Talk, tool: str, result: dict[str, Any]) -> Turn:
    """Say what was booked, moved or cancelled, or why not."""
    if not result["done"]:
        return learn_refusal(talk, tool, result)
    slot = Slot(result["appointment"]["day"], result["appointment"]["time"])
    done = {"book_appointment": "You're booked for", "move_appointment": "I've moved it to"}.get(tool)
    made = Slot() if done is None else slot
    text = (
        f"{done} {speak(slot, talk).removeprefix('on ')}"
        if done
        else f"Your appointment {speak(slot, talk)}, is cancelled"
    )
    return replace(begin(talk, Wish.NONE, Asked.MORE), made=made), Reply(f"{sentence(text)} {MORE}")


def learn_refusal(talk: Talk, tool: str, result: dict[str, Any]) -> Turn:
    reason = result["reason"]
    if reason == "unknown":
        return begin(talk, Wish.NONE, Asked.MORE), Reply(f"I can't find that appointment. {MORE}")
    day = say_day(date.fromisoformat(talk.wanted.day), talk.today)
    if reason in ("past", "far"):
        why = "is already over" if reason == "past" else "is too far ahead"
        return nothing_there(talk), Reply(f"{day} {why}. Which day would you like?")
    if not result.get("open"):
        return nothing_there(talk), Reply(f"We're closed on {day}. Would another day work?")
    offers = tuple(Slot(talk.wanted.day, time) for time in result.get("free", ()))
    if not offers:
        return nothing_there(talk), Reply(f"I have nothing free on {day}. Would another day work?")
    time = say_time(talk.wanted.time)
    why = {
        "taken": f"On {day}, {time} is taken.",
        "between": f"I have no appointment at {sentence(time)}",
        "closed": f"We're closed at {sentence(time)}",
    }[reason]
    times = say_list([say_time(offer.time) for offer in offers], "or")
    asked = replace(talk, wanted=Slot(talk.wanted.day), asked=Asked.CHOICE, offers=offers)
    return asked, Reply(f"{why} I have {times}, which would you like?")
