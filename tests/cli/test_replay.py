"""`engine replay`, `diff`, `explain`, `redact`: what a person sees of a recorded call."""

import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest

from engine.__main__ import main
from engine._codec import Resampler
from engine.transports.wav import read_wav
from tests.replay.record import CALL, record
from tests.replay.test_verify import rewritten
from tests.server.test_spoken_call import found
from tests.transports.pulse import pulse

SPEECH = Path(__file__).parent.parent / "fixtures" / "audio"


def test_a_replay_shows_each_step_with_what_it_changed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(record(tmp_path / "call.jsonl"))]) == 0
    out = capsys.readouterr().out
    assert '8     3400       asr final "I need a slot on Monday."' in out
    assert '      turn.text: "" → "I need a slot on Monday."' in out


def test_a_replay_stops_where_it_is_told_and_shows_the_state(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["replay", str(record(tmp_path / "call.jsonl")), "--until", "8"])
    out = capsys.readouterr().out
    assert "state after step 8:" in out
    assert '  phase: "Transcribing"' in out
    assert "caller quiet" not in out


def test_a_replay_says_where_the_rules_decide_otherwise(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = rewritten(record(tmp_path / "call.jsonl"), {11: {"commands": ()}})
    assert main(["replay", str(path)]) == 1
    assert "! recorded was no orders; the rules give open r2" in capsys.readouterr().out


def test_diff_shows_the_way_to_the_parting(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = record(tmp_path / "a.jsonl")
    other = record(tmp_path / "b.jsonl", CALL.replace("on Monday.", "on Sunday."))
    assert main(["diff", str(one), str(other)]) == 1
    out = capsys.readouterr().out
    assert "8 steps alike, then they part: fact" in out
    assert '  2600       asr partial "I need a"' in out
    assert '- 3400       asr final "I need a slot on Monday."' in out
    assert '+ 3400       asr final "I need a slot on Sunday."' in out
    assert main(["diff", str(one)]) == 0
    assert "alike in all 19 steps" in capsys.readouterr().out


def test_explain_tells_the_whole_call(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", str(record(tmp_path / "call.jsonl"))]) == 0
    out = capsys.readouterr().out
    assert "voice to voice: median 1,060 ms" in out
    assert "! turn 1: 730 ms of 1,060 ms is the model's (model) first token" in out


def test_explain_stops_where_the_rules_part(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["explain", str(rewritten(record(tmp_path / "call.jsonl"), {11: {"commands": ()}}))])
    assert "From step 11 on today's rules decide otherwise" in capsys.readouterr().out


def test_explain_says_that_a_recording_is_torn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = record(tmp_path / "call.jsonl")
    path.write_bytes(path.read_bytes()[:6_000])
    assert main(["explain", str(path)]) == 0
    assert "call.jsonl is torn after 10 events: the last line is torn off" in capsys.readouterr().out


def test_a_redacted_call_cannot_be_explained_and_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = record(tmp_path / "call.jsonl")
    assert main(["redact", str(path)]) == 0
    assert main(["explain", str(tmp_path / "call.redacted.jsonl")]) == 1
    assert "the words were taken out" in capsys.readouterr().err
    assert main(["redact", str(path)]) == 2
    assert "exists; name another with --out" in capsys.readouterr().err


def test_sound_that_was_not_recorded_cannot_be_played(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", "--audio", str(record(tmp_path / "call.jsonl"))]) == 2
    assert f"cannot read {tmp_path / 'call.wav'}: No such file" in capsys.readouterr().err


def test_the_sound_recorded_beside_a_call_is_played_while_it_is_walked(tmp_path: Path) -> None:
    path = record(tmp_path / "call.jsonl")
    sides = np.zeros((5 * 16_000, 2), np.int16)
    for name, side, start in (("short-023", 1, 8_000), ("short-011", 0, 48_000)):
        said = read_wav(SPEECH / f"{name}.wav")
        sides[start : start + len(said.pcm) // 2, side] = np.frombuffer(said.pcm, np.int16)
    with wave.open(str(path.with_suffix(".wav")), "wb") as file:
        file.setparams((2, 2, 16_000, 0, "NONE", ""))
        file.writeframes(sides.tobytes())
    with pulse(tmp_path) as server:
        ear = server.hears("loudspeaker")
        assert ear.stdout is not None
        sound = ear.stdout.read(9_600)  # the ear is open: whatever is played from here on is heard
        command = [sys.executable, "-m", "engine", "replay", "--audio", str(path)]
        walk = subprocess.Popen(command, env=server.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while walk.poll() is None:
            sound += ear.stdout.read(9_600)
        ear.kill()
        ear.communicate()
    out, errors = walk.communicate()
    assert walk.returncode == 0, errors
    assert 'asr final "I need a slot on Monday."' in out
    heard = np.frombuffer(Resampler(48_000, 16_000).push(sound), np.int16).astype(float)
    both = np.trim_zeros(sides.sum(axis=1))
    place, _ = found(both, heard)
    for name, start in (("short-023", 0), ("short-011", 40_000)):
        said = np.frombuffer(read_wav(SPEECH / f"{name}.wav").pcm, np.int16)
        there = heard[max(0, place + start - 1_600) : place + start + len(said) + 1_600]
        assert found(said, there)[1] > 0.95, f"{name} is heard in its place"


MONO = bytes.fromhex(
    "52494646 2c000000 57415645 666d7420 10000000 0100 0100 401f0000 401f0000 0100 0800 64617461 08000000"
) + bytes(8)


@pytest.mark.parametrize(
    ("sound", "why"),
    [
        (b"", "it ends in its header"),
        (b"RIFF\x24\x00\x00\x00WAVEfmt ", "fmt chunk and/or data chunk missing"),
        (b"a letter, and no sound at all", "file does not start with RIFF id"),
        (MONO, "two channels of 16 bits"),
    ],
)
def test_a_file_that_is_no_sound_of_a_call_is_one_sentence(
    sound: bytes, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = record(tmp_path / "call.jsonl")
    path.with_suffix(".wav").write_bytes(sound)
    assert main(["replay", "--audio", str(path)]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == f"engine replay: {path.with_suffix('.wav')} is not the sound of a call: {why}\n"
