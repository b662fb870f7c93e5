"""What the model contributes to the live run, round by round."""

from engine.core.commands import Role
from engine.core.policy import Policy, Setup, ToolSpec
from engine.core.units import MS
from tests.script import check

CALLED = Setup(
    asr=("ear",),
    llm=("model",),
    tts=("voice",),
    tools=(
        ToolSpec("look_up"),
        ToolSpec("good_bye", ends_call=True),
        ToolSpec("put_through", transfers_call=True),
    ),
)
HEDGED = Setup(llm=("model", "spare"), tts=("voice",), policy=Policy(llm_hedge_ns=600 * MS))


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
