"""Endpointing: when has the caller finished?"""

import pytest
from msgspec.structs import replace

from engine.core.events import Clock, TimerFired
from engine.core.policy import EAGER, Policy
from engine.core.reduce import begin, reduce
from engine.core.state import TurnEnd
from engine.core.turn import last_question, words_of
from engine.core.units import LIMITS, MS
from tests.core.calls import ASKED, SPEAKING
from tests.script import SETUP, check, play


def test_an_agent_that_has_said_nothing_has_asked_nothing() -> None:
    assert last_question(begin()) == ""


def test_finished_words_end_the_turn_after_the_short_wait() -> None:
    state = check(
        ASKED
        + """
        2000
        """
    )
    assert state.turn.last_end is TurnEnd.FINISHED
    assert state.turn.last_quiet_at == 1_500 * MS


def test_unsure_words_end_the_turn_after_the_medium_wait() -> None:
    state = check(
        """
        0     asr open                                 [Idle]
        500   caller speaks                            [Listening]
        1400  asr final "I need some help"             [Transcribing]
        1500  caller quiet
        1620  timer                                   -> llm r1 "I need some help"
        2200  timer                                   -> open r1  [Generating]
        2500
        """
    )
    assert state.turn.last_end is TurnEnd.UNSURE


def test_a_trailing_and_waits_long() -> None:
    state = check(
        """
        0     asr open                                 [Idle]
        500   caller speaks                            [Listening]
        1400  asr final "I would like Monday and"      [Transcribing]
        1500  caller quiet
        3300  timer                                   -> open r1, llm r1 "I would like Monday and"  [Generating]
        4000
        """
    )
    assert state.turn.last_end is TurnEnd.UNFINISHED


def test_digits_of_a_number_being_read_out_wait_long() -> None:
    state = check(
        """
        0     asr open                                 [Idle]
        500   caller speaks                            [Listening]
        1400  asr final "my number is five five five"  [Transcribing]
        1500  caller quiet
        2900  caller speaks
        3900  asr final "one two three four"
        4000  caller quiet
        4120  timer                                   -> llm r1 "my number is five five five one two three four"
        4350  timer                                   -> open r1  [Generating]
        4500
        """
    )
    assert state.turn.last_text == "my number is five five five one two three four"
    assert state.turn.last_end is TurnEnd.FINISHED


def test_a_pause_inside_a_sentence_does_not_end_the_turn() -> None:
    state = check(
        """
        0     asr open                                 [Idle]
        500   caller speaks                            [Listening]
        1400  asr final "I would like to come on"      [Transcribing]
        1500  caller quiet
        2600  caller speaks
        3000  asr final "Friday at noon"
        3100  caller quiet
        3220  timer                                   -> llm r1 "I would like to come on Friday at noon"
        3450  timer                                   -> open r1  [Generating]
        3600
        """
    )
    assert state.turn.last_text == "I would like to come on Friday at noon"


def test_the_callers_own_pauses_move_the_medium_wait() -> None:
    state = check(
        """
        0     asr open                                 [Idle]
        500   caller speaks                            [Listening]
        1000  asr final "well I think"                 [Transcribing]
        1100  caller quiet
        1220  timer                                   -> llm r1 "well I think"
        1700  caller speaks
        2100  asr final "we could meet"               -> clear r1, cancel r1
        2200  caller quiet
        2320  timer                                   -> llm r2 "well I think we could meet"
        3100  timer                                   -> open r2  [Generating]
        3500
        """
    )
    assert state.turn.pause_ns == 600 * MS


def test_the_cap_ends_a_wait_whose_sound_never_comes() -> None:
    state = check(
        """
        0     asr open                                 [Idle]
        500   caller speaks                            [Listening]
        1400  asr final "I would like Monday and"      [Transcribing]
        1500  caller quiet
        1510 audio stops
        5500  timer                                   -> open r1, llm r1 "I would like Monday and"  [Generating]
        6000
        """
    )
    assert state.turn.last_end is TurnEnd.CAP


