"""The agent's side: when a run begins, what it says, how it ends.

A run begins for a caller's turn, a text that waits to be said, or the result of a tool that outlived its run. It may begin before
the turn is certain (speculative): then nothing of it is heard and no tool runs until the turn is taken with the same words. There is
one live run at most. Writes `state.response` alone.
"""

from msgspec.structs import replace

from engine.core.chunking import spoken
from engine.core.commands import (
    NOTHING,
    ClosePlayout,
    Commands,
    EndSession,
    OpenPlayout,
    StopASR,
    Transfer,
)
from engine.core.events import (
    EndRequested,
    SayRequested,
    SessionEnded,
    SessionStarted,
    TransferFailed,
    TransferRequested,
)
from engine.core.floor import MACHINES, believed_until, caller_speaks, floor_run, known_ledger
from engine.core.playout import is_heard_out, is_stalled
from engine.core.recovery import ask, drop_run, first_model, stop_run
from engine.core.state import Cause, Deadlines, Run, RunEnd, Say, State, TurnEnd
from engine.core.turn import endpoint_wait, words_of
from engine.core.units import LIMITS
from engine.core.words import normalised

SAYS_MAX = 16
"""Texts waiting to be said; the oldest go first. More is an embedder that talks to itself."""


# Facts into the slice.


def greet(state: State, event: SessionStarted) -> tuple[State, Commands]:
    if not event.setup.greeting:
        return state, NOTHING
    return _queue(state, Say(event.setup.greeting, Cause.GREETING, event.setup.greeting_interruptible)), NOTHING


def queue_text(state: State, event: SayRequested) -> tuple[State, Commands]:
    return _queue(state, Say(event.text, interruptible=event.interruptible)), NOTHING


def queue_end(state: State, event: EndRequested) -> tuple[State, Commands]:
    """Hang up when the last words have been heard; they cannot be cut."""
    return _after_speech(state, Say(event.text, Cause.GOODBYE, False, then_end=event.reason or "ended")), NOTHING


def queue_transfer(state: State, event: TransferRequested) -> tuple[State, Commands]:
    return _after_speech(state, Say("", then_transfer=event.target)), NOTHING


def regret_transfer(state: State, event: TransferFailed) -> tuple[State, Commands]:
    """Nobody took the caller: say so, and go on with them."""
    return _queue(state, Say(state.setup.policy.not_transferred)), NOTHING


def _after_speech(state: State, say: Say) -> State:
    run = state.response.run
    if say.text or run is None or not run.committed or state.response.says:
        return _queue(state, say)
    run = replace(run, then_end=say.then_end or run.then_end, then_transfer=say.then_transfer or run.then_transfer)
    return replace(state, response=replace(state.response, run=run))


def _queue(state: State, say: Say) -> State:
    says = (*state.response.says, replace(say, text=spoken(say.text)[: LIMITS.response_chars]))[-SAYS_MAX:]
    return replace(state, response=replace(state.response, says=says))


def close(state: State, event: SessionEnded) -> tuple[State, Commands]:
    """The line is gone: everything stops."""
    run = state.response.run
    commands: Commands = (StopASR(ear=state.ear.number),) if state.ear.number else NOTHING
    if run is not None:
        state, stops = stop_run(state, run, RunEnd.CLOSED)
        commands = (*stops, *commands)
    return replace(state, ended=event.reason or "ended"), commands


# How a run ends.


def finish(state: State) -> tuple[State, Commands]:
    """The run has been heard out, or has nothing to say, or cannot be heard; or nobody is there any more."""
    if (
        state.lost_at is not None
        and not state.response.ending
        and state.at >= state.lost_at + state.setup.policy.line_lost_ns
    ):
        return _hang_up(state, "line lost")
    run = floor_run(state)
    if run is None:
        return state, NOTHING
    ledger = known_ledger(state, run.number)
    if ledger.mute or is_stalled(state, ledger):
        state, commands = stop_run(state, run, RunEnd.FAILED)
        return _after(state, run, failed=True, commands=commands)
    said = run.written and ledger.cut >= len(run.text) and (is_heard_out(ledger) or not state.setup.tts)
    if not said or state.contest.run == run.number:
        return state, NOTHING
    end = RunEnd.FAILED if run.failed else RunEnd.FINISHED
    return _after(drop_run(state, run, end), run, failed=run.failed, commands=(ClosePlayout(run=run.number),))


