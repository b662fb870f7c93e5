import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np

from engine.__main__ import main
from engine.cli.talk import CLEAR_LINE, Screen, device, meter
from tests.transports.pulse import pulse

SAID = Path(__file__).parent.parent / "fixtures" / "audio" / "day-007.wav"
MESSAGES: list[dict[str, object]] = [
    {"type": "phase", "phase": "Listening", "at_ms": 0},
    {"type": "caller", "turn": 1, "text": "tomorrow", "final": False, "backchannel": False},
    {"type": "caller", "turn": 1, "text": "tomorrow at three", "final": True, "backchannel": False},
    {"type": "tool", "call": 1, "name": "book", "state": "done"},
    {"type": "latency", "run": 2, "total_ms": 640},
    {"type": "agent", "run": 2, "text": "You're booked.", "heard": 6, "state": "speaking"},
    {"type": "agent", "run": 2, "text": "You're", "heard": 6, "state": "interrupted"},
    {"type": "trouble", "stage": "asr", "provider": "x", "kind": "timeout"},
    {"type": "level", "rms": 812},
]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_into_a_file_only_whole_lines_are_written() -> None:
    out = io.StringIO()
    screen = Screen(out)
    for message in MESSAGES:
        screen.show(message)
        screen.levels(3_000, 0)
    assert out.getvalue().splitlines() == [
        "  you  tomorrow at three",
        " tool  book: done",
        "       answered after 640 ms",
        "agent  You're [interrupted]",
        "       asr x: timeout",
    ]


def test_a_terminals_last_line_shows_levels_phase_and_words_as_they_come() -> None:
    out = Terminal()
    screen = Screen(out, lambda: 60)
    for message in MESSAGES[:2]:
        screen.show(message)
    drawn = out.getvalue().split(CLEAR_LINE)[-1]
    assert drawn == "you ▁ agent ▁  Listening    tomorrow"
    for _ in range(5):
        screen.levels(30_000, 2_000)
    assert out.getvalue().split(CLEAR_LINE)[-1].startswith("you █ agent ▅")
    screen.show({"type": "caller", "turn": 1, "text": "x" * 200, "final": False})
    assert len(out.getvalue().split(CLEAR_LINE)[-1]) <= 60


def test_a_level_is_a_block_between_nothing_and_full() -> None:
    assert [meter(rms) for rms in (0, 30, 1_000, 32_768, 40_000)] == ["▁", "▁", "▄", "█", "█"]


def test_a_device_is_a_number_or_a_part_of_a_name() -> None:
    assert [device("3"), device("USB"), device(None)] == [3, "USB", None]


def test_a_recording_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "call.jsonl").touch()
    assert main(["talk", "--journal", str(tmp_path / "call.jsonl")]) == 2


def test_a_call_at_the_sound_card_is_held_to_its_end(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "engine", "talk"]
    with pulse(tmp_path) as server:
        listed = subprocess.run([*command, "--list"], env=server.environ, capture_output=True, text=True)
        assert "pulse" in listed.stdout, listed.stderr
        wrong = subprocess.run([*command, "--input", "nowhere"], env=server.environ, capture_output=True, text=True)
        assert (wrong.returncode, "engine talk --list" in wrong.stderr) == (2, True)
        recording = server.record(tmp_path / "agent.raw")
        settings = {
            **server.environ,
            "ENGINE_JOURNAL_FOLDER": str(tmp_path / "calls"),
            "PYTHONPATH": os.pathsep.join(sys.path),
            "PYTHONUNBUFFERED": "1",
        }
        talking = subprocess.Popen(
            command, env=settings, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
        )
        try:
            assert talking.stdout is not None
            lines = iter(talking.stdout.readline, "")
            assert next(line for line in lines if line.startswith("agent")).startswith("agent  Hello")
            server.say(SAID).wait()
            assert next(line for line in lines if line.startswith("  you")) == "  you  tomorrow at three\n"
            assert "booked" in next(line for line in lines if line.startswith("agent"))
            talking.send_signal(signal.SIGINT)
            assert "you hung up.\n" in talking.communicate(timeout=30)[0]
            assert talking.returncode == 0
        finally:
            talking.kill()
            recording.terminate()
            recording.wait()
    heard = np.fromfile(tmp_path / "agent.raw", np.int16)
    assert np.count_nonzero(np.abs(heard.astype(int)) > 1_000) > 48_000, "the agent was not heard at the loudspeaker"
