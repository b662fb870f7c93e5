"""The recogniser: reconnected, replaced, given up."""

from msgspec.structs import replace

from engine.core.policy import Policy, Setup
from engine.core.units import SECOND
from tests.script import check

THREE = Setup(asr=("ear", "spare", "third"), llm=("model",), tts=("voice",))
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


def test_the_only_recogniser_is_connected_to_again_at_once_where_no_wait_is_wanted() -> None:
    check(
        """
        5000  timer                                   -> stop asr, asr e2
        """,
        replace(GIVEN, policy=Policy(retry_ns=0, asr_apology_ns=60 * SECOND)),
    )


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
    assert state.ear.apologies == 1


ASKED_AGAIN = """
        0     asr open                                 [Idle]
        500   caller speaks                            [Listening]
        1800  caller quiet                             [Idle]
        1950  timer                                   -> finalize
        3000  timer                                   -> open r1, tts r1 "Sorry, I didn't catch that."  [Generating]
        3400  tts r1 c1 done 500
        3410  playing r1                               [Speaking]
        3920  played r1 500                            [Idle]
"""
"""A voice, long enough for words, of which the recogniser heard none."""


def test_two_long_voices_without_words_mean_a_deaf_recogniser() -> None:
    state = check(
        ASKED_AGAIN
        + """
        4500  caller speaks                            [Listening]
        5800  caller quiet                             [Idle]
        5950  timer                                   -> finalize
        7000  timer                                   -> stop asr, asr e2 by=spare
        7300  asr open
        """,
        CALLED,
    )
    assert state.ear.open


def test_when_the_next_one_hears_no_words_either_there_are_none() -> None:
    script = """
        7300  asr open
    """
    for start in (8_000, 11_000, 14_000):
        script += f"""
        {start}  caller speaks
        {start + 1300}  caller quiet
        {start + 1450}  timer                         -> finalize
    """
    check(
        ASKED_AGAIN
        + """
        4500  caller speaks                            [Listening]
        5800  caller quiet                             [Idle]
        5950  timer                                   -> finalize
        7000  timer                                   -> stop asr, asr e2 by=spare
        """
        + script
        + "        17000",
        CALLED,
    )


def test_a_short_noise_is_no_sign_of_deafness() -> None:
    check(
        ASKED_AGAIN
        + """
        4500  caller speaks                            [Listening]
        5190  caller quiet                             [Idle]
        5340  timer                                   -> finalize
        7000
        """,
        CALLED,
    )


def test_a_turn_that_was_typed_is_no_second_voice_without_words() -> None:
    check(ASKED_AGAIN + '4500 typed "hello" -> open r2, llm r2 "hello"', CALLED)


def test_a_recogniser_that_has_heard_a_word_in_between_is_not_deaf() -> None:
    check(
        ASKED_AGAIN
        + """
        4500  caller speaks                            [Listening]
        4900  asr partial "hello"                      [Transcribing]
        5000  asr final ""                             [Listening]
        5800  caller quiet                             [Idle]
        5950  timer                                   -> finalize
        7000
        """,
        CALLED,
    )


def test_nor_is_one_that_has_heard_words_before_and_in_between() -> None:
    check(
        ASKED_AGAIN.replace(
            "500   caller speaks", '100   asr partial "um"\n        110   asr partial ""\n        500   caller speaks'
        )
        + """
        4500  caller speaks                            [Listening]
        4900  asr partial "hello"                      [Transcribing]
        5000  asr final ""                             [Listening]
        5800  caller quiet                             [Idle]
        5950  timer                                   -> finalize
        7000
        """,
        CALLED,
    )


def test_a_recogniser_that_has_finished_words_has_all_its_tries_again() -> None:
    check(
        """
        0     asr open                                 [Idle]
        500   asr failed closed                       -> stop asr
        700   timer                                   -> asr e2
        710   asr open
        800   asr final "on Monday and"                [Transcribing]
        900   asr failed closed                       -> stop asr
        1100  timer                                   -> asr e3
        """,
        CALLED,
    )