def test_a_burst_after_jitter_does_not_shorten_a_pause() -> None:
    state = check(
        """
        0     asr open                                 [Idle]
        500   caller speaks                            [Listening]
        1400  asr final "I need some help"             [Transcribing]
        1500  caller quiet
        1510 audio stops
        2600 audio runs
        2710  timer                                   -> llm r1 "I need some help"
        3290  timer                                   -> open r1  [Generating]
        3400
        """
    )
    assert state.turn.taken == 1


def test_the_recognisers_own_end_of_turn_waits_for_nothing() -> None:
    state = check(
        """
        0     asr open                                 [Idle]
        500   caller speaks                            [Listening]
        1400  asr end "I need some help"              -> open r1, llm r1 "I need some help"  [Generating]
        """
    )
    assert state.turn.last_end is TurnEnd.PROVIDER


def test_an_eager_end_begins_a_guess_and_a_resumed_turn_drops_it() -> None:
    state = check(
        """
        0     asr open                                 [Idle]
        500   caller speaks                            [Listening]
        1300  asr partial "I need some help"           [Transcribing]
        1400  asr eager "I need some help"            -> llm r1 "I need some help"
        1450  llm r1 "Of course. With what?"          -> tts r1 "Of course."
        1500  asr resumed
        1900  asr partial "I need some help with my bill" -> clear r1, cancel r1
        2300  asr end "I need some help with my bill" -> open r2, llm r2 "I need some help with my bill"  [Generating]
        """
    )
    assert state.counters.stale == 0


def test_an_eager_end_that_holds_is_answered_at_once() -> None:
    state = check(
        """
        0     asr open                                 [Idle]
        500   caller speaks                            [Listening]
        1400  asr eager "I need some help"            -> llm r1 "I need some help"  [Transcribing]
        1450  llm r1 "Of course."
        1700  asr end "I need some help."             -> open r1  [Generating]
        """
    )
    assert state.response.run is not None
    assert state.response.run.committed


def test_a_final_that_comes_twice_counts_once() -> None:
    state = check(
        """
        0     asr open                                 [Idle]
        500   caller speaks                            [Listening]
        1400  asr final "what time is it?"             [Transcribing]
        1410  asr final "what time is it?"
        1500  caller quiet
        1620  timer                                   -> llm r1 "what time is it?"
        1850  timer                                   -> open r1  [Generating]
        2000
        """
    )
    assert state.turn.last_text == "what time is it?"


def test_no_no_said_twice_counts_twice() -> None:
    state = check(
        """
        0     asr open                                 [Idle]
        500   caller speaks                            [Listening]
        700   asr final "no"                           [Transcribing]
        800   caller quiet
        920   timer                                   -> llm r1 "no"
        1000  caller speaks
        1150  asr final "no"                          -> clear r1, cancel r1
        1200  caller quiet
        1320  timer                                   -> llm r2 "no no"
        1550  timer                                   -> open r2  [Generating]
        1700
        """
    )
    assert state.turn.last_text == "no no"


def test_a_final_that_comes_after_the_next_partial_keeps_both() -> None:
    state = check(
        """
        0     asr open                                 [Idle]
        500   caller speaks                            [Listening]
        900   asr partial "book it"                    [Transcribing]
        1000  caller quiet
        1150  timer                                   -> finalize
        1200  caller speaks
        1500  asr partial "for Tuesday"
        1600  asr final "book it"
        1700  asr final "for Tuesday"
        1800  caller quiet
        1920  timer                                   -> llm r1 "book it for Tuesday"
        2150  timer                                   -> open r1  [Generating]
        2600
        """
    )
    assert state.turn.last_text == "book it for Tuesday"


def test_a_final_that_was_asked_for_replaces_the_partial_whatever_its_words() -> None:
    state = check(
        """
        0     asr open                                 [Idle]
        500   caller speaks                            [Listening]
        1400  asr partial "when do"                    [Transcribing]
        1500  caller quiet
        1650  timer                                   -> finalize
        1700  asr final "november nineteenth"         -> llm r1 "november nineteenth"
        2200  timer                                   -> open r1  [Generating]
        2600
        """
    )
    assert state.turn.last_text == "november nineteenth"


