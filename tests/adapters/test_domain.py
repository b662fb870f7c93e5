from pathlib import Path

import pocketsphinx
import pytest

from engine.adapters.domain import arpa, build, default_cache, parse, read_dictionary
from engine.demo.domain import DOMAIN
from engine.errors import ConfigError

DICTIONARY = Path(pocketsphinx.get_model_path()) / "en-us" / "cmudict-en-us.dict"


def said(text, count=200):
    """All sentences drawn from a domain."""
    return {" ".join(words) for words in parse(text).draw(count)}


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("yes", {"yes"}),
        ("yes | no", {"yes", "no"}),
        ("yes [please]", {"yes", "yes please"}),
        ("(book | cancel) it", {"book it", "cancel it"}),
        ("on <day>\n<day> = monday | friday", {"on monday", "on friday"}),
        ("<a>\n<a> = <b> <b>\n<b> = one", {"one one"}),
        ("say [very [very]] good", {"say good", "say very good", "say very very good"}),
        ("YES # loud\n\n# nothing", {"yes"}),
        ("[yes]\nno", {"yes", "no"}),
        ("/0.001/ often | /1000/ rarely", {"rarely"}),
        ("/2/ yes\nno", {"yes", "no"}),
    ],
)
def test_a_domain_says_just_what_it_describes(text, sentences):
    assert said(text) == sentences


def test_the_same_sentences_are_drawn_each_time():
    assert list(parse(DOMAIN).draw(500)) == list(parse(DOMAIN).draw(500))


def test_a_weight_makes_a_sentence_more_frequent():
    drawn = [words[0] for words in parse("/9/ often\nrarely").draw(2_000)]
    assert 0.87 < drawn.count("often") / len(drawn) < 0.93


def test_every_line_is_said_at_least_once_however_rare():
    assert "rarely" in said("/1000000/ often\nrarely")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "it has no sentences"),
        ("on <day>", "<day> is used and not defined"),
        ("yes\n(no", "line 2: ')' is missing"),
        ("yes ]", "']' is out of place"),
        ("day = monday\nyes", "'day' is no rule's name"),
        ("<a> = b\n<a> = c\n<a>", "<a> is defined twice"),
        ("/0/ yes", "a weight must be above 0"),
        ("what?", "'what?' is out of place"),
        ("!word\nword", "no phones for 'word'"),
    ],
)
def test_a_domain_that_cannot_be_read_says_where(text, problem):
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert problem in str(caught.value)


def test_all_problems_are_told_at_once():
    with pytest.raises(ConfigError) as caught:
        parse("a ]\nb )\n<c>")
    assert len(caught.value.problems) == 3


def test_a_rule_within_itself_is_refused():
    with pytest.raises(ConfigError, match="contain itself"):
        said("<a>\n<a> = x <a>")


def test_a_word_without_a_known_pronunciation_is_named(tmp_path):
    with pytest.raises(ConfigError) as caught:
        build("call zyxwv\nor qqfoo", DICTIONARY, tmp_path)
    assert [problem.split("'")[1] for problem in caught.value.problems] == ["qqfoo", "zyxwv"]


def test_a_domain_may_say_how_a_word_is_pronounced(tmp_path):
    model = build("call zyxwv\n!zyxwv Z IH K S\n!zyxwv Z IH W", DICTIONARY, tmp_path)
    assert model.dictionary.read_text().splitlines()[1:] == ["zyxwv Z IH K S", "zyxwv(2) Z IH W"]


def test_a_built_domain_is_found_again(tmp_path):
    first = build("yes | no", DICTIONARY, tmp_path)
    written = first.language_model.stat().st_mtime_ns
    assert build("yes | no", DICTIONARY, tmp_path) == first
    assert first.language_model.stat().st_mtime_ns == written
    assert build("yes | maybe", DICTIONARY, tmp_path) != first


def test_the_cache_is_where_the_user_keeps_caches(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache() == tmp_path / "engine" / "domains"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_cache() == Path.home() / ".cache" / "engine" / "domains"


def test_the_dictionary_is_cut_to_the_words_with_their_variants():
    assert read_dictionary(DICTIONARY, {"a", "either"}) == {"a": ["AH", "EY"], "either": ["IY DH ER", "AY DH ER"]}


def test_the_demo_agent_s_domain_builds_with_every_word_known(tmp_path):
    model = build(DOMAIN, DICTIONARY, tmp_path)
    words = {line.split("(")[0].split()[0] for line in model.dictionary.read_text().splitlines()}
    assert {"monday", "o'clock", "p.m.", "cancel", "yes", "seventeenth"} <= words


def read_arpa(text):
    """{words: (log10 of probability, log10 of back-off)}."""
    table = {}
    for line in text.splitlines():
        fields = line.split("\t")
        if len(fields) > 1:
            table[tuple(fields[1].split())] = (float(fields[0]), float(fields[2]) if len(fields) > 2 else 0.0)
    return table


def probability(table, context, word):
    """P(word | context) as a decoder computes it."""
    if (*context, word) in table:
        return 10 ** table[*context, word][0]
    if not context:
        return 0.0
    back = 10 ** table[context][1] if context in table else 1.0
    return back * probability(table, context[1:], word)


def test_the_model_s_probabilities_sum_to_one_after_every_context():
    sentences = [line.split() for line in ("book it", "book it now", "cancel it", "yes", "yes book it please", "now")]
    table = read_arpa(arpa(sentences))
    vocabulary = [gram[0] for gram in table if len(gram) == 1 and gram[0] != "<s>"]
    for context in [
        (),
        ("<s>",),
        ("book",),
        ("it",),
        ("book", "it"),
        ("<s>", "yes"),
        ("<s>", "book"),
        ("please", "now"),
    ]:
        assert sum(probability(table, context, word) for word in vocabulary) == pytest.approx(1, abs=0.002)


def test_what_was_said_more_often_is_likelier():
    table = read_arpa(arpa([["good", "day"]] * 9 + [["good", "night"]]))
    assert probability(table, ("good",), "day") > 5 * probability(table, ("good",), "night")
