"""What a journal says beside the facts follows from them."""

from pathlib import Path

from engine.replay.activity import ActivityLog
from engine.replay.journal import Activity, Recorder
from engine.replay.reader import Journal
from engine.replay.sheet import Sheet
from engine.replay.verify import Verdict, verify
from tests.replay.record import CALL, SETUP, STARTED_NS
from tests.replay.talk import talk
from tests.script import SETUP as PLAIN
from tests.script import play


def logged(path: Path, script: str = CALL, setup: object = SETUP) -> list[Activity]:
    recorder = Recorder(Sheet(path), session="s", started_ns=STARTED_NS, log=ActivityLog())
    play(script, setup, observer=recorder)  # type: ignore[arg-type]
    recorder.close()
    with Journal(path) as journal:
        return list(journal.activities())


def test_adapters_answers_and_tools_leave_their_times(tmp_path: Path) -> None:
    found = {(each.source, each.what, each.run): each.data for each in logged(tmp_path / "call.jsonl")}
    assert found["adapter", "asr", 0] == {"provider": "ear", "ms": 100.0}
    assert found["adapter", "tts", 1] == {"provider": "voice", "ms": 400.0, "first_ms": 150.0, "sound_ms": 1_500.0}
    assert found["adapter", "tool", 0] == {"provider": "find_slots", "ms": 980.0, "failed": False}
    llm = found["adapter", "llm", 2]
    assert (llm["provider"], llm["ms"], llm["first_ms"], llm["reason"]) == ("model", 780.0, 730.0, "tool_calls")
    assert found["timing", "answer", 2] == {
        "total_ms": 1_060.0,
        "endpointing_ms": 120.0,
        "model_ms": 730.0,
        "synthesizer_ms": 200.0,
        "transport_ms": 10.0,
    }


def test_what_an_interruption_cut_off_is_logged_as_cancelled(tmp_path: Path) -> None:
    script = """
        50    asr open
        100   caller speaks
        900   asr final "what time is it?"
        1000  caller quiet heard=980
        1300  llm r1 "It is noon. "
        1400  interrupt
    """
    found = logged(tmp_path / "call.jsonl", script, PLAIN)
    cancelled = {each.what for each in found if each.data.get("cancelled")}
    assert cancelled == {"llm", "tts"}
    assert [each.data for each in found if each.source == "audio"] == [{"behind_ms": 20.0}]


def test_a_log_is_sealed_with_the_call_and_changes_nothing_in_it(tmp_path: Path) -> None:
    logged(tmp_path / "call.jsonl", talk(4), PLAIN)
    report = verify(tmp_path / "call.jsonl")
    assert report.verdict is Verdict.GOOD


def test_a_late_pump_is_written_down_when_it_can_be_heard(tmp_path: Path) -> None:
    recorder = Recorder(Sheet(tmp_path / "call.jsonl"), session="s", started_ns=STARTED_NS)
    play("100 asr open", SETUP, observer=recorder)
    recorder.note_tick(39_000_000)
    recorder.note_tick(55_000_000)
    recorder.close()
    with Journal(tmp_path / "call.jsonl") as journal:
        assert [(each.at, each.what, each.data) for each in journal.activities()] == [
            (100_000_000, "late", {"ms": 55.0})
        ]


def test_a_run_that_starves_is_an_underrun(tmp_path: Path) -> None:
    script = """
        50    asr open
        100   caller speaks
        900   asr final "what time is it?"
        1000  caller quiet
        1300  llm r1 "It is noon. "
        1350  tts r1 c1 starts
        1400  playing r1
        1800  played r1 400
        2300
    """
    found = logged(tmp_path / "call.jsonl", script, PLAIN)
    assert [each.run for each in found if each.what == "underrun"] == [1]