def test_a_turn_waits_for_its_last_final_but_not_for_ever() -> None:
    state = check(
        """
        0     asr open                                 [Idle]
        500   caller speaks                            [Listening]
        1400  asr partial "what time is it?"           [Transcribing]
        1500  caller quiet
        1620  timer                                   -> llm r1 "what time is it?"
        1650  timer                                   -> finalize
        2450  timer                                   -> open r1  [Generating]
        3000
        """
    )
    assert state.turn.last_text == "what time is it?"


def test_a_late_final_of_a_taken_turn_is_not_a_new_turn() -> None:
    state = check(
        """
        0     asr open                                 [Idle]
        500   caller speaks                            [Listening]
        1400  asr partial "what time is it"            [Transcribing]
        1500  caller quiet
        1650  timer                                   -> finalize
        2450  timer                                   -> open r1, llm r1 "what time is it"  [Generating]
        2900
        2950  asr final "what time is it?"
        4000
        """
    )
    assert state.turn.taken == 1


def test_the_tail_of_a_split_utterance_is_not_dropped() -> None:
    state = check(
        """
        0     asr open                                 [Idle]
        500   caller speaks                            [Listening]
        1400  asr partial "book it"                    [Transcribing]
        1500  caller quiet
        1650  timer                                   -> finalize
        2450  timer                                   -> open r1, llm r1 "book it"  [Generating]
        3000
        3050  asr final "book it for Tuesday at noon" -> clear r1, cancel r1  [Cancelled]
        3400  timer                                   -> open r2, llm r2 "book it for Tuesday at noon"  [Generating]
        4000
        """
    )
    assert [m.text for m in state.conversation.messages] == ["book it for Tuesday at noon"]


def test_typed_words_are_a_whole_turn() -> None:
    state = check(
        """
        500   typed "when are you open?"              -> open r1, llm r1 "when are you open?"  [Generating]
        """
    )
    assert state.turn.last_end is TurnEnd.TYPED


def test_keys_are_a_turn_after_a_pause() -> None:
    state = check(
        """
        500   key 4                                    [Transcribing]
        900   key 2
        2900  timer                                   -> open r1, llm r1 "42"  [Generating]
        3000
        """
    )
    assert state.turn.last_text == "42"
    assert state.turn.last_end is TurnEnd.KEYED


def test_a_hash_ends_the_keys_at_once() -> None:
    state = check(
        """
        500   key 4                                    [Transcribing]
        900   key "#"                                 -> open r1, llm r1 "4#"  [Generating]
        """
    )
    assert state.turn.last_text == "4#"


def test_a_voice_without_words_is_let_go() -> None:
    state = check(
        """
        0     asr open                                 [Idle]
        500   caller speaks                            [Listening]
        700   caller quiet                             [Idle]
        850   timer                                   -> finalize
        2500
        """
    )
    assert state.turn.taken == 0
    assert not state.turn.speaking


def test_a_long_voice_without_words_is_asked_to_repeat_once() -> None:
    state = check(
        """
        0     asr open                                 [Idle]
        500   caller speaks                            [Listening]
        1800  caller quiet                             [Idle]
        1950  timer                                   -> finalize
        3000  timer                                   -> open r1, tts r1 "Sorry, I didn't catch that."  [Generating]
        3500
        3600  tts r1 c1 done 500
        3610  playing r1                               [Speaking]
        4110  played r1 500                            [Idle]
        5000  caller speaks                            [Listening]
        6500  caller quiet                             [Idle]
        6650  timer                                   -> finalize
        7700  timer                                   -> stop asr
        7900  timer                                   -> asr e2
        9000
        """
    )
    assert (state.response.runs, state.turn.unheard) == (1, 2)


