"""Silence on both sides."""

from engine.core.policy import Setup
from tests.script import check

CALLED = Setup(llm=("model",), tts=("voice",))


def test_silence_is_asked_about_twice_and_then_the_agent_says_goodbye() -> None:
    state = check(
        """
        12000 timer                                   -> open r1, tts r1 "Are you still there?"  [Generating]
        12100 tts r1 c1 done 500
        12110 playing r1                               [Speaking]
        12700 played r1 500                            [Idle]
        24700 timer                                   -> open r2, tts r2 "Are you still there?"  [Generating]
        24800 tts r2 c1 done 500
        24810 playing r2                               [Speaking]
        25400 played r2 500                            [Idle]
        37400 timer                                   -> open r3, tts r3 "I'll let you go now.", tts r3 "Goodbye."  [Generating]
        37500 tts r3 c1 done 500
        37505 tts r3 c2 done 500
        37510 playing r3                               [Speaking]
        38600 played r3 1000                          -> hang up "nobody there"  [Idle]
        """,
        CALLED,
    )
    assert state.response.ending == "nobody there"


def test_a_caller_who_does_anything_begins_the_prompts_anew() -> None:
    state = check(
        """
        12000 timer                                   -> open r1, tts r1 "Are you still there?"  [Generating]
        12100 tts r1 c1 done 500
        12110 playing r1                               [Speaking]
        12700 played r1 500                            [Idle]
        13000 key 1                                    [Transcribing]
        """,
        CALLED,
    )
    assert state.idle.row == 0
