"""Ids follow from the call alone; a traceparent from outside is read as the standard says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.telemetry.records import Parent, Part, format_traceparent, parse_traceparent, trace_of

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (f"00-{TRACE}-{SPAN}-01", Parent(int(TRACE, 16), int(SPAN, 16), True)),
        (f"00-{TRACE}-{SPAN}-00", Parent(int(TRACE, 16), int(SPAN, 16), False)),
        (f" 00-{TRACE}-{SPAN}-01 ", Parent(int(TRACE, 16), int(SPAN, 16), True)),
        (f"cc-{TRACE}-{SPAN}-01-what-comes", Parent(int(TRACE, 16), int(SPAN, 16), True)),
        (f"00-{TRACE}-{SPAN}-01-what-comes", None),
        (f"ff-{TRACE}-{SPAN}-01", None),
        (f"00-{TRACE.upper()}-{SPAN}-01", None),
        (f"00-{'0' * 32}-{SPAN}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE[1:]}-{SPAN}-01", None),
        (f"00-{TRACE}-{SPAN}", None),
        ("<script>", None),
        ("", None),
    ],
)
def test_a_traceparent_is_read_or_refused(header: str, expected: Parent | None) -> None:
    assert parse_traceparent(header) == expected


@given(st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.booleans())
def test_a_traceparent_is_written_as_it_is_read(trace_id: int, span_id: int, sampled: bool) -> None:
    assert parse_traceparent(format_traceparent(trace_id, span_id, sampled=sampled)) == Parent(
        trace_id, span_id, sampled
    )


@given(st.text(max_size=60))
def test_no_text_breaks_the_reader_of_traceparents(header: str) -> None:
    parse_traceparent(header)


def test_ids_do_not_change_from_one_version_to_the_next() -> None:
    trace = trace_of("abc", 7)
    assert f"{trace.trace_id:032x}" == "218797feea1d7c834832e8ec80e9f101"
    assert f"{trace.span_id(Part.CHAT, 2):016x}" == "8e0a208d4f7c6082"


@given(st.text(max_size=40), st.integers(0, 10_000), st.sampled_from(Part), st.integers(0, 2**32 - 1))
def test_ids_are_valid_and_in_their_bounds(session: str, run: int, part: Part, number: int) -> None:
    trace = trace_of(session, run)
    assert 0 < trace.trace_id < 2**128
    assert 0 < trace.span_id(part, number) < 2**64
