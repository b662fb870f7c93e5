"""What a journal holds, line by line."""

import json
from pathlib import Path

import msgspec
import pytest

from engine.core.commands import Message, Role, StartLLM
from engine.core.events import ASRFinal, Event, LLMDone, LLMToken, PlayoutDone, SessionStarted, UserTextReceived
from engine.core.policy import Setup
from engine.core.reduce import begin, reduce
from engine.core.state import Counters, Phase
from engine.core.units import LIMITS
from engine.replay.journal import Chain, Header, Recorder, Step, run_of, sealed, shown
from engine.replay.sheet import Sheet
from engine.replay.verify import Verdict, verify
from tests.replay.record import SETUP, STARTED_NS, record


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_journal_has_a_header_a_line_for_each_fact_and_a_footer(tmp_path: Path) -> None:
    header, *events, footer = lines(record(tmp_path / "call.jsonl"))
    assert header | {"digest": ""} == {
        "kind": "header",
        "format": 1,
        "engine": header["engine"],
        "rules": header["rules"],
        "session": "CA123",
        "started": "2026-11-23T15:00:00.000+00:00",
        "started_ns": STARTED_NS,
        "asr": ["ear"],
        "llm": ["model", "spare"],
        "tts": ["voice"],
        "transport": "memory",
        "redacted": False,
        "traceparent": "",
        "digest": "",
    }
    assert [event["seq"] for event in events] == list(range(len(events)))
    assert footer["events"] == len(events)
    assert footer["lines"] == len(events) + 1
    assert footer["complete"] is True


def test_an_event_line_reads_without_this_program(tmp_path: Path) -> None:
    _, *events, _ = lines(record(tmp_path / "call.jsonl"))
    final = next(event for event in events if event["event"]["type"] == "ASRFinal")  # type: ignore[index,call-overload]
    assert final["at"] == 3_400_000_000
    assert (final["before"], final["after"], final["run"]) == ("Transcribing", "Transcribing", 0)
    assert final["event"]["text"] == "I need a slot on Monday."  # type: ignore[index,call-overload]
    assert final["commands"][0]["type"] == "SetTimer"  # type: ignore[index,call-overload]


def test_a_question_to_a_model_is_written_by_digest_and_last_message(tmp_path: Path) -> None:
    _, *events, _ = lines(record(tmp_path / "call.jsonl"))
    asked = [order for event in events for order in event["commands"] if order["type"] == "StartLLM"]  # type: ignore[attr-defined]
    assert [order["messages"]["count"] for order in asked] == [3, 5]
    assert asked[0]["messages"]["last"] == {"role": "user", "text": "I need a slot on Monday."}
    assert asked[0]["messages"]["digest"] != asked[1]["messages"]["digest"]


def test_a_question_can_be_shown_by_its_last_message() -> None:
    ask = StartLLM(
        run=1, request=2, provider="model", messages=(Message(Role.SYSTEM, "Be brief."), Message(Role.USER, "hi"))
    )
    assert shown(sealed((ask,))) == (msgspec.structs.replace(ask, messages=(Message(Role.USER, "hi"),)),)
    empty = msgspec.structs.replace(ask, messages=())
    assert shown(sealed((empty,))) == (empty,)


def test_activity_stands_between_events_and_is_sealed_with_them(tmp_path: Path) -> None:
    recorder = Recorder(Sheet(tmp_path / "call.jsonl"), session="s", started_ns=STARTED_NS)
    recorder.note(0, "timing", "too early: there is no call yet")
    event = SessionStarted(setup=SETUP)
    state, commands = reduce(begin(), event)
    recorder(event, begin(), state, commands)
    recorder.note(5, "adapter", "llm connected", run=1, data={"ms": 12.5, "host": "localhost"})
    recorder.close()
    written = lines(tmp_path / "call.jsonl")
    assert [line["kind"] for line in written] == ["header", "event", "activity", "footer"]
    assert written[2]["data"] == {"ms": 12.5, "host": "localhost"}
    chain = Chain()
    assert all(chain.check(line) for line in (tmp_path / "call.jsonl").read_bytes().splitlines())


def test_a_step_is_about_its_facts_run_or_the_live_one(tmp_path: Path) -> None:
    _, *events, _ = lines(record(tmp_path / "call.jsonl"))
    runs = {event["event"]["type"]: event["run"] for event in events}  # type: ignore[index,call-overload]
    assert runs["ToolResult"] == 2
    assert runs["ASRPartial"] == 0
    assert run_of(ASRFinal(ear=1, text=""), begin()) == 0