def _after(state: State, run: Run, *, failed: bool, commands: Commands) -> tuple[State, Commands]:
    """What was to happen once this run had been heard."""
    failures = state.response.failures + 1 if failed else 0
    state = replace(state, response=replace(state.response, failures=failures))
    if run.then_transfer:
        return state, (*commands, Transfer(target=run.then_transfer))
    if run.then_end:
        return _hang_up(state, run.then_end, commands)
    if failures >= state.setup.policy.failures:
        return _queue(state, _farewell(state)), commands
    return state, commands


def _farewell(state: State) -> Say:
    return Say(state.setup.policy.farewell, Cause.FAREWELL, False, then_end="technical trouble")


def _hang_up(state: State, reason: str, commands: Commands = NOTHING) -> tuple[State, Commands]:
    return replace(state, response=replace(state.response, ending=reason)), (*commands, EndSession(reason=reason))


# How a run begins.


def _caller_speaks_anew(state: State) -> bool:
    """Whether the caller speaks, with a voice that began after the last turn: one that was taken mid-voice is answered at once."""
    return state.turn.speech_ns is not None and caller_speaks(state)


def answer(state: State) -> tuple[State, Commands]:
    """Take up the caller's turn: commit the run that guessed it, or begin one."""
    turn, response = state.turn, state.response
    if turn.taken == response.answered or response.ending or floor_run(state) is not None:
        return state, NOTHING
    if words_of(turn) or turn.keys or _caller_speaks_anew(state):  # What they say now belongs to it.
        return state, NOTHING
    guess = response.run
    state = replace(state, response=replace(response, answered=turn.taken))
    if guess is not None:
        if turn.last_end is not TurnEnd.UNHEARD and normalised(guess.prompt) == normalised(turn.last_text):
            committed = replace(guess, committed=True, turn=turn.taken, began_audio_ns=state.audio_ns)
            return replace(state, response=replace(state.response, run=committed)), (OpenPlayout(run=guess.number),)
        state, commands = stop_run(state, guess, RunEnd.SUPERSEDED)
        state, more = _reply(state)
        return state, (*commands, *more)
    return _reply(state)


def _reply(state: State) -> tuple[State, Commands]:
    turn = state.turn
    if state.answered_by in MACHINES and state.setup.policy.voicemail:
        return state, NOTHING
    if turn.last_end is TurnEnd.UNHEARD:
        return _begin_text(state, Say(state.setup.policy.unheard, Cause.UNHEARD))
    if not state.setup.llm:
        return state, NOTHING
    return _begin_asking(state, Cause.TURN, prompt=turn.last_text, turn=turn.taken)


def say_next(state: State) -> tuple[State, Commands]:
    """When the floor is free: what waits to be said, then what waits to be told."""
    response = state.response
    if response.run is not None or response.ending or state.lost_at is not None or not state.started:
        return state, NOTHING
    state = _gathered(state)
    response = state.response
    turn = state.turn
    if caller_speaks(state) or words_of(turn) or turn.keys or turn.taken > response.answered:
        return state, NOTHING
    if response.says:
        state = replace(state, response=replace(response, says=response.says[1:]))
        return _begin_text(state, response.says[0])
    if state.tools.detached > response.told and state.setup.llm:
        return _begin_asking(state, Cause.TOOL)
    return state, NOTHING


