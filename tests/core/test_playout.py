"""What was queued and heard."""

import pytest
from msgspec.structs import replace

from engine.core.events import Word
from engine.core.playout import heard_chars
from engine.core.policy import Policy, Setup
from engine.core.state import Chunk, Ledger, RunEnd
from engine.core.units import LIMITS, MS, SECOND
from tests.script import check

TYPED = Setup(llm=("model",), tts=("voice",))
PATIENT = Policy(llm_stall_ns=60 * SECOND)
SAID = """
        500   typed "hello"                           -> open r1, llm r1 "hello"  [Generating]
        600   llm r1 "It is noon in Paris."
        610   llm r1 done                             -> tts r1 "It is noon in Paris."
"""
HALF_SAID = """
        500   typed "hello"                           -> open r1, llm r1 "hello"  [Generating]
        600   llm r1 "It is noon. "                   -> tts r1 "It is noon."
        700   tts r1 c1 done 800
        710   playing r1                               [Speaking]
"""
"""The model may say more."""


def test_a_mark_that_never_comes_does_not_hold_the_run_for_ever() -> None:
    state = check(
        """
        500   typed "hello"                           -> open r1, llm r1 "hello"  [Generating]
        600   llm r1 "Noon."
        610   llm r1 done                             -> tts r1 "Noon."
        700   tts r1 c1 done 500
        710   playing r1                               [Speaking]
        4710  timer                                   -> clear r1, cancel tts r1  [Idle]
        5000  timer                                   -> stop asr
        5000
        """
    )
    assert state.response.run is None


def test_a_gap_in_the_sound_is_counted() -> None:
    state = check(
        """
        500   typed "hello"                           -> open r1, llm r1 "hello"  [Generating]
        600   llm r1 "Noon. "                         -> tts r1 "Noon."
        650   llm r1 "And then one. "                 -> tts r1 "And then one."
        700   tts r1 c1 done 500
        710   playing r1                               [Speaking]
        1220  played r1 500
        """
    )
    assert state.playout.starved == 1


def test_an_older_position_adds_nothing() -> None:
    state = check(
        """
        500   typed "hello"                           -> open r1, llm r1 "hello"  [Generating]
        600   llm r1 "It is noon now. "               -> tts r1 "It is noon now."
        700   tts r1 c1 done 1000
        710   playing r1                               [Speaking]
        1200  heard r1 400
        1210  heard r1 300
        """
    )
    assert state.playout.ledgers[0].heard_ns == 400 * MS


def test_word_times_that_run_backwards_or_past_the_text_are_dropped() -> None:
    state = check(
        SAID
        + """
        700   tts r1 c1 words words=[[0,50000000],[2,100000000],[2,120000000],[5,90000000],[10,100000000]]
        710   tts r1 c1 words words=[[7,400000000],[13,400000000],[20,900000000],[21,950000000]]
        """
    )
    kept = [(2, 100), (10, 100), (13, 400), (20, 900)]
    assert state.playout.ledgers[0].chunks[0].words == tuple(Word(end, at * MS) for end, at in kept)


def test_a_first_word_of_one_letter_may_end_at_once() -> None:
    state = check(
        """
        500   say "I am here."                        -> open r1, tts r1 "I am here."  [Generating]
        700   tts r1 c1 words words=[[1,0],[4,300000000]]
        """,
        TYPED,
    )
    assert state.playout.ledgers[0].chunks[0].words == (Word(1, 0), Word(4, 300 * MS))


def test_a_late_position_of_a_dead_run_leaves_the_live_one_as_it_is() -> None:
    state = check(
        SAID
        + """
        700   tts r1 c1 done 1000
        710   playing r1                               [Speaking]
        800   interrupt                               -> clear r1, cancel tts r1  [Interrupted]
        810   say "One more thing."                   -> open r2, tts r2 "One more thing."  [Generating]
        820   cleared r1 100
        """,
        TYPED,
    )
    assert [(ledger.run, ledger.heard_ns) for ledger in state.playout.ledgers] == [(1, 100 * MS), (2, 0)]


def test_facts_of_the_last_four_runs_count_and_those_of_older_ones_are_stale() -> None:
    one = """
        {at}  say "Noon."                             -> open r{n}, tts r{n} "Noon."
        {at}  tts r{n} c1 done 500
        {at}  playing r{n}
        {at}  played r{n} 500
        """
    runs = LIMITS.runs_remembered + 2
    said = "".join(one.format(at=1000 * n, n=n) for n in range(1, runs + 1))
    assert check(f"{said}\n 9000 heard r2 500", TYPED).counters.stale == 0
    assert check(f"{said}\n 9000 heard r1 500", TYPED).counters.stale == 1


# When sound that should move stands still.


def test_a_position_told_twice_is_no_progress() -> None:
    check(
        SAID
        + """
        700   tts r1 c1 done 1000
        710   playing r1                               [Speaking]
        1110  heard r1 400
        3000  heard r1 400
        5110  timer                                   -> clear r1, cancel tts r1  [Idle]
        """,
        TYPED,
    )


def test_the_wait_for_progress_begins_anew_when_sound_comes_after_a_gap() -> None:
    check(
        HALF_SAID
        + """
        1470  heard r1 760
        2000  llm r1 "And now it is one. "            -> tts r1 "And now it is one."
        3000  tts r1 c2 done 1000
        7000  timer                                   -> clear r1, cancel llm r1, cancel tts r1  [Idle]
        """,
        replace(TYPED, policy=PATIENT),
    )


