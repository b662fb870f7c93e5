"""Silence on both sides, and calls that have lasted too long. Writes `state.idle` alone."""

from msgspec.structs import replace

from engine.core.commands import NOTHING, Commands
from engine.core.state import Deadlines, Idle, State
from engine.core.tools import OPEN
from engine.core.turn import words_of


def notice(state: State, event: object) -> tuple[State, Commands]:
    """The caller did something: the prompts begin anew."""
    return replace(state, idle=replace(state.idle, since=None, row=0)), NOTHING


def watch(state: State) -> tuple[State, Commands]:
    """Ask whether the caller is there; after the last prompt, let them go."""
    idle, policy = state.idle, state.setup.policy
    if not idle.over and state.at >= policy.call_ns_max:
        return replace(state, idle=replace(idle, over=True)), NOTHING
    if not _both_quiet(state):
        return (replace(state, idle=replace(idle, since=None)) if idle.since is not None else state), NOTHING
    if idle.since is None:
        return replace(state, idle=replace(idle, since=state.at)), NOTHING
    if state.at < idle.since + policy.idle_ns:
        return state, NOTHING
    if idle.row >= policy.idle_prompts:
        return replace(state, idle=replace(idle, over=True)), NOTHING
    prompted = Idle(prompts=idle.prompts + 1, row=idle.row + 1)
    return replace(state, idle=prompted), NOTHING


def _both_quiet(state: State) -> bool:
    turn, response = state.turn, state.response
    caller = turn.speaking or words_of(turn) or turn.keys or turn.taken > response.answered
    agent = response.run or response.says or any(call.state in OPEN for call in state.tools.calls)
    deaf = state.ear.down_at is not None
    away = deaf or state.lost_at is not None or response.ending or not state.setup.policy.idle_ns
    return not (caller or agent or away)


def deadlines(state: State) -> Deadlines:
    wall = [] if state.idle.over else [state.setup.policy.call_ns_max]
    if state.idle.since is not None:
        wall.append(state.idle.since + state.setup.policy.idle_ns)
    return Deadlines(min(wall, default=None))
