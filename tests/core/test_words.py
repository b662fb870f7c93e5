"""What words say about turn-taking."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core.policy import BACKCHANNELS, STOP_WORDS
from engine.core.words import (
    Completeness,
    completeness,
    continues,
    is_backchannel,
    joined,
    may_become_backchannel,
    normalised,
    opens_with_stop_word,
    trailing_digits,
    word_count,
)

FINISHED, UNSURE, UNFINISHED = Completeness.FINISHED, Completeness.UNSURE, Completeness.UNFINISHED


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("What time is it?", "what time is it"),
        ("  at 9 a.m.,  please ", "at 9 am please"),
        ("it's O'Clock", "it's o'clock"),
        ("Mm-hmm!", "mm hmm"),
        ("I’m here", "i'm here"),
        ("¿Qué hora es?", "qué hora es"),
        ("Schöne Grüße!", "schöne grüße"),
        ("«Который час?»", "который час"),
        ("أريد موعداً، من فضلك؟", "أريد موعداً من فضلك"),
        ("मुझे मदद चाहिए।", "मुझे मदद चाहिए"),
        ("现在几点？", "现在几点"),
        ("", ""),
        ("…", ""),
        ("👍 — !", ""),
    ],
)
def test_two_spellings_of_the_same_words_compare_equal(text: str, expected: str) -> None:
    assert normalised(text) == expected


@given(st.text(max_size=40))
def test_normalising_twice_changes_nothing(text: str) -> None:
    assert normalised(normalised(text)) == normalised(text)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [((), ""), (("a",), "a"), (("a", "b"), "a b"), ((" a ", "", "  ", "b "), "a b")],
)
def test_joining_leaves_one_space_between_what_is_there(parts: tuple[str, ...], expected: str) -> None:
    assert joined(*parts) == expected


@pytest.mark.parametrize(
    ("text", "count"), [("", 0), ("one", 1), ("it's nine a.m.", 3), ("मुझे मदद चाहिए", 3), ("- - -", 0)]
)
def test_words_are_counted_without_punctuation(text: str, count: int) -> None:
    assert word_count(text) == count


@pytest.mark.parametrize("text", ["mm hmm", "Uh-huh.", "yeah", "okay right", "Yeah, I see.", "all right okay", "OK"])
def test_signs_of_listening_are_backchannels(text: str) -> None:
    assert is_backchannel(text, BACKCHANNELS)


@pytest.mark.parametrize("text", ["", "yes", "no", "okay but wait", "i", "see", "yeahs", "right now", "hold on", "all"])
def test_anything_else_is_none(text: str) -> None:
    assert not is_backchannel(text, BACKCHANNELS)


@pytest.mark.parametrize("phrases", [("right", "right on"), ("right on", "right")])
def test_of_two_signs_that_begin_alike_the_longer_one_is_heard(phrases: tuple[str, ...]) -> None:
    assert is_backchannel("Right on. Right.", phrases)


@pytest.mark.parametrize("text", ["i", "all", "yeah all", "got", "of", "uh", "yeah i", "mm", "uh huh of cou"])
def test_the_beginning_of_a_backchannel_may_become_one(text: str) -> None:
    assert may_become_backchannel(text, BACKCHANNELS)


@pytest.mark.parametrize("text", ["", "hold", "i want", "when all", "yeah but", "x yeah"])
def test_what_cannot_become_a_backchannel_does_not(text: str) -> None:
    assert not may_become_backchannel(text, BACKCHANNELS)


@pytest.mark.parametrize("text", ["stop", "Stop it!", "wait", "hold on a second", "no, that is wrong", "excuse me"])
def test_a_stop_word_at_the_beginning_takes_the_floor(text: str) -> None:
    assert opens_with_stop_word(text, STOP_WORDS)


@pytest.mark.parametrize("text", ["", "nothing", "stopping", "I said stop", "waiter", "hold", "know"])
def test_a_stop_word_elsewhere_or_inside_a_word_does_not(text: str) -> None:
    assert not opens_with_stop_word(text, STOP_WORDS)


@pytest.mark.parametrize(
    ("before", "after", "added"),
    [
        ("book it", "book it for ten", "for ten"),
        ("book it", "Book it.", ""),
        ("Book it.", "book it for Ten!", "for Ten!"),
        ("book it", "book", None),
        ("book it", "cancel it", None),
        ("", "anything", None),
    ],
)
def test_what_a_repetition_adds(before: str, after: str, added: str | None) -> None:
    assert continues(before, after) == added


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("four six", 2),
        ("my number is five five five", 3),
        ("call 555 1234", 7),
        ("oh seven", 2),
        ("seven days", 0),
        ("seven days two", 1),
    ],
)
def test_digits_at_the_end_are_counted_spoken_or_written(text: str, count: int) -> None:
    assert trailing_digits(text) == count


@pytest.mark.parametrize(
    ("text", "question", "expected"),
    [
        ("what time is it?", "", FINISHED),
        ("I need help.", "", FINISHED),
        ("stop!", "", FINISHED),
        ("at three p.m.", "", FINISHED),
        ("around noon", "", FINISHED),
        ("five o'clock", "", FINISHED),
        ("that's all", "", FINISHED),
        ("thank you", "", FINISHED),
        ("yes", "", FINISHED),
        ("no thanks", "", FINISHED),
        ("tomorrow please", "", FINISHED),
        ("okay", "Shall I book it?", FINISHED),
        ("OK", "Shall I book it?", FINISHED),
        ("okay", "I will book it.", UNSURE),
        ("right", "Is that right? ", FINISHED),
        ("okay then", "Shall I book it?", UNFINISHED),
        ("I need some help", "", UNSURE),
        ("Monday", "", UNSURE),
        ("", "", UNFINISHED),
        ("...", "", UNFINISHED),
        ("well...", "", UNFINISHED),
        ("on Monday,", "", UNFINISHED),
        ("on Monday and", "", UNFINISHED),
        ("my", "", UNFINISHED),
        ("I would like to", "", UNFINISHED),
        ("because", "", UNFINISHED),
        ("it is um", "", UNFINISHED),
        ("five five five", "", UNFINISHED),
        ("five five", "", UNSURE),
        ("five five", "What is your telephone number?", UNFINISHED),
        ("my account is four", "", UNFINISHED),
        ("five five five one two three four", "", FINISHED),
        ("555 123 4567", "", FINISHED),
        ("1 555 123 4567", "", FINISHED),
        ("four one one one two two two two three three three three four four four four", "", FINISHED),
        ("five five five one two three four five", "", UNFINISHED),
        ("gate 5", "", UNSURE),
    ],
)
def test_how_finished_words_sound(text: str, question: str, expected: Completeness) -> None:
    assert completeness(text, question, "en") is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Ich komme am", UNSURE),
        ("Ich komme morgen.", FINISHED),
        ("¿Qué hora es?", FINISHED),
        ("现在几点？", FINISHED),
        ("我想，", UNFINISHED),
        ("كم الساعة؟", FINISHED),
        ("मुझे मदद चाहिए।", FINISHED),
        ("thank you", UNSURE),
        ("5 5 5", UNFINISHED),
    ],
)
def test_another_language_is_judged_by_punctuation_and_numbers(text: str, expected: Completeness) -> None:
    assert completeness(text, "", "de") is expected


def test_every_english_is_english() -> None:
    assert completeness("on Monday and", "", "en-GB") is UNFINISHED


@pytest.mark.parametrize("mark", ["...", "…", ",", "-", ":", "，", "、", "،"])
def test_a_mark_that_goes_on_is_believed_in_any_language(mark: str) -> None:
    assert completeness(f"yes{mark} ", "", "en") is UNFINISHED
    assert completeness(f"ja{mark} ", "", "de") is UNFINISHED


@pytest.mark.parametrize("mark", [".", "?", "!", "。", "？", "！", "؟", "।"])
def test_a_mark_that_ends_is_believed_in_any_language(mark: str) -> None:
    assert completeness(f"in Paris{mark} ", "", "en") is FINISHED
    assert completeness(f"in Paris{mark} ", "", "de") is FINISHED
