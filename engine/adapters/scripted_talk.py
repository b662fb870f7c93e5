"""The scripted receptionist's side of a conversation, worked out from the messages alone.

The history is folded from its beginning: what the caller said fills in a `Talk`, what the tools answered fills in more, and the
last message decides the `Reply`. Nothing is kept between two questions, so a conversation that was cut short, replayed or begun
again in the middle needs no care.
"""

import re
from collections.abc import Iterable
from datetime import date
from enum import StrEnum
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from engine.adapters.scripted_words import PARTS, Mention, mentions, say_day, say_list, say_time, sentence, tokens
from engine.core.commands import Message, Role

TODAY = re.compile(r"Today is \w+, (\d{4}-\d\d-\d\d)")
OFFERED_MAX = 3
"""Free times read out at once: more are not remembered."""
FIRST_TIMES = {"": ("08", "12", "15"), "morning": ("08", "10", "11"), "afternoon": ("12", "14", "16")}
"""Hours from which the first free time is offered, so that the offers lie apart."""

MORE = "Is there anything else I can do for you?"
WHO = "I'm a small scripted demo, not a language model. I can book, move, cancel and look up appointments."
MISSED = (
    "Sorry, I didn't get that. You can book, move, cancel or look up an appointment.",
    "I still didn't get that. Try something like: book an appointment for tuesday at three.",
)
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


WISHES: tuple[tuple[Wish, re.Pattern[str]], ...] = (
    (Wish.CANCEL, re.compile(r"\b(cancel|delete|call off)")),
    (Wish.MOVE, re.compile(r"\b(move|reschedule|change|postpone|(?:different|another) time)")),
    (Wish.FREE, re.compile(r"\b(free|available|availability|openings?|slots?|have (?:any|some)thing|what times|have time)\b")),
    (Wish.LOOK, re.compile(r"\b(when (?:is|are)|look up|do i have|what (?:are|time is)|which appointments?|what appointments?|list|check)\b")),
    (Wish.BOOK, re.compile(r"\b(book|schedule|reserve|make an|set up|appointments?|come in)\b")),
)  # fmt: skip
"""The first that fits is the wish: "change my booking" is a move, "do you have anything free" asks for times."""

YES = re.compile(
    r"\b(yes|yeah|yep|yup|sure|okay|ok|right|correct|please do|go ahead|fine|sounds good|that works|perfect)\b"
)
NO = re.compile(r"\b(no|nope|nah|don't|do not|neither|that's all|that is all|that's it|nothing)\b")
BYE = re.compile(r"\b(bye|goodbye|good bye|hang up)\b")
THANKS = re.compile(r"\b(thanks|thank you)\b")
WHO_ASKED = re.compile(r"\b(who are you|what are you|a robot|a machine|a human|a real person|what can you do|help)\b")
REPEAT = re.compile(r"\b(repeat|again|pardon|come again|what did you say|excuse me)\b")
WAIT = re.compile(r"\b(one moment|one second|just a (?:moment|second|minute)|hold on|hang on|wait)\b")
HELLO = re.compile(r"\b(hello|hi|hey|good (?:morning|afternoon|evening|day))\b")
DROP = re.compile(r"\b(never ?mind|forget it|cancel (?:that|it))\b|^cancel$")
CHANGED = re.compile(r"\b(no|instead|actually|make (?:it|that)|change (?:it|that)|rather|sorry)\b")
CHOICES: tuple[tuple[int, re.Pattern[str]], ...] = (
    (0, re.compile(r"\b(first|earlier|earliest|former)\b")),
    (1, re.compile(r"\bsecond\b")),
    (-1, re.compile(r"\b(last|later|latest|latter)\b")),
)


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


def reply(messages: tuple[Message, ...]) -> Reply:
    """The answer to a conversation."""
    today = today_in(messages)
    if today is None:
        return Reply(
            "I'm a scripted demo, and I only know the appointment desk. To talk about anything else, configure a language model."
        )
    talk, answer = Talk(today=today), Reply("How can I help you?")
    calls: dict[str, str] = {}
    for message in messages:
        calls |= {call.call_id: call.name for call in message.calls}
        if message.role is Role.USER and not message.backchannel:
            talk, answer = hear(talk, message.text)
        elif message.role is Role.TOOL and message.call_id in calls:
            talk, answer = learn(talk, calls[message.call_id], message.text)
        talk = replace(talk, said=answer.text or talk.said)
    return answer


def today_in(messages: tuple[Message, ...]) -> date | None:
    """The day that the instructions say it is."""
    for message in messages:
        if message.role is Role.SYSTEM and (found := TODAY.search(message.text)):
            try:
                return date.fromisoformat(found[1])
            except ValueError:
                return None
    return None


# What the caller says.


def hear(talk: Talk, text: str) -> Turn:
    """Take one turn of the caller and decide the answer."""
    words = tokens(text)
    plain = " ".join(words)
    part = next((PARTS[word] for word in words if word in PARTS), "")
    found = [each for each in mentions(words, talk.today, part or talk.part) if each.marked or fits(talk, plain)]
    if (small := small_talk(talk, plain, bool(found))) is not None:
        return small
    wish = next((wish for wish, pattern in WISHES if pattern.search(plain)), Wish.NONE)
    if wish is Wish.BOOK and talk.wish is not Wish.NONE and talk.asked is not Asked.MORE and "appointment" in plain:
        # "my appointment on friday" while moving one names it; it is no new wish.
        wish = Wish.BOOK if re.search(r"\b(book|schedule|reserve|new)\b", plain) else Wish.NONE
    chosen = choice(talk, plain)
    if wish is Wish.NONE and not found and not part and chosen is None:
        return answer_shortly(talk, plain)
    talk = replace(talk, missed=0, part=part or talk.part)
    if chosen is not None and not found and wish is Wish.NONE:
        return decide(take(talk, chosen.day, chosen.time))
    if wish is Wish.NONE and talk.made.whole and talk.wish is Wish.NONE and CHANGED.search(plain):
        talk = replace(talk, wish=Wish.MOVE, target=talk.made)
    elif wish not in (Wish.NONE, talk.wish):
        talk = replace(begin(talk, wish), part=part)
    elif talk.wish is Wish.NONE:
        talk = begin(talk, Wish.BOOK)
    return decide(fill(talk, words, found))


