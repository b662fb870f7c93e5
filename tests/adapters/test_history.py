"""The history that stricter services are told."""

import pytest

from engine.adapters.history import (
    SIGNATURE_CHARS_MAX,
    SIGNATURES_MAX,
    Signatures,
    instructions_of,
    json_object,
    paired,
)
from engine.core.commands import CallMade, Message, Role

SYSTEM = Message(Role.SYSTEM, "Be brief.")
CALLER = Message(Role.USER, "hello")


ANOTHER = Message(Role.TOOL, "something else", call_id="a")
"""Of a server that numbers its calls from one in every answer."""


def called(*ids, text=""):
    return Message(Role.ASSISTANT, text, calls=tuple(CallMade(call_id, "f", "{}") for call_id in ids))


def result(call_id):
    return Message(Role.TOOL, f"of {call_id}", call_id=call_id)


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ((SYSTEM, CALLER), (CALLER,)),
        ((CALLER, called("a"), result("a")), (CALLER, called("a"), result("a"))),
        ((called("a", "b"), result("b"), CALLER, result("a")), (called("a", "b"), result("a"), result("b"), CALLER)),
        ((CALLER, called("a", text="So,")), (CALLER, called(text="So,"))),
        ((CALLER, called("a")), (CALLER,)),
        ((result("a"), CALLER), (CALLER,)),
        ((Message(Role.USER, "mhm", backchannel=True), CALLER), (CALLER,)),
        ((Message(Role.ASSISTANT, " "), CALLER), (CALLER,)),
        (
            (called("a"), result("a"), CALLER, called("a"), ANOTHER),
            (called("a"), result("a"), CALLER, called("a"), ANOTHER),
        ),
    ],
)
def test_no_call_is_without_its_result_nor_a_result_without_its_call(messages, expected):
    assert tuple(paired(messages)) == expected


def test_instructions_are_the_first_message_or_none():
    assert instructions_of((SYSTEM, CALLER)) == "Be brief."
    assert instructions_of((CALLER, SYSTEM)) == ""
    assert instructions_of(()) == ""


@pytest.mark.parametrize(("text", "expected"), [('{"a":1}', {"a": 1}), ("", {}), ("[1]", {}), ("{", {})])
def test_arguments_are_an_object_whatever_the_model_wrote(text, expected):
    assert json_object(text) == expected


def test_signatures_are_bounded():
    kept = Signatures()
    for number in range(SIGNATURES_MAX + 9):
        kept.keep(str(number), "s")
    kept.keep("long", "s" * (SIGNATURE_CHARS_MAX + 1))
    kept.keep("none", "")
    assert [kept.of(name) for name in ("8", "9", "long", "none")] == ["", "s", "", ""]