def test_a_text_that_json_cannot_carry_tears_the_recording_not_the_call(tmp_path: Path) -> None:
    recorder = Recorder(Sheet(tmp_path / "call.jsonl"), session="s", started_ns=STARTED_NS)
    state = begin()
    for event in (SessionStarted(setup=SETUP), ASRFinal(ear=1, text="\ud800"), ASRFinal(ear=1, text="fine")):
        after, commands = reduce(state, event)
        recorder(event, state, after, commands)
        state = after
    assert recorder.torn
    recorder.close()
    written = lines(tmp_path / "call.jsonl")
    assert [line["kind"] for line in written] == ["header", "event", "torn"]
    assert written[-1]["lost"] == 2


def test_a_call_in_which_nothing_happened_leaves_no_file(tmp_path: Path) -> None:
    Recorder(Sheet(tmp_path / "call.jsonl"), session="s", started_ns=0).close()
    assert list(tmp_path.iterdir()) == []


def test_a_seal_is_the_same_on_every_python() -> None:
    """Constants: neither the version of Python nor of a library may move them."""
    chain = Chain()
    header = Header(format=1, engine="0", rules=1, session="s", started="1970", started_ns=0)
    step = Step(
        seq=0,
        at=5,
        event=ASRFinal(at=5, ear=1, text="naïve “fiancée” \u2028", confidence=0.1 + 0.2),
        before=Phase.IDLE,
        after=Phase.TRANSCRIBING,
        run=0,
        commands=sealed((StartLLM(run=1, request=1, provider="m", messages=(Message(Role.USER, "hé"),)),)),
        state="0" * 16,
    )
    digests = [chain.seal(entry)[-35:-3].decode() for entry in (header, step)]
    assert digests == ["d8c23d7665b2fae557e1008138e8e3dc", "8b6d94d520ed5e52c4c06c3d00fe57c5"]


def test_the_same_call_gives_the_same_bytes(tmp_path: Path) -> None:
    assert record(tmp_path / "a.jsonl").read_bytes() == record(tmp_path / "b.jsonl").read_bytes()


TYPED = Setup(asr=("ear",), llm=("model",), tts=("voice",))
HELLO = UserTextReceived(at=1, text="hello")
TOKENS = tuple(LLMToken(at=2, run=1, request=1, text="word. ") for _ in range(10_000))


@pytest.mark.parametrize(
    ("facts", "counters"),
    [
        ((ASRFinal(at=1, ear=7, text="of a stream that never started"),), Counters(stale=1)),
        ((HELLO, LLMDone(at=2, run=1, request=1), LLMToken(at=3, run=1, request=1, text="late")), Counters(stale=1)),
        ((HELLO, PlayoutDone(at=2, run=9, heard_ns=5)), Counters(stale=1)),
        ((UserTextReceived(at=9, text="hello"), LLMToken(at=5, run=1, request=1, text="Hi.")), Counters(backwards=1)),
        ((HELLO, *TOKENS), Counters(stale=10_000 - LIMITS.response_chars // len("word. ") - 1)),
        ((ASRFinal(at=1, ear=1, text="word " * 200_000),), Counters()),
    ],
    ids=[
        "a stream never started",
        "a token after done",
        "a mark never sent",
        "time backwards",
        "a burst",
        "a megabyte",
    ],
)
def test_bad_input_leaves_a_legal_state_a_counter_and_its_line(
    tmp_path: Path, facts: tuple[Event, ...], counters: Counters
) -> None:
    path = tmp_path / "call.jsonl"
    recorder, state = Recorder(Sheet(path), session="CA123", started_ns=STARTED_NS), begin()
    for fact in (SessionStarted(setup=TYPED), *facts):
        after, orders = reduce(state, fact)
        recorder(fact, state, after, orders)
        state = after
    recorder.close()
    assert state.counters == counters
    assert state.response.run is None or len(state.response.run.text) <= LIMITS.response_chars
    assert sum(len(message.text) for message in state.conversation.messages) <= LIMITS.transcript_chars
    assert len(lines(path)) == len(facts) + 3, "a header, the session, a line for each fact, a footer"
    report = verify(path)
    assert report.verdict is Verdict.GOOD, report.detail
