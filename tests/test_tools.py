import asyncio
import json

import pytest

from engine.agent import Agent
from engine.errors import ConfigError
from engine.toolbox import Toolbox
from engine.tools import hang_up, transfer_to

DESK = {"sales": "+15550003333", "billing": "sip:billing@example.com"}


def called(toolbox: Toolbox, name: str, arguments: str) -> tuple[str, bool]:
    return asyncio.run(toolbox.call(name, arguments))


def test_an_agent_lists_them_and_the_rules_know_what_they_do() -> None:
    agent = Agent("Be brief.", tools=[hang_up, transfer_to(DESK)])
    ends, hands = agent.setup().tools
    assert (ends.name, ends.ends_call, ends.transfers_call) == ("hang_up", True, False)
    assert (hands.name, hands.ends_call, hands.transfers_call) == ("transfer_to", False, True)
    assert json.loads(hands.parameters)["properties"]["destination"]["enum"] == ["billing", "sales"]


def test_the_first_line_of_a_transfer_is_where_to() -> None:
    told, failed = called(Toolbox([transfer_to(DESK)]), "transfer_to", '{"destination":"sales"}')
    assert not failed
    assert told.splitlines()[0] == "+15550003333"
    assert "put through" in told


@pytest.mark.parametrize("made_up", ['{"destination":"+19005550000"}', '{"destination":""}', "{}"])
def test_a_model_cannot_make_up_a_number(made_up: str) -> None:
    told, failed = called(Toolbox([transfer_to(DESK)]), "transfer_to", made_up)
    assert failed
    assert not told.startswith("+")


@pytest.mark.parametrize("destinations", [{}, {"home": "home"}, {"boss": "sip:a b"}, {"shop": "sip:" + "x" * 300}])
def test_a_destination_that_is_no_address_is_the_operators_mistake(destinations: dict[str, str]) -> None:
    with pytest.raises(ConfigError):
        transfer_to(destinations)


def test_hanging_up_tells_the_model_to_say_goodbye() -> None:
    assert "goodbye" in called(Toolbox([hang_up]), "hang_up", "")[0]
