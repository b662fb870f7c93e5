"""What the model contributes to the live run, round by round."""

import pytest
from msgspec.structs import replace

from engine.core.commands import Role
from engine.core.generation import target_in
from engine.core.policy import Policy, Setup, ToolSpec
from engine.core.state import CallState, RunEnd
from engine.core.units import LIMITS, MS
from tests.script import check

CALLED = Setup(
    asr=("ear",),
    llm=("model",),
    tts=("voice",),
    tools=(
        ToolSpec("look_up"),
        ToolSpec("slow", filler="Let me see."),
        ToolSpec("good_bye", ends_call=True),
        ToolSpec("put_through", transfers_call=True),
    ),
)
SLOW = Setup(llm=("model",), tts=("voice",))
HEDGED = Setup(
    llm=("model", "spare"), tts=("voice",), tools=(ToolSpec("look_up"),), policy=Policy(llm_hedge_ns=600 * MS)
)


def test_a_tool_call_runs_and_the_model_goes_on_with_its_result() -> None:
    state = check(
        r"""
        500   typed "is Monday free?"                 -> open r1, llm r1 "is Monday free?"  [Generating]
        800   llm r1 "Let me check."
        810   llm r1 calls look_up {"day":"Monday"}   -> tool r1 t1 look_up {"day":"Monday"} timeout=20000, tts r1 "Let me check."
        820   llm r1 done tool_calls
        900   tts r1 c1 done 700
        910   playing r1                               [Speaking]
        1000  tool t1 {"free":true}                   -> llm r1 tool "{\"free\":true}"
        1200  llm r1 "It is free."
        1210  llm r1 done                             -> tts r1 "It is free."
        1300  tts r1 c2 done 600
        2220  played r1 1300                           [Idle]
        """,
        CALLED,
    )
    assert [m.role for m in state.conversation.messages] == [Role.USER, Role.ASSISTANT, Role.TOOL, Role.ASSISTANT]
    assert state.conversation.messages[-1].text == "It is free."


def test_parallel_calls_are_awaited_together() -> None:
    state = check(
        r"""
        500   typed "Monday or Tuesday?"              -> open r1, llm r1 "Monday or Tuesday?"  [Generating]
        810   llm r1 calls look_up {"day":"Monday"}   -> tool r1 t1 look_up {"day":"Monday"} timeout=20000
        815   llm r1 calls look_up {"day":"Tuesday"}  -> tool r1 t2 look_up {"day":"Tuesday"} timeout=20000
        820   llm r1 done tool_calls
        1000  tool t2 {"free":false}
        1100  tool t1 {"free":true}                   -> llm r1 tool "{\"free\":false}"
        """,
        CALLED,
    )
    assert state.response.run is not None
    assert len(state.response.run.requests) == 1


def test_a_tool_may_end_the_call_after_the_last_words() -> None:
    state = check(
        """
        500   typed "bye"                             -> open r1, llm r1 "bye"  [Generating]
        810   llm r1 calls good_bye {}                -> tool r1 t1 good_bye {} timeout=20000
        820   llm r1 done tool_calls
        900   tool t1 {}                              -> llm r1 tool "{}"
        1000  llm r1 "Goodbye!"
        1010  llm r1 done                             -> tts r1 "Goodbye!"
        1100  tts r1 c1 done 500
        1110  playing r1                               [Speaking]
        1620  played r1 500                           -> hang up "ended by the agent"  [Idle]
        """,
        CALLED,
    )
    assert state.response.ending == "ended by the agent"


def test_a_tool_may_hand_the_caller_over_after_the_last_words() -> None:
    check(
        r"""
        500   typed "a human please"                  -> open r1, llm r1 "a human please"  [Generating]
        810   llm r1 calls put_through {}             -> tool r1 t1 put_through {} timeout=20000
        820   llm r1 done tool_calls
        900   tool t1 "+15550003333\nTell them."      -> llm r1 tool "+15550003333\nTell them."
        1000  llm r1 "One moment!"
        1010  llm r1 done                             -> tts r1 "One moment!"
        1100  tts r1 c1 done 500
        1110  playing r1                               [Speaking]
        1620  played r1 500                           -> transfer +15550003333  [Idle]
        """,
        CALLED,
    )


