"""When a language model fails, stalls or is slow: once more, the next one, both at once, or an apology.

Nothing the caller has heard is said again: another model goes on from the text at hand. Writes `state.response` alone.
"""

from msgspec.structs import replace

from engine.core.chunking import spoken
from engine.core.commands import NOTHING, CancelLLM, CancelTTS, ClearPlayout, Commands, Message, Role, StartLLM
from engine.core.conversation import prompt_of
from engine.core.events import AdapterFailed, Stage
from engine.core.floor import ledger_of
from engine.core.retry import is_worth_retrying
from engine.core.state import NEVER, Cause, Deadlines, Request, Round, Run, RunEnd, State
from engine.core.units import LIMITS
from engine.errors import FailureKind

CONTINUE = "Your last answer broke off where it ends above. Go on from exactly there; do not repeat what was said."
"""What another model is told when the first one died in the middle of an answer that is being spoken."""

ANSWERED = "A tool that was still running when the conversation went on has answered now. Tell the caller what it found, briefly."
"""What a model is told when its run begins with the result of a tool, not with words of the caller's."""


def ask(state: State, run: Run, provider: int) -> tuple[State, Commands]:
    """Put the run's question to a model."""
    number = state.response.requests + 1
    request = Request(number=number, provider=provider, asked_at=state.at)
    tentative = run.prompt if not run.committed else ""
    messages = prompt_of(state, run, tentative=tentative)
    begun = run.text[run.rounds[-1].end_char :] if run.rounds else run.text
    if begun.strip():
        messages = (*messages, Message(role=Role.SYSTEM, text=CONTINUE))
    elif run.cause is Cause.TOOL and not run.rounds:
        messages = (*messages, Message(role=Role.SYSTEM, text=ANSWERED))
    run = replace(run, requests=(*run.requests, request), provider=provider, retry_at=None)
    response = replace(state.response, run=run, requests=number, told=state.tools.detached)
    command = StartLLM(run=run.number, request=number, provider=state.setup.llm[provider], messages=messages)
    return replace(state, response=response), (command,)


def change_model(state: State, event: AdapterFailed) -> tuple[State, Commands]:
    """A language model failed."""
    if event.stage is not Stage.LLM:
        return state, NOTHING
    return _lose(state, event.request, event.kind, event.retry_ns)


def watch_model(state: State) -> tuple[State, Commands]:
    """Retry when it is time, hedge when it is slow, give up on one that is silent."""
    run = state.response.run
    if run is None:
        return state, NOTHING
    if run.retry_at is not None and state.at >= run.retry_at:
        return ask(state, run, run.provider)
    for request in run.requests:
        if state.at >= _due(state, request):
            state, commands = _lose(state, request.number, FailureKind.TIMEOUT, 0)
            return state, (CancelLLM(run=run.number, request=request.number), *commands)
    hedge = _hedge_at(state, run)
    if hedge is not None and state.at >= hedge:
        return ask(state, replace(run, hedged=True), run.provider + 1)
    return state, NOTHING


def _lose(state: State, number: int, kind: FailureKind, retry_ns: int) -> tuple[State, Commands]:
    """One request is lost. Another may still be under way, or the round may be whole enough to go on."""
    run = state.response.run
    assert run is not None
    lost = next(request for request in run.requests if request.number == number)
    run = replace(run, requests=tuple(request for request in run.requests if request is not lost))
    kept = replace(state, response=replace(state.response, run=run))
    if run.requests or run.calls:  # The hedge goes on; or tools were called already, and must not be called twice.
        return kept, NOTHING
    policy, tries, others = state.setup.policy, run.tries + 1, lost.provider + 1 < len(state.setup.llm)
    if not run.committed:  # A guess that failed is no reason to guess again; the turn itself will ask.
        dropped = drop_run(kept, run, RunEnd.SUPERSEDED)
        return replace(dropped, response=replace(dropped.response, guesses=policy.guesses)), NOTHING
    if is_worth_retrying(policy, kind, failures=tries, retry_ns=retry_ns, others=others):
        wait = max(retry_ns, _jittered(policy.retry_ns * 2 ** (tries - 1), state.seed + number))
        waiting = replace(run, tries=tries, retry_at=state.at + wait)
        return replace(state, response=replace(state.response, run=waiting)), NOTHING
    if others:
        return ask(kept, replace(run, tries=0, hedged=False), lost.provider + 1)
    return _apologise(kept, run), NOTHING


def _jittered(wait_ns: int, seed: int) -> int:
    """± 20 %, so that calls that failed together do not come back together. Chance from the session's seed (splitmix64)."""
    mixed = (seed * 0x9E3779B97F4A7C15 + 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
    mixed = ((mixed ^ (mixed >> 30)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
    return wait_ns * (800 + (mixed >> 33) % 401) // 1000


def _apologise(state: State, run: Run) -> State:
    """No model is left: what was begun is closed, and the agent says so."""
    ledger = ledger_of(state, run.number)
    said = run.text[: ledger.cut] if ledger is not None else ""
    text = f"{said} {spoken(state.setup.policy.apology)}".lstrip()
    run = replace(
        run, text=text, rounds=(*run.rounds, Round(len(text))), calls=(), requests=(), written=True, failed=True
    )
    return replace(state, response=replace(state.response, run=run))


def drop_run(state: State, run: Run, end: RunEnd) -> State:
    """The live run is over; it is remembered for late facts."""
    past = (*state.response.past, replace(run, requests=(), end=end, ended_at=state.at))[-LIMITS.runs_remembered :]
    return replace(state, response=replace(state.response, run=None, past=past))


def stop_run(state: State, run: Run, end: RunEnd) -> tuple[State, Commands]:
    """The live run is over, with everything it has under way."""
    asked = tuple(CancelLLM(run=run.number, request=request.number) for request in run.requests)
    return drop_run(state, run, end), (ClearPlayout(run=run.number), *asked, CancelTTS(run=run.number))


# Time.


def _due(state: State, request: Request) -> int:
    policy = state.setup.policy
    if request.token_at is None:
        return request.asked_at + policy.llm_first_ns
    return request.token_at + policy.llm_stall_ns


def _hedge_at(state: State, run: Run) -> int | None:
    wait = state.setup.policy.llm_hedge_ns
    if not wait or run.hedged or len(run.requests) != 1 or run.provider + 1 >= len(state.setup.llm):
        return None
    only = run.requests[0]
    return only.asked_at + wait if only.token_at is None else None


def deadlines(state: State) -> Deadlines:
    run = state.response.run
    if run is None:
        return NEVER
    wall = [_due(state, request) for request in run.requests]
    wall += [at for at in (run.retry_at, _hedge_at(state, run)) if at is not None]
    return Deadlines(min(wall)) if wall else NEVER