def test_a_detector_that_sticks_does_not_hold_the_turn_for_ever() -> None:
    state = check(
        """
        0     asr open                                 [Idle]
        500   caller speaks                            [Listening]
        1400  asr final "what time is it?"             [Transcribing]
        13400 timer                                   -> open r1, llm r1 "what time is it?"  [Generating]
        14000
        """
    )
    assert state.turn.last_end is TurnEnd.CAP


def test_words_without_a_detector_end_on_the_wall_clock() -> None:
    state = check(
        """
        0     asr open                                 [Idle]
        1400  asr final "what time is it?"             [Transcribing]
        1750  timer                                   -> open r1, llm r1 "what time is it?"  [Generating]
        2000
        """
    )
    assert state.turn.last_end is TurnEnd.FINISHED


def test_a_turn_detectors_judgement_shortens_the_wait() -> None:
    state = check(
        """
        0     asr open                                 [Idle]
        500   caller speaks                            [Listening]
        1400  asr final "I need some help"             [Transcribing]
        1500  caller quiet
        1510  predicted 0.9 "I need some help"
        1620  timer                                   -> llm r1 "I need some help"
        1850  timer                                   -> open r1  [Generating]
        2000
        """
    )
    assert state.turn.last_end is TurnEnd.FINISHED


def test_a_judgement_of_other_words_says_nothing() -> None:
    state = check(
        """
        0     asr open                                 [Idle]
        500   caller speaks                            [Listening]
        1400  asr final "I need some help"             [Transcribing]
        1500  caller quiet
        1510  predicted 0.9 "I need"
        1620  timer                                   -> llm r1 "I need some help"
        2200  timer                                   -> open r1  [Generating]
        2500
        """
    )
    assert state.turn.last_end is TurnEnd.UNSURE


def test_a_doubtful_judgement_lengthens_the_wait() -> None:
    state = check(
        """
        0     asr open                                 [Idle]
        500   caller speaks                            [Listening]
        1400  asr final "what time is it?"             [Transcribing]
        1500  caller quiet
        1510  predicted 0.1 "what time is it?"
        3300  timer                                   -> open r1, llm r1 "what time is it?"  [Generating]
        3500
        """
    )
    assert state.turn.last_end is TurnEnd.UNFINISHED


def test_okay_to_the_question_just_asked_is_finished() -> None:
    state = check(
        ASKED
        + """
        1900  llm r1 "Shall I book it?"
        1910  llm r1 done                             -> tts r1 "Shall I book it?"
        2000  tts r1 c1 done 800
        2010  playing r1                               [Speaking]
        2810  played r1 800                            [Idle]
        3000  caller speaks                            [Listening]
        3200  asr final "okay"                         [Transcribing]
        3300  caller quiet
        3420  timer                                   -> llm r2 "okay"
        3650  timer                                   -> open r2  [Generating]
        3800
        """
    )
    assert state.turn.last_end is TurnEnd.FINISHED


def test_okay_to_what_was_no_question_is_unsure() -> None:
    state = check(
        ASKED
        + """
        1900  llm r1 "It is noon."
        1910  llm r1 done                             -> tts r1 "It is noon."
        2000  tts r1 c1 done 800
        2010  playing r1
        2810  played r1 800
        3000  caller speaks
        3200  asr final "okay"
        3300  caller quiet
        3420  timer                                   -> llm r2 "okay"
        4000  timer                                   -> open r2
        """
    )
    assert state.turn.last_end is TurnEnd.UNSURE


def test_the_end_of_a_turn_without_words_is_no_end() -> None:
    state = check(
        """
        0     asr open
        500   asr end
        600   say "Hello."                            -> open r1, tts r1 "Hello."
        """
    )
    assert not state.turn.over


def test_pauses_are_smoothed_and_a_start_reported_twice_is_no_pause() -> None:
    state = check(
        """
        0     asr open
        500   caller speaks
        1000  asr final "well I think"
        1100  caller quiet
        1220  timer                                   -> llm r1 "well I think"
        1700  caller speaks
        1800  caller speaks
        2100  asr final "we could"                    -> clear r1, cancel r1
        2200  caller quiet
        3000  caller speaks
        3100  asr final "meet"
        3200  caller quiet
        3320  timer                                   -> llm r2 "well I think we could meet"
        4175  timer                                   -> open r2
        """
    )
    assert state.turn.pause_ns == (3 * 600 + 800) * MS // 4
    assert state.turn.last_onset_at == 500 * MS


