"""Tokens into speakable pieces."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core.chunking import split_speakable, spoken
from engine.core.policy import Policy
from engine.core.units import LIMITS

POLICY = Policy()
LONG = "a" * 10 + " "


def cut(pending: str, *, first: bool = True, written: bool = False) -> str:
    return pending[: split_speakable(pending, first=first, written=written, policy=POLICY)]


@pytest.mark.parametrize(
    ("pending", "piece"),
    [
        ("", ""),
        ("   ", ""),
        ("It is noon", ""),
        ("It is noon.", ""),
        ("It is noon. ", "It is noon."),
        ("It is noon. And", "It is noon."),
        ('He said "no." Then', 'He said "no."'),
        ("Really?! Yes", "Really?!"),
        ("Well… I", "Well…"),
        ("One\nTwo", "One\n"),
        ("\n\nOne", ""),
        ("Dr. Smith is in", ""),
        ("Dr. Smith is in. Come", "Dr. Smith is in."),
        ("At 9 a.m. on Monday", ""),
        ("At 9 a.m. Then go", "At 9 a.m."),
        ("It costs 3.50 euros", ""),
        ("J. Smith said", ""),
        ("Between you and I. Good", "Between you and I."),
        ("See no. 5 there", ""),
        ("Ask (Dr. Smith) today", ""),
        ("Bring some, 'e.g. this", ""),
        ("现在是中午。然后", "现在是中午。"),
        ("他说「不」。然后", "他说「不」。"),
        ("यह दोपहर है। और", "यह दोपहर है।"),
        ("هل أنت هنا؟ نعم", "هل أنت هنا؟"),
    ],
)
def test_the_first_piece_is_the_first_sentence(pending: str, piece: str) -> None:
    assert cut(pending) == piece


def test_a_later_piece_takes_all_whole_sentences() -> None:
    assert cut("One is. Two is. Thr", first=False) == "One is. Two is."
    assert cut("One is. Two is. Thr", first=True) == "One is."


@pytest.mark.parametrize("mark", [",", ";", ":", "—", "–"])
def test_the_first_piece_may_end_at_a_comma_once_it_is_long_enough(mark: str) -> None:
    head = "x" * (POLICY.chunk_first_chars - 1) + mark
    assert cut(head + " and then") == head
    assert cut(head[1:] + " a") == ""
    assert cut(head + " and then", first=False) == ""


def test_a_comma_without_a_space_after_it_ends_a_piece_where_none_is_written() -> None:
    head = "字" * (POLICY.chunk_first_chars - 1) + "，"
    assert cut(head + "字字") == head


def test_later_pieces_end_at_a_comma_only_when_they_grow_long() -> None:
    head = "y" * POLICY.chunk_soft_chars + ","
    assert cut(head + " and then", first=False) == head


def test_a_comma_too_early_is_passed_over_for_a_later_one() -> None:
    assert cut("Well, " + "z" * 30 + ", and so on") == "Well, " + "z" * 30 + ","


def test_a_written_answer_gives_all_that_is_left() -> None:
    assert cut("and so on", written=True) == "and so on"
    assert cut("  ", written=True) == "  "
    assert cut("One. Two", written=True) == "One."


def test_a_piece_is_never_longer_than_the_limit() -> None:
    words = "word " * 200
    assert cut(words) == words[: LIMITS.chunk_chars]
    clauses = "some words here, " * 40
    assert cut(clauses).endswith(",")
    sentences = "A sentence here. " * 40
    assert len(cut(sentences, first=False)) <= LIMITS.chunk_chars
    assert cut(sentences, first=False).endswith(".")
    assert cut("q" * 500) == "q" * LIMITS.chunk_chars
    assert cut("q" * LIMITS.chunk_chars) == "q" * LIMITS.chunk_chars
    assert cut("sixsix " * 80) == "sixsix " * 57
    early = "One. " + "word " * 100
    assert cut(early).endswith("word ")


def test_a_piece_that_is_too_long_is_cut_at_its_last_sentence_unless_that_makes_a_short_one() -> None:
    quarter = LIMITS.chunk_chars // 4
    three = "x" * (quarter - 1) + ". Two is. Three is. "
    assert cut(three + "w" * 400) == three[:-1]
    assert cut("x" * (quarter - 1) + ". " + "w" * 400) == "x" * (quarter - 1) + "."
    shorter = "x" * (quarter - 2) + ". "
    assert cut(shorter + "w" * 400) == shorter


def test_marks_of_markup_are_not_read_out() -> None:
    assert spoken("**Bold** and `code` # title ~~no~~ <b>|x|") == "Bold and code  title no bx"


@given(st.text(alphabet="ab .,!?\n", max_size=600), st.booleans(), st.booleans())
def test_a_cut_lies_within_the_text_and_its_limit(pending: str, first: bool, written: bool) -> None:
    size = split_speakable(pending, first=first, written=written, policy=POLICY)
    assert 0 <= size <= len(pending)
    if pending.strip() and len(pending) >= LIMITS.chunk_chars:
        assert 0 < size <= LIMITS.chunk_chars
    if written:
        assert size > 0 or not pending