def test_a_tool_that_failed_hands_nobody_over() -> None:
    state = check(
        """
        500   typed "a human please"                  -> open r1, llm r1 "a human please"  [Generating]
        810   llm r1 calls put_through {}             -> tool r1 t1 put_through {} timeout=20000
        820   llm r1 done tool_calls
        900   tool t1 error "nobody is there"         -> llm r1 tool "nobody is there"
        """,
        CALLED,
    )
    assert state.response.run is not None
    assert state.response.run.then_transfer == ""


def test_the_first_of_two_hedged_models_to_speak_is_heard() -> None:
    state = check(
        """
        500   typed "hello"                           -> open r1, llm r1 "hello"  [Generating]
        1100  timer                                   -> llm r1 "hello" by=spare
        1300
        1400  llm r1 "Hi."                            -> cancel llm r1 q1
        """,
        HEDGED,
    )
    assert state.response.run is not None
    assert state.response.run.provider == 1


def test_a_hedged_model_that_calls_a_tool_first_is_the_one_listened_to() -> None:
    state = check(
        """
        500   typed "hello"                           -> open r1, llm r1 "hello"  [Generating]
        1100  timer                                   -> llm r1 "hello" by=spare
        1200  llm r1 q2 calls look_up {}              -> cancel llm r1 q1, tool r1 t1 look_up {} timeout=20000
        1250  llm r1 q1 "I know."
        1300  llm r1 q2 done tool_calls
        1400  tool t1 {}                              -> llm r1 tool "{}" by=spare
        """,
        HEDGED,
    )
    assert state.counters.stale == 1


def test_a_hedged_model_that_has_nothing_to_say_is_listened_to_as_well() -> None:
    state = check(
        """
        500   typed "hello"                           -> open r1, llm r1 "hello"  [Generating]
        1100  timer                                   -> llm r1 "hello" by=spare
        1200  llm r1 q1 done                          -> cancel llm r1 q2  [Idle]
        1300  llm r1 q2 "Hi."
        """,
        HEDGED,
    )
    assert state.counters.stale == 1
    assert (state.response.past[-1].provider, state.response.past[-1].end) == (0, RunEnd.FINISHED)


def test_a_model_that_is_listened_to_is_hedged_no_more() -> None:
    check(
        """
        500   typed "hello"                           -> open r1, llm r1 "hello"  [Generating]
        1000  llm r1 "Well,"
        2000
        """,
        HEDGED,
    )


def test_the_first_word_of_an_answer_is_the_one_whose_time_is_kept() -> None:
    state = check(
        """
        500   typed "hello"                           -> open r1, llm r1 "hello"  [Generating]
        900   llm r1 "Well"
        950   llm r1 " hello"
        """,
        CALLED,
    )
    assert state.response.run is not None
    assert state.response.run.first_token_at == 900 * MS


@pytest.mark.parametrize(("more", "orders"), [("y", ""), ("yz", "-> cancel llm r1")])
def test_an_answer_is_cut_where_it_exceeds_the_limit(more: str, orders: str) -> None:
    state = check(
        f"""
        500   typed "hello"                           -> open r1, llm r1 "hello"
        600   llm r1 "{"x" * (LIMITS.response_chars - 1)}"
        610   llm r1 "{more}" {orders}
        """,
        Setup(llm=("model",)),
    )
    run = state.response.run or state.response.past[-1]
    assert run.text == "x" * (LIMITS.response_chars - 1) + "y"
    assert run.written is bool(orders)


def test_an_answer_that_grows_too_long_behind_a_tool_call_waits_for_no_tool() -> None:
    state = check(
        f"""
        500   typed "hello"                           -> open r1, llm r1 "hello"
        600   llm r1 "Let me look."
        610   llm r1 calls look_up {{}}               -> tool r1 t1 look_up {{}}, tts r1 "Let me look."
        620   llm r1 "{"." * LIMITS.response_chars}"  -> cancel llm r1
        630   llm r1 "late"
        700   tool t1 "found"
        800   tts r1 c1 done 500
        810   playing r1
        1310  played r1 500                            [Idle]
        """,
        CALLED,
    )
    assert [(m.role, m.text) for m in state.conversation.messages[-1:]] == [(Role.TOOL, "found")]
    assert len(state.response.past[-1].rounds) == 1
    assert state.counters.stale == 1


