import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from engine.__main__ import main
from engine.cli.talk import CLEAR_LINE, Screen, device, meter
from engine.demo.receptionist import GREETING
from tests.transports.pulse import Pulse, pulse

SAID = Path(__file__).parent.parent / "fixtures" / "audio" / "day-007.wav"
"""A caller who says "tomorrow at three"."""
AGENT, CALLER = "agent  ", "  you  "
"""How a line of theirs begins."""
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


DESK = """
[agent]
module = "engine.demo:make_agent"

[agent.settings]
today = "2026-11-23"
"""
"""The demo agent, on a day whose morrow is no Sunday, when the practice is closed."""
BOOKED = "You're booked for Tuesday, November twenty-fourth, at three p.m. Is there anything else I can do for you?"
SAMPLE_BYTES, RATE_HZ = 2, 48_000


class Desk:
    """`engine talk`, and what it has written so far."""

    def __init__(self, server: Pulse, folder: Path) -> None:
        (folder / "desk.toml").write_text(DESK)
        settings = {
            **server.environ,
            "ENGINE_JOURNAL_FOLDER": str(folder / "calls"),
            "PYTHONPATH": os.pathsep.join(sys.path),
            "PYTHONUNBUFFERED": "1",
        }
        command = [sys.executable, "-m", "engine", "talk", "--config", "desk.toml"]
        # ALSA tells of itself on the other stream.
        self.process = subprocess.Popen(
            command, env=settings, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=folder
        )
        self.lines: list[str] = []

    def next(self, who: str) -> str:
        """What is said next by this one, whatever comes before it."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            if line.startswith(who):
                return line.removeprefix(who).strip()
        raise AssertionError(f"it ended:\n{''.join(self.lines)}")

    def hang_up(self) -> None:
        """Ctrl-C, and read to the end."""
        self.process.send_signal(signal.SIGINT)
        self.lines += self.process.communicate(timeout=30)[0].splitlines(keepends=True)

    def said(self, who: str) -> list[str]:
        """All that was said by this one."""
        return [line.removeprefix(who).strip() for line in self.lines if line.startswith(who)]


@contextmanager
def talking(folder: Path, server: Pulse) -> Iterator[Desk]:
    desk = Desk(server, folder)
    try:
        yield desk
    finally:
        desk.process.kill()
        desk.process.communicate()


def heard(source: "subprocess.Popen[bytes]", seconds: float) -> int:
    """The loudest sample of so much of what is heard next."""
    assert source.stdout is not None
    sound = source.stdout.read(SAMPLE_BYTES * int(seconds * RATE_HZ))
    return int(np.abs(np.frombuffer(sound, np.int16).astype(int)).max(initial=0))


def until_loud(source: "subprocess.Popen[bytes]") -> None:
    """Read on until somebody is heard, a minute at most."""
    assert any(heard(source, 0.1) > 1_000 for _ in range(600)), "nobody was heard"


def test_in_a_room_the_agents_echo_is_not_taken_for_the_caller_who_is_heard_word_for_word(tmp_path: Path) -> None:
    with pulse(tmp_path) as server:
        server.couple("60%")
        with talking(tmp_path, server) as desk:
            assert desk.next(AGENT) == GREETING
            server.say(SAID).wait()
            assert desk.next(AGENT) == BOOKED
            desk.hang_up()
    assert desk.said(CALLER) == ["tomorrow at three"]
    assert desk.said(AGENT) == [GREETING, BOOKED]


def test_in_a_room_a_caller_interrupts_the_agent_and_is_heard_word_for_word(tmp_path: Path) -> None:
    with pulse(tmp_path) as server:
        server.couple("60%")
        echo = server.hears("mouth")
        try:
            with talking(tmp_path, server) as desk:
                until_loud(echo)  # the agent, as its own microphone hears it
                heard(echo, 1)
                server.say(SAID).wait()
                greeting = desk.next(AGENT)
                assert greeting.endswith(" [interrupted]")
                assert GREETING.startswith(greeting.removesuffix(" [interrupted]"))
                assert desk.next(AGENT) == BOOKED
                desk.hang_up()
        finally:
            echo.kill()
            echo.communicate()
    assert desk.said(CALLER) == ["tomorrow at three"]


def test_a_call_at_the_sound_card_is_held_to_its_end(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "engine", "talk"]
    with pulse(tmp_path) as server:
        listed = subprocess.run([*command, "--list"], env=server.environ, capture_output=True, text=True)
        assert "pulse" in listed.stdout, listed.stderr
        wrong = subprocess.run([*command, "--input", "nowhere"], env=server.environ, capture_output=True, text=True)
        assert (wrong.returncode, "engine talk --list" in wrong.stderr) == (2, True)
        recording = server.record(tmp_path / "agent.raw")
        try:
            with talking(tmp_path, server) as desk:
                assert desk.next(AGENT) == GREETING
                server.say(SAID).wait()
                assert desk.next(CALLER) == "tomorrow at three"
                assert desk.next(AGENT) == BOOKED
                desk.hang_up()
                assert desk.lines[-1] == "you hung up.\n"
                assert desk.process.returncode == 0
        finally:
            recording.terminate()
            recording.wait()
    sound = np.fromfile(tmp_path / "agent.raw", np.int16)
    assert np.count_nonzero(np.abs(sound.astype(int)) > 1_000) > RATE_HZ, "the agent was not heard at the loudspeaker"
