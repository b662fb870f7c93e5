"""Who holds the floor: questions about the state that several rules ask. Decides nothing, writes nothing."""

from engine.core.state import Ledger, Run, State

MACHINES = ("machine", "fax")
"""Who picked up and does not converse."""


def floor_run(state: State) -> Run | None:
    """The live run that the caller hears or is about to hear."""
    run = state.response.run
    return run if run is not None and run.committed else None


def ledger_of(state: State, run: int) -> Ledger | None:
    """The ledger of a run, while it is remembered."""
    for ledger in reversed(state.playout.ledgers):
        if ledger.run == run:
            return ledger
    return None


def known_ledger(state: State, run: int) -> Ledger:
    """The same, where the gate has made sure that it is remembered."""
    ledger = ledger_of(state, run)
    assert ledger is not None
    return ledger


def sound_ns(ledger: Ledger) -> int:
    """How much of a run's sound is known to exist."""
    return sum(chunk.duration_ns or 0 for chunk in ledger.chunks)


def is_synthesised(ledger: Ledger) -> bool:
    """Whether all sound that was asked for is in hand."""
    return all(chunk.duration_ns is not None for chunk in ledger.chunks)


def has_sounded(state: State, run: int) -> bool:
    """Whether the caller has begun to hear this run."""
    ledger = ledger_of(state, run)
    return ledger is not None and ledger.started_at is not None


def caller_speaks(state: State) -> bool:
    """Whether the caller speaks now: a voice that has gone on for long without words is not believed, for detectors stick."""
    return state.turn.speaking and state.at < believed_until(state)


def believed_until(state: State) -> int:
    turn = state.turn
    return max(turn.onset_at or turn.last_taken_at, turn.changed_at) + 2 * state.setup.policy.endpoint_cap_ns
