"""Each millisecond between the caller's last sound and the agent's first has one owner."""

import pytest

from engine.core.policy import Policy, Setup
from engine.core.units import MS
from engine.replay.explain import explain, verdicts
from engine.replay.story import Answer, Owner, Story
from engine.replay.teller import Teller
from tests.replay.record import SETUP
from tests.replay.talk import talk
from tests.script import SETUP as PLAIN
from tests.script import play


def told(script: str, setup: Setup = PLAIN) -> Story:
    teller = Teller()
    play(script, setup, observer=teller)
    return teller.story


def owned(answer: Answer) -> list[tuple[str, str, int]]:
    return [(stretch.owner.value, stretch.why, stretch.ns // MS) for stretch in answer.stretches]


ASKED = """
    0     asr open
    100   caller speaks
    900   asr final "what time is it?"
    1000  caller quiet
"""


def test_work_begun_ahead_is_waited_for_only_where_it_is_late() -> None:
    (answer,) = told(ASKED + """
        1500  llm r1 "It is noon. "
        1900  tts r1 c1 starts
        1950  playing r1
    """).answers  # fmt: skip
    assert answer.guessed
    assert answer.latency_ns == 950 * MS
    assert owned(answer) == [
        ("endpointing", "speculate_stable_ns", 120),
        ("model", "model", 380),
        ("synthesizer", "voice", 400),
        ("transport", "", 50),
    ]


def test_work_that_was_done_in_time_is_hidden_behind_the_wait_for_the_turns_end() -> None:
    (answer,) = told(ASKED + """
        1200  llm r1 "It is noon. "
        1300  tts r1 c1 starts
        1400  playing r1
    """).answers  # fmt: skip
    assert owned(answer) == [("endpointing", "endpoint_finished_ns", 350), ("transport", "", 50)]


def test_a_caller_who_hangs_up_unanswered_is_told_what_was_waited_for() -> None:
    (answer,) = told(ASKED + """
        2600  session ended "the caller hung up"
    """).answers  # fmt: skip
    assert (answer.latency_ns, answer.silence_ns) == (None, 1_600 * MS)
    assert owned(answer) == [("endpointing", "speculate_stable_ns", 120), ("model", "model", 1_480)]


def test_late_words_are_the_recognisers() -> None:
    (answer,) = told("""
        0     asr open
        100   caller speaks
        1000  caller quiet
        1900  asr final "what time is it?"
        2400  llm r1 "It is noon. "
        2500  tts r1 c1 starts
        2550  playing r1
    """).answers[-1:]
    assert owned(answer)[:2] == [("endpointing", "speculate_stable_ns", 120), ("recogniser", "the last words", 780)]


def test_a_sentence_that_will_not_end_is_chunkings() -> None:
    (answer,) = told(ASKED + """
        1400  llm r1 "It"
        1900  llm r1 " is noon. "
        1950  tts r1 c1 starts
        1960  playing r1
    """).answers  # fmt: skip
    assert ("chunking", "first token", 500) in owned(answer)


def test_a_failed_provider_owns_the_wait_for_the_next_try() -> None:
    (answer,) = told(ASKED + """
        1500  llm r1 failed unavailable
        1900  llm r1 "It is noon. "
        2000  tts r1 c1 starts
        2010  playing r1
    """).answers  # fmt: skip
    stretches = owned(answer)[1:4]
    assert [(owner, why) for owner, why, _ in stretches] == [
        ("model", "model"),
        ("retry", "model: unavailable"),
        ("model", "model"),
    ]
    assert sum(ns for _, _, ns in stretches) == 780


def test_a_tool_owns_its_own_time() -> None:
    (answer,) = told(ASKED + """
        1500  llm r1 calls find_slots {"day":"Monday"}
        1510  llm r1 done tool_calls
        2510  tool t1 {"slots":[]}
        2900  llm r1 "Nothing is free. "
        3000  tts r1 c1 starts
        3010  playing r1
    """, Setup(asr=("ear",), llm=("model",), tts=("voice",), tools=SETUP.tools)).answers  # fmt: skip
    assert [(owner, ns) for owner, _, ns in owned(answer)] == [
        ("endpointing", 120),
        ("model", 380),
        ("tool", 1_010),
        ("model", 390),
        ("synthesizer", 100),
        ("transport", 10),
    ]


def test_a_tool_asked_for_ahead_waits_for_the_turns_end() -> None:
    (answer,) = told(ASKED + """
        1150  llm r1 calls find_slots {"day":"Monday"}
        1160  llm r1 done tool_calls
        1500  tool t1 {"slots":[]}
        1600  llm r1 "Nothing is free. "
        1700  tts r1 c1 starts
        1710  playing r1
    """, Setup(asr=("ear",), llm=("model",), tts=("voice",), tools=SETUP.tools)).answers  # fmt: skip
    assert [(owner, ns) for owner, _, ns in owned(answer)] == [
        ("endpointing", 350),
        ("tool", 150),
        ("model", 100),
        ("synthesizer", 100),
        ("transport", 10),
    ]


def test_the_stretches_fill_every_wait_without_a_gap() -> None:
    for answer in told(talk(9)).answers:
        assert answer.latency_ns == sum(stretch.ns for stretch in answer.stretches)
        assert all(one.end == other.start for one, other in zip(answer.stretches, answer.stretches[1:], strict=False))


def test_an_interruption_has_a_cause_and_an_outcome() -> None:
    story = told(talk(4))
    (contest,) = story.interruptions
    assert contest.run == 3
    assert (contest.outcome, contest.why) == ("interrupted", "1 word recognised")
    assert contest.yielded_at is not None
    assert contest.yielded_at - contest.onset_at == 120 * MS
    assert contest.heard_ns == 3_100 * MS
    assert story.answers[2].end == "interrupted"


def test_a_cough_is_a_floor_taken_back() -> None:
    story = told(ASKED + """
        1200  llm r1 "It is noon and the sun is high. "
        1300  tts r1 c1 starts
        1400  playing r1
        1500  tts r1 c1 done 4000
        2000  caller speaks
        2200  caller quiet
        2600
    """)  # fmt: skip
    (contest,) = story.interruptions
    assert contest.outcome == "resumed"
    (verdict,) = verdicts(story)
    assert verdict == "2.000 s: r1 fell silent for 430 ms for a voice that did not want the floor"


def test_stale_facts_are_counted_by_type() -> None:
    story = told(ASKED + """
        1200  llm r1 q9 "of a request that never was"
        1300  asr e7 partial "another ear"
    """)  # fmt: skip
    assert story.stale == {"LLMToken": 1, "ASRPartial": 1}


def test_a_slow_answer_gets_a_verdict_on_the_worst_owner() -> None:
    story = told("""
        0     asr open
        100   caller speaks
        900   asr final "my number is five five"
        1000  caller quiet
        3500  llm r1 "Go on. "
        3600  tts r1 c1 starts
        3650  playing r1
    """)
    (verdict,) = verdicts(story)
    assert verdict == "turn 1: 1,800 ms of 2,650 ms is the long endpointing wait"


def test_a_finished_text_that_was_waited_for_is_remarked() -> None:
    answer = told(ASKED + """
        1200  llm r1 "It is noon. "
        1300  tts r1 c1 starts
        2600  playing r1
    """, Setup(asr=("ear",), llm=("model",), tts=("voice",), policy=Policy(endpoint_finished_ns=1_500 * MS))).answers[0]  # fmt: skip
    assert answer.stretches[0].why == "endpoint_finished_ns"
    assert answer.stretches[0].owner is Owner.ENDPOINTING


def test_a_provider_that_fails_is_named_without_the_callers_words() -> None:
    story = told(ASKED + "1500 llm r1 failed timeout")
    assert [trouble.what for trouble in story.troubles] == ["llm provider model failed: timeout, run r1"]


def test_a_late_timer_is_noticed() -> None:
    story = told("""
        recorded
        0      session setup={"tts":["voice"]}
        12200  timer
    """)
    assert story.late_ns_max == 200 * MS
    assert "a timer came 200 ms late" in " ".join(verdicts(story))


def test_a_call_without_trouble_says_so() -> None:
    lines = list(explain(told(talk(2))))
    assert lines[0].startswith("22.")
    assert lines[1] == "voice to voice: median 640 ms, worst 640 ms"
    assert lines[-1] == "No problem found."
    assert any("█" in line and "model" in line for line in lines)


@pytest.mark.parametrize(
    "script", ["0", '100 typed "hello"', '100 key 5\n200 key "#"', "50 interrupt", "10 session ended gone"]
)
def test_every_beginning_of_a_call_can_be_explained(script: str) -> None:
    assert list(explain(told(script)))


HOLDING = (
    ASKED
    + """
        1200  llm r1 "It is noon and the sun is high above the town. "
        1300  tts r1 c1 starts
        1400  playing r1
        1500  tts r1 c1 done 4000
"""
)


@pytest.mark.parametrize(
    ("taking", "why"),
    [
        ("2000 interrupt", "the application asked for it"),
        ('2000 typed "and now?"', "the caller typed"),
        ("2000 key 5", "the caller pressed a key"),
        ("2000 asr start", "the recogniser heard a turn begin"),
        ("2000 caller speaks\n3000", "speech longer than 700 ms (interrupt_ns)"),
        ('2000 caller speaks\n2300 asr partial "hold on a moment"', "4 words recognised"),
    ],
)
def test_the_floor_is_lost_for_a_reason(taking: str, why: str) -> None:
    story = told(HOLDING + taking)
    contest = story.interruptions[0]
    assert (contest.outcome, contest.why) == ("interrupted", why)


def test_a_line_that_comes_back_ends_a_contest() -> None:
    story = told(HOLDING + "2000 caller speaks\n2130 caller quiet\n2140 line lost\n2500 line back\n2600")
    assert [(contest.outcome, contest.why) for contest in story.interruptions] == [("resumed", "the line came back")]


@pytest.mark.parametrize(
    ("words", "setting"),
    [
        ('asr end "what time is it"', "the recogniser's end of turn"),
        ('asr eager "what time is it"', "the recogniser's eager end of turn"),
    ],
)
def test_the_recognisers_own_judgement_is_its_own(words: str, setting: str) -> None:
    (answer,) = told(f"""
        0     asr open
        100   caller speaks
        900   asr partial "what time is it"
        1000  caller quiet
        1050  {words}
        1100  asr final "what time is it"
        1300  llm r1 "It is noon. "
        1500  tts r1 c1 starts
        1550  playing r1
    """).answers
    assert owned(answer)[0] == ("recogniser", setting, 50)


def test_keys_wait_for_more_keys() -> None:
    (answer,) = told("""
        0     asr open
        1000  key 5
        3500  llm r1 "Five. "
        3600  tts r1 c1 starts
        3650  playing r1
    """).answers
    assert answer.turn_end == "keyed"


def test_input_that_was_dropped_is_told_without_its_content() -> None:
    story = told('100 rejected twilio "bad json: my secret"')
    assert [trouble.what for trouble in story.troubles] == ["input from twilio could not be used and was dropped"]
