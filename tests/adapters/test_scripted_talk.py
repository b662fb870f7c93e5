"""Whole conversations with the scripted receptionist, on the demo's own calendar. Each line: the caller; then the agent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.adapters import domain
from engine.adapters.scripted_talk import HELP, STRANGER, reply
from engine.core.commands import CallMade, Message, Role
from engine.demo.domain import DOMAIN
from tests.adapters.desk import Desk

MORE = "Is there anything else I can do for you?"
DAY = "Tuesday, November twenty-fourth"

TALKS = {
    "book at once": [
        ("i'd like to book an appointment for tuesday at three", f"You're booked for {DAY}, at three p.m. {MORE}"),
        ("no thank you", "Thank you for calling. Goodbye."),
    ],
    "book step by step": [
        ("hello", "Hello! Would you like to book, move, cancel or look up an appointment?"),
        ("i need an appointment", "Sure. What day and time would you like?"),
        ("tomorrow", f"Let me look. On {DAY}, I have eight a.m., noon, and three p.m. What time would you like?"),
        ("the first one", f"You're booked for {DAY}, at eight a.m. {MORE}"),
        ("thanks", "Thank you for calling. Goodbye."),
    ],
    "the time before the day": [
        ("book me at five o'clock p.m.", "At five p.m. on which day?"),
        ("tomorrow", f"You're booked for {DAY}, at five p.m. {MORE}"),
    ],
    "a day and a time are a booking": [("monday at ten twenty", f"You're booked for Monday, November thirtieth, at ten twenty a.m. {MORE}")],
    "a typed request": [("Book an appointment on November 24th at 3:20 PM, please.", f"You're booked for {DAY}, at three twenty p.m. {MORE}")],
    "closed that day": [
        ("book me for sunday at seven p.m.", "We're closed on Sunday, November twenty-ninth. Would another day work?"),
        ("saturday at eleven", f"You're booked for Saturday, November twenty-eighth, at eleven a.m. {MORE}"),
    ],
    "closed at that time": [
        ("book tomorrow at seven a.m.", "We're closed at seven a.m. I have eight a.m. or eight twenty a.m., which would you like?"),
        ("yes", "Which one would you like: eight a.m. or eight twenty a.m.?"),
        ("eight", f"You're booked for {DAY}, at eight a.m. {MORE}"),
    ],
    "between two times": [
        ("book tomorrow at ten fifteen", "I have no appointment at ten fifteen a.m. I have ten a.m. or ten twenty a.m., which would you like?"),
        ("the later one", f"You're booked for {DAY}, at ten twenty a.m. {MORE}"),
    ],
    "taken": [
        ("book an appointment tuesday at three", f"You're booked for {DAY}, at three p.m. {MORE}"),
        ("book another appointment tuesday at three", f"On {DAY}, three p.m. is taken. I have two forty p.m. or three twenty p.m., which would you like?"),
        ("no", "Which day and time would suit you better?"),
        ("wednesday at two", f"You're booked for Wednesday, November twenty-fifth, at two p.m. {MORE}"),
    ],
    "free times": [
        ("what do you have free on friday afternoon", "Let me look. On Friday, November twenty-seventh, I have noon, two p.m., and four p.m. What time would you like?"),
        ("the last one", f"You're booked for Friday, November twenty-seventh, at four p.m. {MORE}"),
    ],
    "free, but when": [
        ("do you have anything free", "For which day?"),
        ("sunday", "Let me look. We're closed on Sunday, November twenty-ninth. Would another day work?"),
        ("tomorrow morning", f"Let me look. On {DAY}, I have eight a.m., ten a.m., and eleven a.m. What time would you like?"),
        ("at nine", f"You're booked for {DAY}, at nine a.m. {MORE}"),
    ],
    "changing one's mind": [
        ("tuesday at three", f"You're booked for {DAY}, at three p.m. {MORE}"),
        ("no make it four", f"I've moved it to {DAY}, at four p.m. {MORE}"),
        ("move it to friday", f"I've moved it to Friday, November twenty-seventh, at four p.m. {MORE}"),
        ("cancel it", f"Your appointment on Friday, November twenty-seventh, at four p.m., is cancelled. {MORE}"),
    ],
    "moving from one time to another": [
        ("tomorrow at three", f"You're booked for {DAY}, at three p.m. {MORE}"),
        ("change my appointment from tomorrow at three to friday at ten twenty", f"I've moved it to Friday, November twenty-seventh, at ten twenty a.m. {MORE}"),
        ("reschedule my appointment", "What day and time would you like instead?"),
        ("monday at nine", f"I've moved it to Monday, November thirtieth, at nine a.m. {MORE}"),
    ],
    "looking up": [
        ("do i have an appointment", f"I can't find an appointment. {MORE}"),
        ("book wednesday at noon", f"You're booked for Wednesday, November twenty-fifth, at noon. {MORE}"),
        ("book thursday at noon", f"You're booked for Thursday, November twenty-sixth, at noon. {MORE}"),
        ("when are my appointments", f"You have 2 appointments on Wednesday, November twenty-fifth, at noon and on Thursday, November twenty-sixth, at noon. {MORE}"),
        ("what appointments do i have on thursday", f"You have an appointment on Thursday, November twenty-sixth, at noon. {MORE}"),
    ],
    "cancelling what is not there": [
        ("cancel my appointment on friday", f"I can't find an appointment on Friday, November twenty-seventh. {MORE}"),
        ("cancel friday at three", f"I can't find that appointment. {MORE}"),
    ],
    "giving up": [
        ("book an appointment", "Sure. What day and time would you like?"),
        ("never mind", f"All right. {MORE}"),
        ("yes", "What can I do for you?"),
        ("goodbye", "Thank you for calling. Goodbye."),
    ],
    "not understood": [
        ("mumble mumble", "Sorry, I didn't get that. You can book, move, cancel or look up an appointment."),
        ("four six four eight", "I still didn't get that. Try something like: book an appointment for tuesday at three."),
        ("tuesday at three", f"You're booked for {DAY}, at three p.m. {MORE}"),
        ("mumble", "Sorry, I didn't get that. You can book, move, cancel or look up an appointment."),
    ],
    "half understood": [
        ("i said o'clock p.m. month", "Sorry, I didn't get the time. What time was that?"),
        ("five o'clock p.m.", "At five p.m. on which day?"),
        ("mumble", "Sorry, I didn't get that. Which day and time would you like?"),
        ("tomorrow", f"You're booked for {DAY}, at five p.m. {MORE}"),
    ],
    "small talk": [
        ("who are you", "I'm a small scripted demo, not a language model. I can book, move, cancel and look up appointments."),
        ("one moment please", "Of course, take your time."),
        ("thank you", f"You're welcome. {MORE}"),
        ("could you say that again", f"You're welcome. {MORE}"),
    ],
    "days that cannot be": [
        ("book the day after tomorrow at twelve", f"You're booked for Wednesday, November twenty-fifth, at noon. {MORE}"),
        ("book november twentieth at noon", f"You're booked for Saturday, November twentieth, 2027, at noon. {MORE}"),
    ],
}  # fmt: skip

START = tuple(Desk().messages)
"""Nobody has spoken yet."""


@pytest.mark.parametrize("name", TALKS)
def test_a_conversation(name: str) -> None:
    desk = Desk()
    for caller, agent in TALKS[name]:
        assert desk.say(caller) == agent


@pytest.mark.parametrize("name", TALKS)
def test_a_conversation_is_answered_alike_when_it_is_asked_again(name: str) -> None:
    desk = Desk()
    for caller, _ in TALKS[name]:
        desk.say(caller)
        asked = tuple(desk.messages[: len(desk.messages) - 1])
        assert reply(asked) == reply(asked)


def booked_elsewhere(*appointments: tuple[str, str]) -> Desk:
    """A new call, with appointments made in earlier ones."""
    desk = Desk()
    for day, time in appointments:
        desk.say(f"book {day} at {time}")
    del desk.messages[1:]
    return desk


def test_an_appointment_of_another_call_is_cancelled_when_the_caller_agrees() -> None:
    desk = booked_elsewhere(("tuesday", "three"))
    assert (
        desk.say("cancel my appointment")
        == f"You have an appointment on {DAY}, at three p.m., is that the one to cancel?"
    )
    assert desk.say("yes please") == f"Your appointment on {DAY}, at three p.m., is cancelled. {MORE}"


def test_an_appointment_of_another_call_stays_when_the_caller_does_not_agree() -> None:
    desk = booked_elsewhere(("tuesday", "three"))
    desk.say("cancel my appointment")
    assert desk.say("no") == f"All right, it stays in the book. {MORE}"


def test_the_day_says_which_of_several_is_meant() -> None:
    desk = booked_elsewhere(("tuesday", "three"), ("friday", "noon"))
    friday = "Friday, November twenty-seventh"
    assert desk.say("i want to move my appointment") == (
        f"I see appointments on {DAY}, at three p.m. and on {friday}, at noon. Which one do you mean?"
    )
    assert desk.say("the one on friday") == "What day and time would you like instead?"
    assert desk.say("saturday at nine") == f"I've moved it to Saturday, November twenty-eighth, at nine a.m. {MORE}"


def test_a_correction_before_anything_was_said_is_taken_together() -> None:
    desk = Desk()
    desk.messages.append(Message(Role.USER, "i'd like to book an appointment"))
    desk.messages.append(Message(Role.ASSISTANT, "Sure. What", interrupted=True))
    assert desk.say("for tuesday at three") == f"You're booked for {DAY}, at three p.m. {MORE}"


def test_a_backchannel_is_no_turn() -> None:
    desk = Desk()
    desk.say("book an appointment")
    desk.messages.append(Message(Role.USER, "okay", backchannel=True))
    assert desk.say("tuesday at three") == f"You're booked for {DAY}, at three p.m. {MORE}"


def unanswered(output: str) -> Desk:
    """A call in which a booking's result reads so."""
    desk = Desk()
    desk.messages += [
        Message(Role.USER, "book tuesday at three"),
        Message(Role.ASSISTANT, "", (CallMade("c1", "book_appointment", '{"day":"2026-11-24","time":"15:00"}'),)),
        Message(Role.TOOL, output, call_id="c1"),
    ]
    return desk


