"""The recogniser: reconnected, replaced, given up."""

from engine.core.policy import Setup
from tests.script import check

CALLED = Setup(asr=("ear", "spare"), llm=("model",), tts=("voice",))
GIVEN = Setup(asr=("ear",), llm=("model",), tts=("voice",))


def test_a_recogniser_that_fails_is_reconnected_and_then_replaced() -> None:
    state = check(
        """
        0     asr open                                 [Idle]
        500   asr failed closed                       -> stop asr
        700   timer                                   -> asr e2
        1000
        1010  asr failed closed                       -> stop asr, asr e3 by=spare
        1100  asr open
        """,
        CALLED,
    )
    assert state.ear.provider == 1
    assert state.ear.open


def test_a_recogniser_that_never_opens_has_failed() -> None:
    state = check(
        """
        5000  timer                                   -> stop asr, asr e2 by=spare  [Idle]
        6000
        """,
        CALLED,
    )
    assert state.ear.provider == 1


def test_words_of_a_lost_recogniser_wait_for_the_next_one_to_hear_them_again() -> None:
    state = check(
        """
        0     asr open
        500   caller speaks
        900   asr partial "is"
        1000  asr failed rejected                     -> stop asr, asr e2 by=spare
        1500  caller quiet
        3000  asr open
        3000  timer                                   -> finalize
        3100  asr final "is Monday free?"             -> open r1, llm r1 "is Monday free?"
        """,
        CALLED,
    )
    assert state.turn.taken == 1


def test_facts_of_an_older_ear_are_stale() -> None:
    state = check(
        """
        0     asr open                                 [Idle]
        500   asr failed rejected                     -> stop asr, asr e2 by=spare
        600   asr e1 final "hello"
        """,
        CALLED,
    )
    assert state.counters.stale == 1
    assert state.turn.text == ""


def test_a_lasting_loss_is_apologised_for_and_ends_the_call() -> None:
    state = check(
        """
        0     asr open                                 [Idle]
        500   asr failed rejected                     -> stop asr
        600   asr failed rejected
        2500  timer                                   -> asr e2
        3000  asr failed rejected                     -> stop asr
        5000  timer                                   -> asr e3
        5500  timer                                   -> open r1, tts r1 "I'm sorry, I had a problem there.", tts r1 "Could you say that again?"  [Generating]
        5500
        5600  tts r1 c1 done 500
        5605  tts r1 c2 done 500
        5610  playing r1                               [Speaking]
        6700  played r1 1000                           [Idle]
        10000 timer                                   -> stop asr
        10200 timer                                   -> asr e4
        15200 timer                                   -> stop asr
        17200 timer                                   -> asr e5
        22200 timer                                   -> stop asr
        22400 timer                                   -> asr e6
        27400 timer                                   -> stop asr
        29400 timer                                   -> asr e7
        30500 timer                                   -> open r2, tts r2 "I'm sorry, I'm having technical trouble.", tts r2 "Please call again later.", tts r2 "Goodbye."  [Generating]
        31000
        """,
        GIVEN,
    )
    assert state.ear.lost


def test_two_turns_with_a_voice_and_no_words_mean_a_deaf_recogniser() -> None:
    state = check(
        """
        0     asr open                                 [Idle]
        500   caller speaks                            [Listening]
        1800  caller quiet                             [Idle]
        1950  timer                                   -> finalize
        3000  timer                                   -> open r1, tts r1 "Sorry, I didn't catch that."  [Generating]
        3300
        3400  tts r1 c1 done 500
        3410  playing r1                               [Speaking]
        3920  played r1 500                            [Idle]
        """,
        CALLED,
    )
    assert state.ear.unheard == 1
