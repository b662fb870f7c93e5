"""A call in sentences: one for each problem, none for what is well."""

import pytest

from engine.core.units import MS, SECOND
from engine.replay.explain import explain, verdicts
from engine.replay.story import Answer, Interruption, Owner, Story, Stretch, Trouble


def answered(owner: Owner, why: str, ms: int = 1_500, prompt: str = "on Monday") -> Answer:
    return Answer(
        run=2,
        cause="turn",
        turn=1,
        began_at=0,
        prompt=prompt,
        quiet_at=0,
        started_at=ms * MS,
        end="finished",
        heard_ns=SECOND,
        sound_ns=2 * SECOND,
        stretches=(Stretch(owner, why, 0, ms * MS),),
    )


@pytest.mark.parametrize(
    ("owner", "why", "blame"),
    [
        (Owner.ENDPOINTING, "endpoint_unsure_ns", "the medium endpointing wait"),
        (Owner.ENDPOINTING, "endpoint_cap_ns", "the wait that ends every wait"),
        (Owner.ENDPOINTING, "", "the wait for the turn's end"),
        (Owner.RECOGNISER, "the last words", "the recogniser's last words"),
        (Owner.RECOGNISER, "the recogniser's end of turn", "the recogniser's end of turn"),
        (Owner.MODEL, "groq", "the model's (groq) first token"),
        (Owner.TOOL, "find_slots", "the tool find_slots"),
        (Owner.RETRY, "groq: timeout", "trying again after a failure (groq: timeout)"),
        (Owner.CHUNKING, "first token", "the wait for a piece of text fit to be spoken"),
        (Owner.SYNTHESIZER, "cartesia", "the synthesizer's (cartesia) first sound"),
        (Owner.TRANSPORT, "twilio", "between the first sound and the caller's ear"),
    ],
)
def test_a_slow_answer_is_blamed_on_its_owner(owner: Owner, why: str, blame: str) -> None:
    assert list(verdicts(Story(answers=[answered(owner, why)]))) == [f"turn 1: 1,500 ms of 1,500 ms is {blame}"]


def test_a_patient_wait_for_a_finished_text_is_remarked() -> None:
    story = Story(answers=[answered(Owner.ENDPOINTING, "endpoint_unsure_ns", prompt="On Monday, please.")])
    assert list(verdicts(story)) == [
        "turn 1: 1,500 ms of 1,500 ms is the medium endpointing wait; the text was finished"
    ]


def test_a_quick_answer_needs_no_sentence() -> None:
    assert list(verdicts(Story(answers=[answered(Owner.MODEL, "groq", 900)]))) == []


def test_a_failed_run_says_whether_it_was_heard() -> None:
    heard = answered(Owner.MODEL, "groq")
    heard.end = "failed"
    unheard = Answer(run=3, cause="greeting", began_at=SECOND, end="failed")
    assert list(verdicts(Story(answers=[heard, unheard]))) == [
        "turn 1: r2 failed",
        "r3 (greeting): r3 failed before it made a sound",
    ]


@pytest.mark.parametrize(
    ("end", "ms", "verdict"),
    [
        ("closed", 2_000, "turn 1: the call ended before it made a sound; 2,000 ms of 2,000 ms is the model's (groq) first token"),
        ("failed", 2_000, "turn 1: it failed before it made a sound; 2,000 ms of 2,000 ms is the model's (groq) first token"),
        ("cancelled", 2_000, "turn 1: it was given up before it made a sound; 2,000 ms of 2,000 ms is the model's (groq) first token"),
        ("failed", 500, "turn 1: r2 failed before it made a sound"),
        ("closed", 500, ""),
        ("cancelled", 500, ""),
    ],
)  # fmt: skip
def test_a_silence_that_no_answer_ended_has_an_owner_too(end: str, ms: int, verdict: str) -> None:
    unheard = answered(Owner.MODEL, "groq", ms)
    unheard.started_at, unheard.ended_at, unheard.end = None, ms * MS, end
    story = Story(answers=[unheard])
    assert list(verdicts(story)) == ([verdict] if verdict else [])
    text = "\n".join(explain(story))
    assert "1 turn (1 without an answer)" in text
    assert f"turn 1, r2: {ms:,} ms without a sound, {end}" in text


def test_problems_come_in_the_order_of_the_call() -> None:
    story = Story(
        answers=[answered(Owner.MODEL, "groq")],
        troubles=[Trouble(3 * SECOND, "the ear caught up with run r2, which had more to say (an underrun)")],
        interruptions=[
            Interruption(run=2, onset_at=2 * SECOND, yielded_at=2_100 * MS, decided_at=2_500 * MS, outcome="resumed")
        ],
        late_ns_max=180 * MS,
        late_at=4 * SECOND,
    )
    assert list(verdicts(story)) == [
        "turn 1: 1,500 ms of 1,500 ms is the model's (groq) first token",
        "2.000 s: r2 fell silent for 400 ms for a voice that did not want the floor",
        "3.000 s: the ear caught up with run r2, which had more to say (an underrun)",
        "4.000 s: a timer came 180 ms late: the process had no time",
    ]


def test_a_call_is_told_with_what_became_of_every_contest() -> None:
    cut = answered(Owner.MODEL, "groq", 400)
    cut.end = "interrupted"
    story = Story(
        ended_at=5 * SECOND,
        events=1_234,
        answers=[cut],
        interruptions=[
            Interruption(run=2, onset_at=SECOND, yielded_at=1_120 * MS, decided_at=1_300 * MS, outcome="interrupted", why="1 word recognised", heard_ns=SECOND),
            Interruption(run=2, onset_at=4 * SECOND),
        ],
        stale={"LLMToken": 2},
        ended="the caller hung up",
    )  # fmt: skip
    text = "\n".join(explain(story))
    assert "5.000 s, 1,234 events, 1 turn, 1 interruption, 0 floors taken back; ended: the caller hung up" in text
    assert (
        "two voices at 1.000 s: yielded after 120 ms, interrupted after 300 ms: 1 word recognised (1,000 ms were not heard)"
        in text
    )
    assert "two voices at 4.000 s: undecided" in text
    assert "stale facts dropped: 2 (LLMToken 2)" in text
    assert text.endswith("No problem found.")