def test_silence_before_the_first_word_and_a_gap_of_no_length_are_no_pauses() -> None:
    state = check(
        """
        0     asr open
        100   caller speaks
        200   caller quiet
        350   timer                                   -> finalize
        800   caller speaks
        1000  asr partial "well"
        1200  caller quiet @1200
        1300  caller speaks @1200
        """
    )
    assert state.turn.pause_ns == 0


def test_words_that_come_before_their_voice_are_no_pause_either() -> None:
    state = check("0 asr open\n 100 asr partial well\n 200 caller speaks")
    assert state.turn.pause_ns == 0


@pytest.mark.parametrize("judgement", ['asr eager "I need some help"', 'predicted 0.9 "I need some help"'])
def test_a_judgement_is_forgotten_when_the_voice_goes_on(judgement: str) -> None:
    state = play(
        f"""
        0     asr open
        500   caller speaks
        1300  asr final "I need some help"
        1400  caller quiet
        1410  {judgement}
        1740  caller speaks
        1800  caller quiet
        3000
        """
    ).state
    assert state.turn.last_end is TurnEnd.UNSURE


@pytest.mark.parametrize("more", ['asr partial "I need some help"', 'asr final "some help"'])
def test_a_judgement_is_forgotten_when_words_follow_it(more: str) -> None:
    state = play(
        f"""
        0     asr open
        500   caller speaks
        1300  asr final "I need"
        1400  caller quiet
        1410  predicted 0.1 "I need"
        1500  {more}
        4000
        """
    ).state
    assert state.turn.last_end is TurnEnd.UNSURE


@pytest.mark.parametrize(
    ("prob", "end"),
    [
        (0.71, "finished"),
        (0.7, "finished"),
        (0.69, "unsure"),
        (0.31, "unsure"),
        (0.3, "unfinished"),
        (0.0, "unfinished"),
    ],
)
def test_how_sure_a_judgement_must_be_to_count(prob: float, end: str) -> None:
    state = play(
        f"""
        0     asr open
        500   caller speaks
        1400  asr final "I need some help"
        1500  caller quiet
        1510  predicted {prob} "I need some help"
        5000
        """
    ).state
    assert state.turn.last_end == end


def test_a_final_of_the_words_before_leaves_the_partial_that_came_behind_them() -> None:
    check(
        """
        0     asr open
        500   caller speaks
        900   asr partial "book it"
        1000  caller quiet
        1150  timer                                   -> finalize
        1200  caller speaks
        1500  asr partial "for Tuesday"
        1600  asr final "book it"
        1800  caller quiet
        1950  timer                                   -> finalize
        2750  timer                                   -> open r1, llm r1 "book it for Tuesday"
        """
    )


@pytest.mark.parametrize(
    ("partial", "final", "left"),
    [
        ("for Tuesday", "book it", "for Tuesday"),
        ("book it for", "book it", ""),
        ("it for Tuesday", "book it", ""),
        ("go to", "to book", ""),
        ("for Tuesday", "...", ""),
        ("...", "book it", ""),
    ],
)
def test_what_a_final_leaves_of_the_partial_before_it(partial: str, final: str, left: str) -> None:
    state = check(f'0 asr open\n 500 caller speaks\n 900 asr partial "{partial}"\n 1000 asr final "{final}"')
    assert state.turn.partial == left
    assert state.turn.text == final


def test_words_that_are_taken_back_are_gone() -> None:
    check(
        """
        0     asr open
        500   caller speaks
        900   asr partial "uh"                         [Transcribing]
        1000  asr final ""                             [Listening]
        """
    )