def test_every_round_of_an_answer_may_fail_as_often_as_the_first() -> None:
    check(
        r"""
        500   typed "hello"                           -> open r1, llm r1 "hello"
        600   llm r1 failed unavailable
        785   timer                                   -> llm r1 "hello"
        800   llm r1 calls look_up {}                 -> tool r1 t1 look_up {}
        810   llm r1 done tool_calls
        900   tool t1 {}                              -> llm r1 tool "{}"
        950   llm r1 failed unavailable
        1152.4 timer                                  -> llm r1 tool "{}"
        1300  llm r1 failed unavailable               -> llm r1 tool "{}" by=spare
        """,
        Setup(llm=("model", "spare"), tts=("voice",), tools=(ToolSpec("look_up"),)),
    )


def test_each_wait_for_tools_has_its_filler_once() -> None:
    check(
        r"""
        500   typed "hello"                           -> open r1, llm r1 "hello"
        800   llm r1 calls slow {}                    -> tool r1 t1 slow {}
        810   llm r1 done tool_calls
        2300  timer                                   -> tts r1 "Let me see."
        2400  tts r1 c1 done 500
        2410  playing r1
        2910  played r1 500
        6000  tool t1 {}                              -> llm r1 tool "{}"
        6100  llm r1 calls slow {}                    -> tool r1 t2 slow {}
        6110  llm r1 done tool_calls
        7600  timer                                   -> tts r1 "Let me see."
        """,
        replace(CALLED, asr=()),
    )


def test_the_filler_comes_a_while_after_the_last_sound_and_not_into_it() -> None:
    check(
        r"""
        500   typed "hello"                           -> open r1, llm r1 "hello"
        700   llm r1 "Let me look it up."
        800   llm r1 calls look_up {}                 -> tool r1 t1 look_up {}, tts r1 "Let me look it up."
        810   llm r1 done tool_calls
        900   tts r1 c1 done 1500
        1000  playing r1
        2500  played r1 1500
        4000  timer                                   -> tts r1 "One moment, please."
        """,
        CALLED,
    )


def test_a_filler_is_neither_for_a_model_that_is_still_writing_nor_for_a_caller_who_wants_none() -> None:
    check(
        r"""
        500   typed "hello"                           -> open r1, llm r1 "hello"
        800   llm r1 calls look_up {}                 -> tool r1 t1 look_up {}
        2500  llm r1 done tool_calls                  -> tts r1 "One moment, please."
        """,
        CALLED,
    )
    for policy in (Policy(filler_ns=0), Policy(filler="")):
        state = check(
            r"""
            500   typed "hello"                       -> open r1, llm r1 "hello"
            800   llm r1 calls look_up {}             -> tool r1 t1 look_up {}
            810   llm r1 done tool_calls
            4000
            """,
            replace(CALLED, asr=(), policy=policy),
        )
        assert state.response.run is not None
        assert state.response.run.text == ""


def test_the_filler_is_what_the_tool_says_it_is_without_markup() -> None:
    check(
        r"""
        500   typed "hello"                           -> open r1, llm r1 "hello"
        800   llm r1 calls slow {}                    -> tool r1 t1 slow {}
        810   llm r1 done tool_calls
        2300  timer                                   -> tts r1 "Just a second."
        """,
        replace(CALLED, tools=(ToolSpec("slow", filler="**Just a second.**"),)),
    )


def test_a_filler_is_whole_however_the_answer_began() -> None:
    """Some models begin with empty lines; the ledger counts every character of them."""
    state = check(
        r"""
        500   typed "hello"                           -> open r1, llm r1 "hello"
        700   llm r1 "\n\nOne second."
        800   llm r1 calls look_up {}                 -> tool r1 t1 look_up {}, tts r1 "One second."
        810   llm r1 done tool_calls
        900   tts r1 c1 done 500
        1000  playing r1
        1500  played r1 500
        3000  timer                                   -> tts r1 "One moment, please."
        """,
        CALLED,
    )
    assert state.response.run is not None
    assert state.response.run.text == "\n\nOne second. One moment, please."


