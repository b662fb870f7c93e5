"""Text to the synthesizer, and what happens when one fails."""

from engine.core.policy import Setup
from engine.core.state import RunEnd
from tests.script import check

CALLED = Setup(llm=("model",), tts=("voice", "spare"))
GIVEN = Setup(llm=("model",))


def test_sentences_are_spoken_as_they_are_written() -> None:
    check(
        """
        500   typed "hello"                           -> open r1, llm r1 "hello"  [Generating]
        600   llm r1 "It is"
        650   llm r1 " noon. And"                     -> tts r1 "It is noon."
        700   llm r1 " then it is one."
        710   llm r1 done                             -> tts r1 "And then it is one."
        """,
        CALLED,
    )


def test_a_voice_that_breaks_off_goes_on_from_the_word_it_reached() -> None:
    state = check(
        """
        500   typed "hello"                           -> open r1, llm r1 "hello"  [Generating]
        600   llm r1 "It is noon in Paris."
        610   llm r1 done                             -> tts r1 "It is noon in Paris."
        700   tts r1 c1 starts
        710   tts r1 c1 words words=[[2,100000000],[5,200000000],[10,500000000]]
        720   tts r1 c1 failed closed duration=500    -> cancel tts r1, tts r1 "in Paris."
        """,
        CALLED,
    )
    assert [chunk.text for chunk in state.playout.ledgers[0].chunks] == ["It is noon", "in Paris."]


def test_a_voice_that_fails_again_is_replaced() -> None:
    state = check(
        """
        500   typed "hello"                           -> open r1, llm r1 "hello"  [Generating]
        600   llm r1 "Noon."
        610   llm r1 done                             -> tts r1 "Noon."
        720   tts r1 c1 failed unavailable            -> cancel tts r1, tts r1 "Noon."
        800   tts r1 c2 failed unavailable            -> cancel tts r1, tts r1 "Noon." by=spare
        """,
        CALLED,
    )
    assert state.playout.voice == 1


def test_when_no_voice_is_left_the_run_ends_and_the_call_goes_on() -> None:
    state = check(
        """
        500   typed "hello"                           -> open r1, llm r1 "hello"  [Generating]
        600   llm r1 "Noon."
        610   llm r1 done                             -> tts r1 "Noon."
        720   tts r1 c1 failed rejected               -> cancel tts r1, tts r1 "Noon." by=spare
        800   tts r1 c2 failed rejected by=spare      -> cancel tts r1, clear r1, cancel tts r1  [Idle]
        """,
        CALLED,
    )
    assert state.response.past[-1].end is RunEnd.FAILED
    assert state.response.failures == 1


def test_without_a_voice_the_words_are_read_on_the_screen() -> None:
    state = check(
        """
        500   typed "hello"                           -> open r1, llm r1 "hello"  [Generating]
        600   llm r1 "Noon."
        610   llm r1 done                              [Idle]
        """,
        GIVEN,
    )
    assert state.response.past[-1].end is RunEnd.FINISHED
    assert state.conversation.messages[-1].text == "Noon."


def test_a_voice_with_a_known_outage_is_not_used_while_another_is_left() -> None:
    state = check(
        """
        100   outages {"tts":["voice"]}
        500   typed "hello"                           -> open r1, llm r1 "hello"  [Generating]
        600   llm r1 "Noon."
        610   llm r1 done                             -> tts r1 "Noon." by=spare
        720   tts r1 c1 failed rejected by=spare      -> cancel tts r1, tts r1 "Noon."
        800   tts r1 c2 done 500
        """,
        CALLED,
    )
    assert state.playout.voice == 0
    assert state.playout.tried == ()


def test_a_call_begins_in_the_voice_that_is_known_to_work() -> None:
    state = check(
        """
        0     session setup={"tts":["voice","spare"],"greeting":"Hello."} outages={"tts":["voice"]}  -> open r1, tts r1 "Hello." by=spare  [Generating]
        """,
        None,
    )
    assert state.playout.voice == 1


def test_the_voice_does_not_change_in_the_middle_of_an_answer_that_it_speaks() -> None:
    state = check(
        """
        500   typed "hello"                           -> open r1, llm r1 "hello"  [Generating]
        600   llm r1 "It is noon. And"                -> tts r1 "It is noon."
        610   outages {"tts":["voice"]}
        620   llm r1 " one. "                         -> tts r1 "And one."
        """,
        CALLED,
    )
    assert state.playout.voice == 0


def test_a_voice_that_comes_back_is_not_changed_to_again() -> None:
    state = check(
        """
        100   outages {"tts":["voice"]}
        500   say "Hello."                            -> open r1, tts r1 "Hello." by=spare  [Generating]
        600   outages
        700   tts r1 c1 done 500
        710   playing r1                               [Speaking]
        1210  played r1 500                            [Idle]
        1300  say "Hello."                            -> open r2, tts r2 "Hello." by=spare  [Generating]
        """,
        CALLED,
    )
    assert state.playout.voice == 1


def test_where_all_voices_are_out_the_first_speaks() -> None:
    check(
        """
        100   outages {"tts":["voice","spare"]}
        500   say "Hello."                            -> open r1, tts r1 "Hello."  [Generating]
        """,
        CALLED,
    )
