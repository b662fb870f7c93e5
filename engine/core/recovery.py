"""When a language model fails, stalls or is slow: once more, the next one, both at once, or an apology.

Nothing the caller has heard is said again: another model goes on from the text at hand. Writes `state.response` alone.
"""

from msgspec.structs import replace

from engine.core.chunking import spoken
from engine.core.commands import NOTHING, CancelLLM, CancelTTS, ClearPlayout, Commands, Message, Role, StartLLM
from engine.core.conversation import prompt_of
from engine.core.events import AdapterFailed, OutagesChanged, Stage
from engine.core.floor import ledger_of
from engine.core.retry import choose, is_worth_retrying, keep_or_leave
from engine.core.state import NEVER, Cause, Deadlines, Request, Run, RunEnd, State
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


def first_model(state: State) -> int:
    """Whom a new run asks; there is none without a model."""
    place = _next_model(state)
    assert place is not None
    return place


def same_model(state: State, run: Run) -> int:
    """Whom a run asks that goes on: the one that knows how it began, where that one still answers."""
    return keep_or_leave(run.provider, state.setup.llm, state.outages.llm, run.tried)


def _next_model(state: State, tried: tuple[int, ...] = ()) -> int | None:
    """Models that have lately failed this call come after the others; those that fail other calls too come last."""
    response, names, out = state.response, state.setup.llm, state.outages.llm
    if response.resting and state.at < response.resting_until:
        place = choose(names, out, (*tried, *response.resting))
        if place is not None and names[place] not in out:
            return place
    return choose(names, out, tried)


def outrun(state: State, speaker: Request, others: tuple[Request, ...]) -> State:
    """A model that was asked later has spoken first."""
    for slow in others:
        if slow.asked_at < speaker.asked_at:
            state = _rest(state, slow.provider)
    return state


def _rest(state: State, place: int) -> State:
    """A model was given up, or is slow: the next runs of this call ask others first."""
    response, wait = state.response, state.setup.policy.rest_ns
    if not wait:
        return state
    resting = response.resting if state.at < response.resting_until else ()
    resting = (*(other for other in resting if other != place), place)
    return replace(state, response=replace(response, resting=resting, resting_until=state.at + wait))


def heed_outage(state: State, event: OutagesChanged) -> tuple[State, Commands]:
    """Other calls know by now that the model we wait for does not answer: ask the next at once."""
    run = state.response.run
    if run is None or run.hedged or (run.retry_at is None and not any(each.token_at is None for each in run.requests)):
        return state, NOTHING
    other = _hedge(state, run)
    if other is None or state.setup.llm[run.provider] not in event.outages.llm:
        return state, NOTHING
    if run.requests:
        return ask(state, replace(run, hedged=True), other)
    return ask(_rest(state, run.provider), replace(run, tries=0, tried=(*run.tried, run.provider)), other)


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
        other = _hedge(state, run)
        assert other is not None
        return ask(state, replace(run, hedged=True), other)
    return state, NOTHING


def _lose(state: State, number: int, kind: FailureKind, retry_ns: int) -> tuple[State, Commands]:
    """One request is lost. Another may still be under way, or the round may be whole enough to go on."""
    run = state.response.run
    assert run is not None
    lost = next(request for request in run.requests if request.number == number)
    run = replace(run, requests=tuple(request for request in run.requests if request is not lost))
    if run.requests:  # The hedge goes on.
        run = replace(run, tried=(*run.tried, lost.provider))
    kept = replace(state, response=replace(state.response, run=run))
    if run.requests or run.calls:  # Tools that were called already must not be called twice.
        return kept, NOTHING
    policy, tries, tried = state.setup.policy, run.tries + 1, (*run.tried, lost.provider)
    other = _next_model(state, tried)
    out = state.setup.llm[lost.provider] in state.outages.llm
    if not run.committed:  # A guess that failed is no reason to guess again; the turn itself will ask.
        dropped, stops = stop_run(kept, run, RunEnd.SUPERSEDED)
        return replace(dropped, response=replace(dropped.response, guesses=policy.guesses)), stops
    if is_worth_retrying(policy, kind, failures=tries, retry_ns=retry_ns, others=other is not None, out=out):
        wait = max(retry_ns, _jittered(policy.retry_ns * 2 ** (tries - 1), state.seed + number))
        waiting = replace(run, provider=lost.provider, tries=tries, retry_at=state.at + wait)
        return replace(state, response=replace(state.response, run=waiting)), NOTHING
    if other is not None:
        return ask(_rest(kept, lost.provider), replace(run, tries=0, tried=tried, hedged=False), other)
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
    text = followed_by(said, state.setup.policy.apology)
    run = replace(run, text=text, written=True, failed=True)
    return replace(state, response=replace(state.response, run=run))


def followed_by(text: str, words: str) -> str:
    """An answer as it stands, to the character - the ledger counts them - and words of the policy's behind it."""
    return f"{text} {spoken(words)}" if text and words else text + spoken(words)


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
    if not wait or run.hedged or len(run.requests) != 1 or run.requests[0].token_at is not None:
        return None
    return run.requests[0].asked_at + wait if _hedge(state, run) is not None else None


def _hedge(state: State, run: Run) -> int | None:
    """Who may be asked beside the one that is asked already: nobody who is known to be out."""
    names = state.setup.llm
    other = _next_model(state, (*run.tried, run.provider))
    return other if other is not None and names[other] not in state.outages.llm else None


def deadlines(state: State) -> Deadlines:
    run = state.response.run
    if run is None:
        return NEVER
    wall = [_due(state, request) for request in run.requests]
    wall += [at for at in (run.retry_at, _hedge_at(state, run)) if at is not None]
    return Deadlines(min(wall)) if wall else NEVER