def test_one_that_dies_after_a_few_words_each_time_is_replaced() -> None:
    check(
        """
        0     asr open                                 [Idle]
        500   asr failed closed                       -> stop asr
        700   timer                                   -> asr e2
        710   asr open
        800   asr partial "on Monday"                  [Transcribing]
        900   asr failed closed                       -> stop asr, asr e3 by=spare
        """,
        CALLED,
    )


def test_a_short_loss_is_not_apologised_for() -> None:
    state = check(
        """
        0     asr open                                 [Idle]
        500   asr failed closed                       -> stop asr
        700   timer                                   -> asr e2
        1000  asr open
        9000
        """,
        CALLED,
    )
    assert state.ear.apologies == 0


def test_a_recogniser_with_a_known_outage_is_not_connected_to_while_another_is_left() -> None:
    check(
        """
        0     session setup={"asr":["ear","spare"]} outages={"asr":["ear"]}  -> asr e1 by=spare  [Idle]
        100   asr failed rejected                     -> stop asr, asr e2
        200   asr failed rejected                     -> stop asr
        2200  timer                                   -> asr e3 by=spare
        """,
        None,
    )


def test_where_all_recognisers_are_out_the_first_is_connected_to() -> None:
    check(
        """
        0     session setup={"asr":["ear","spare"]} outages={"asr":["ear","spare"]}  -> asr e1  [Idle]
        """,
        None,
    )


def test_a_recogniser_found_out_while_it_is_connected_to_is_not_waited_for() -> None:
    state = check(
        """
        300   outages {"asr":["ear"]}         -> stop asr, asr e2 by=spare  [Idle]
        400   asr open
        """,
        CALLED,
    )
    assert state.ear.tried == (0,)


def test_a_retry_of_a_recogniser_found_out_meanwhile_is_not_made() -> None:
    check(
        """
        0     asr open                                 [Idle]
        500   asr failed closed                       -> stop asr
        600   outages {"asr":["ear"]}         -> asr e2 by=spare
        700   asr open
        """,
        CALLED,
    )


def test_a_recogniser_that_hears_the_caller_is_kept_whatever_is_known_of_it() -> None:
    check(
        """
        0     asr open                                 [Idle]
        600   outages {"asr":["ear"]}
        """,
        CALLED,
    )


def test_the_only_recogniser_is_waited_for_whatever_is_known_of_it() -> None:
    check(
        """
        600   outages {"asr":["ear"]}          [Idle]
        700   asr open
        """,
        GIVEN,
    )


def test_the_first_recogniser_is_tried_again_once_another_has_worked_and_failed() -> None:
    state = check(
        """
        100   asr failed rejected                     -> stop asr, asr e2 by=spare  [Idle]
        200   asr open
        500   caller speaks                            [Listening]
        900   asr final "hello there"                  [Transcribing]
        1000  asr failed rejected                     -> stop asr, asr e3
        """,
        CALLED,
    )
    assert state.ear.provider == 0


def test_a_replacement_is_given_as_many_tries_as_the_first() -> None:
    check(
        """
        0     asr open                                 [Idle]
        500   asr failed closed                       -> stop asr
        700   timer                                   -> asr e2
        800   asr failed closed                       -> stop asr, asr e3 by=spare
        900   asr failed closed                       -> stop asr
        1100  timer                                   -> asr e4 by=spare
        """,
        CALLED,
    )


def test_after_the_last_one_they_are_all_tried_again_in_their_order() -> None:
    check(
        """
        0     asr open                                 [Idle]
        500   asr failed rejected                     -> stop asr, asr e2 by=spare
        600   asr failed rejected                     -> stop asr, asr e3 by=third
        700   asr failed rejected                     -> stop asr
        2700  timer                                   -> asr e4 by=ear
        2800  asr failed rejected                     -> stop asr, asr e5 by=spare
        """,
        THREE,
    )


