"""Every order of a small alphabet of facts, and random walks through it that shrink to the shortest call that fails."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from engine.core.commands import Role
from engine.core.events import SessionStarted
from engine.core.reduce import PHASES, begin, reduce
from engine.core.state import Deadlines
from engine.core.units import LIMITS
from engine.simulate.explore import SETUP, explore, possible


def test_no_order_of_a_handful_of_facts_breaks_a_law() -> None:
    found = explore(5)
    assert found.broken == []
    assert found.states > 3_000
    assert found.transitions > 6_000


def test_exploring_deeper_finds_more_of_the_legal_moves_and_no_other() -> None:
    shallow, deep = explore(3), explore(6)
    assert shallow.moves < deep.moves
    assert all(after in PHASES[before] for before, after in deep.moves)


class Call(RuleBasedStateMachine):
    """A call in which anything that could happen next may happen next."""

    def __init__(self) -> None:
        super().__init__()
        self.state, _ = reduce(begin(), SessionStarted(setup=SETUP))

    @rule(choice=st.integers(0, 40))
    def something_happens(self, choice: int) -> None:
        if not self.state.ended:
            facts = list(possible(self.state))
            self.state, _ = reduce(self.state, facts[choice % len(facts)])

    @invariant()
    def whoever_waits_has_a_deadline(self) -> None:
        waits = not self.state.ended and (self.state.response.run is not None or self.state.contest.run)
        assert not waits or self.state.deadlines != Deadlines()

    @invariant()
    def every_tool_call_in_the_history_has_its_one_result(self) -> None:
        messages = self.state.conversation.messages
        made = [call.call_id for message in messages for call in message.calls]
        assert sorted(made) == sorted(message.call_id for message in messages if message.role is Role.TOOL)

    @invariant()
    def everything_is_bounded(self) -> None:
        assert len(self.state.conversation.messages) <= LIMITS.messages
        assert len(self.state.playout.ledgers) <= LIMITS.runs_remembered + 1
        assert len(self.state.response.past) <= LIMITS.runs_remembered


TestCall = Call.TestCase
TestCall.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
