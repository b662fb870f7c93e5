"""Text to the synthesizer, and what happens when one fails."""

from msgspec.structs import replace

from engine.core.events import AdapterFailed, Stage, TTSChunkDone
from engine.core.policy import Policy, Setup
from engine.core.reduce import reduce
from engine.core.state import Ledger, RunEnd, State
from engine.core.units import LIMITS, MS
from engine.errors import FailureKind
from tests.script import check, play

CALLED = Setup(llm=("model",), tts=("voice", "spare"))
ALONE = Setup(llm=("model",), tts=("voice",))
GIVEN = Setup(llm=("model",))

ASKED = """
        500   typed "hello"                           -> open r1, llm r1 "hello"  [Generating]
        600   llm r1 "It is noon. And then it is one."  -> tts r1 "It is noon."
        610   llm r1 done                             -> tts r1 "And then it is one."
"""
"""Two pieces are being made into sound."""


def ledger_of_first_run(state: State) -> Ledger:
    return next(ledger for ledger in state.playout.ledgers if ledger.run == 1)


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


def test_sound_that_was_made_before_the_failure_is_neither_lost_nor_asked_for_again() -> None:
    state = check(
        ASKED
        + """
        700   tts r1 c1 starts
        710   playing r1                               [Speaking]
        720   tts r1 c1 failed closed duration=500    -> cancel tts r1, tts r1 "noon.", tts r1 "And then it is one."
        800   tts r1 c3 done 300
        900   tts r1 c4 done 900
        2400  played r1 1700                           [Idle]
        """,
        CALLED,
    )
    assert [(chunk.text, chunk.start_char, chunk.duration_ns) for chunk in ledger_of_first_run(state).chunks] == [
        ("It is", 0, 500 * MS),
        ("", 12, 0),
        ("noon.", 6, 300 * MS),
        ("And then it is one.", 12, 900 * MS),
    ]


def test_a_piece_of_which_no_sound_came_is_asked_for_again_whole() -> None:
    state = check(
        ASKED
        + """
        700   tts r1 c1 done 800
        710   playing r1                               [Speaking]
        720   tts r1 c2 failed closed                 -> cancel tts r1, tts r1 "And then it is one."
        """,
        CALLED,
    )
    assert [(chunk.text, chunk.start_char) for chunk in ledger_of_first_run(state).chunks] == [
        ("It is noon.", 0),
        ("", 12),
        ("And then it is one.", 12),
    ]


def test_a_word_whose_time_covers_the_space_behind_it_ends_at_its_last_letter() -> None:
    state = check(
        ASKED
        + """
        710   tts r1 c1 words words=[[3,100000000],[6,400000000]]
        720   tts r1 c1 failed closed duration=450    -> cancel tts r1, tts r1 "noon.", tts r1 "And then it is one."
        """,
        CALLED,
    )
    assert [(chunk.text, chunk.start_char) for chunk in ledger_of_first_run(state).chunks[::2]] == [
        ("It is", 0),
        ("noon.", 6),
    ]


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


def test_a_replacement_is_given_as_many_tries_as_the_first_voice() -> None:
    check(
        ASKED
        + """
        720   tts r1 c1 failed unavailable            -> cancel tts r1, tts r1 "It is noon.", tts r1 "And then it is one."
        730   tts r1 c3 failed unavailable            -> cancel tts r1, tts r1 "It is noon." by=spare, tts r1 "And then it is one." by=spare
        740   tts r1 c5 failed unavailable            -> cancel tts r1, tts r1 "It is noon." by=spare, tts r1 "And then it is one." by=spare
        750   tts r1 c7 failed unavailable            -> cancel tts r1, clear r1, cancel tts r1  [Idle]
        """,
        CALLED,
    )


def test_a_voice_is_tried_again_as_often_as_the_policy_says() -> None:
    check(
        ASKED
        + """
        720   tts r1 c1 failed unavailable            -> cancel tts r1, tts r1 "It is noon.", tts r1 "And then it is one."
        730   tts r1 c3 failed unavailable            -> cancel tts r1, tts r1 "It is noon.", tts r1 "And then it is one."
        740   tts r1 c5 failed unavailable            -> cancel tts r1, clear r1, cancel tts r1  [Idle]
        """,
        replace(ALONE, policy=Policy(retries=2)),
    )


