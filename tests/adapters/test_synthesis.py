"""Whole samples, and words where they lie."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.adapters.base import SpeechRequest
from engine.adapters.synthesis import FOREIGN, Sound, WordFinder
from engine.core.units import LIMITS
from engine.errors import AdapterError


def finder(text):
    return WordFinder(SpeechRequest(run=3, chunk=5, text=text))


def placed(text, facts):
    return [text[: word.end_char] for fact in facts if fact for word in fact.words]


@given(st.binary(min_size=1).filter(lambda data: not data.startswith(FOREIGN)), st.lists(st.integers(0, 9)))
def test_pieces_of_any_size_come_out_as_whole_samples(data, sizes):
    sound, out, at = Sound("acme"), b"", 0
    if data[: sum(sizes[:1])].startswith(FOREIGN):
        return
    for size in [*sizes, len(data)]:
        piece = sound.take(data[at : at + size])
        assert len(piece) % 2 == 0
        out += piece
        at += size
    assert out == data[: len(data) & ~1]


@pytest.mark.parametrize("start", FOREIGN)
def test_another_format_is_no_sound(start):
    with pytest.raises(AdapterError):
        Sound("acme").take(start + bytes(20))


@pytest.mark.parametrize(
    ("text", "spoken", "expected"),
    [
        ("One two.", ["One", "two."], ["One", "One two."]),
        ("One two.", ["one", "two"], ["One", "One two."]),
        ("Room 5 is free", ["Room", "five", "is", "free"], ["Room", "Room 5", "Room 5 is", "Room 5 is free"]),
        ("the the the", ["the", "the", "the"], ["the", "the the", "the the the"]),
        ("short", ["short", "and", "more"], ["short"]),
        ("a, b", [" a", " ", "b"], ["a,", "a, b"]),
    ],
)
def test_words_are_found_in_order(text, spoken, expected):
    found = finder(text).words(spoken, [at * 100 for at in range(len(spoken))])
    assert placed(text, [found])[: len(expected)] == expected
    assert (found.run, found.chunk) == (3, 5)


def test_letters_in_pieces_make_words():
    text = "Hello big world."
    finding = finder(text)
    facts = [
        finding.letters("Hello b", range(1, 8)),
        finding.letters("ig ", [8, 9, 10]),
        finding.letters("world. ", range(11, 18)),
    ]
    assert placed(text, facts) == ["Hello", "Hello big", "Hello big world."]
    assert [word.end_ns for fact in facts for word in fact.words] == [5, 9, 16]


def test_a_second_pass_over_the_same_letters_is_ignored():
    text = "One two three four"
    finding = finder(text)
    facts = [
        finding.letters("One two ", range(8)),
        finding.letters("One two ", range(8)),
        finding.letters("three four", range(10)),
    ]
    assert placed(text, facts) == ["One", "One two", "One two three", text]


@given(st.text(max_size=40), st.lists(st.text(max_size=6), max_size=30))
def test_any_words_of_any_text_stay_inside_it_and_in_order(text, spoken):
    fact = finder(text).words(spoken, list(range(len(spoken))))
    ends = [word.end_char for word in fact.words] if fact else []
    assert ends == sorted(ends)
    assert all(0 < end <= len(text) for end in ends)


@given(st.text(max_size=40), st.lists(st.text(max_size=12), max_size=10))
def test_any_letters_of_any_text_stay_inside_it_and_in_order(text, pieces):
    finding = finder(text)
    facts = [finding.letters(piece, list(range(len(piece)))) for piece in pieces]
    ends = [word.end_char for fact in facts if fact for word in fact.words]
    assert ends == sorted(ends)
    assert all(0 < end <= len(text) for end in ends)


def test_words_of_a_chunk_are_bounded():
    text = "a " * 2 * LIMITS.words
    finding = finder(text)
    total = sum(len(fact.words) for _ in range(8) if (fact := finding.words(["a"] * 200, [1] * 200)))
    assert total == LIMITS.words
