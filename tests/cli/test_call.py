"""`engine call`: a recorded caller talks with the demo agent, on the embedded providers."""

from pathlib import Path

import pytest

from engine.__main__ import main
from engine.cli.call import shortened, table
from engine.core.events import SessionStarted
from engine.core.policy import Setup
from engine.core.units import MS
from engine.runtime.latency import TurnLatency
from engine.transports.wav import read_wav

CALLER = Path(__file__).parents[1] / "fixtures" / "audio" / "day-007.wav"


def test_a_recorded_caller_is_answered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    journal, agent = tmp_path / "call.jsonl", tmp_path / "agent.wav"
    given = ["--fast", "--lead", "5", "--out", str(agent), "--journal", str(journal)]
    assert main(["call", str(CALLER), *given]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "session" in lines[0]
    assert "You are the receptionist" not in lines[0]
    assert any("caller speaks" in line for line in lines)
    assert any("asr final" in line for line in lines)
    assert any("playing r2" in line for line in lines)
    assert any(line.split()[:2] == ["1", "r2"] for line in lines)
    assert main(["verify", str(journal)]) == 0
    heard = read_wav(agent)
    assert any(heard.pcm)
    last_ms = float(next(line for line in reversed(lines) if "session ended" in line).split()[0])
    assert len(heard.pcm) // 2 / heard.rate_hz <= last_ms / 1000


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nothing.wav"], "cannot read nothing.wav: No such file or directory"),
        ([__file__], "it is no WAV file"),
        ([str(CALLER), "--lead", "-1"], "--lead is -1; allowed: 0 to 600 seconds"),
        ([str(CALLER), "--journal", __file__], "exists; a recording is never overwritten"),
        ([str(CALLER), "--config", "nothing.toml"], "cannot read nothing.toml"),
    ],
)
def test_bad_use_is_one_clear_sentence(arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["call", *arguments]) == 2
    told = capsys.readouterr().err
    assert sentence in told
    assert told.count("\n") == 1


def test_the_table_has_a_line_for_each_answer() -> None:
    known = TurnLatency(
        run=2, turn=1, total_ns=640 * MS, decide_ns=350 * MS, llm_ns=90 * MS, tts_ns=120 * MS, playout_ns=0
    )
    lines = [
        line.split()
        for line in table(
            [known, TurnLatency(run=5, turn=2, total_ns=MS, decide_ns=0, llm_ns=None, tts_ns=None, playout_ns=None)]
        )
    ]
    assert lines[-2] == ["1", "r2", "640", "350", "90", "120", "0"]
    assert lines[-1] == ["2", "r5", "1", "0", "-", "-", "-"]
    assert list(table([])) == ["no turn was answered"]


def test_a_terminal_is_spared_the_instructions() -> None:
    event = SessionStarted(at=1_234_567, setup=Setup(instructions="secret", greeting="Hello."))
    assert shortened(event) == SessionStarted(at=MS, setup=Setup(greeting="Hello."))
