"""What was queued and heard."""

from engine.core.units import MS
from tests.script import check


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
