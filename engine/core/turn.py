"""Endpointing: has the caller finished?

Evidence, strongest first: the recogniser's own end of turn; a detector's judgement; how finished the words sound; silence. Silence
is measured on the audio clock, so that a burst after network jitter neither shortens nor lengthens a pause. A cap on the wall clock
ends every wait. Writes `state.turn` alone.
"""

from msgspec.structs import replace

from engine.core.commands import NOTHING, Commands, FinalizeASR, Role
from engine.core.events import (
    ASREagerEndOfTurn,
    ASREndOfTurn,
    ASRFinal,
    ASRPartial,
    ASRTurnResumed,
    DTMFPressed,
    TimerFired,
    TurnPredicted,
    UserSpeechStarted,
    UserSpeechStopped,
    UserTextReceived,
)
from engine.core.floor import floor_run
from engine.core.state import Deadlines, State, Turn, TurnEnd
from engine.core.units import LIMITS, SECOND
from engine.core.words import Completeness, completeness, continues, is_backchannel, joined, normalised

LATE_NS = 3 * SECOND
"""Words without a voice that come within this of a taken turn belong to it. Recognisers' finals come within about a second."""

SURE_PROB, UNSURE_PROB = 0.7, 0.3
"""A turn detector's judgement counts as finished above the first, as unfinished below the second. LiveKit's is used at about 0.7."""


def words_of(turn: Turn) -> str:
    """The caller's words in this turn so far, finals and partial."""
    if turn.text and turn.partial:
        return f"{turn.text} {turn.partial}"
    return turn.text or turn.partial


def last_question(state: State) -> str:
    """What the agent said last."""
    said = (message.text for message in reversed(state.conversation.messages) if message.role is Role.ASSISTANT)
    return next(said, "")


# Facts into the slice.


def follow_voice(state: State, event: UserSpeechStarted) -> tuple[State, Commands]:
    """The caller speaks: the silence is over, and its length teaches us the caller's pauses."""
    turn = state.turn
    pause_ns = turn.pause_ns
    if turn.quiet_ns is not None and words_of(turn):
        gap = max(0, event.audio_ns - turn.quiet_ns)
        pause_ns = gap if not pause_ns else (3 * pause_ns + gap) // 4
    turn = replace(
        turn,
        speaking=True,
        speech_ns=event.audio_ns,
        quiet_ns=None,
        quiet_at=None,
        onset_at=state.at if turn.onset_at is None else turn.onset_at,
        eager=False,
        asked_final_at=None,
        complete_prob=None,
        pause_ns=pause_ns,
        level_db=event.level_db,
    )
    return replace(state, turn=turn), NOTHING


def follow_silence(state: State, event: UserSpeechStopped) -> tuple[State, Commands]:
    """The caller is quiet: the wait begins where speech ended, not where that was noticed."""
    hangover = max(0, event.heard_ns - event.audio_ns)
    turn = replace(
        state.turn,
        speaking=False,
        quiet_ns=event.audio_ns,
        quiet_at=max(0, state.at - hangover),
        asked_final_at=None,
        level_db=event.level_db or state.turn.level_db,
    )
    return replace(state, turn=turn), NOTHING


def follow_level(state: State, event: TimerFired) -> tuple[State, Commands]:
    """How loud the voice has become."""
    if not event.level_db or not state.turn.speaking:
        return state, NOTHING
    return replace(state, turn=replace(state.turn, level_db=event.level_db)), NOTHING


def keep_partial(state: State, event: ASRPartial) -> tuple[State, Commands]:
    """A partial replaces the one before it."""
    text = _not_yet_taken(state, event.text).strip()[: LIMITS.transcript_chars]
    if text == state.turn.partial:
        return state, NOTHING
    return replace(state, turn=replace(state.turn, partial=text, changed_at=state.at, complete_prob=None)), NOTHING


def keep_final(state: State, event: ASRFinal) -> tuple[State, Commands]:
    """A final is added to the turn, once; a partial of the words behind it stays."""
    turn = state.turn
    twice = event.text == turn.final and turn.speech_ns == turn.final_speech_ns and not turn.partial
    text = _not_yet_taken(state, event.text)
    if twice or not text.strip():
        return replace(state, turn=replace(turn, partial="")), NOTHING
    turn = replace(
        turn,
        text=joined(turn.text, text)[: LIMITS.transcript_chars],
        # A final that was asked for in the silence covers all there was; one that comes by itself may be of the words before.
        partial=turn.partial if turn.asked_final_at is None and _is_of_later_words(turn.partial, text) else "",
        final=event.text,
        final_speech_ns=turn.speech_ns,
        changed_at=state.at,
        asked_final_at=None,
        complete_prob=None,
    )
    return replace(state, turn=turn), NOTHING


