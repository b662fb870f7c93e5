"""The scripted receptionist's side of a conversation, worked out from the messages alone.

The history is folded from its beginning: what the caller said fills in a `Talk`, what the tools answered fills in more, and the
last message decides the `Reply`. Nothing is kept between two questions, so a conversation that was cut short, replayed or begun
again in the middle needs no care.
"""

import re
from collections.abc import Iterable
from datetime import date

from msgspec.structs import replace

from engine.adapters.scripted_desk import MORE, Asked, Reply, Slot, Talk, Turn, Wish, begin, call, decide, learn
from engine.adapters.scripted_words import PARTS, Mention, mentions, say_list, say_time, tokens
from engine.core.commands import Message, Role

TODAY = re.compile(r"Today is \w+, (\d{4}-\d\d-\d\d)")
HELP = "How can I help you?"
STRANGER = "I'm a scripted demo, and I only know the appointment desk. To talk about anything else, configure a language model."
WHO = "I'm a small scripted demo, not a language model. I can book, move, cancel and look up appointments."
MISSED = (
    "Sorry, I didn't get that. You can book, move, cancel or look up an appointment.",
    "I still didn't get that. Try something like: book an appointment for tuesday at three.",
)
ASK_AGAIN = {
    Asked.SLOT: "Sorry, I didn't get that. Which day and time would you like?",
    Asked.CHOICE: "Sorry, I didn't get that. Which time would you like?",
    Asked.WHICH: "Sorry, I didn't get that. On which day is the appointment?",
    Asked.SURE: "Sorry, shall I cancel it, yes or no?",
    Asked.AGAIN: "Sorry, shall I try again, yes or no?",
}
"""Where something was asked, the same is asked once more."""
HALF_HEARD = "Sorry, I didn't get the time. What time was that?"
WISHES: tuple[tuple[Wish, re.Pattern[str]], ...] = (
    (Wish.CANCEL, re.compile(r"\b(cancel|delete|call off)")),
    (Wish.MOVE, re.compile(r"\b(move|reschedule|change|postpone|(?:put|push|bring) (?:it|that|my)|(?:different|another) time)")),
    (Wish.FREE, re.compile(r"\b(free|available|availability|openings?|slots?|have (?:any|some)thing|what times|have time|any time)\b")),
    (Wish.LOOK, re.compile(r"\b(when (?:is|are) my|look up|do i have|what time is my|(?:what|which)(?: are my)? appointments?|list|check|confirm)\b")),
    (Wish.BOOK, re.compile(r"\b(book|schedule|reserve|arrange|set up|come in|(?:make|get|have|need) an?|see (?:the|a|my|doctor)|appointments?)\b")),
)  # fmt: skip
"""The first that fits is the wish: "change my booking" is a move, "do you have anything free" asks for times."""

YES = re.compile(
    r"\b(yes|yeah|yep|yup|sure|okay|ok|right|correct|please do|go ahead|fine|sounds good|that works|perfect)\b"
)
NO = re.compile(r"\b(no|nope|nah|don't|do not|neither|that's all|that is all|that's it|nothing)\b")
BYE = re.compile(r"\b(bye|goodbye|good bye|hang up)\b")
THANKS = re.compile(r"\b(thanks|thank you)\b")
WHO_ASKED = re.compile(
    r"\b(who are you|what are you|a robot|a machine|a human|a real person|what can (?:you do|i say))\b|^(?:please )?help(?: me)?$"
)
REPEAT = re.compile(r"\b(repeat|again|pardon|come again|what did you say|excuse me)\b")
WAIT = re.compile(
    r"\b(one moment|one second|just a (?:moment|second|minute)|let me (?:think|see|check)|hold on|hang on|wait)\b"
)
HELLO = re.compile(r"\b(hello|hi|hey|good (?:morning|afternoon|evening|day))\b")
DROP = re.compile(r"\b(never ?mind|forget it|cancel (?:that|it))\b|^cancel$")
CHANGED = re.compile(r"\b(no|instead|actually|make (?:it|that)|change (?:it|that)|rather|sorry)\b")
CHOICES: tuple[tuple[int, re.Pattern[str]], ...] = (
    (0, re.compile(r"\b(first|earlier|earliest|former|either|any)\b")),
    (1, re.compile(r"\bsecond\b")),
    (-1, re.compile(r"\b(last|later|latest|latter)\b")),
)


def reply(messages: tuple[Message, ...], run: int = 0) -> Reply:
    """The answer to a conversation.

    run:  the run that asks: what it has already said of the answer is not said again.
    """
    today = today_in(messages)
    if today is None:
        return Reply(STRANGER)
    talk, answer = Talk(today=today), Reply(HELP)
    told = answer
    calls: dict[str, str] = {}
    for message in messages:
        calls |= {call.call_id: call.name for call in message.calls}
        if message.role is Role.USER and not message.backchannel:
            talk, answer = hear(talk, message.text)
        elif message.role is Role.TOOL and message.call_id in calls:
            talk, answer = learn(talk, calls[message.call_id], message.text)
            told = answer
        talk = replace(talk, said=answer.text or talk.said)
    last = next((message for message in reversed(messages) if message.role is not Role.SYSTEM), None)
    if last is None or last.role is not Role.ASSISTANT:
        return answer
    if run and last.run == run:
        # Another model, or this one, broke off in the middle of this very answer.
        return replace(answer, text=answer.text.removeprefix(last.text).lstrip())
    # Nobody has said anything since: a tool that was left behind has answered.
    return told


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
        return talk, Reply(talk.said or HELP)
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
    if (NO.search(plain) or THANKS.search(plain)) and talk.asked is Asked.MORE:
        return begin(calm, Wish.NONE), Reply(tool="end_call")
    if NO.search(plain):
        return begin(calm, Wish.NONE), Reply("All right. What can I do for you?")
    if THANKS.search(plain):
        return replace(calm, asked=Asked.MORE), Reply(f"You're welcome. {MORE}")
    if HELLO.search(plain):
        return calm, Reply("Hello! Would you like to book, move, cancel or look up an appointment?")
    if YES.search(plain) and talk.asked is Asked.MORE:
        return replace(calm, asked=Asked.NOTHING), Reply("What can I do for you?")
    return miss(talk, plain)


def miss(talk: Talk, plain: str) -> Turn:
    """Nothing was understood: ask again, each time more plainly."""
    missed = replace(talk, missed=talk.missed + 1)
    if {"oclock", "am", "pm"}.intersection(plain.split()) and "i am" not in plain:
        return replace(missed, asked=Asked.SLOT), Reply(HALF_HEARD)
    return missed, Reply(ASK_AGAIN.get(talk.asked) or MISSED[min(talk.missed, 1)])


def choice(talk: Talk, plain: str) -> Slot | None:
    """Which of the offers was meant by "the first one", or by a yes where there is only one."""
    if not talk.offers:
        return None
    for index, pattern in CHOICES:
        if pattern.search(plain) and index < len(talk.offers):
            return talk.offers[index]
    return talk.offers[0] if len(talk.offers) == 1 and YES.search(plain) and not NO.search(plain) else None


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