def test_a_recogniser_that_has_no_words_is_asked_for_them_once_in_a_silence() -> None:
    check(
        """
        0     asr open
        500   caller speaks
        1000  caller quiet
        1150  timer                                   -> finalize
        1200  asr final ""
        1300  asr final ""
        1400  caller speaks
        1500  caller quiet
        1650  timer                                   -> finalize
        """
    )


def test_words_that_follow_the_last_final_in_the_silence_are_asked_for_again() -> None:
    check(
        """
        0     asr open
        500   caller speaks
        900   asr partial "book"
        1000  caller quiet
        1150  timer                                   -> finalize
        1200  asr final "book it"                     -> llm r1 "book it"
        1300  asr partial "for Tuesday"               -> finalize, clear r1, cancel r1
        """
    )


def test_a_silence_that_began_later_than_it_was_thought_is_asked_for_again() -> None:
    check(
        """
        0     asr open
        500   caller speaks
        900   asr partial "book it for"
        1000  caller quiet
        1150  timer                                   -> finalize
        1200  caller quiet
        1350  timer                                   -> finalize
        """
    )


def test_an_eager_end_does_not_say_the_words_twice() -> None:
    for text in ('"I need help with my bill"', '""'):
        state = play(
            f"""
            0     asr open
            500   caller speaks
            900   asr final "I need help"
            1000  asr partial "with my bill"
            1100  asr eager {text}
            """
        ).state
        assert words_of(state.turn) == "I need help with my bill"


def test_an_eager_end_without_words_leaves_those_that_are_there() -> None:
    state = play('0 asr open\n500 caller speaks\n900 asr partial "hello there"\n1000 asr eager ""').state
    assert words_of(state.turn) == "hello there"


@pytest.mark.parametrize("end", ['asr end "I need help"', 'typed "I need help"'])
def test_a_turn_that_is_taken_while_the_voice_goes_on_was_quiet_when_its_words_last_changed(end: str) -> None:
    state = play(
        f"""
        0     asr open
        500   caller speaks
        700   caller quiet
        800   caller speaks
        1400  {end}
        """
    ).state
    assert (state.turn.taken, state.turn.last_quiet_at) == (1, 1_400 * MS)


def test_a_voice_whose_words_were_taken_is_not_asked_to_repeat_itself() -> None:
    """A recogniser that judges ends itself is quicker than the detector's hangover."""
    check(
        """
        0     asr open
        500   caller speaks
        1400  asr end "I need some help"              -> open r1, llm r1 "I need some help"
        1450  caller quiet
        1700  llm r1 "With what?"
        1710  llm r1 done                             -> tts r1 "With what?"
        1900  tts r1 c1 done 500
        2000  playing r1
        2500  played r1 500                            [Idle]
        6000
        """
    )


@pytest.mark.parametrize(("length", "asked"), [(699, False), (700, True)])
def test_how_long_a_voice_without_words_must_be_to_be_asked_about(length: int, asked: bool) -> None:
    state = play(f"0 asr open\n500 caller speaks\n{500 + length} caller quiet\n4000").state
    assert (state.turn.taken == 1) is asked


def test_typed_words_follow_what_was_said_and_count_once() -> None:
    state = check(
        """
        0     asr open
        500   caller speaks
        900   asr partial "book it"
        1000  typed "for ten"                         -> open r1, llm r1 "book it for ten"
        """
    )
    assert state.turn.last_text == "book it for ten"


def test_more_keys_than_anybody_means_are_dropped() -> None:
    keys = "".join(f"{100 + number} key {number % 10}\n" for number in range(66))
    state = play(keys + "3000").state
    assert state.turn.last_text == ("0123456789" * 7)[:64]


def test_the_level_of_a_voice_is_its_loudest_and_the_callers_own_follows_slowly() -> None:
    state = play(
        """
        0     asr open
        500   caller speaks level_db=-40
        900   asr final "what time is it?"
        1000  caller quiet level_db=-30
        2000
        """
    ).state
    assert state.turn.own_level_db == -30
    state = play(
        """
        0     asr open
        500   caller speaks level_db=-40
        900   asr final "what time is it?"
        1000  caller quiet
        1400
        1500  llm r1 done
        2000  caller speaks level_db=-20
        2100  asr final "what time is it now?"
        2200  caller quiet level_db=-20
        3000
        """
    ).state
    assert state.turn.own_level_db == (3 * -40 + -20) // 4


