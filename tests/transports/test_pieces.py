from hypothesis import given
from hypothesis import strategies as st

from engine.transports.pieces import Pieces


def test_a_frame_may_end_one_run_and_begin_the_next() -> None:
    queue = Pieces(100)
    queue.put(1, 10, b"aabb")
    queue.put(2, 0, b"ccdd")
    assert queue.take(6) == (b"aabbcc", {1: 12, 2: 1})
    assert queue.take(6) == (b"dd\0\0\0\0", {2: 2})
    assert queue.take(6) == (b"", {})


def test_a_clear_drops_a_run_and_older_ones() -> None:
    queue = Pieces(100)
    for run in (1, 2, 3):
        queue.put(run, 0, b"aa")
    queue.clear(2)
    assert queue.take(8) == (b"aa" + bytes(6), {3: 1})


def test_what_would_overflow_is_dropped() -> None:
    queue = Pieces(4)
    queue.put(1, 0, b"aaaa")
    queue.put(1, 2, b"bb")
    assert queue.take(4) == (b"aaaa", {1: 2})
    queue.put(1, 2, b"cc")
    assert queue.take(4)[1] == {1: 3}


@given(st.lists(st.binary(min_size=1, max_size=20).map(lambda sound: 2 * sound)), st.integers(1, 30))
def test_everything_comes_out_in_order_however_it_is_cut(sounds: list[bytes], samples: int) -> None:
    queue = Pieces(10_000)
    start = 0
    for sound in sounds:
        queue.put(1, start, sound)
        start += len(sound) // 2
    out, end = b"", 0
    while (taken := queue.take(2 * samples))[0]:
        assert len(taken[0]) == 2 * samples
        out, end = out + taken[0], taken[1][1]
    assert out[: 2 * start] == b"".join(sounds)
    assert end == start