def test_each_further_try_waits_twice_as_long() -> None:
    check(
        """
        0     asr open                                 [Idle]
        500   asr failed closed                       -> stop asr
        700   timer                                   -> asr e2
        800   asr failed closed                       -> stop asr
        1200  timer                                   -> asr e3
        1300  asr failed closed                       -> stop asr
        2100  timer                                   -> asr e4
        """,
        Setup(asr=("ear",), llm=("model",), tts=("voice",), policy=Policy(retries=3)),
    )


def test_one_that_asks_for_a_longer_wait_than_callers_have_is_passed_over() -> None:
    check(
        """
        0     asr open                                 [Idle]
        500   asr failed rate_limited retry=2000      -> stop asr
        2500  timer                                   -> asr e2
        2600  asr open
        2700  asr final "and"                          [Transcribing]
        2800  asr failed rate_limited retry=2001      -> stop asr, asr e3 by=spare
        """,
        CALLED,
    )


def test_one_that_fails_here_and_elsewhere_is_not_tried_again() -> None:
    check(
        """
        0     asr open                                 [Idle]
        300   outages {"asr":["ear"]}
        500   asr failed closed                       -> stop asr, asr e2 by=spare
        """,
        CALLED,
    )


def test_an_outage_never_leads_back_to_one_that_has_failed_in_this_call() -> None:
    check(
        """
        0     asr open                                 [Idle]
        500   asr failed rejected                     -> stop asr, asr e2 by=spare
        600   outages {"asr":["spare"]}               -> stop asr, asr e3 by=third
        """,
        THREE,
    )


def test_one_chosen_for_an_outage_has_all_its_tries() -> None:
    check(
        """
        0     asr open                                 [Idle]
        500   asr failed closed                       -> stop asr
        600   outages {"asr":["ear"]}                 -> asr e2 by=spare
        700   asr failed closed                       -> stop asr
        900   timer                                   -> asr e3 by=spare
        """,
        CALLED,
    )


def test_a_call_that_is_being_hung_up_waits_for_no_recogniser() -> None:
    state = check(
        """
        1000  end "bye"                               -> hang up "bye"  [Idle]
        """,
        CALLED,
    )
    assert state.deadlines.wall_ns == CALLED.policy.call_ns_max


def test_words_that_stop_in_the_middle_of_a_voice_are_heard_again_by_the_next_recogniser() -> None:
    state = check(
        """
        0     asr open
        500   caller speaks
        900   asr partial "is"
        1800  caller quiet
        1950  timer                                   -> finalize
        2750  timer                                   -> stop asr, asr e2 by=spare
        2850  asr open                                -> finalize
        3000  asr final "is there a table for eight?" -> llm r1 "is there a table for eight?"
        3000  timer                                   -> open r1
        """,
        CALLED,
    )
    assert state.turn.taken == 1


def test_the_only_recogniser_hears_again_itself_what_it_broke_off() -> None:
    state = check(
        """
        0     asr open
        500   caller speaks
        900   asr partial "is"
        2400  caller quiet
        2550  timer                                   -> finalize
        3350  timer                                   -> stop asr
        3550  timer                                   -> asr e2
        3650  asr open                                -> finalize
        3800  asr final "is there a table for eight?" -> llm r1 "is there a table for eight?"
        3800  timer                                   -> open r1
        """,
        GIVEN,
    )
    assert state.ear.tries == 0


def test_the_second_time_the_only_recogniser_is_taken_at_its_word() -> None:
    check(
        """
        0     asr open
        500   caller speaks
        900   asr partial "is"
        2400  caller quiet
        2550  timer                                   -> finalize
        3350  timer                                   -> stop asr
        3550  timer                                   -> asr e2
        3650  asr open                                -> finalize
        3800  asr partial "is"
        4450  timer                                   -> open r1, llm r1 "is"
        """,
        GIVEN,
    )


def test_a_voice_that_ends_soon_after_its_last_word_is_whole() -> None:
    check(
        """
        0     asr open
        500   caller speaks
        1000  asr partial "is it open?"
        1899  caller quiet
        2019  timer                                   -> llm r1 "is it open?"
        2049  timer                                   -> finalize
        2849  timer                                   -> open r1
        """,
        CALLED,
    )