def fits(talk: Talk, plain: str) -> bool:
    """Whether a bare number may be a time: one was asked for or is being changed, or little else was said."""
    asked = talk.asked in (Asked.SLOT, Asked.CHOICE, Asked.WHICH)
    return asked or bool(re.search(r"\b(make|move|change) (it|that)\b", plain)) or len(plain.split()) <= 3


def small_talk(talk: Talk, plain: str, slots: bool) -> Turn | None:
    """What needs no calendar. None: it is about appointments."""
    if BYE.search(plain):
        return replace(talk, wish=Wish.NONE, missed=0), Reply(tool="end_call")
    if WHO_ASKED.search(plain):
        return replace(talk, missed=0), Reply(WHO)
    if slots or any(pattern.search(plain) for wish, pattern in WISHES if wish is not Wish.CANCEL):
        return None
    if DROP.search(plain) and talk.wish in (Wish.BOOK, Wish.FREE, Wish.MOVE):
        return begin(talk, Wish.NONE, Asked.MORE), Reply(f"All right. {MORE}")
    if REPEAT.search(plain) and talk.asked is not Asked.AGAIN and not WISHES[0][1].search(plain):
        return talk, Reply(talk.said or "How can I help you?")
    if WAIT.search(plain):
        return talk, Reply("Of course, take your time.")
    return None


def answer_shortly(talk: Talk, plain: str) -> Turn:
    """Yes, no, thanks, hello; or nothing that was understood."""
    calm = replace(talk, missed=0)
    if talk.asked is Asked.SURE and (YES.search(plain) or NO.search(plain)):
        if NO.search(plain):
            return begin(calm, Wish.NONE, Asked.MORE), Reply(f"All right, it stays in the book. {MORE}")
        return replace(calm, asked=Asked.NOTHING), call("cancel_appointment", talk.target)
    if talk.asked is Asked.AGAIN and YES.search(plain):
        return decide(calm)
    if NO.search(plain) and talk.asked is Asked.CHOICE:
        return replace(calm, asked=Asked.SLOT, offers=()), Reply("Which day and time would suit you better?")
    if YES.search(plain) and talk.asked is Asked.CHOICE:
        times = say_list([say_time(offer.time) for offer in talk.offers], "or")
        return calm, Reply(f"Which one would you like: {times}?")
    if NO.search(plain) or (THANKS.search(plain) and talk.asked is Asked.MORE):
        return begin(calm, Wish.NONE), Reply(tool="end_call")
    if THANKS.search(plain):
        return replace(calm, asked=Asked.MORE), Reply(f"You're welcome. {MORE}")
    if HELLO.search(plain):
        return calm, Reply("Hello! Would you like to book, move, cancel or look up an appointment?")
    if YES.search(plain) and talk.asked is Asked.MORE:
        return replace(calm, asked=Asked.NOTHING), Reply("What can I do for you?")
    return replace(talk, missed=talk.missed + 1), Reply(MISSED[min(talk.missed, 1)])


def choice(talk: Talk, plain: str) -> Slot | None:
    """Which of the offers was meant by "the first one", or by a yes where there is only one."""
    if not talk.offers:
        return None
    for index, pattern in CHOICES:
        if pattern.search(plain) and index < len(talk.offers):
            return talk.offers[index]
    return talk.offers[0] if len(talk.offers) == 1 and YES.search(plain) and not NO.search(plain) else None


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


def take(talk: Talk, day: str, time: str) -> Talk:
    """Put a day and a time where the wish needs them."""
    if talk.wish in (Wish.CANCEL, Wish.LOOK) or (talk.wish is Wish.MOVE and talk.asked is Asked.WHICH):
        return replace(talk, target=talk.target.filled(day, time))
    return replace(talk, wanted=talk.wanted.filled(day, time))


def fill(talk: Talk, words: list[str], found: list[Mention]) -> Talk:
    """Put what was said in its place. In "move it from X to Y", what follows the "to" is the new time."""
    if talk.wish is Wish.MOVE and talk.asked is Asked.NOTHING and not talk.target.whole:
        turn = next((each.start for each in found if "to" in words[max(0, each.start - 2) : each.start]), None)
        if turn is not None:
            old, new = (
                pair(each for each in found if each.start < turn),
                pair(each for each in found if each.start >= turn),
            )
            return replace(talk, target=talk.target.filled(*old), wanted=talk.wanted.filled(*new))
        if "instead" not in words and not talk.made.whole:
            return replace(talk, target=talk.target.filled(*pair(found)))
    return take(talk, *pair(found))


def pair(found: Iterable[Mention]) -> tuple[str, str]:
    """The last day and the last time of some mentions: people correct themselves forwards."""
    day = time = ""
    for each in found:
        day = each.day.isoformat() if each.day else day
        time = each.time or time
    return day, time


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
