"""The caller's side as spans: when a turn ended and why, what the recogniser made of it, who kept the floor."""

from msgspec import Struct

from engine.core.state import Contest, State, TurnEnd
from engine.core.turn import WAIT_SETTINGS
from engine.core.units import MS, SECOND
from engine.telemetry import names
from engine.telemetry.records import Attributes, Open, Part


class Heard(Struct, frozen=True):
    """How one turn of the caller ended: what latency counts from."""

    quiet_at: int | None
    taken_at: int


class Listening(Struct):
    """What the recogniser has said in the present turn."""

    first_at: int | None = None
    partials: int = 0
    finals: int = 0
    final_at: int = 0


def turn_span(heard: Listening, state: State, seq: int, *, content: bool) -> Open:
    """The turn just taken: from its onset to the decision, with the setting that owned the wait."""
    turn = state.turn
    end = turn.last_end or TurnEnd.UNSURE
    attributes: Attributes = {names.EOU_REASON: end.value, names.SEQ: seq}
    setting = WAIT_SETTINGS.get(end)
    if setting is not None:
        attributes[names.EOU_SETTING] = setting
        attributes[names.EOU_SETTING_MS] = getattr(state.setup.policy, setting) / MS
    if turn.last_quiet_at is not None:
        attributes[names.EOU_DELAY_MS] = (turn.last_taken_at - turn.last_quiet_at) / MS
    if content:
        attributes[names.PII_USER_TEXT] = turn.last_text
    began_at = _began_at(heard, state)
    return Open(names.USER_TURN, Part.USER_TURN, turn.taken, began_at, attributes, end_at=turn.last_taken_at)


def recognition_span(heard: Listening, state: State, seq: int) -> Open:
    """What the recogniser did for the turn just taken: to its last final, or to the decision where none came."""
    began_at, quiet_at = _began_at(heard, state), state.turn.last_quiet_at
    attributes: Attributes = {
        names.OPERATION: names.SPEECH_TO_TEXT,
        names.PROVIDER: recogniser(state),
        names.ASR_PARTIALS: heard.partials,
        names.ASR_FINALS: heard.finals,
        names.SEQ: seq,
    }
    if heard.first_at is not None:
        attributes[names.FIRST_CHUNK_S] = (heard.first_at - began_at) / SECOND
    if heard.finals and quiet_at is not None:
        attributes[names.ASR_FINAL_DELAY_MS] = (heard.final_at - quiet_at) / MS
    end_at = heard.final_at if heard.finals else state.turn.last_taken_at
    name = f"{names.SPEECH_TO_TEXT} {recogniser(state)}"
    return Open(name, Part.SPEECH_TO_TEXT, state.turn.taken, began_at, attributes, client=True, end_at=end_at)


def _began_at(heard: Listening, state: State) -> int:
    turn = state.turn
    known = (turn.last_onset_at, heard.first_at, turn.last_quiet_at, turn.last_taken_at)
    return min(at for at in known if at is not None)


def recogniser(state: State) -> str:
    """The name of the recogniser in use."""
    names_of = state.setup.asr
    return names_of[state.ear.provider] if state.ear.provider < len(names_of) else "none"


def outcome(before: Contest, after: Contest) -> str:
    """What became of two voices at once."""
    if after.interrupted > before.interrupted:
        return "interrupted"
    return "resumed" if after.resumed > before.resumed else "over"
