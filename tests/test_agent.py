"""An agent: what the rules are told of it."""

import re
from pathlib import Path
from typing import Any

import pytest

from engine import Agent, ConfigError, tool
from engine.core.events import Stage
from engine.core.policy import EAGER, PATIENT
from engine.toolbox import Tool, make_tool


@tool
def find_slots(day: str) -> list[str]:
    """Free times on a day."""
    return [day]


def test_it_comes_to_what_the_rules_are_told() -> None:
    agent = Agent("Be brief.", tools=[find_slots], greeting="Hello!", policy="patient", llm=["openai"])
    setup = agent.setup("twilio")
    assert (setup.instructions, setup.greeting, setup.transport) == ("Be brief.", "Hello!", "twilio")
    assert (setup.asr, setup.llm, setup.tts) == (("pocketsphinx",), ("openai",), ("espeak",))
    assert setup.tools == (find_slots.spec,)
    assert setup.policy == PATIENT


def test_texts_may_be_made_when_the_call_begins() -> None:
    days = iter(["Monday", "Tuesday"])
    agent = Agent(lambda: f"Today is {next(days)}.")
    assert [agent.setup().instructions for _ in range(2)] == ["Today is Monday.", "Today is Tuesday."]


def test_it_can_be_put_on_other_providers_and_stays_as_it_was() -> None:
    agent = Agent("x", policy="patient")
    other = agent.configured(EAGER, {Stage.LLM: ("openai",)})
    assert (other.setup().llm, other.setup().asr, other.setup().policy) == (("openai",), ("pocketsphinx",), EAGER)
    assert (agent.setup().llm, agent.setup().policy) == (("scripted",), PATIENT)


def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises(ConfigError, match="allowed: patient, balanced, eager, or a Policy"):
        Agent("x", policy="hasty")


def test_two_tools_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match="tools of the same name: find_slots"):
        Agent("x", tools=[find_slots, find_slots])


def test_a_plain_function_is_a_tool_too() -> None:
    def ping() -> None:
        """Ping."""

    assert Agent("x", tools=[ping]).setup().tools == (make_tool(ping).spec,)
    assert repr(make_tool(ping)) == "<tool ping>"
    assert isinstance(make_tool(ping), Tool)


def test_the_examples_in_the_docs_are_good() -> None:
    text = (Path(__file__).parents[1] / "docs" / "agents.md").read_text("utf-8")
    names: dict[str, Any] = {"__name__": "shop"}
    for example in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(example, names)  # The docs' own code, which is what is tested.
    agent = names["agent"]
    assert [spec.name for spec in agent.setup().tools] == ["find_order", "cancel_order", "end_call"]
    assert agent.options["llm.openai"]["model"] == "gpt-4.1-mini"