def test_a_voice_that_has_finished_a_piece_has_all_its_tries_again() -> None:
    check(
        ASKED
        + """
        720   tts r1 c1 failed unavailable            -> cancel tts r1, tts r1 "It is noon.", tts r1 "And then it is one."
        800   tts r1 c3 done 800
        820   tts r1 c4 failed unavailable            -> cancel tts r1, tts r1 "And then it is one." by=voice
        """,
        CALLED,
    )


def test_a_slow_voice_is_replaced_at_once_where_there_is_another_and_tried_again_where_there_is_none() -> None:
    late = ASKED + "        3700  tts r1 c1 failed timeout                -> cancel tts r1, "
    check(late + 'tts r1 "It is noon." by=spare, tts r1 "And then it is one." by=spare', CALLED)
    check(late + 'tts r1 "It is noon.", tts r1 "And then it is one."', ALONE)


def test_a_voice_that_finishes_a_piece_and_fails_at_the_next_for_ever_is_given_up() -> None:
    """It is trusted again each time; without a limit each failure would ask for all the rest once more."""
    sentences = "\n".join(f'{600 + count} llm r1 "Once more. "' for count in range(60))
    state = play(f'500 typed "hello"\n{sentences}\n700 llm r1 done', ALONE).state
    assert len(ledger_of_first_run(state).chunks) == 60
    while state.response.run is not None:
        done, failed, *_ = (chunk.number for chunk in ledger_of_first_run(state).chunks if chunk.duration_ns is None)
        state, _ = reduce(state, TTSChunkDone(at=state.at + 1, run=1, chunk=done, duration_ns=600 * MS))
        trouble = AdapterFailed(
            at=state.at + 1, stage=Stage.TTS, provider="voice", kind=FailureKind.CLOSED, run=1, chunk=failed
        )
        state, _ = reduce(state, trouble)
    assert state.response.past[-1].end is RunEnd.FAILED
    assert 200 < len(ledger_of_first_run(state).chunks) <= LIMITS.chunks


