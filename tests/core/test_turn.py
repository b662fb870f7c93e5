"""Endpointing: when has the caller finished?"""

from engine.core.state import TurnEnd
from engine.core.units import MS
from tests.core.calls import ASKED
from tests.script import check


def test_finished_words_end_the_turn_after_the_short_wait() -> None:
    state = check(
        ASKED
        + """
        2000
        """
    )
    assert state.turn.last_end is TurnEnd.FINISHED


def test_unsure_words_end_the_turn_after_the_medium_wait() -> None:
    state = check(
        """
        0     asr open                                 [Idle]
        500   caller speaks                            [Listening]
        1400  asr final "I need some help"             [Transcribing]
        1500  caller quiet
        2200  timer                                   -> open r1, llm r1 "I need some help"  [Generating]
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
        1700  caller speaks
        2100  asr final "we could meet"
        2200  caller quiet
        3100  timer                                   -> open r1, llm r1 "well I think we could meet"  [Generating]
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
        3290  timer                                   -> open r1, llm r1 "I need some help"  [Generating]
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
        2150  timer                                   -> open r1, llm r1 "book it for Tuesday"  [Generating]
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
        1700  asr final "november nineteenth"
        2200  timer                                   -> open r1, llm r1 "november nineteenth"  [Generating]
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
        9000
        """
    )
    assert state.response.runs == 1


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
        2200  timer                                   -> open r1, llm r1 "I need some help"  [Generating]
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


def test_yes_to_the_question_just_asked_is_finished() -> None:
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


def test_the_end_of_a_turn_without_words_is_no_end() -> None:
    state = check(
        """
        0     asr open
        500   asr end
        600   say "Hello."                            -> open r1, tts r1 "Hello."
        """
    )
    assert not state.turn.over