def test_the_wait_for_progress_goes_on_when_more_comes_behind_sound_that_stands_still() -> None:
    check(
        HALF_SAID
        + """
        1470  heard r1 759
        2000  llm r1 "And now it is one. "            -> tts r1 "And now it is one."
        3000  tts r1 c2 done 1000
        5470  timer                                   -> clear r1, cancel llm r1, cancel tts r1  [Idle]
        """,
        replace(TYPED, policy=PATIENT),
    )


def test_a_slow_model_and_a_voice_that_breaks_off_are_no_standstill() -> None:
    state = check(
        """
        500   typed "hello"                           -> open r1, llm r1 "hello"  [Generating]
        5000  llm r1 "It is noon in Paris."
        5010  llm r1 done                             -> tts r1 "It is noon in Paris."
        5100  tts r1 c1 starts
        5200  tts r1 c1 failed closed duration=500    -> cancel tts r1, tts r1 "noon in Paris."
        5210  playing r1                               [Speaking]
        5400  heard r1 200
        """,
        replace(TYPED, policy=replace(TYPED.policy, llm_filler_ns=0)),
    )
    assert state.response.run is not None


# The end of the sound.


def test_a_run_that_has_been_played_was_heard_to_its_end_whatever_the_rounding() -> None:
    state = check(
        SAID
        + """
        700   tts r1 c1 done 1000
        710   playing r1                               [Speaking]
        1710  played r1 990                            [Idle]
        """,
        TYPED,
    )
    assert state.response.past[-1].end is RunEnd.FINISHED
    assert state.playout.ledgers[0].heard_ns == 1000 * MS


def test_the_end_of_what_was_thrown_away_is_not_the_end_of_what_was_made() -> None:
    state = check(
        SAID
        + """
        700   tts r1 c1 done 1000
        710   playing r1                               [Speaking]
        1000  interrupt                               -> clear r1, cancel tts r1  [Interrupted]
        1010  played r1 300
        """,
        TYPED,
    )
    assert state.playout.ledgers[0].heard_ns == 300 * MS


def test_a_piece_without_any_sound_holds_nothing_up() -> None:
    for duration_ms in (0, -1):
        state = check(SAID + f"        700   tts r1 c1 done {duration_ms}                        [Idle]", TYPED)
        assert state.response.past[-1].end is RunEnd.FINISHED


# What was heard, in text.

TEXT = "It is noon. And then it is one."
WORDS = (Word(2, 100 * MS), Word(5, 300 * MS), Word(11, 790 * MS))
FIRST = Chunk(number=1, start_char=0, text="It is noon.", asked_at=0, duration_ns=800 * MS)
NEXT = Chunk(number=2, start_char=12, text="And then it is one.", asked_at=0, duration_ns=1_900 * MS)
BRIEF = Chunk(number=2, start_char=12, text="And", asked_at=0, duration_ns=30 * MS)


@pytest.mark.parametrize(
    ("chunks", "heard_ns", "text"),
    [
        ((), 0, ""),
        ((FIRST, NEXT), 0, ""),
        # In proportion within the piece, cut back to a word.
        ((FIRST, NEXT), 400 * MS, "It is"),
        # Two frames before its end a piece counts as heard.
        ((FIRST, NEXT), 760 * MS - 1, "It is"),
        ((FIRST, NEXT), 760 * MS, "It is noon."),
        ((FIRST, NEXT), 800 * MS, "It is noon."),
        ((FIRST, NEXT), 900 * MS, "It is noon."),
        ((FIRST, NEXT), 1_100 * MS, "It is noon. And"),
        ((FIRST, NEXT), 1_600 * MS, "It is noon. And then"),
        ((FIRST, NEXT), 2_660 * MS - 1, "It is noon. And then it is"),
        ((FIRST, NEXT), 2_660 * MS, TEXT),
        # One that is shorter than that has at least to begin.
        ((FIRST, BRIEF), 800 * MS, "It is noon."),
        ((FIRST, BRIEF), 800 * MS + 1, "It is noon. And"),
        # By word times, where there are any.
        ((replace(FIRST, words=WORDS), NEXT), 100 * MS - 1, ""),
        ((replace(FIRST, words=WORDS), NEXT), 100 * MS, "It"),
        ((replace(FIRST, words=WORDS), NEXT), 750 * MS, "It is"),
        ((FIRST, replace(NEXT, words=WORDS)), 850 * MS, "It is noon."),
        # By the usual rate of speech, 15 characters a second, while a piece is still being made.
        ((replace(FIRST, duration_ns=None),), 500 * MS, "It is"),
        ((replace(FIRST, duration_ns=None),), 11 * SECOND // 15 - MS, "It is"),
        ((replace(FIRST, duration_ns=None),), 11 * SECOND // 15 + 1, "It is noon."),
        ((FIRST, replace(NEXT, duration_ns=None)), 1_000 * MS, "It is noon. And"),
    ],
)
def test_what_was_heard_ends_at_a_word(chunks: tuple[Chunk, ...], heard_ns: int, text: str) -> None:
    assert TEXT[: heard_chars(Ledger(run=1, chunks=chunks, heard_ns=heard_ns), 15)] == text
