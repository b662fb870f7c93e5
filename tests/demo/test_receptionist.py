"""The demo agent: what it is told, and its tools as a model calls them."""

import asyncio
import json
import re
from pathlib import Path

import pytest

from engine.demo import make_agent
from engine.errors import ConfigError


def call(tool: str, **arguments: str) -> tuple[object, bool]:
    agent = make_agent(today="2026-11-23")
    try:
        output, failed = asyncio.run(agent.toolbox.call(tool, json.dumps(arguments)))
    finally:
        agent.toolbox.close()
    return (output if failed else json.loads(output)), failed


def test_it_knows_what_day_it_is() -> None:
    assert "Today is Monday, 2026-11-23." in make_agent(today="2026-11-23").setup().instructions
    assert re.search(r"Today is \w+day, 20\d\d-\d\d-\d\d\.", make_agent().setup().instructions)


def test_it_brings_a_greeting_and_the_words_its_callers_say() -> None:
    agent = make_agent()
    assert agent.setup().greeting == "Hello, this is the appointment desk. How can I help you?"
    assert "<weekday>" in agent.domain


def test_a_day_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"agent\.settings\.today is 'monday'"):
        make_agent(today="monday")


def test_what_writes_in_the_book_is_not_cut_off() -> None:
    finished = {tool.name for tool in make_agent().setup().tools if tool.on_interrupt == "finish"}
    assert finished == {"book_appointment", "move_appointment", "cancel_appointment"}
    assert [tool.name for tool in make_agent().setup().tools if tool.ends_call] == ["end_call"]


def test_times_come_and_go_as_the_model_writes_them() -> None:
    slots, failed = call("find_slots", day="2026-11-24")
    assert not failed
    assert isinstance(slots, dict)
    assert slots["free"][0] == "08:00"
    assert call("book_appointment", day="2026-11-24", time="15:00", name="Ada") == (
        {"done": True, "appointment": {"id": 1, "day": "2026-11-24", "time": "15:00", "name": "Ada"}},
        False,
    )
    assert call("cancel_appointment", day="2026-11-24", time="15:00") == ({"done": False, "reason": "unknown"}, False)
    assert call("list_appointments") == ([], False)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"day": "tomorrow", "time": "15:00"}, "at `$.day`"),
        ({"day": "2026-11-24", "time": "3 pm"}, "at `$.time`"),
        ({"day": "2026-11-24", "time": "25:00"}, "at `$.time`"),
        ({"day": "2026-02-30", "time": "15:00"}, "2026-02-30 is no day of the calendar."),
    ],
)
def test_what_is_no_day_or_time_goes_back_to_the_model(arguments: dict[str, str], complaint: str) -> None:
    output, failed = call("book_appointment", **arguments)
    assert failed
    assert complaint in str(output)


def test_two_agents_on_one_file_share_the_book(tmp_path: Path) -> None:
    agents = [make_agent(str(tmp_path / "book.db"), "2026-11-23") for _ in range(2)]
    arguments = '{"day":"2026-11-24","time":"15:00"}'
    done = [json.loads(asyncio.run(agent.toolbox.call("book_appointment", arguments))[0])["done"] for agent in agents]
    for agent in agents:
        agent.toolbox.close()
    assert done == [True, False]