@pytest.mark.parametrize("begun", ["Let me look.", "Let me look. ", r"Let me look.\n"])
def test_rounds_of_an_answer_are_parted_by_one_space(begun: str) -> None:
    state = check(
        f"""
        500   typed "hello"                           -> open r1, llm r1 "hello"
        700   llm r1 "{begun}"
        800   llm r1 calls look_up {{}}               -> tool r1 t1 look_up {{}}
        810   llm r1 done tool_calls
        900   tool t1 {{}}                            -> llm r1 tool "{{}}"
        950   llm r1 "It is free."
        """,
        replace(CALLED, tts=()),
    )
    assert state.response.run is not None
    assert " ".join(state.response.run.text.split()) == "Let me look. It is free."
    assert len(state.response.run.text) == len("Let me look. It is free.")


def test_a_model_that_only_calls_tools_is_stopped_after_so_many_rounds() -> None:
    state = check(
        r"""
        500   typed "hello"                           -> open r1, llm r1 "hello"
        600   llm r1 calls look_up {}                 -> tool r1 t1 look_up {}
        610   llm r1 done tool_calls
        700   tool t1 {}                              -> llm r1 tool "{}"
        800   llm r1 calls look_up {}                 -> tool r1 t2 look_up {}
        810   llm r1 done tool_calls
        900   tool t2 {}                               [Idle]
        """,
        replace(CALLED, policy=Policy(tool_rounds=2)),
    )
    assert state.response.past[-1].end is RunEnd.FINISHED
    assert [call.state for call in state.tools.calls] == [CallState.DONE, CallState.DONE]


def test_an_end_that_a_tool_asked_for_stands_whatever_is_called_behind_it() -> None:
    check(
        r"""
        500   typed "bye"                             -> open r1, llm r1 "bye"
        600   llm r1 calls good_bye {}                -> tool r1 t1 good_bye {}
        610   llm r1 calls look_up {}                 -> tool r1 t2 look_up {}
        620   llm r1 done tool_calls
        700   tool t1 {}
        710   tool t2 {}                              -> llm r1 tool "{}"
        800   llm r1 calls look_up {}                 -> tool r1 t3 look_up {}
        810   llm r1 done tool_calls
        900   tool t3 {}                              -> llm r1 tool "{}"
        950   llm r1 done                             -> hang up "ended by the agent"
        """,
        CALLED,
    )


def test_of_two_tools_that_hand_the_caller_over_the_last_one_says_where_to() -> None:
    check(
        r"""
        500   typed "a human"                         -> open r1, llm r1 "a human"
        600   llm r1 calls put_through {}             -> tool r1 t1 put_through {}
        610   llm r1 calls put_through {}             -> tool r1 t2 put_through {}
        620   llm r1 done tool_calls
        700   tool t1 "+15550001111"
        710   tool t2 "+15550002222"                  -> llm r1 tool "+15550002222"
        800   llm r1 calls look_up {}                 -> tool r1 t3 look_up {}
        810   llm r1 done tool_calls
        900   tool t3 {}                              -> llm r1
        950   llm r1 done                             -> transfer +15550002222
        """,
        CALLED,
    )


def test_a_tool_that_failed_ends_no_call() -> None:
    check(
        r"""
        500   typed "bye"                             -> open r1, llm r1 "bye"
        600   llm r1 calls good_bye {}                -> tool r1 t1 good_bye {}
        610   llm r1 done tool_calls
        700   tool t1 error "not yet"                 -> llm r1 tool "not yet"
        800   llm r1 done                              [Idle]
        """,
        CALLED,
    )


@pytest.mark.parametrize(
    ("output", "target"),
    [
        ("+15550003333", "+15550003333"),
        (" sip:desk@example.org \nTell them.\nThen go.", "sip:desk@example.org"),
        ("", ""),
        ("9" * LIMITS.target_chars + "0", "9" * LIMITS.target_chars),
    ],
)
def test_where_a_tool_hands_the_caller_over_to(output: str, target: str) -> None:
    assert target_in(output) == target


