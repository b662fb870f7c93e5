"""What is due, what was heard, and what a pause takes back: arithmetic on virtual time."""

import itertools
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core.events import PlayoutAdvanced, PlayoutDone
from engine.core.units import MS, SECOND
from engine.runtime.pacing import OVERDUE_NS, STALL_NS, Pacer, Piece

HZ = 8_000
MS_SAMPLES = HZ // 1000


def pacer(ahead_ms: int = 300, **given: object) -> Pacer:
    return Pacer(HZ, ahead_ns=ahead_ms * MS, **given)  # type: ignore[arg-type]


def filled(made: Pacer, run: int, ms: int) -> Pacer:
    made.wrote(run, ms * MS_SAMPLES)
    made.chunk_ended(run)
    made.open(run)
    return made


def due(made: Pacer, at_ms: float) -> list[Piece]:
    return list(iter(lambda: made.due(int(at_ms * MS)), None))


def told(made: Pacer, at_ms: float) -> list[tuple[type, int]]:
    return [(type(fact), fact.heard_ns // MS) for fact in made.facts(int(at_ms * MS))]


class Ear:
    """A peer that plays what it has, after a fixed delay, and echoes marks the same delay later."""

    def __init__(self, made: Pacer, delay_ms: int = 0) -> None:
        self.made = made
        self.delay_ns = delay_ms * MS
        self.now = 0
        self.heard: list[tuple[int, int]] = []
        """Every sample played: its run and number."""
        self.facts: list[PlayoutAdvanced | PlayoutDone] = []
        self._playing: deque[tuple[int, int]] = deque()
        self._marks: deque[tuple[int, str]] = deque()
        self._echoes: deque[tuple[int, str]] = deque()
        self._taken = 0

    def run(self, ms: int) -> None:
        for _ in range(ms):
            while (piece := self.made.due(self.now)) is not None:
                self.take(piece)
            self.facts += self.made.facts(self.now)
            self.now += MS
            for _ in range(self.made.rate_hz // 1000 if self.now > self.delay_ns else 0):
                if self._playing:
                    self.heard.append(self._playing.popleft())
                    self._taken += 1
            self.echo()

    def take(self, piece: Piece) -> None:
        self._playing.extend((piece.run, sample) for sample in range(piece.start, piece.start + piece.samples))
        if piece.probe:
            self._echoes.append((self.now + self.delay_ns, piece.probe))
        if piece.mark:
            self._marks.append((self._taken + len(self._playing), piece.mark))

    def echo(self) -> None:
        while self._marks and self._marks[0][0] <= self._taken:
            self._echoes.append((self.now + self.delay_ns, self._marks.popleft()[1]))
        while self._echoes and self._echoes[0][0] <= self.now:
            self.made.marked(self._echoes.popleft()[1], self.now)

    def clear(self) -> None:
        self._playing.clear()
        while self._marks:
            self._echoes.append((self.now + self.delay_ns, self._marks.popleft()[1]))


@pytest.mark.parametrize(
    ("ahead_ms", "pieces_ms"),
    [(300, [100, 100, 100]), (200, [60, 60, 60]), (60, [20, 20, 20]), (20, [20]), (0, [20])],
)
def test_sound_is_sent_so_far_ahead_and_no_further(ahead_ms: int, pieces_ms: list[int]) -> None:
    made = filled(pacer(ahead_ms), 1, 5_000)
    assert [piece.samples // MS_SAMPLES for piece in due(made, 0)] == pieces_ms


def test_the_next_piece_leaves_when_there_is_room_for_it() -> None:
    made = filled(pacer(300), 1, 1_000)
    due(made, 0)
    assert made.wake_at(0) == 100 * MS
    assert due(made, 99) == []
    assert [piece.start // MS_SAMPLES for piece in due(made, 100)] == [300]


def test_nothing_is_due_before_the_run_is_opened() -> None:
    made = pacer()
    made.wrote(1, 800)
    assert due(made, 0) == []
    assert made.wake_at(0) is None
    made.open(1)
    assert [piece.first for piece in due(made, 0)] == [True]


def test_runs_are_sent_in_the_order_of_their_opening() -> None:
    made = filled(filled(pacer(300), 1, 100), 2, 100)
    assert [piece.run for piece in due(made, 0)] == [1, 2]


def test_a_forgotten_run_is_neither_sent_nor_told() -> None:
    made = filled(filled(pacer(), 1, 1_000), 2, 100)
    due(made, 0)
    made.forget(1)
    assert [piece.run for piece in due(made, 300)] == [2]
    assert {fact.run for fact in made.facts(5_000 * MS)} == {2}


def test_progress_is_told_now_and_then_and_at_the_end() -> None:
    made = filled(pacer(1_000), 1, 450)
    due(made, 0)
    assert told(made, 100) == []
    assert told(made, 200) == [(PlayoutAdvanced, 200)]
    assert told(made, 449) == [(PlayoutAdvanced, 449)]
    assert told(made, 450) == [(PlayoutDone, 450)]
    assert told(made, 900) == []


def test_the_end_of_a_chunk_is_told_at_once() -> None:
    made = filled(filled(pacer(1_000), 1, 50), 1, 500)
    due(made, 0)
    assert told(made, 60) == [(PlayoutAdvanced, 60)]


def test_a_starved_run_is_done_twice() -> None:
    made = filled(pacer(), 1, 100)
    due(made, 0)
    assert told(made, 100) == [(PlayoutDone, 100)]
    made.wrote(1, 800)
    assert [piece.start for piece in due(made, 500)] == [800]
    assert told(made, 590) == [(PlayoutAdvanced, 190)]
    assert told(made, 600) == [(PlayoutDone, 200)]


def test_an_odd_rate_ends_on_its_last_sample() -> None:
    made = Pacer(11_025, ahead_ns=SECOND)
    made.wrote(1, 7)
    made.open(1)
    made.due(0)
    wake = made.wake_at(0)
    assert wake == made.ns(7)
    assert [type(fact) for fact in made.facts(wake)] == [PlayoutDone]


def test_durations_of_chunks_add_up_to_the_position() -> None:
    made = Pacer(11_025, ahead_ns=SECOND)
    ends = [0, 333, 1_000, 1_001, 5_555]
    assert sum(made.ns(b) - made.ns(a) for a, b in itertools.pairwise(ends)) == made.ns(5_555)


def test_latency_is_taken_off_what_was_heard_but_not_off_what_a_clear_can_stop() -> None:
    made = filled(pacer(300, latency_ns=80 * MS), 1, 1_000)
    due(made, 0)
    assert told(made, 250) == [(PlayoutAdvanced, 170)]
    assert made.pause(1, 250 * MS) == 250 * MS_SAMPLES


def test_a_pause_goes_on_from_the_very_sample() -> None:
    made = filled(pacer(300), 1, 1_000)
    due(made, 0)
    assert made.pause(1, 123 * MS) == 123 * MS_SAMPLES
    assert due(made, 200) == []
    made.resume(1)
    assert due(made, 500)[0].start == 123 * MS_SAMPLES


def test_a_cleared_run_is_never_due_again() -> None:
    made = filled(pacer(300), 1, 1_000)
    due(made, 0)
    assert made.clear(1, 50 * MS) == 50 * MS_SAMPLES
    assert due(made, 1_000) == []
    assert told(made, 5_000) == []
    assert made.played(1, 400, 60 * MS) is None
    assert made.wake_at(60 * MS) is None


def test_clearing_a_silent_run_leaves_the_wire_alone() -> None:
    made = filled(pacer(300), 1, 1_000)
    made.wrote(2, 800)
    due(made, 0)
    assert made.on_wire(1)
    assert not made.on_wire(2)
    made.clear(2, 50 * MS)
    assert told(made, 250) == [(PlayoutAdvanced, 250)]


def test_marks_are_spaced_and_the_last_sample_has_one() -> None:
    made = filled(pacer(1_000, marks=True), 1, 450)
    assert [piece.mark for piece in due(made, 0)] == [
        "",
        f"0.1.{200 * MS_SAMPLES}",
        "",
        f"0.1.{400 * MS_SAMPLES}",
        f"0.1.{450 * MS_SAMPLES}",
    ]


def test_a_late_echo_shows_the_lag() -> None:
    made = filled(pacer(300, marks=True), 1, 1_000)
    due(made, 0)
    made.marked(f"0.1.{200 * MS_SAMPLES}", 320 * MS)
    assert made.lag_ns == 120 * MS
    assert told(made, 330) == [(PlayoutAdvanced, 210)]


def test_an_echo_of_an_older_generation_was_dropped_not_heard() -> None:
    made = filled(pacer(300, marks=True), 1, 1_000)
    due(made, 0)
    heard = made.pause(1, 50 * MS)
    made.marked(f"0.1.{200 * MS_SAMPLES}", 60 * MS)
    assert made.clear(1, 70 * MS) == heard == 50 * MS_SAMPLES


@pytest.mark.parametrize(
    "name", ["", "0", "0.", "0.1", "0.1.", "0.1.x", "0.1.-5", "x.1.5", "0.9.5", "0.1.99999999", "a.b.c"]
)
def test_a_mark_we_never_sent_changes_nothing(name: str) -> None:
    made = filled(pacer(300, marks=True), 1, 1_000)
    due(made, 0)
    made.marked(name, 10 * MS)
    assert made.lag_ns == 0
    assert made.pause(1, 10 * MS) == 10 * MS_SAMPLES


def test_the_end_waits_for_its_echo_but_not_for_ever() -> None:
    made = filled(pacer(300, marks=True), 1, 100)
    due(made, 0)
    assert told(made, 100) == []
    assert made.wake_at(100 * MS) == 100 * MS + OVERDUE_NS
    assert told(made, 100 + OVERDUE_NS // MS) == [(PlayoutDone, 100)]


def test_a_probe_tells_what_a_clear_cannot_catch() -> None:
    made = filled(pacer(300, marks=True), 1, 1_000)
    assert due(made, 0)[0].probe == "0.probe"
    made.marked("0.probe", 80 * MS)
    assert (made.air_ns, made.lag_ns) == (80 * MS, 80 * MS)
    made.marked(f"0.1.{200 * MS_SAMPLES}", 320 * MS)
    # 120 ms behind, of which 80 are travel: the peer plays 40 ms behind the sending clock.
    assert made.pause(1, 320 * MS) == 280 * MS_SAMPLES


def test_a_peer_that_stops_playing_is_not_sent_for_ever() -> None:
    made = filled(pacer(300, reports=True), 1, 20_000)
    due(made, 0)
    made.played(1, 50 * MS_SAMPLES, 50 * MS)
    sent = sum(piece.samples for at in range(0, 20_000, 20) for piece in due(made, at)) // MS_SAMPLES + 300
    assert 300 + STALL_NS // MS <= sent <= 300 + STALL_NS // MS + 200
    assert made.wake_at(20_000 * MS) is not None
    made.played(1, 2_000 * MS_SAMPLES, 20_000 * MS)
    assert due(made, 20_000)


def test_a_report_while_paused_is_the_truth_for_the_resume() -> None:
    made = filled(pacer(300, reports=True), 1, 1_000)
    due(made, 0)
    made.pause(1, 150 * MS)
    assert made.played(1, 130 * MS_SAMPLES, 200 * MS) == 130 * MS_SAMPLES
    made.place(1, 130 * MS_SAMPLES)
    made.resume(1)
    assert due(made, 300)[0].start == 130 * MS_SAMPLES


def test_a_report_of_sound_never_sent_is_ignored() -> None:
    made = filled(pacer(300, reports=True), 1, 5_000)
    due(made, 0)
    assert made.played(1, 4_000 * MS_SAMPLES, 10 * MS) is None
    assert told(made, 20) == []


def test_a_broken_connection_takes_back_all_that_was_not_confirmed() -> None:
    made = filled(pacer(300, reports=True), 1, 1_000)
    due(made, 0)
    made.played(1, 60 * MS_SAMPLES, 60 * MS)
    assert made.disconnect(200 * MS) == {1: 60 * MS_SAMPLES}
    assert due(made, 400) == []
    assert made.wake_at(400 * MS) is None
    made.reconnect()
    assert due(made, 500)[0].start == 60 * MS_SAMPLES


def test_a_late_wake_up_keeps_the_beat_of_a_peer_without_a_buffer() -> None:
    made = filled(pacer(0), 1, 1_000)
    due(made, 0)
    due(made, 22)
    assert made.wake_at(22 * MS) == 40 * MS


def test_a_hole_in_the_sound_moves_everything_after_it() -> None:
    made = filled(pacer(300), 1, 100)
    due(made, 0)
    made.wrote(1, 800)
    due(made, 1_000)
    assert made.pause(1, 1_030 * MS) == 130 * MS_SAMPLES


def test_evidence_of_a_far_peer_is_never_beaten_by_the_estimate() -> None:
    ear = Ear(filled(pacer(300, marks=True), 1, 3_000), delay_ms=90)
    while len(ear.heard) < 3_000 * MS_SAMPLES:
        ear.run(20)
        told_ns = max((fact.heard_ns for fact in ear.facts), default=0)
        # The first word of the line's delay comes with the first echo.
        assert ear.now < 400 * MS or told_ns <= ear.made.ns(len(ear.heard))
    ear.run(500)
    assert type(ear.facts[-1]) is PlayoutDone


STEPS = st.lists(
    st.tuples(st.sampled_from(["run", "write", "pause", "resume"]), st.integers(1, 400)), min_size=1, max_size=40
)


@given(STEPS, st.sampled_from([0, 60, 300, 700]), st.booleans())
def test_however_it_is_paused_every_sample_is_heard_once_and_in_order(
    steps: list[tuple[str, int]], ahead_ms: int, marks: bool
) -> None:
    made = Pacer(1_000, ahead_ns=ahead_ms * MS, marks=marks)  # one sample is a millisecond
    made.open(1)
    ear = Ear(made)
    written = 0
    for step, ms in steps:
        if step == "run":
            ear.run(ms)
        elif step == "write":
            written += ms
            made.wrote(1, ms)
        elif step == "pause":
            made.pause(1, ear.now)
            ear.clear()
        else:
            made.resume(1)
    made.resume(1)
    ear.run(written + 1_500)
    assert ear.heard == [(1, sample) for sample in range(written)]
    assert not written or ear.facts[-1] == PlayoutDone(run=1, heard_ns=made.ns(written))