def _is_of_later_words(partial: str, final: str) -> bool:
    """Whether a partial speaks of other words than the final that came behind it."""
    new, old = normalised(partial).split(), normalised(final).split()
    return bool(new) and bool(old) and new[0] not in old and old[0] not in new


def _not_yet_taken(state: State, text: str) -> str:
    """What of `text` was not in the turn just taken: recognisers finish a turn after we ended it."""
    turn = state.turn
    late = turn.onset_at is None and turn.taken and state.at - turn.last_taken_at < LATE_NS
    if not late:
        return text
    added = continues(turn.last_text, text)
    if added is not None:
        return added
    return "" if continues(text, turn.last_text) is not None else text


def expect_end(state: State, event: ASREagerEndOfTurn) -> tuple[State, Commands]:
    """The recogniser thinks that this may be all."""
    partial = event.text.strip() if event.text and not state.turn.text else state.turn.partial
    turn = replace(state.turn, eager=True, partial=partial[: LIMITS.transcript_chars])
    return replace(state, turn=turn), NOTHING


def expect_more(state: State, event: ASRTurnResumed) -> tuple[State, Commands]:
    """It was not all."""
    return replace(state, turn=replace(state.turn, eager=False)), NOTHING


def believe_end(state: State, event: ASREndOfTurn) -> tuple[State, Commands]:
    """The recogniser has judged by sound and words together: no wait of ours is better."""
    turn, text = state.turn, _not_yet_taken(state, event.text).strip()
    if text:
        turn = replace(turn, text=text[: LIMITS.transcript_chars], partial="", changed_at=state.at)
    if not words_of(turn):  # The end of nothing would wait for words, and end them before they were whole.
        return state, NOTHING
    return replace(state, turn=replace(turn, over=True)), NOTHING


def keep_prediction(state: State, event: TurnPredicted) -> tuple[State, Commands]:
    """A judgement of other words than the present ones says nothing."""
    if normalised(event.text) != normalised(words_of(state.turn)):
        return state, NOTHING
    return replace(state, turn=replace(state.turn, complete_prob=event.complete_prob)), NOTHING


def keep_typed(state: State, event: UserTextReceived) -> tuple[State, Commands]:
    """A typed turn is whole, and takes what was said before it along."""
    if not event.text.strip():
        return state, NOTHING
    text = joined(words_of(state.turn), event.text)[: LIMITS.transcript_chars]
    turn = replace(state.turn, text=text, partial="", typed=True, changed_at=state.at)
    return replace(state, turn=turn), NOTHING


def keep_key(state: State, event: DTMFPressed) -> tuple[State, Commands]:
    """Keys gather until "#" or a pause."""
    turn = replace(state.turn, keys=(state.turn.keys + event.digit)[:64], keyed_at=state.at)
    return replace(state, turn=turn), NOTHING


# Decisions.


def end_turn(state: State) -> tuple[State, Commands]:
    """Take the turn when the caller has finished; ask the recogniser for its last words a little before."""
    end = _decided(state)
    if end is not None:
        return replace(state, turn=_taken(state, end)), NOTHING
    turn, at = state.turn, _finalize_audio_ns(state)
    if at is not None and state.audio_ns >= at:
        return replace(state, turn=replace(turn, asked_final_at=state.at)), (FinalizeASR(ear=state.ear.number),)
    return state, NOTHING


def begun_anew(turn: Turn) -> Turn:
    """A turn with nothing in it yet: what is known of the caller and of the turns before is carried over."""
    return Turn(
        speaking=turn.speaking,
        pause_ns=turn.pause_ns,
        level_db=turn.level_db,
        own_level_db=turn.own_level_db,
        taken=turn.taken,
        unheard=turn.unheard,
        last_text=turn.last_text,
        last_end=turn.last_end,
        last_quiet_at=turn.last_quiet_at,
        last_onset_at=turn.last_onset_at,
        last_taken_at=turn.last_taken_at,
        final_speech_ns=turn.final_speech_ns,
    )


