"""Server-sent events, in any spelling and any pieces."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.adapters.sse import EventParser, ServerEvent, read_events
from engine.errors import AdapterError, FailureKind


def parse(body: bytes, size: int = 0, **bounds: int) -> list[ServerEvent]:
    parser = EventParser("acme", **bounds)
    size = size or max(len(body), 1)
    events = [event for start in range(0, len(body), size) for event in parser.feed(body[start : start + size])]
    return events + parser.close()


STREAMS = {
    "one event": (b"data: a\n\n", [ServerEvent("a")]),
    "crlf": (b"data: a\r\n\r\ndata: b\r\n\r\n", [ServerEvent("a"), ServerEvent("b")]),
    "cr": (b"data: a\r\rdata: b\r\r", [ServerEvent("a"), ServerEvent("b")]),
    "no space after the colon": (b"data:a\n\n", [ServerEvent("a")]),
    "only one space is dropped": (b"data:  a\n\n", [ServerEvent(" a")]),
    "several data lines": (b"data: a\ndata: b\n\n", [ServerEvent("a\nb")]),
    "an empty data line": (b"data\n\n", [ServerEvent("")]),
    "a name": (b"event: ping\ndata: {}\n\ndata: a\n\n", [ServerEvent("{}", "ping"), ServerEvent("a")]),
    "a name without data is no event": (b"event: ping\n\ndata: a\n\n", [ServerEvent("a")]),
    "comments": (b": hello\n\ndata: a\n: still here\n\n", [ServerEvent("a")]),
    "fields that mean nothing here": (b"id: 7\nretry: 10\nwhat: 1\ndata: a\n\n", [ServerEvent("a")]),
    "a byte order mark": (b"\xef\xbb\xbfdata: a\n\n", [ServerEvent("a")]),
    "an error field": (b'error: {"code":500}\n\n', [ServerEvent('{"code":500}', "error")]),
    "bare json in the place of events": (b'[{\n  "error": {\n    "code": 429\n  }\n}]\n', [ServerEvent('[{\n  "error": {\n    "code": 429\n  }\n}]', "error")]),
    "bare json behind events": (b'data: a\r\n\r\n{"error":{"code":500}}', [ServerEvent("a"), ServerEvent('{"error":{"code":500}}', "error")]),
    "no blank line at the end": (b"data: a\n\ndata: b", [ServerEvent("a"), ServerEvent("b")]),
    "bytes that are no text": (b"data: \xff\n\n", [ServerEvent("\ufffd")]),
    "nothing": (b"", []),
}  # fmt: skip


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("size", [0, 1, 2, 3])
def test_a_stream_is_read_alike_in_any_pieces(name: str, size: int) -> None:
    body, events = STREAMS[name]
    assert parse(body, size) == events


@given(
    st.lists(st.text(st.characters(exclude_characters="\r\n\ufeff", exclude_categories=["Cs"]))),
    st.integers(1, 9),
    st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_what_was_written_is_read_whatever_the_pieces(texts: list[str], size: int, end: str) -> None:
    body = "".join(f"data: {text}{end}{end}" for text in texts).encode()
    assert parse(body, size) == [ServerEvent(text) for text in texts]


@pytest.mark.parametrize(
    "body", [b"data: " + b"x" * 99, b"data: " + b"x" * 99 + b"\n\n", b"data: xxxxxxxx\n" * 20, b"{xxxxxxxx\n" * 20]
)
@pytest.mark.parametrize("size", [0, 1, 50])
def test_what_has_no_end_is_refused(body: bytes, size: int) -> None:
    with pytest.raises(AdapterError) as caught:
        parse(body, size, line_bytes=64, event_bytes=100)
    assert caught.value.kind is FailureKind.PROTOCOL


def test_the_body_is_closed_when_its_reader_turns_away() -> None:
    closed = []

    async def body() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"data: a\n\n"
        finally:
            closed.append(True)

    async def read() -> None:
        events = read_events("acme", body())
        assert await anext(events) == ServerEvent("a")
        await events.aclose()

    asyncio.run(read())
    assert closed == [True]
