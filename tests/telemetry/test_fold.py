"""A call becomes spans, lines and measures: one trace a run, parents and links right, the same from a journal as live."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from engine.core.commands import SetTimer
from engine.core.events import Stage
from engine.core.policy import OnInterrupt, ToolSpec
from engine.core.units import MS
from engine.telemetry import Call, names
from engine.telemetry.fold import Fold
from engine.telemetry.records import Line, Measure, Part, Record, Span, format_traceparent, trace_of
from tests.calls import BARGE_IN, RECEPTION, Step, steps_of

BEGAN_NS = 1_700_000_000_000_000_000
CALL = Call(session="abc", began_ns=BEGAN_NS, agent="reception")


def folded(steps: list[Step], call: Call = CALL, **options: Any) -> list[Record]:
    fold = Fold(call, **options)
    return [record for step in steps for record in fold(*step)] + fold.finish()


def spans(records: list[Record], kind: str = "", run: int | None = None) -> list[Span]:
    return [
        record
        for record in records
        if isinstance(record, Span)
        and kind in ("", record.attributes[names.SPAN_KIND])
        and run in (None, record.attributes.get(names.RUN_ID))
    ]


def one(records: list[Record], kind: str, run: int | None = None) -> Span:
    (only,) = spans(records, kind, run)
    return only


def measures(records: list[Record], name: str) -> list[float]:
    return [record.value for record in records if isinstance(record, Measure) and record.name == name]


def milliseconds(span: Span) -> tuple[float, float]:
    return (span.start_ns - BEGAN_NS) / MS, (span.end_ns - BEGAN_NS) / MS


def test_each_run_is_a_trace_of_its_own_whose_parts_hang_under_the_run() -> None:
    records = folded(steps_of(BARGE_IN))
    for number in (1, 2, 3):
        trace = trace_of(CALL.key, number)
        root = one(records, "run", number)
        parts = [span for span in spans(records, run=number) if span is not root]
        assert (root.trace_id, root.span_id, root.parent_id) == (trace.trace_id, trace.span_id(Part.ROOT), 0)
        assert parts
        assert {(span.trace_id, span.parent_id) for span in parts} == {(trace.trace_id, root.span_id)}


def test_every_span_id_is_distinct_and_every_part_lies_within_its_run() -> None:
    records = folded(steps_of(BARGE_IN))
    ids = Counter((span.trace_id, span.span_id) for span in spans(records))
    assert set(ids.values()) == {1}
    roots = {span.trace_id: span for span in spans(records, "run")}
    for span in spans(records):
        root = roots.get(span.trace_id, span)
        assert root.start_ns <= span.start_ns <= span.end_ns <= root.end_ns


def test_every_move_of_the_phase_is_a_span_with_its_event_and_commands() -> None:
    steps = steps_of(BARGE_IN)
    expected = [
        (
            seq,
            type(event).__name__,
            before.phase.value,
            after.phase.value,
            tuple(type(order).__name__ for order in commands if not isinstance(order, SetTimer)),
        )
        for seq, (event, before, after, commands) in enumerate(steps)
        if before.phase is not after.phase
    ]
    moves = [span.attributes for span in spans(folded(steps), "transition")]
    keys = (names.SEQ, names.EVENT, names.PHASE_FROM, names.PHASE_TO, names.COMMANDS)
    assert sorted(tuple(move[key] for key in keys) for move in moves) == expected
    assert len(expected) == 12


def test_a_run_links_to_its_session_and_to_the_run_before_it_and_the_session_to_all() -> None:
    records = folded(steps_of(BARGE_IN))
    roots = {
        number: (trace.trace_id, trace.span_id(Part.ROOT))
        for number in range(4)
        for trace in [trace_of(CALL.key, number)]
    }
    assert one(records, "run", 1).links == (roots[0],)
    assert one(records, "run", 3).links == (roots[0], roots[2])
    assert one(records, "session").links == (roots[1], roots[2], roots[3])


def test_the_callers_turn_says_which_setting_owned_the_wait() -> None:
    turn = one(folded(steps_of(BARGE_IN)), "user_turn", 2)
    assert milliseconds(turn) == (3000, 4360)
    assert turn.attributes[names.EOU_REASON] == "finished"
    assert turn.attributes[names.EOU_SETTING] == "endpoint_finished_ns"
    assert (turn.attributes[names.EOU_SETTING_MS], turn.attributes[names.EOU_DELAY_MS]) == (350, 350)


def test_recognition_lasts_to_its_last_final() -> None:
    heard = one(folded(steps_of(BARGE_IN)), "speech_to_text", 2)
    assert (heard.name, heard.client, milliseconds(heard)) == ("speech_to_text ear", True, (3000, 4000))
    assert (heard.attributes[names.ASR_PARTIALS], heard.attributes[names.ASR_FINALS]) == (1, 1)


def test_each_question_to_a_model_is_a_span_with_usage_and_first_answer() -> None:
    first, second = spans(folded(steps_of(BARGE_IN)), "chat", 2)
    assert (first.name, second.name, first.client) == ("chat model", "chat gpt-4.1", True)
    assert (first.attributes[names.INPUT_TOKENS], first.attributes[names.OUTPUT_TOKENS]) == (120, 14)
    assert names.FIRST_ANSWER_S not in first.attributes  # It called a tool and said nothing.
    assert first.attributes[names.FIRST_CHUNK_S] == 0.67
    assert second.attributes[names.FIRST_ANSWER_S] == 0.4
    assert second.attributes[names.FINISH_REASONS] == ("stop",)


def test_a_tool_call_is_a_span_without_what_was_said() -> None:
    call = one(folded(steps_of(BARGE_IN)), "tool", 2)
    assert (call.name, milliseconds(call)) == ("execute_tool find_slots", (4800, 5005))
    assert not any("monday" in str(value) for value in call.attributes.values())


def test_synthesis_that_was_cut_is_marked_and_playout_ends_where_it_was_heard() -> None:
    records = folded(steps_of(BARGE_IN))
    whole, cut = spans(records, "text_to_speech", 2)
    assert (whole.attributes[names.SOUND_MS], cut.attributes[names.CANCELLED]) == (2000, True)
    playout = one(records, "playout", 2)
    assert (milliseconds(playout), playout.attributes[names.HEARD_MS]) == ((5510, 6460), 900)
    assert playout.attributes[names.PAUSES] == 1


def test_an_interrupted_run_says_how_long_it_went_on_and_how_much_was_heard() -> None:
    records = folded(steps_of(BARGE_IN))
    run = one(records, "run", 2).attributes
    assert run[names.RUN_END_REASON] == "interrupted"
    assert run[names.ONSET_TO_STOP_MS] == 120
    assert (run[names.SENT_CHARS], run[names.HEARD_CHARS]) == (45, 8)
    assert one(records, "contest", 2).attributes[names.OUTCOME] == "interrupted"


def test_how_long_the_agent_went_on_counts_from_the_voice_and_not_from_its_detection() -> None:
    script = """
        0 asr open e1
        10 tts starts r1 c1
        20 playing r1
        300 tts done r1 c1 4000
        1000 caller speaks @950 heard=990
        1080
        1090 paused r1 1060
        1400 asr partial "wait a moment"
        1410 cleared r1 1060
        1500 session ended bye
    """
    records = folded(steps_of(script))
    assert one(records, "run", 1).attributes[names.ONSET_TO_STOP_MS] == 110
    assert measures(records, names.M_STOP) == [0.11]


def test_a_request_that_is_given_up_has_the_model_that_an_earlier_answer_named() -> None:
    script = """
        0 asr open e1
        150 tts starts r1 c1
        160 playing r1
        300 tts done r1 c1 500
        800 played r1 500
        1000 typed "hello"
        1200 llm r2 "Hi. "
        1300 llm done r2 model=gpt-4.1
        1400 typed "what is free?"
        1900 typed "never mind"
        2500 session ended "bye"
    """
    first, second, _ = spans(folded(steps_of(script)), "chat")
    assert (first.name, second.name, second.attributes[names.CANCELLED]) == ("chat gpt-4.1", "chat gpt-4.1", True)
    assert second.attributes[names.REQUEST_MODEL] == "gpt-4.1"
    assert names.RESPONSE_MODEL not in second.attributes


def test_the_parts_of_the_wait_add_up_to_the_whole() -> None:
    records = folded(steps_of(BARGE_IN))
    run = one(records, "run", 2).attributes
    parts = (names.ENDPOINT_MS, names.MODEL_MS, names.VOICE_MS, names.ENGINE_MS)
    assert [run[part] for part in parts] == [350, 1045, 95, 10]
    assert run[names.V2V_MS] == 1500
    assert measures(records, names.M_V2V) == [1.5, 1.1]


def test_measures_count_what_went_wrong() -> None:
    records = folded(steps_of(BARGE_IN))
    assert measures(records, names.M_INTERRUPTIONS) == [1]
    assert measures(records, names.M_STOP) == [0.12]
    assert measures(records, names.M_FALSE_INTERRUPTIONS) == []
    assert measures(records, names.M_TOOL) == [0.205]


def test_a_yield_taken_back_is_a_false_interruption() -> None:
    records = folded(
        steps_of("""
            0 asr open e1
            10 tts starts r1 c1
            20 playing r1
            300 tts done r1 c1 4000
            1000 caller speaks
            1150
            1160 paused r1 1100
            1300 caller quiet
            2000
            6000 played r1 4000
        """)
    )
    assert measures(records, names.M_FALSE_INTERRUPTIONS) == [1]
    assert one(records, "contest", 1).attributes[names.OUTCOME] == "resumed"


def test_a_provider_that_fails_is_an_error_on_its_span_and_the_next_one_a_fallback() -> None:
    setup = replace(RECEPTION, greeting="", llm=("model", "spare"))
    records = folded(
        steps_of(
            """
            0 asr open e1
            1000 typed "hello"
            1200 llm failed r1 rejected
            1500 llm r1 "Hi. "
            1600 llm done r1
            1700 session ended "bye"
            """,
            setup,
        )
    )
    lost, answered = spans(records, "chat", 1)
    assert (lost.error, lost.attributes[names.ERROR_TYPE], answered.error) == ("rejected", "rejected", "")
    assert measures(records, names.M_ERRORS) == [1]
    assert measures(records, names.M_FALLBACKS) == [1]
    warnings = [record for record in records if isinstance(record, Line) and record.severity == "WARN"]
    assert [line.body for line in warnings] == ["AdapterFailed"]


def test_a_model_that_never_answers_has_timed_out() -> None:
    setup = replace(RECEPTION, greeting="", llm=("model", "spare"))
    records = folded(steps_of('0 asr open e1\n1000 typed "hello"\n8000\n8100 session ended bye', setup))
    assert next(span.error for span in spans(records, "chat", 1)) == "timeout"


def test_a_tool_that_outlives_its_run_keeps_its_place_in_it() -> None:
    setup = replace(RECEPTION, greeting="", tools=(ToolSpec("search", on_interrupt=OnInterrupt.DETACH),))
    steps = steps_of(
        """
            0 asr open e1
            1000 typed "look it up"
            1200 llm r1 calls search {}
            1300 llm done r1 tool_calls
            2000 typed "never mind"
            2300 llm r2 "Fine. "
            2400 llm done r2
            3000 tool t1 "found"
            4000 session ended "bye"
            """,
        setup,
    )
    records = folded(steps)
    call = one(records, "tool", 1)
    assert call.attributes[names.CALL_DETACHED] is True
    fold = Fold(CALL)
    for step in steps[:-1]:
        fold(*step)
    assert 1 not in fold.runs
    assert call.parent_id == one(records, "run", 1).span_id


def test_nothing_that_was_said_leaves_unless_asked_for_and_then_under_pii_keys() -> None:
    steps = steps_of(BARGE_IN)
    said = ("monday", "ten please", "Nine", "[9,10]", "Done.")
    assert not any(word in repr(record) for record in folded(steps) for word in said)
    told = folded(steps, content=True)
    for record in told:
        attributes = record.attributes if isinstance(record, Span | Line) else {}
        private = {key: value for key, value in attributes.items() if ".pii." not in key}
        assert not any(word in repr(private) for word in said)
    turn = one(told, "run", 2).attributes
    assert (turn[names.PII_USER_TEXT], turn[names.PII_AGENT_TEXT]) == ("what is free on monday?", "Nine and")


def test_the_same_steps_give_the_same_records() -> None:
    assert folded(steps_of(BARGE_IN)) == folded(steps_of(BARGE_IN))


def test_a_call_that_breaks_off_is_closed_where_it_broke() -> None:
    steps = steps_of(BARGE_IN)
    for end in range(1, len(steps)):
        records = folded(steps[:end])
        session = one(records, "session")
        assert session.attributes[names.SESSION_END_REASON] == "torn"
        assert len(spans(records, "run")) == steps[end - 1][2].response.runs


def test_a_traceparent_from_outside_is_the_sessions_parent() -> None:
    header = format_traceparent(0xAB, 0xCD, sampled=True)
    records = folded(steps_of(BARGE_IN), replace(CALL, traceparent=header))
    session = one(records, "session")
    assert (session.trace_id, session.parent_id, session.remote) == (0xAB, 0xCD, True)
    assert one(records, "run", 1).links == ((0xAB, session.span_id),)


def test_a_parent_that_is_not_sampled_leaves_only_measures() -> None:
    header = format_traceparent(0xAB, 0xCD, sampled=False)
    records = folded(steps_of(BARGE_IN), replace(CALL, traceparent=header), sample=1.0)
    assert records
    assert all(isinstance(record, Measure) for record in records)


@pytest.mark.parametrize("session", ["a", "b", "c", "d", "e"])
def test_a_sample_keeps_whole_traces(session: str) -> None:
    call = replace(CALL, session=session)
    full, part = folded(steps_of(BARGE_IN), call), folded(steps_of(BARGE_IN), call, sample=0.5)
    kept = {span.trace_id for span in spans(part)}
    assert spans(part) == [span for span in spans(full) if span.trace_id in kept]


def test_the_provider_is_given_the_very_span_that_is_written_later() -> None:
    steps = steps_of(BARGE_IN)
    fold = Fold(CALL)
    written = folded(steps)
    for stage, kind, number in ((Stage.LLM, "chat", 2), (Stage.TTS, "text_to_speech", 1)):
        asked = spans(written, kind, 2)[number - 1]
        (header,) = fold.headers(stage, 2, number)
        assert header == ("traceparent", format_traceparent(asked.trace_id, asked.span_id, sampled=True))


@pytest.mark.parametrize("parent", ["", format_traceparent(7, 9, sampled=True)])
def test_a_connection_of_the_call_is_given_the_sessions_span(parent: str) -> None:
    call = replace(CALL, traceparent=parent)
    (session,) = spans(folded(steps_of(BARGE_IN), call), "session")
    for stage in (Stage.ASR, Stage.TTS):
        (header,) = Fold(call).headers(stage, 0, 1)
        assert header == ("traceparent", format_traceparent(session.trace_id, session.span_id, sampled=True))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, len(steps_of(BARGE_IN)) - 1), max_size=40))
def test_the_fold_takes_any_steps_in_any_order(order: list[int]) -> None:
    steps = steps_of(BARGE_IN)
    folded([steps[index] for index in order])