def _taken(state: State, end: TurnEnd) -> Turn:
    turn, words = state.turn, words_of(state.turn)
    blank = begun_anew(turn)
    if words:
        blank = replace(blank, own_level_db=_own_level_db(turn))
    if end is TurnEnd.UNHEARD:
        assert turn.quiet_ns is not None
        # A voice that began before the last turn was taken had its words there.
        long = turn.speech_ns is not None and turn.quiet_ns - turn.speech_ns >= state.setup.policy.interrupt_ns
        blank = replace(blank, unheard=turn.unheard + long)
        # Asked to repeat, when it was long or silenced the agent; and never twice in a row.
        if turn.last_end is TurnEnd.UNHEARD or not (long or state.contest.wordless):
            return blank
    return replace(
        blank,
        taken=turn.taken + 1,
        last_text=f"{words} {turn.keys}".strip() if end is TurnEnd.KEYED else words,
        last_end=end,
        last_quiet_at=turn.quiet_at if turn.quiet_at is not None else turn.changed_at,
        last_onset_at=turn.onset_at,
        last_taken_at=state.at,
    )


def _own_level_db(turn: Turn) -> int:
    """The caller's level, with this turn's in it."""
    if not turn.level_db:
        return turn.own_level_db
    return turn.level_db if not turn.own_level_db else (3 * turn.own_level_db + turn.level_db) // 4


def _decided(state: State) -> TurnEnd | None:
    """What ends the turn now, if anything does."""
    turn, policy = state.turn, state.setup.policy
    if turn.typed:
        return TurnEnd.TYPED
    if turn.keys and (turn.keys[-1] == "#" or state.at >= turn.keyed_at + policy.dtmf_ns):
        return TurnEnd.KEYED
    words = words_of(turn)
    if not words:
        return TurnEnd.UNHEARD if _is_unheard(state) else None
    if _is_contested(state, words):
        return None
    if len(turn.text) + len(turn.partial) >= LIMITS.transcript_chars:
        return TurnEnd.FULL
    if turn.over:
        return TurnEnd.PROVIDER
    if turn.speaking:
        # A voice that goes on for long without a new word is a radio, or a detector that stuck.
        return TurnEnd.CAP if state.at >= turn.changed_at + 3 * policy.endpoint_cap_ns else None
    if _awaits_final(state) or _awaits_ear(state):
        return None
    return _waited_out(state, words)


def _is_contested(state: State, words: str) -> bool:
    """Whether the agent holds the floor, so that `interruption` decides what these words are."""
    run = floor_run(state)
    if run is None or not run.interruptible:
        return False
    return bool(state.contest.run) or is_backchannel(words, state.setup.policy.backchannels)


def _is_unheard(state: State) -> bool:
    quiet_ns = _wordless_since(state)
    if quiet_ns is None:
        return False
    if state.at < heard_again_at(state):
        return False
    return state.audio_ns >= quiet_ns + state.setup.policy.endpoint_unheard_ns or state.at >= _cap_at(state)


def heard_again_at(state: State) -> int:
    """Until when a recogniser that opened after the voice is given to hear it, from the sound that was kept."""
    turn, opened_at = state.turn, state.ear.opened_at
    after = turn.quiet_at is not None and opened_at > turn.quiet_at
    return opened_at + state.setup.policy.endpoint_unheard_ns if after else 0


def _wordless_since(state: State) -> int | None:
    """Where a voice ended that may still become words. None while nobody could hear them, or the floor is not decided."""
    return state.turn.quiet_ns if state.ear.open and not state.contest.run else None


def _awaits_final(state: State) -> bool:
    at = final_due(state)
    return at is not None and state.at < at


def may_grow(state: State) -> bool:
    """Whether the words may be the beginning of more: the caller goes on, or the recogniser has yet to finish them."""
    turn = state.turn
    if turn.speaking:
        return True
    if turn.quiet_ns is None:  # Words without a detector.
        return state.at < turn.changed_at + state.setup.policy.resume_ns
    # A final of its first words does not end a voice.
    if state.audio_ns < turn.quiet_ns + state.setup.policy.resume_ns:
        return True
    return bool(turn.partial) and (_finalize_audio_ns(state) is not None or _awaits_final(state))


def _awaits_ear(state: State) -> bool:
    """Whether a recogniser that was lost in the middle of words is still to hear them again, from the sound that was kept."""
    turn = state.turn
    return bool(turn.partial) and not state.ear.open and turn.quiet_ns is not None and state.at < _cap_at(state)