def test_an_answer_is_asked_for_again_up_to_the_last_piece_it_may_have() -> None:
    sentences = "\n".join(f'{600 + count} llm r1 "Once more. "' for count in range(LIMITS.chunks // 2))
    state = play(f'500 typed "hello"\n{sentences}\n900 tts r1 c1 failed unavailable', ALONE).state
    assert len(ledger_of_first_run(state).chunks) == LIMITS.chunks


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


def test_after_every_voice_has_failed_the_next_answer_begins_with_the_first_one_and_all_its_tries() -> None:
    check(
        ASKED
        + """
        720   tts r1 c1 failed rejected               -> cancel tts r1, tts r1 "It is noon." by=spare, tts r1 "And then it is one." by=spare
        730   tts r1 c3 failed unavailable            -> cancel tts r1, tts r1 "It is noon." by=spare, tts r1 "And then it is one." by=spare
        740   tts r1 c5 failed unavailable            -> cancel tts r1, clear r1, cancel tts r1  [Idle]
        800   say "Noon."                             -> open r2, tts r2 "Noon." by=voice  [Generating]
        900   tts r2 c1 failed unavailable            -> cancel tts r2, tts r2 "Noon." by=voice
        910   tts r2 c2 failed unavailable            -> cancel tts r2, tts r2 "Noon." by=spare
        """,
        CALLED,
    )


def test_after_every_voice_has_failed_one_with_a_known_outage_is_still_not_the_first() -> None:
    state = check(
        """
        100   outages {"tts":["voice"]}
        500   say "Noon."                             -> open r1, tts r1 "Noon." by=spare  [Generating]
        600   tts r1 c1 failed rejected               -> cancel tts r1, tts r1 "Noon." by=voice
        700   tts r1 c2 failed rejected               -> cancel tts r1, clear r1, cancel tts r1  [Idle]
        """,
        CALLED,
    )
    assert state.playout.voice == 1


def test_after_every_voice_has_failed_they_are_all_tried_again_in_their_order() -> None:
    check(
        """
        500   say "Noon."                             -> open r1, tts r1 "Noon." by=voice  [Generating]
        600   tts r1 c1 failed rejected               -> cancel tts r1, tts r1 "Noon." by=spare
        700   tts r1 c2 failed rejected               -> cancel tts r1, tts r1 "Noon." by=third
        800   tts r1 c3 failed rejected               -> cancel tts r1, clear r1, cancel tts r1  [Idle]
        900   say "One."                              -> open r2, tts r2 "One." by=voice  [Generating]
        1000  tts r2 c1 failed rejected               -> cancel tts r2, tts r2 "One." by=spare
        """,
        Setup(llm=("model",), tts=("voice", "spare", "third")),
    )


def test_a_voice_that_fails_here_and_elsewhere_is_not_tried_again() -> None:
    check(
        ASKED
        + """
        650   outages {"tts":["voice"]}
        720   tts r1 c1 failed unavailable            -> cancel tts r1, tts r1 "It is noon." by=spare, tts r1 "And then it is one." by=spare
        """,
        CALLED,
    )


def test_a_voice_that_is_never_answered_for_ends_the_run_after_its_time_and_a_grace() -> None:
    state = check(
        ASKED
        + """
        47599
        47600 timer                                   -> cancel tts r1, clear r1, cancel tts r1  [Idle]
        """,
        ALONE,
    )
    assert state.response.past[-1].end is RunEnd.FAILED


def test_the_wait_for_a_piece_begins_when_the_one_before_it_is_done() -> None:
    check(
        ASKED
        + """
        40000 tts r1 c1 done 800
        40010 playing r1                               [Speaking]
        40900 played r1 800
        87000 timer                                   -> cancel tts r1, clear r1, cancel tts r1  [Idle]
        """,
        ALONE,
    )


def test_nothing_is_given_up_while_the_line_is_lost() -> None:
    patient = Policy(line_lost_ns=100_000 * MS)
    check(
        ASKED
        + """
        700   line lost                               -> pause r1
        50000
        60000 line back                               -> resume r1, cancel tts r1, clear r1, cancel tts r1  [Idle]
        """,
        replace(ALONE, policy=patient),
    )


def test_an_answer_in_very_many_pieces_is_spoken_to_its_end() -> None:
    pieces, short, long = 220, LIMITS.chunks // 2, LIMITS.chunk_chars // len(" Yes.")
    lines = [
        '500 typed "hello"',
        '600 llm r1 "Yes."',
        *(f'{600 + i} llm r1 " Yes."' for i in range(1, pieces)),
        "950 llm r1 done",
        "960 playing r1",
    ]
    written = play("\n".join(lines), ALONE).state
    chunks = ledger_of_first_run(written).chunks
    # Long pieces, as soon as they are full, once half the pieces an answer may have are spent on short ones.
    assert [chunk.text for chunk in chunks[:short]] == ["Yes."] * short
    assert chunks[short].asked_at == (600 + short + long - 1) * MS
    assert " ".join(chunk.text for chunk in chunks[short:]) == " ".join(["Yes."] * (pieces - short))
    lines += [f"{1000 + i} tts r1 c{i + 1} done 10" for i in range(len(chunks))]
    heard = play("\n".join([*lines, f"3000 played r1 {10 * len(chunks)}"]), ALONE).state
    assert heard.response.past[-1].end is RunEnd.FINISHED


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


def test_a_voice_chosen_for_an_outage_has_all_its_tries() -> None:
    check(
        ASKED
        + """
        720   tts r1 c1 failed unavailable            -> cancel tts r1, tts r1 "It is noon.", tts r1 "And then it is one."
        730   interrupt                               -> clear r1, cancel tts r1  [Cancelled]
        740   outages {"tts":["voice"]}
        750   say "Noon."                             -> open r2, tts r2 "Noon." by=spare  [Generating]
        760   tts r2 c1 failed unavailable            -> cancel tts r2, tts r2 "Noon." by=spare
        """,
        CALLED,
    )
