import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

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


LONG = "Hello, this is the practice of Doctor Long, and I can tell you all about our hours and our free times today."


def until_loud(source: "subprocess.Popen[bytes]") -> None:
    """Read on until somebody is heard, a minute at most."""
    assert source.stdout is not None
    pieces = (np.frombuffer(source.stdout.read(9_600), np.int16) for _ in range(600))
    assert any(piece.size and np.abs(piece.astype(int)).max() > 1_000 for piece in pieces), "nobody was heard"


@pytest.mark.parametrize("interrupted", [False, True])
def test_in_a_room_the_agents_echo_does_not_interrupt_it_and_a_caller_does(tmp_path: Path, interrupted: bool) -> None:
    (tmp_path / "desk.py").write_text(
        f'from engine import Agent\n\nagent = Agent("Be brief.", llm=("scripted",), tts=("espeak",), greeting="{LONG}")\n'
    )
    with pulse(tmp_path) as server:
        server.couple("60%")
        settings = {
            **server.environ,
            "ENGINE_JOURNAL_FOLDER": str(tmp_path / "calls"),
            "ENGINE_AGENT": "desk:agent",
            "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path]),
            "PYTHONUNBUFFERED": "1",
        }
        echo = server.hears("mouth")
        command = [sys.executable, "-m", "engine", "talk"]
        talking = subprocess.Popen(
            command, env=settings, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
        )
        try:
            assert talking.stdout is not None
            until_loud(echo)  # the agent, as its own microphone hears it
            if interrupted:
                server.say(SAID).wait()
            lines = iter(talking.stdout.readline, "")
            heard = [next(line for line in lines if line.startswith(("agent", "  you")))]
            if interrupted and heard[0].startswith("  you"):  # in words that the echo has garbled
                heard.append(next(line for line in lines if line.startswith("agent")))
            said = heard[-1]
            assert said.endswith("[interrupted]\n") is interrupted, said
            assert ("free times today" in said) is not interrupted
            talking.send_signal(signal.SIGINT)
            assert interrupted or "  you  " not in talking.communicate(timeout=30)[0]
        finally:
            for process in (talking, echo):
                process.kill()
                process.communicate()


def test_a_call_at_the_sound_card_is_held_to_its_end(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "engine", "talk"]
    # Some day whose morrow is no Sunday, when the practice is closed.
    (tmp_path / "desk.toml").write_text(
        '[agent]\nmodule = "engine.demo:make_agent"\n[agent.settings]\ntoday = "2026-11-23"\n'
    )
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
            [*command, "--config", "desk.toml"],
            env=settings,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
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
