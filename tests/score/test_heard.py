"""What is told from sound alone, by speeches whose fate is known."""

from collections.abc import Callable

import pytest

from engine.score.heard import LINE_HZ, Heard, follow, pieces, place, samples_of
from tests.score.peers import tune

SPEECH = tune(8.0)
OTHER = tune(2.0, seed=9)
KNOWN = samples_of(SPEECH)
BREATHING = SPEECH[:16_000] + b"\xff" * 3_200 + SPEECH[16_000:]
"""The same with 400 ms of quiet after two seconds."""


def quiet(seconds: float) -> bytes:
    return b"\xff" * round(seconds * LINE_HZ)


def upto(seconds: float) -> bytes:
    return SPEECH[: round(seconds * LINE_HZ)]


def since(seconds: float) -> bytes:
    return SPEECH[round(seconds * LINE_HZ) :]


def near(seconds: float) -> Callable[[int | None], bool]:
    return lambda sample: sample is not None and abs(sample - seconds * LINE_HZ) <= 0.02 * LINE_HZ


def test_pieces_are_cut_at_quiet_and_not_between_words() -> None:
    sound = samples_of(quiet(0.1) + tune(0.3) + quiet(0.1) + tune(0.3) + quiet(0.2) + tune(0.1))
    assert [(each.start, each.end) for each in pieces(sound, 0)] == [(800, 6_400), (8_000, 8_800)]


@pytest.mark.parametrize("shift", [0, 1_234, -800])
def test_a_part_of_a_speech_is_found_where_it_lies(shift: int) -> None:
    part = KNOWN[16_000 + shift : 19_200 + shift] * 0.5
    assert place(KNOWN, part, 8_000, 24_000) == 16_000 + shift
    assert place(KNOWN, samples_of(OTHER)[:3_200], 8_000, 24_000) is None
    assert place(KNOWN, part[:10], 8_000, 24_000) is None


def test_a_speech_that_goes_on_has_not_stopped() -> None:
    assert follow(upto(7.0), 0, 3 * LINE_HZ, KNOWN) == Heard()


def test_a_speech_cut_off_is_lost_where_it_fell_silent() -> None:
    found = follow(upto(3.2) + quiet(2.0), 0, 3 * LINE_HZ, KNOWN)
    assert found.lost
    assert near(3.2)(found.stopped)
    answered = follow(upto(3.2) + quiet(0.5) + OTHER, 0, 3 * LINE_HZ, KNOWN)
    assert (answered.lost, near(3.2)(answered.stopped)) == (True, True)


@pytest.mark.parametrize(("goes_on_s", "missing_s"), [(3.2, 0.0), (3.7, 0.5), (2.5, 0.0)])
def test_a_speech_that_goes_on_later_is_looked_up_for_what_it_lost(goes_on_s: float, missing_s: float) -> None:
    found = follow(upto(3.2) + quiet(1.0) + since(goes_on_s)[: 2 * LINE_HZ], 0, 3 * LINE_HZ, KNOWN)
    assert not found.lost
    assert near(3.2)(found.stopped)
    assert near(4.2)(found.resumed)
    assert found.missing == pytest.approx(missing_s * LINE_HZ, rel=0.1)


def test_a_breath_of_the_speech_itself_is_no_giving_way() -> None:
    assert follow(BREATHING[:48_000], 0, 15_800, samples_of(BREATHING)) == Heard()


def test_a_silence_that_comes_too_late_to_be_for_the_caller_is_none() -> None:
    heard = upto(5.0) + quiet(0.4) + since(5.0)[:16_000]
    assert follow(heard, 0, 2 * LINE_HZ, KNOWN).stopped is not None
    assert follow(heard, 0, 2 * LINE_HZ, KNOWN, until=4 * LINE_HZ) == Heard()


def test_sound_that_came_in_drips_is_still_the_known_speech() -> None:
    drips = b"".join(SPEECH[start : start + 800] + b"\xff" * 250 for start in range(0, 40_000, 800))
    assert follow(drips, 0, 24_000, KNOWN) == Heard()
    found = follow(drips[:24_950] + quiet(2.0), 0, 24_000, KNOWN)
    assert (found.known, found.lost, near(24_950 / LINE_HZ)(found.stopped)) == (True, True, True)


def test_sound_let_out_late_is_told_and_the_end_is_its_end() -> None:
    found = follow(upto(3.2) + quiet(0.3) + since(3.2)[:4_000] + quiet(1.0), 0, 3 * LINE_HZ, KNOWN)
    assert (found.lost, near(4.0)(found.stopped)) == (True, True)
    assert found.returned == pytest.approx(4_000, abs=80)


def test_a_speech_that_came_to_its_end_is_not_lost() -> None:
    found = follow(SPEECH + quiet(2.0), 0, 7 * LINE_HZ, KNOWN)
    assert (found.over, found.lost, found.stopped) == (True, False, None)


def test_a_speech_that_is_not_the_known_one_is_told_by_time() -> None:
    new = tune(8.0, seed=5)
    kept = follow(new[:24_000] + quiet(0.5) + new[24_000:40_000], 0, 20_000, KNOWN)
    assert (kept.known, kept.lost, kept.stopped) == (False, False, None)
    for rest in (quiet(1.0), quiet(1.0) + OTHER):
        lost = follow(new[:24_000] + rest, 0, 20_000, KNOWN)
        assert (lost.known, lost.lost, near(3.0)(lost.stopped)) == (False, True, True)


def test_nothing_heard_is_nothing_known() -> None:
    assert not follow(quiet(2.0), 0, 8_000, KNOWN).known