def test_a_slow_model_is_not_silence() -> None:
    state = check(
        """
        500   typed "hello"                           -> open r1, llm r1 "hello"  [Generating]
        3000  timer                                   -> tts r1 "One moment, please."
        3100  tts r1 c1 done 1000
        3110  playing r1                               [Speaking]
        4110  played r1 1000
        5000  llm r1 " It is"
        5005  llm r1 " noon."
        5010  llm r1 done                             -> tts r1 "It is noon."
        5100  tts r1 c2 done 1000
        6200  played r1 2000                           [Idle]
        """,
        SLOW,
    )
    assert state.conversation.messages[-1].text == "One moment, please. It is noon."


@pytest.mark.parametrize(
    ("token", "follows"), [("  It is", "It is"), (r"\nIt is", "\nIt is"), ("Xavier is", "Xavier is")]
)
def test_the_space_behind_a_filler_is_there_once_and_nothing_else_is_lost(token: str, follows: str) -> None:
    state = check(
        f"""
        500   typed "hello"                           -> open r1, llm r1 "hello"
        3000  timer                                   -> tts r1 "One moment, please."
        3100  llm r1 "{token}"
        """,
        SLOW,
    )
    assert state.response.run is not None
    assert state.response.run.text == f"One moment, please. {follows}"


def test_a_model_that_stops_in_the_middle_of_a_sentence_is_not_silence_and_the_next_goes_on() -> None:
    check(
        """
        500   typed "hello"                           -> open r1, llm r1 "hello"  [Generating]
        600   llm r1 "The table is"
        3000  timer                                   -> tts r1 "The table is…", tts r1 "One moment, please."
        3100  tts r1 c1 done 500
        3110  tts r1 c2 done 1000
        3120  playing r1                               [Speaking]
        4620  played r1 1500
        6600  timer                                   -> cancel llm r1, llm r1 system "Your last answer broke off where it ends above. Go on from exactly there; do not repeat what was said." by=spare
        6700  llm r1 " free at eight. "               -> tts r1 "free at eight."
        """,
        replace(SLOW, llm=("model", "spare")),
    )


def test_the_filler_for_a_slow_model_comes_after_its_question_not_after_the_last_sound() -> None:
    check(
        """
        500   typed "hello"                           -> open r1, llm r1 "hello"  [Generating]
        600   llm r1 calls look_up {}                 -> tool r1 t1 look_up {}
        610   llm r1 done tool_calls
        4000  tool t1 {}                              -> llm r1 tool "{}"
        6500  timer                                   -> tts r1 "One moment, please."
        """,
        replace(SLOW, tools=(ToolSpec("look_up"),), policy=Policy(filler_ns=0)),
    )


def test_an_answer_that_nobody_hears_has_no_filler_and_one_can_be_switched_off() -> None:
    script = """
        500   typed "hello"                           -> open r1, llm r1 "hello"  [Generating]
        5400
        """
    check(script, replace(SLOW, tts=()))
    check(script, replace(SLOW, policy=Policy(llm_filler_ns=0)))


def test_a_slow_model_with_no_filler_to_say_is_waited_for_in_silence() -> None:
    check(
        """
        500   typed "hello"                           -> open r1, llm r1 "hello"  [Generating]
        600   llm r1 "The table is"
        4000  llm r1 " free. "                        -> tts r1 "The table is free."
        """,
        replace(SLOW, policy=Policy(filler="")),
    )


def test_a_model_that_stalls_behind_its_first_sentence_is_filled_for_a_while_after_the_last_sound() -> None:
    state = check(
        r"""
        500   typed "hello"                           -> open r1, llm r1 "hello"
        600   llm r1 "\n\nIt is noon. And"            -> tts r1 "It is noon."
        650   tts r1 c1 done 2000
        700   playing r1
        2700  played r1 2000
        5200  timer                                   -> tts r1 "And… One moment, please."
        """,
        replace(CALLED, asr=()),
    )
    assert state.response.run is not None
    assert state.response.run.text == "\n\nIt is noon. And… One moment, please. "


def test_the_wait_for_one_tool_is_filled_also_when_another_does_not_exist() -> None:
    check(
        r"""
        500   typed "hello"                           -> open r1, llm r1 "hello"
        800   llm r1 calls no_such_tool {}
        805   llm r1 calls look_up {}                 -> tool r1 t2 look_up {}
        810   llm r1 done tool_calls
        2305  timer                                   -> tts r1 "One moment, please."
        """,
        CALLED,
    )
