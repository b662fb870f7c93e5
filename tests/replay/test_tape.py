"""The sound of a call is written where it was heard."""

import wave
from array import array
from pathlib import Path

import pytest
from msgspec.structs import replace

from engine._codec import Resampler
from engine.core.commands import Order, ResumePlayout
from engine.core.events import (
    Event,
    PlayoutAdvanced,
    PlayoutCleared,
    PlayoutDone,
    PlayoutPaused,
    TimerFired,
    TransportResumed,
)
from engine.core.reduce import begin
from engine.core.units import MS
from engine.replay import tape
from engine.replay.sheet import Scribe
from engine.replay.tape import SoundRecorder, Tape


class Same:
    """A wire that runs at the file's rate."""

    def push(self, pcm: bytes) -> bytes:
        return pcm


class Call:
    """A call of which only the sound matters: times are milliseconds, and a millisecond is 16 samples."""

    def __init__(self, path: Path) -> None:
        self.recorder = SoundRecorder(Tape(path), lambda _: Same())
        self.path = path

    def hear(self, ms: int, value: int = 1) -> None:
        for _ in range(ms // 20):
            self.recorder.caller(array("h", [value] * 320).tobytes())

    def send(self, run: int, start_ms: int, ms: int, value: int) -> None:
        self.recorder.agent(run, 16 * start_ms, array("h", [value] * 16 * ms).tobytes())

    def tell(self, at_ms: int, event: Event, *commands: Order) -> None:
        self.recorder(event, begin(), replace(begin(), at=at_ms * MS), commands)

    def sound(self) -> tuple[list[int], list[int]]:
        """Caller and agent, one value for each millisecond."""
        self.recorder.close()
        with wave.open(str(self.path)) as file:
            assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (2, 2, 16_000)
            samples = array("h", file.readframes(file.getnframes()))
        return list(samples[0::32]), list(samples[1::32])


@pytest.fixture
def call(tmp_path: Path) -> Call:
    return Call(tmp_path / "call.wav")


def test_what_was_heard_stands_where_it_was_heard(call: Call) -> None:
    call.hear(1_000)
    call.send(1, 0, 300, 7)
    call.tell(500, PlayoutAdvanced(run=1, heard_ns=200 * MS))
    call.tell(600, PlayoutDone(run=1, heard_ns=300 * MS))
    caller, agent = call.sound()
    assert caller == [1] * 1_000
    assert agent == [0] * 300 + [7] * 300 + [0] * 400


def test_what_was_sent_and_taken_back_is_not_there(call: Call) -> None:
    call.hear(1_000)
    call.send(1, 0, 400, 7)
    call.tell(500, PlayoutCleared(run=1, heard_ns=100 * MS))
    call.tell(900, PlayoutAdvanced(run=1, heard_ns=400 * MS))
    _, agent = call.sound()
    assert agent == [0] * 400 + [7] * 100 + [0] * 500


def test_after_a_pause_it_goes_on_from_the_sample_last_heard(call: Call) -> None:
    call.hear(2_000)
    call.send(1, 0, 300, 7)
    call.tell(200, PlayoutPaused(run=1, heard_ns=100 * MS))
    call.send(1, 100, 200, 8)
    call.tell(1_200, PlayoutDone(run=1, heard_ns=300 * MS))
    _, agent = call.sound()
    assert agent == [0] * 100 + [7] * 100 + [0] * 800 + [8] * 200 + [0] * 800


def test_what_the_ear_heard_before_the_pause_reached_it_stands_before_the_pause(call: Call) -> None:
    call.hear(2_000)
    call.send(1, 0, 400, 7)
    call.tell(300, PlayoutPaused(run=1, heard_ns=200 * MS))
    call.tell(900, PlayoutCleared(run=1, heard_ns=250 * MS))
    _, agent = call.sound()
    assert agent == [0] * 100 + [7] * 250 + [0] * 1_650


def test_what_was_heard_after_a_pause_was_over_is_not_taken_for_that(call: Call) -> None:
    call.hear(2_000)
    call.send(1, 0, 400, 7)
    call.tell(300, PlayoutPaused(run=1, heard_ns=200 * MS))
    call.tell(800, TimerFired(), ResumePlayout(run=1))
    call.tell(900, PlayoutCleared(run=1, heard_ns=250 * MS))
    _, agent = call.sound()
    assert agent == [0] * 100 + [7] * 200 + [0] * 550 + [7] * 50 + [0] * 1_100


def test_reports_that_jitter_leave_no_gap(call: Call) -> None:
    call.hear(1_000)
    call.send(1, 0, 400, 7)
    call.tell(300, PlayoutAdvanced(run=1, heard_ns=200 * MS))
    call.tell(560, PlayoutDone(run=1, heard_ns=400 * MS))
    _, agent = call.sound()
    assert agent == [0] * 100 + [7] * 400 + [0] * 500


def test_the_callers_sound_catches_up_in_its_own_place(call: Call) -> None:
    call.hear(1_000)
    call.tell(3_000, PlayoutAdvanced(run=1, heard_ns=0))
    call.hear(3_000, value=2)
    caller, _ = call.sound()
    assert caller == [1] * 1_000 + [2] * 3_000


def test_a_line_that_was_lost_is_silence(call: Call) -> None:
    call.hear(1_000)
    call.tell(20_000, TransportResumed())
    call.hear(1_000, value=2)
    caller, agent = call.sound()
    assert caller == [1] * 1_000 + [0] * 19_000 + [2] * 1_000
    assert len(agent) == 21_000


def test_a_long_call_is_written_as_it_goes(call: Call) -> None:
    call.hear(30_000)
    with wave.open(str(call.path)) as file:
        assert 24 <= file.getnframes() / 16_000 <= 25
    caller, _ = call.sound()
    assert caller == [1] * 30_000


def test_the_wires_rate_is_brought_to_the_files(tmp_path: Path) -> None:
    recorder = SoundRecorder(Tape(tmp_path / "call.wav"), lambda rate_hz: Resampler(rate_hz, 16_000))
    recorder.begin(8_000)
    recorder.caller(bytes(2 * 16_000))
    recorder.agent(1, 0, array("h", [1_000] * 8_000).tobytes())
    recorder(PlayoutAdvanced(run=1, heard_ns=1_000 * MS), begin(), replace(begin(), at=1_000 * MS), ())
    recorder.close()
    with wave.open(str(tmp_path / "call.wav")) as file:
        samples = array("h", file.readframes(file.getnframes()))
    assert len(samples) == 2 * 16_000
    assert all(abs(sample - 1_000) < 20 for sample in samples[2 * 4_000 + 1 : 2 * 12_000 : 2])


def test_a_scribe_writes_the_tape_too(tmp_path: Path) -> None:
    scribe = Scribe()
    written = Tape(tmp_path / "call.wav", scribe)
    written.write(b"\1\0\2\0")
    written.close()
    scribe.close()
    with wave.open(str(written.path)) as file:
        assert file.readframes(9) == b"\1\0\2\0"


def test_a_disk_that_hangs_ends_the_tape_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tape, "PENDING_BYTES_MAX", 8)
    scribe = Scribe()
    written = Tape(tmp_path / "call.wav", scribe)
    for _ in range(9):
        written.write(bytes(8))
    written.close()
    scribe.close()
    assert written.path.stat().st_size < 9 * 8 + 44