@pytest.mark.parametrize("voice_ms", [80, 200])
def test_a_backchannel_is_no_turn_however_quick_turns_are(voice_ms: int) -> None:
    """Too short to make the agent yield, or long enough: what it is, is decided where the floor is."""
    state = play(
        SPEAKING
        + f"""
        2200  caller speaks
        {2200 + voice_ms} caller quiet
        {2210 + voice_ms} asr final "yeah."
        3000
        """,
        replace(SETUP, policy=EAGER),
    ).state
    assert state.turn.taken == 1
    assert state.conversation.messages[-1].backchannel


def test_what_is_said_into_speech_that_cannot_be_cut_is_a_turn_whatever_its_words() -> None:
    state = play(
        """
        0     asr open
        100   say "This call is recorded." interruptible=no
        200   tts r1 c1 done 3000
        210   playing r1
        500   caller speaks
        900   asr final "okay"
        1000  caller quiet
        2500
        """
    ).state
    assert (state.turn.taken, state.turn.last_text) == (1, "okay")


def test_words_of_a_recogniser_that_is_being_replaced_wait_until_the_next_one_listens() -> None:
    check(
        """
        0     asr open
        500   caller speaks
        1400  asr partial "book it for Tuesday."
        1450  asr failed unavailable                  -> stop asr
        1500  caller quiet
        1620  timer                                   -> llm r1 "book it for Tuesday."
        1650  timer                                   -> asr e2
        2000  asr open                                -> open r1
        """
    )


def test_words_of_a_recogniser_that_never_comes_back_stand_as_they_are() -> None:
    check(
        """
        0     asr open
        500   caller speaks
        1400  asr partial "book it for"
        1450  asr failed unavailable                  -> stop asr
        1500  caller quiet
        1650  timer                                   -> asr e2
        5500  timer                                   -> open r1, llm r1 "book it for"
        """
    )


def test_words_without_a_voice_wait_for_no_recogniser() -> None:
    check(
        """
        0     asr open
        1400  asr partial "what time is it?"
        1450  asr failed unavailable                  -> stop asr
        1650  timer                                   -> asr e2
        1750  timer                                   -> open r1, llm r1 "what time is it?"
        """
    )


def test_a_hangover_cannot_reach_back_before_the_call() -> None:
    state = play("0 asr open\n10 caller speaks @0\n100 caller quiet @0 heard=200").state
    assert state.turn.quiet_at == 0


@pytest.mark.parametrize(("since_ms", "turns"), [(2_999, 1), (3_000, 2)])
def test_how_long_words_without_a_voice_belong_to_the_turn_before(since_ms: int, turns: int) -> None:
    state = play(f'0 asr open\n1000 typed "book it"\n{1_000 + since_ms} asr final "book it"\n9000').state
    assert state.turn.taken == turns


def test_a_late_piece_of_a_taken_turn_is_nothing_new() -> None:
    state = play('0 asr open\n1000 typed "book it for ten"\n1500 asr final "book it"\n9000').state
    assert (state.turn.taken, state.turn.last_text) == (1, "book it for ten")


def test_the_same_word_said_in_two_turns_counts_in_both_also_where_no_detector_hears_it() -> None:
    check(
        """
        0     asr open
        1000  asr final "yes"
        1350  timer                                   -> open r1, llm r1 "yes"
        1400  llm r1 done
        9000  asr final "yes"
        9350  timer                                   -> open r2, llm r2 "yes yes"
        """
    )


