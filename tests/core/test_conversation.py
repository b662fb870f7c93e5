"""The history holds what was heard."""

from engine.core.commands import Role
from tests.core.calls import SPEAKING
from tests.script import check


def test_a_later_mark_tells_that_more_was_heard() -> None:
    state = check(
        SPEAKING
        + """
        2400  caller speaks
        2520  timer                                   -> pause r1
        2521  paused r1 400
        2600  asr partial "actually"                  -> clear r1, cancel r1  [Interrupted]
        2700  cleared r1 800                           [Transcribing]
        """
    )
    assert state.conversation.messages[-1].text == "It is noon."


def test_an_answer_of_which_nothing_was_heard_leaves_nothing() -> None:
    state = check(
        SPEAKING
        + """
        2050  caller speaks
        2170  timer                                   -> pause r1
        2171  paused r1 0
        2300  asr partial "actually"                  -> clear r1, cancel r1  [Interrupted]
        """
    )
    assert [m.role for m in state.conversation.messages] == [Role.USER]