def _gathered(state: State) -> State:
    """Texts that other rules have asked for."""
    response, policy, idle, ear = state.response, state.setup.policy, state.idle, state.ear
    says: list[Say] = []
    if ear.apologies > response.apologised:
        says.append(Say(policy.apology))
    if idle.prompts > response.prompted:
        says.append(Say(policy.idle_prompt, Cause.IDLE))
    leaving = any(say.then_end for say in response.says)
    if ear.lost and not leaving:
        says.append(_farewell(state))
    elif idle.over and not leaving:
        says.append(Say(policy.goodbye, Cause.GOODBYE, False, then_end="nobody there"))
    if not says:
        return state
    response = replace(
        response, says=(*response.says, *says)[-SAYS_MAX:], apologised=ear.apologies, prompted=idle.prompts
    )
    return replace(state, response=response)


def _begin_text(state: State, say: Say) -> tuple[State, Commands]:
    """A run whose text is given."""
    if not say.text.strip():  # Nothing to say before the end: it is now.
        if say.then_transfer:
            return state, (Transfer(target=say.then_transfer),)
        return _hang_up(state, say.then_end) if say.then_end else (state, NOTHING)
    run = Run(
        number=state.response.runs + 1,
        cause=say.cause,
        began_at=state.at,
        began_audio_ns=state.audio_ns,
        interruptible=say.interruptible,
        text=say.text,
        written=True,
        then_end=say.then_end,
    )
    return replace(state, response=replace(state.response, run=run, runs=run.number)), (OpenPlayout(run=run.number),)


def _begin_asking(
    state: State, cause: Cause, *, prompt: str = "", turn: int = 0, committed: bool = True
) -> tuple[State, Commands]:
    """A run whose text a language model writes."""
    number = state.response.runs + 1
    run = Run(
        number=number,
        cause=cause,
        began_at=state.at,
        began_audio_ns=state.audio_ns,
        prompt=prompt,
        turn=turn,
        committed=committed,
    )
    state = replace(state, response=replace(state.response, runs=number))
    state, commands = ask(state, run, first_model(state))
    return state, (OpenPlayout(run=number), *commands) if committed else commands


# Speculation.


def guess(state: State) -> tuple[State, Commands]:
    """Begin to answer words that are probably the whole turn; drop a guess when the caller says something else."""
    words, run = words_of(state.turn), state.response.run
    if run is not None:
        outdated = not run.committed and bool(words) and normalised(words) != normalised(run.prompt)
        return stop_run(state, run, RunEnd.SUPERSEDED) if outdated else (state, NOTHING)
    at = _guess_audio_ns(state)
    ready = (at is not None and state.audio_ns >= at) or (state.turn.eager and _may_guess(state))
    if not ready:
        return state, NOTHING
    response = state.response
    guesses = response.guesses + 1 if response.guessed == state.turn.taken + 1 else 1
    state = replace(state, response=replace(response, guessed=state.turn.taken + 1, guesses=guesses))
    return _begin_asking(state, Cause.TURN, prompt=words, committed=False)


def _may_guess(state: State) -> bool:
    policy, response = state.setup.policy, state.response
    spent = response.guessed == state.turn.taken + 1 and response.guesses >= policy.guesses
    free = response.run is None and not response.says and not response.ending and bool(state.setup.llm)
    return policy.speculate and free and not spent and bool(words_of(state.turn)) and not state.turn.keys


def _guess_audio_ns(state: State) -> int | None:
    """When words have stood still long enough to be worth a guess: those that sound finished, and those that are final and may be all."""
    turn = state.turn
    if turn.quiet_ns is None or not _may_guess(state):
        return None
    sounds = endpoint_wait(state, words_of(turn))[0]
    are_final = not turn.partial and turn.final_speech_ns == turn.speech_ns
    if sounds is TurnEnd.FINISHED or (sounds is TurnEnd.UNSURE and are_final):
        return turn.quiet_ns + state.setup.policy.speculate_stable_ns
    return None


def deadlines(state: State) -> Deadlines:
    response = state.response
    wall: list[int] = []
    owes = response.says or state.turn.taken > response.answered or state.tools.detached > response.told
    if owes and response.run is None and state.turn.speaking:
        wall.append(believed_until(state))
    if state.lost_at is not None and not response.ending:
        wall.append(state.lost_at + state.setup.policy.line_lost_ns)
    return Deadlines(min(wall, default=None), _guess_audio_ns(state))
