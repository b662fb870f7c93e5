"""What a journal holds, line by line."""

import json
from pathlib import Path

import msgspec

from engine.core.commands import Message, Role, StartLLM
from engine.core.events import ASRFinal, SessionStarted
from engine.core.reduce import begin, reduce
from engine.core.state import Phase
from engine.replay.journal import Chain, Header, Recorder, Step, run_of, sealed, shown
from engine.replay.sheet import Sheet
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