def _waited_out(state: State, words: str) -> TurnEnd | None:
    turn = state.turn
    end, wait = endpoint_wait(state, words)
    if turn.quiet_ns is None:  # Words without a detector: the wall clock, from the last change.
        return end if state.at >= turn.changed_at + wait else None
    if state.audio_ns >= turn.quiet_ns + wait:
        return end
    return TurnEnd.CAP if state.at >= _cap_at(state) else None


WAIT_SETTINGS = {
    TurnEnd.FINISHED: "endpoint_finished_ns",
    TurnEnd.UNSURE: "endpoint_unsure_ns",
    TurnEnd.UNFINISHED: "endpoint_unfinished_ns",
    TurnEnd.CAP: "endpoint_cap_ns",
    TurnEnd.UNHEARD: "endpoint_unheard_ns",
    TurnEnd.KEYED: "dtmf_ns",
}
"""The policy's number that owned the wait, by how the turn ended; others ended without one."""


def endpoint_wait(state: State, words: str) -> tuple[TurnEnd, int]:
    """Which wait owns the present silence, and how long it is, in nanoseconds."""
    turn, policy = state.turn, state.setup.policy
    sounds = completeness(words, last_question(state), policy.language)
    if turn.eager or (turn.complete_prob is not None and turn.complete_prob >= SURE_PROB):
        sounds = Completeness.FINISHED
    elif turn.complete_prob is not None and turn.complete_prob <= UNSURE_PROB:
        sounds = Completeness.UNFINISHED
    if sounds is Completeness.FINISHED:
        return TurnEnd.FINISHED, policy.endpoint_finished_ns
    if sounds is Completeness.UNFINISHED:
        return TurnEnd.UNFINISHED, policy.endpoint_unfinished_ns
    own = int(turn.pause_ns * policy.endpoint_pause_factor) if turn.pause_ns else policy.endpoint_unsure_ns
    return TurnEnd.UNSURE, max(policy.endpoint_finished_ns, min(own, policy.endpoint_unfinished_ns))


# Time.


def _cap_at(state: State) -> int:
    """When the present silence has lasted as long as any may, on the wall clock."""
    assert state.turn.quiet_at is not None  # A silence has its place in the sound and its moment.
    return state.turn.quiet_at + state.setup.policy.endpoint_cap_ns


def _asked_at(state: State) -> int | None:
    """When the recogniser that listens now was asked for its last words. None: it was not, whoever was before it."""
    at = state.turn.asked_final_at
    return at if at is not None and at >= state.ear.asked_at else None


def final_due(state: State) -> int | None:
    """Until when the partial waits for the final that was asked for."""
    at = _asked_at(state)
    return at + state.setup.policy.final_wait_ns if at is not None and state.turn.partial else None


def _finalize_audio_ns(state: State) -> int | None:
    """When the recogniser is to be asked for its last words."""
    turn = state.turn
    if turn.quiet_ns is None or _asked_at(state) is not None or not state.ear.open:
        return None
    if not turn.partial and turn.final_speech_ns == turn.speech_ns:
        return None
    return turn.quiet_ns + state.setup.policy.finalize_ns


def deadlines(state: State) -> Deadlines:
    """When the turn must be looked at again."""
    turn, policy = state.turn, state.setup.policy
    wall: list[int] = []
    audio: list[int] = []
    if turn.keys:
        wall.append(turn.keyed_at + policy.dtmf_ns)
    finalize = _finalize_audio_ns(state)
    if finalize is not None:
        audio.append(finalize)
    words = words_of(turn)
    if not words:
        quiet_ns = _wordless_since(state)
        if quiet_ns is not None:
            audio.append(quiet_ns + policy.endpoint_unheard_ns)
            again_at = heard_again_at(state)
            wall.append(again_at if again_at > state.at else _cap_at(state))
    elif not _is_contested(state, words):
        final_at = final_due(state)
        if turn.speaking:
            wall.append(turn.changed_at + 3 * policy.endpoint_cap_ns)
        elif final_at is not None and state.at < final_at:
            wall.append(final_at)
        else:
            wait = endpoint_wait(state, words)[1]
            if turn.quiet_ns is None:
                wall.append(turn.changed_at + wait)
            else:
                audio.append(turn.quiet_ns + wait)
                wall.append(_cap_at(state))
    return Deadlines(min(wall, default=None), min(audio, default=None))