def test_a_new_stream_without_a_word_in_a_long_voice_is_left_for_the_next_one_which_has_its_time() -> None:
    state = check(
        """
        0     asr open                                 [Idle]
        500   caller speaks                            [Listening]
        2000  caller quiet                             [Idle]
        2150  timer                                   -> finalize
        3200  timer                                   -> stop asr, asr e2 by=spare
        3300  asr open                                -> finalize
        4500  timer                                   -> open r1, tts r1 "Sorry, I didn't catch that."  [Generating]
        4600
        """,
        CALLED,
    )
    assert state.ear.provider == 1


def test_a_recogniser_that_opens_after_the_voice_is_given_its_time_before_it_is_left() -> None:
    check(
        """
        500   caller speaks                            [Listening]
        2000  caller quiet                             [Idle]
        4000  asr open
        4000  timer                                   -> finalize
        5200  timer                                   -> stop asr, asr e2 by=spare
        5300  asr open                                -> finalize
        5400  asr final "what time is it?"            -> open r1, llm r1 "what time is it?"  [Generating]
        """,
        CALLED,
    )


def test_a_recogniser_that_was_open_as_the_voice_ended_has_heard_it_however_fast_the_sound_comes() -> None:
    check(
        """
        500   caller speaks                            [Listening]
        2000  asr open
        2000  caller quiet                             [Idle]
        2100  audio runs @3300
        2100  timer                                   -> stop asr, asr e2 by=spare
        """,
        CALLED,
    )


def test_one_that_opens_in_the_moment_it_was_asked_is_asked_once_for_the_words_of_a_voice_that_is_over() -> None:
    check(
        """
        0     asr open
        500   caller speaks
        900   asr partial "is"
        1000  caller quiet
        1150  timer                                   -> finalize
        1200  asr failed rejected                     -> stop asr, asr e2 by=spare
        1200  asr open                                -> finalize
        """,
        CALLED,
    )


def test_a_recogniser_that_opens_after_the_voice_is_not_waited_for_without_end_when_the_sound_has_stopped() -> None:
    check(
        """
        500   caller speaks                            [Listening]
        2000  caller quiet                             [Idle]
        2500  asr open
        2500  timer                                   -> finalize
        2600  audio stops
        6000  timer                                   -> open r1, tts r1 "Sorry, I didn't catch that."
        """,
        GIVEN,
    )


def test_a_stream_that_has_heard_words_is_not_left_for_one_voice_without_any() -> None:
    check(
        """
        0     asr open
        500   caller speaks
        900   asr partial "hm"
        950   asr final ""
        1000  caller quiet
        1150  timer                                   -> finalize
        5000  caller speaks
        6500  caller quiet
        6650  timer                                   -> finalize
        7700  timer                                   -> open r1, tts r1 "Sorry, I didn't catch that."
        """,
        CALLED,
    )


def test_each_stream_has_to_hear_a_word_of_its_own() -> None:
    check(
        """
        0     asr open
        100   asr partial "hm"
        200   asr final ""
        300   asr failed closed                       -> stop asr
        500   timer                                   -> asr e2
        600   asr open
        1000  caller speaks
        2500  caller quiet
        2650  timer                                   -> finalize
        3700  timer                                   -> stop asr, asr e3 by=spare
        """,
        CALLED,
    )


def test_a_recogniser_that_is_still_being_connected_to_has_not_been_deaf() -> None:
    check(
        """
        0     asr open
        500   caller speaks
        2000  caller quiet
        2100  asr failed rejected                     -> stop asr, asr e2 by=spare
        3500  outages {"llm":["model"]}
        4000  asr open
        4000  timer                                   -> finalize
        4100  asr final "what time is it?"            -> open r1, llm r1 "what time is it?"
        """,
        THREE,
    )


def test_the_end_of_a_voice_whose_turn_was_taken_while_it_lasted_says_nothing_of_the_recogniser() -> None:
    check(
        """
        0     asr open
        500   caller speaks
        1000  typed "hello"                           -> open r1, llm r1 "hello"
        2500  caller quiet
        3000  llm r1 "Hi."
        """,
        CALLED,
    )