def test_a_cough_leaves_what_is_known_of_the_caller_and_of_the_turns_before() -> None:
    talk = """
        0     asr open
        500   caller speaks level_db=-30
        900   asr final "well I"
        1000  caller quiet level_db=-30
        1500  caller speaks level_db=-30
        1900  asr final "need help"
        2000  caller quiet level_db=-30
        4000  llm r1 done
    """
    before, after = (
        play(talk).state.turn,
        play(talk + "5000 caller speaks level_db=-30\n5200 caller quiet level_db=-30\n9000").state.turn,
    )
    assert before.taken == 1
    assert before.quiet_ns is None
    assert after == before


def test_a_voice_that_goes_on_through_its_turn_is_still_a_voice() -> None:
    state = play("0 asr open\n500 caller speaks level_db=-30\n900 asr end hello").state
    assert (state.turn.taken, state.turn.speaking, state.turn.level_db) == (1, True, -30)


def test_a_voice_that_went_on_through_its_turn_is_asked_for_its_words_when_it_ends() -> None:
    check(
        """
        0     asr open
        500   caller speaks
        900   asr final "what time"
        1000  typed "is it?"                          -> open r1, llm r1 "what time is it?"
        1500  caller quiet
        1650  timer                                   -> finalize
        """
    )


def test_keys_that_were_pressed_before_words_were_typed_are_no_words() -> None:
    check('100 key 4\n200 typed "hello" -> open r1, llm r1 "hello"')


def test_a_turn_is_full_when_finals_and_partial_together_are() -> None:
    state = play(
        f"""
        0     asr open
        500   caller speaks
        600   asr final "{"x" * (LIMITS.transcript_chars - 10)}"
        700   asr partial "0123456789"
        """
    ).state
    assert state.turn.last_end is TurnEnd.FULL


def test_nothing_that_happens_meanwhile_shortens_the_wait_for_the_last_final() -> None:
    check(
        """
        0     asr open
        500   caller speaks
        1400  asr partial "what time is it?"
        1500  caller quiet
        1620  timer                                   -> llm r1 "what time is it?"
        1650  timer                                   -> finalize
        2000  rejected twilio "not JSON"
        2450  timer                                   -> open r1
        """
    )


def test_a_voice_that_contests_the_floor_is_not_yet_a_turn_without_words() -> None:
    state = play(
        SPEAKING + "2200 caller speaks\n2500 caller quiet\n3900",
        replace(SETUP, policy=Policy(resume_ns=2_000 * MS)),
    ).state
    assert (state.turn.taken, state.contest.run) == (1, 1)


def test_a_voice_is_not_asked_to_repeat_itself_while_nobody_listens() -> None:
    check(
        """
        0     asr open
        100   asr failed unavailable                  -> stop asr
        300   timer                                   -> asr e2
        500   caller speaks
        1800  caller quiet
        4000
        """
    )


def test_a_voice_without_words_is_let_go_also_when_its_sound_has_stopped() -> None:
    check(
        """
        0     asr open
        500   caller speaks
        1800  caller quiet
        1950  timer                                   -> finalize
        2000 audio stops
        5800  timer                                   -> open r1, tts r1 "Sorry, I didn't catch that."
        """
    )


def test_words_too_few_to_take_the_floor_are_no_turn_while_it_is_contested() -> None:
    state = play(
        SPEAKING + '2200 caller speaks\n2500 caller quiet\n2510 asr final "I think."\n3500',
        replace(SETUP, policy=replace(EAGER, interrupt_words=3)),
    ).state
    assert (state.turn.taken, state.contest.resumed) == (1, 1)


@pytest.mark.parametrize(
    ("talk", "level_db", "known_db"),
    [
        ("500 caller speaks level_db=-60", -30, -30),
        ("500 caller speaks level_db=-60", 0, -60),
        ("500 caller speaks level_db=-60\n600 caller quiet level_db=-60", -30, -60),
    ],
)
def test_how_loud_a_voice_has_become_is_told_while_it_lasts(talk: str, level_db: int, known_db: int) -> None:
    state = play(f"0 asr open\n{talk}").state
    told = TimerFired(at=700 * MS, clock=Clock.AUDIO, audio_ns=700 * MS, level_db=level_db)
    assert reduce(state, told)[0].turn.level_db == known_db