@pytest.mark.parametrize(
    "output",
    [
        "error: the tool did not answer in time",
        "cancelled: the caller interrupted",
        "[]",
        "{}",
        '{"done":true}',
        '{"done":false}',
    ],
)
def test_a_tool_that_failed_is_tried_again_when_the_caller_wants_it(output: str) -> None:
    desk = unanswered(output)
    assert desk.go_on() == "I'm sorry, the appointment book did not answer. Shall I try again?"
    assert desk.say("yes") == f"You're booked for {DAY}, at three p.m. {MORE}"


def test_a_tool_that_is_still_running_is_waited_for() -> None:
    assert unanswered('{"status":"still running"}').go_on() == "One moment, I'm still at it."


def test_the_result_of_a_tool_left_behind_is_told_when_it_comes() -> None:
    done = '{"done":true,"appointment":{"id":1,"day":"2026-11-24","time":"15:00","name":""}}'
    desk = unanswered(done)
    desk.messages += [Message(Role.USER, "who are you"), Message(Role.ASSISTANT, "I'm a small scripted demo.")]
    assert desk.go_on() == f"You're booked for {DAY}, at three p.m. {MORE}"


def test_an_answer_that_broke_off_goes_on_where_it_ended() -> None:
    messages = (
        *Desk().messages,
        Message(Role.USER, "who are you"),
        Message(Role.ASSISTANT, "I'm a small scripted demo,", run=4),
        Message(Role.SYSTEM, "Go on."),
    )
    assert reply(messages, 4).text == "not a language model. I can book, move, cancel and look up appointments."


@pytest.mark.parametrize("instructions", ["You sell shoes.", "Today is Monday, 2026-13-45."])
def test_it_does_not_pretend_to_know_anything_else(instructions: str) -> None:
    assert reply((Message(Role.SYSTEM, instructions), Message(Role.USER, "hello"))).text == STRANGER


def test_whatever_callers_are_expected_to_say_is_answered() -> None:
    for words in domain.parse(DOMAIN).draw(500):
        answer = reply((*START, Message(Role.USER, " ".join(words))))
        assert answer.text or answer.tool


@given(st.text())
def test_any_text_is_answered(text: str) -> None:
    answer = reply((*START, Message(Role.USER, text)))
    assert answer.text or answer.tool


def test_it_offers_help_when_nobody_has_spoken() -> None:
    assert reply(tuple(Desk().messages)).text == HELP
