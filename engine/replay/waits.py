"""Who owned a wait: the stretches between the caller's last sound and the agent's first, without gaps.

Every nanosecond goes to the one thing that was waited for. What went on meanwhile without being waited for is hidden, and not counted.
"""

from engine.core.state import State, TurnEnd
from engine.core.turn import WAIT_SETTINGS, endpoint_wait, words_of
from engine.replay.story import Answer, Mark, Owner, Stretch, Wait


def guess_wait(after: State) -> Wait:
    """Why a guess was not made sooner. The turn is not taken yet: its words are still there."""
    turn = after.turn
    if turn.eager:
        return Wait("the recogniser's eager end of turn", 0, turn.changed_at)
    return Wait("speculate_stable_ns", after.setup.policy.speculate_stable_ns, turn.changed_at)


def taken_wait(before: State, after: State) -> Wait:
    """Why the turn was not taken sooner. `before` may lack the words that this very fact brought."""
    turn, policy = after.turn, after.setup.policy
    end = turn.last_end
    changed = before.turn.changed_at if words_of(before.turn) == turn.last_text else after.at
    if end is TurnEnd.CAP:
        return Wait(WAIT_SETTINGS[end], policy.endpoint_cap_ns, changed)
    if end in (TurnEnd.FINISHED, TurnEnd.UNSURE, TurnEnd.UNFINISHED):
        sounded, ns = endpoint_wait(before, turn.last_text)
        return Wait(WAIT_SETTINGS[sounded], ns, changed)
    if end is TurnEnd.UNHEARD:
        return Wait(WAIT_SETTINGS[end], policy.endpoint_unheard_ns, changed)
    if end is TurnEnd.KEYED:
        return Wait(WAIT_SETTINGS[end], policy.dtmf_ns, changed)
    return Wait("the recogniser's end of turn" if end is TurnEnd.PROVIDER else "", 0, changed)


def stretches(answer: Answer, until: int) -> tuple[Stretch, ...]:
    """Who owned the time from the caller's last sound, or the run's beginning, to the agent's first, or to its being given up."""
    start = answer.quiet_at if answer.quiet_at is not None else answer.began_at
    opened = answer.opened_at if answer.opened_at is not None else answer.began_at
    ready = answer.sound_at if answer.sound_at is not None else until
    marks = answer.marks
    if ready <= opened and answer.quiet_at is not None:
        # All the work was done before the turn was over: the caller waited for the end of the turn alone.
        found, cursor = _endpointing(answer.wait, start, opened), opened
        marks = (Mark(opened, Owner.TRANSPORT, marks[-1].why if marks else ""),)
    elif gated := [index for index, mark in enumerate(marks) if mark.owner is Owner.ENDPOINTING and answer.wait]:
        # A guess came to where it had to wait for the turn's end: until then the caller waited for that alone.
        marks = marks[gated[-1] + 1 :]
        cursor = marks[0].at if marks else until
        found = _endpointing(answer.wait, start, cursor)
    else:
        cursor = max(start, marks[0].at if marks else opened)
        found = _endpointing(answer.guess or answer.wait, start, cursor)
    for mark, following in zip(marks, (*marks[1:], None), strict=True):
        end = following.at if following else until
        found.append(Stretch(mark.owner, mark.why, cursor, max(cursor, end)))
        cursor = max(cursor, end)
    return tuple(stretch for stretch in found if stretch.ns)


def _endpointing(wait: Wait | None, start: int, end: int) -> list[Stretch]:
    """The wait for the turn's end: as long as the setting says it is the setting's; what is longer, whoever was late."""
    if wait is None:
        return [Stretch(Owner.ENDPOINTING, "", start, end)]
    if wait.setting.startswith("the recogniser"):
        return [Stretch(Owner.RECOGNISER, wait.setting, start, end)]
    own = min(end, start + wait.ns)
    if wait.words_at > own:
        return [
            Stretch(Owner.ENDPOINTING, wait.setting, start, own),
            Stretch(Owner.RECOGNISER, "the last words", own, end),
        ]
    return [Stretch(Owner.ENDPOINTING, wait.setting, start, end)]
