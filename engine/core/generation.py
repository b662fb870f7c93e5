"""What the model contributes to the live run: its tokens, its tool calls, and going on when the tools have answered.

An answer is written in rounds: text, then perhaps tool calls; their results open the next round, in the same run. The first of two
hedged models to speak is the one we listen to. Writes `state.response` alone.
"""

from msgspec.structs import replace

from engine.core.chunking import spoken
from engine.core.commands import NOTHING, CancelLLM, Commands
from engine.core.events import LLMDone, LLMToken, LLMToolCall
from engine.core.floor import floor_run, known_ledger
from engine.core.playout import is_heard_out
from engine.core.recovery import ask, followed_by, outrun, same_model
from engine.core.state import CallState, Deadlines, Round, Run, State
from engine.core.tools import OPEN, known_call, spec_of
from engine.core.units import LIMITS

# Facts into the slice.


def keep_token(state: State, event: LLMToken) -> tuple[State, Commands]:
    """More of the answer."""
    state, run, cancelled = _listened_to(state, event.request)
    # The space after a filler is there already.
    text = run.text + (spoken(event.text).lstrip(" ") if run.text.endswith(" ") and run.filled else spoken(event.text))
    run = replace(
        run,
        text=text[: LIMITS.response_chars],
        first_token_at=state.at if run.first_token_at is None else run.first_token_at,
    )
    if len(text) > LIMITS.response_chars:
        cancelled = (*cancelled, CancelLLM(run=run.number, request=event.request))
        run = _closed(replace(run, requests=()))
    return replace(state, response=replace(state.response, run=run)), cancelled


def await_call(state: State, event: LLMToolCall) -> tuple[State, Commands]:
    """The model called a tool; `tools.take_call` has just written it down."""
    state, run, cancelled = _listened_to(state, event.request)
    run = replace(run, calls=(*run.calls, state.tools.made), called_at=state.at, filled=False)
    return replace(state, response=replace(state.response, run=run)), cancelled


def close_round(state: State, event: LLMDone) -> tuple[State, Commands]:
    """The model has finished; if it called tools, the answer has not."""
    state, run, cancelled = _listened_to(state, event.request)
    run = replace(run, requests=(), tries=0)
    if not run.calls:
        run = _closed(run)
    return replace(state, response=replace(state.response, run=run)), cancelled


def _listened_to(state: State, number: int) -> tuple[State, Run, Commands]:
    """The live run with this request alone, and the order to cancel the other of two that were hedged: one asked earlier was slow."""
    run = state.response.run
    assert run is not None
    speaker = next(request for request in run.requests if request.number == number)
    others = tuple(request for request in run.requests if request.number != number)
    cancelled = tuple(CancelLLM(run=run.number, request=other.number) for other in others)
    run = replace(run, requests=(replace(speaker, token_at=state.at),), provider=speaker.provider)
    return outrun(state, speaker, others), run, cancelled


def _closed(run: Run) -> Run:
    """The answer is whole, and waits for no tool any more."""
    return replace(run, written=True, rounds=(*run.rounds, Round(len(run.text), run.calls)), calls=())


# When the tools have answered, and when they are slow.


def go_on(state: State) -> tuple[State, Commands]:
    """All tools of the round have answered: the model goes on, in the same run."""
    run = state.response.run
    if run is None or not run.calls or run.requests:
        return state, NOTHING
    calls = [known_call(state, number) for number in run.calls]
    if any(call.state in OPEN for call in calls):
        return state, NOTHING
    text = run.text if not run.text or run.text[-1].isspace() else run.text + " "
    done = [(call, spec_of(state, call.name)) for call in calls if call.state is CallState.DONE]
    targets = [target_in(call.output) for call, spec in done if spec.transfers_call]
    run = replace(
        run,
        text=text,
        rounds=(*run.rounds, Round(len(text), run.calls)),
        calls=(),
        then_end="ended by the agent" if any(spec.ends_call for _, spec in done) else run.then_end,
        then_transfer=targets[-1] if targets else run.then_transfer,
    )
    if len(run.rounds) >= state.setup.policy.tool_rounds:
        run = replace(run, written=True)
        return replace(state, response=replace(state.response, run=run)), NOTHING
    return ask(state, run, same_model(state, run))


def target_in(output: str) -> str:
    """Where a tool that hands the caller over sends them."""
    return output.partition("\n")[0].strip()[: LIMITS.target_chars]


def fill(state: State) -> tuple[State, Commands]:
    """A slow tool, or a slow model, is not silence: say so, once."""
    run, at = state.response.run, _fill_at(state)
    if run is None or at is None or state.at < at:
        return state, NOTHING
    if run.calls:
        words = next((filler for filler in (_filler(state, number) for number in run.calls) if filler), "")
        text = followed_by(run.text, words)
    else:
        text = _broken_off(state, run)
    run = replace(run, filled=True, text=text)
    return replace(state, response=replace(state.response, run=run)), NOTHING


def _broken_off(state: State, run: Run) -> str:
    """The answer so far with the filler behind it, and room for the words to come."""
    filler = spoken(state.setup.policy.filler)
    if not filler:
        return run.text
    begun = known_ledger(state, run.number).cut < len(run.text.rstrip())
    text = run.text.rstrip() + "…" if begun else run.text
    return followed_by(text, filler) + " "


def _filler(state: State, number: int) -> str:
    return spec_of(state, known_call(state, number).name).filler or state.setup.policy.filler


def _fill_at(state: State) -> int | None:
    run, policy = floor_run(state), state.setup.policy
    if run is None or run.filled or run.written:
        return None
    ledger = known_ledger(state, run.number)
    if not is_heard_out(ledger):
        return None
    if run.calls and not run.requests:
        return max(run.called_at, ledger.moved_at) + policy.filler_ns if policy.filler_ns else None
    if not policy.llm_filler_ns or not state.setup.tts or not run.requests or run.calls:
        return None
    asked_at = min(request.asked_at for request in run.requests)
    return max(ledger.moved_at, asked_at) + policy.llm_filler_ns


def deadlines(state: State) -> Deadlines:
    return Deadlines(_fill_at(state))
