"""The session's own span, and what belongs to no run."""

from engine.core.state import State
from engine.telemetry import names
from engine.telemetry.records import SESSION_RUN, Attributes, Call, Open, Part, Span, parse_traceparent, trace_of

LINKS = 128
"""Runs that a session's span links to, newest last: the usual limit of exporters and viewers."""


class Whole:
    """The call as a whole. Its span hangs under the embedding service's, where that said which."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.parent = parse_traceparent(call.traceparent)
        self.trace = trace_of(call.key, SESSION_RUN)
        self.trace_id = self.parent.trace_id if self.parent is not None else self.trace.trace_id
        self.root_id = self.trace.span_id(Part.ROOT)
        self.base: Attributes = {names.CONVERSATION_ID: call.session}
        self.call_id = ""


def session_span(whole: Whole, state: State, seq: int, *, torn: bool) -> Span:
    """From the first fact to the last, with links to the runs."""
    call, parent, runs = whole.call, whole.parent, state.response.runs
    linked = (trace_of(call.key, number) for number in range(max(1, runs - LINKS + 1), runs + 1))
    attributes: Attributes = {
        **whole.base,
        names.SPAN_KIND: "session",
        names.AGENT_NAME: call.agent,
        names.SESSION_END_REASON: "torn" if torn else state.ended,
        names.SESSION_RUNS: runs,
        names.SESSION_TURNS: state.turn.taken,
        names.SESSION_INTERRUPTIONS: state.contest.interrupted,
        names.STALE_DROPPED: state.counters.stale,
        names.SEQ: 0,
        names.SEQ_END: seq,
    }
    if whole.call_id:
        attributes[names.SESSION_CALL_ID] = whole.call_id
    return Span(
        name=names.SESSION,
        trace_id=whole.trace_id,
        span_id=whole.root_id,
        parent_id=parent.span_id if parent is not None else 0,
        remote=parent is not None,
        start_ns=call.began_ns,
        end_ns=call.began_ns + state.at,
        attributes=attributes,
        links=tuple((trace.trace_id, trace.span_id(Part.ROOT)) for trace in linked),
    )


def stray_span(whole: Whole, part: Open) -> Span:
    """Something that no run answered: the caller spoke and hung up."""
    began_ns = whole.call.began_ns
    return Span(
        name=part.name,
        trace_id=whole.trace_id,
        span_id=whole.trace.span_id(part.part, part.number),
        parent_id=whole.root_id,
        client=part.client,
        start_ns=began_ns + part.at,
        end_ns=began_ns + (part.end_at or part.at),
        attributes={**whole.base, names.SPAN_KIND: part.part.name.lower(), **part.attributes},
        error=part.error,
    )
