"""Where the time went between the caller's last word and the agent's first: an observer with a stopwatch.

The parts overlap where the engine speculates (the model is asked before the turn is certain), so they need not add up to the total.
"""

from collections.abc import Callable

from msgspec import Struct

from engine.core.commands import Commands
from engine.core.events import Event, PlayoutStarted, TTSStarted
from engine.core.floor import ledger_of
from engine.core.state import State


class TurnLatency(Struct, frozen=True, gc=False, kw_only=True):
    """One answer to one turn of the caller's. A part that is unknown is None."""

    run: int
    turn: int
    total_ns: int
    """The caller fell quiet -> the first sound left."""
    decide_ns: int
    """The caller fell quiet -> the turn was taken."""
    llm_ns: int | None
    """The model was asked -> its first token."""
    tts_ns: int | None
    """The first text went to the synthesizer -> its first sound was in hand."""
    playout_ns: int | None
    """The first sound was in hand -> it left. Waiting for a turn to be certain counts here."""


class Stopwatch:
    """Watches one session."""

    def __init__(self, tell: Callable[[TurnLatency], None]) -> None:
        self._tell = tell
        self._run = 0
        self._sound_at = 0

    def __call__(self, event: Event, before: State, after: State, commands: Commands) -> None:
        if type(event) is TTSStarted and event.chunk == 1 and event.run != self._run:
            self._run, self._sound_at = event.run, event.at
        elif type(event) is PlayoutStarted:
            latency = self._measure(event.run, after)
            if latency is not None:
                self._tell(latency)

    def _measure(self, number: int, state: State) -> TurnLatency | None:
        run, turn, ledger = state.response.run, state.turn, ledger_of(state, number)
        if run is None or run.number != number or not run.turn or ledger is None or ledger.started_at is None:
            return None
        quiet_at = turn.last_quiet_at if turn.last_quiet_at is not None else turn.last_taken_at
        sound_at = self._sound_at if self._run == number else None
        return TurnLatency(
            run=number,
            turn=run.turn,
            total_ns=ledger.started_at - quiet_at,
            decide_ns=turn.last_taken_at - quiet_at,
            llm_ns=run.first_token_at - run.began_at if run.first_token_at is not None else None,
            tts_ns=sound_at - ledger.chunks[0].asked_at if sound_at is not None and ledger.chunks else None,
            playout_ns=ledger.started_at - sound_at if sound_at is not None else None,
        )
