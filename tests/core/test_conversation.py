"""The history holds what was heard."""

from msgspec.structs import replace

from engine.core.commands import CallMade, Message, Role
from engine.core.conversation import RUNNING
from engine.core.events import ASRPartial, LLMDone, LLMToken, SessionStarted, TimerFired, UserTextReceived
from engine.core.policy import OnInterrupt, Policy, Setup, ToolSpec
from engine.core.reduce import begin, reduce
from engine.core.state import State
from engine.core.units import LIMITS, MS
from tests.core.calls import SPEAKING
from tests.script import check

TYPED = Setup(llm=("model",), tts=("voice",), tools=(ToolSpec("look_up", on_interrupt=OnInterrupt.DETACH),))


def texts(state: State) -> list[str]:
    return [message.text for message in state.conversation.messages]


def test_a_later_mark_tells_that_more_was_heard() -> None:
    state = check(
        SPEAKING
        + """
        2400  caller speaks
        2520  timer                                   -> pause r1
        2521  paused r1 400
        2600  asr partial "actually"                  -> clear r1, cancel r1  [Interrupted]
        2700  cleared r1 800                           [Transcribing]
        """
    )
    assert state.conversation.messages[-1].text == "It is noon."


def test_an_answer_of_which_nothing_was_heard_leaves_nothing() -> None:
    state = check(
        SPEAKING
        + """
        2050  caller speaks
        2170  timer                                   -> pause r1
        2171  paused r1 0
        2300  asr partial "actually"                  -> clear r1, cancel r1  [Interrupted]
        """
    )
    assert [m.role for m in state.conversation.messages] == [Role.USER]


def test_an_answer_that_was_cut_in_the_moment_it_began_leaves_nothing() -> None:
    state = check(
        """
        0     asr open
        100   say "Hello."                            -> open r1, tts r1 "Hello."
        110   typed "hi"                              -> clear r1, cancel tts r1, open r2, llm r2 "hi"
        """,
        replace(TYPED, asr=("ear",)),
    )
    assert texts(state) == ["hi"]


def test_what_was_guessed_in_vain_leaves_nothing_also_where_answers_are_only_read() -> None:
    state = check(
        """
        0     asr open
        500   caller speaks
        1400  asr partial "book it for ten."
        1500  caller quiet
        1620  timer                                   -> llm r1 "book it for ten."
        1640  llm r1 "Booked for ten."
        1645  asr partial "book it for two."          -> clear r1, cancel r1
        """,
        Setup(asr=("ear",), llm=("model",)),
    )
    assert texts(state) == []


def test_what_the_history_has_forgotten_is_not_written_down_again() -> None:
    typed = Setup(llm=("model",))
    state = check('500 typed "hello" -> open r1, llm r1 "hello"\n600 llm r1 "Noon."\n610 llm r1 done', typed)
    assert texts(state) == ["hello", "Noon."]
    state = replace(state, conversation=replace(state.conversation, messages=()))
    for event in (
        UserTextReceived(at=700 * MS, text="thanks"),
        LLMToken(at=800 * MS, run=2, request=2, text="Bye."),
        LLMDone(at=810 * MS, run=2, request=2),
    ):
        state, _ = reduce(state, event)
    assert texts(state) == ["thanks", "Bye."]


def test_a_turn_that_follows_another_directly_is_the_rest_of_it() -> None:
    state = check(
        """
        500   typed "hello"                           -> open r1, llm r1 "hello"  [Generating]
        600   llm r1 "Noon."
        610   llm r1 done                             -> tts r1 "Noon."
        700   tts r1 c1 done 500
        710   playing r1                               [Speaking]
        1210  played r1 500                            [Idle]
        2000  typed "is Monday"                       -> open r2, llm r2 "is Monday"  [Generating]
        2100  typed "free"                            -> clear r2, cancel r2, open r3, llm r3 "is Monday free"  [Cancelled]
        """,
        TYPED,
    )
    assert texts(state) == ["hello", "Noon.", "is Monday free"]


NOTICE = """
        0     asr open                                 [Idle]
        100   say "This call is recorded." interruptible=no -> open r1, tts r1 "This call is recorded."  [Generating]
        200   tts r1 c1 done 4000
        210   playing r1                               [Speaking]
        600   caller speaks
        1200  asr final "I need some help."
        1300  caller quiet
"""
"""The caller speaks into what cannot be cut."""


def test_a_turn_taken_during_speech_that_cannot_be_cut_stands_behind_it_and_is_answered() -> None:
    state = check(
        NOTICE
        + """
        2000  heard r1 1500
        4210  played r1 4000                          -> open r2, llm r2 "I need some help."  [Generating]
        """
    )
    assert texts(state) == ["This call is recorded.", "I need some help."]


def test_what_the_caller_says_into_such_speech_is_kept_at_once_and_goes_on_behind_it() -> None:
    state = check(f"{NOTICE}\n 1700")
    assert texts(state) == ["This call is recorded.", "I need some help."]
    state = check(
        NOTICE
        + """
        2000  caller speaks
        2600  asr final "With my bill."
        2700  caller quiet
        4210  played r1 4000                          -> open r2, llm r2 "I need some help. With my bill."  [Generating]
        """
    )
    assert texts(state) == ["This call is recorded.", "I need some help. With my bill."]


def test_such_speech_of_which_nothing_was_heard_leaves_nothing_before_the_turn() -> None:
    state = check(
        NOTICE.replace("200   tts r1 c1 done 4000", "").replace(
            "210   playing r1                               [Speaking]", ""
        )
        + """
        2000  tts r1 c1 failed rejected               -> cancel tts r1, clear r1, cancel tts r1, open r2, llm r2 "I need some help."
        """
    )
    assert texts(state) == ["I need some help."]


def test_an_answer_that_a_turn_did_not_cut_stands_once_in_its_own_next_question() -> None:
    """Two words take the floor here, so one said softly is a turn of its own behind the answer."""
    state = check(
        """
        0     asr open
        100   typed "is Monday free"                  -> open r1, llm r1 "is Monday free"  [Generating]
        600   llm r1 calls look_up {}                 -> tool r1 t1 look_up {} timeout=20000
        610   llm r1 done tool_calls
        700   caller speaks level_db=-60
        900   asr final "Hello?"
        1000  caller quiet
        1500  tool t1 "yes"                           -> llm r1 tool "yes"
        1600  llm r1 "It is."
        1610  llm r1 done                             -> tts r1 "It is."
        1700  tts r1 c1 done 300
        1710  playing r1                               [Speaking]
        2010  played r1 300                           -> open r2, llm r2 "Hello?"  [Generating]
        """,
        replace(TYPED, asr=("ear",), policy=Policy(interrupt_words=2)),
    )
    said = [(message.role, message.text) for message in state.conversation.messages]
    assert said == [
        (Role.USER, "is Monday free"),
        (Role.ASSISTANT, ""),
        (Role.TOOL, "yes"),
        (Role.ASSISTANT, "It is."),
        (Role.USER, "Hello?"),
    ]


def test_an_answer_cut_while_its_sound_is_still_made_counts_as_far_as_the_usual_rate_of_speech() -> None:
    state = check(
        """
        500   typed "hello"                           -> open r1, llm r1 "hello"  [Generating]
        600   llm r1 "It is noon in Paris."
        610   llm r1 done                             -> tts r1 "It is noon in Paris."
        700   tts r1 c1 starts
        710   playing r1                               [Speaking]
        1310  heard r1 600
        1320  interrupt                               -> clear r1, cancel tts r1  [Interrupted]
        """,
        TYPED,
    )
    assert texts(state) == ["hello", "It is"]


def test_a_tool_that_has_not_answered_is_told_of_as_running_and_its_result_takes_that_place() -> None:
    asked = """
        500   typed "is Monday free"                  -> open r1, llm r1 "is Monday free"  [Generating]
        600   llm r1 calls look_up {}                 -> tool r1 t1 look_up {} timeout=20000
        610   llm r1 done tool_calls
        700   typed "hello?"                          -> clear r1, cancel tts r1, open r2, llm r2 "hello?"  [Cancelled]
    """
    called = (CallMade("call_1", "look_up", "{}"),)
    history = [
        Message(role=Role.USER, text="is Monday free"),
        Message(role=Role.ASSISTANT, calls=called, run=1),
        Message(role=Role.TOOL, text=RUNNING, call_id="call_1", run=1),
        Message(role=Role.USER, text="hello?"),
    ]
    assert list(check(asked, TYPED).conversation.messages) == history
    history[2] = replace(history[2], text="yes")
    assert list(check(f'{asked}\n 800 tool t1 "yes"', TYPED).conversation.messages) == history


def test_the_oldest_is_forgotten_but_the_history_never_begins_with_the_answer_to_a_forgotten_call() -> None:
    said = Message(role=Role.ASSISTANT, text="Noon.")
    answered = Message(role=Role.TOOL, text="12")

    def after_one_more(*oldest: Message) -> tuple[Message, ...]:
        state, _ = reduce(begin(), SessionStarted(setup=TYPED))
        history = (*oldest, *(said for _ in range(LIMITS.messages - len(oldest))))
        state = replace(state, conversation=replace(state.conversation, messages=history))
        state, _ = reduce(state, UserTextReceived(at=1, text="hello"))
        assert state.conversation.messages[-1].text == "hello"
        return state.conversation.messages

    assert len(after_one_more()) == LIMITS.messages
    kept = after_one_more(said, answered, answered)
    assert len(kept) == LIMITS.messages - 2
    assert kept[0] == said
    call = replace(said, calls=(CallMade("", "look_up", "{}"),))
    assert after_one_more(said, call, answered)[:2] == (call, answered)


def test_a_backchannel_that_makes_the_history_too_long_leaves_no_answer_to_a_forgotten_call() -> None:
    state = check(SPEAKING)
    said, answered = Message(role=Role.ASSISTANT, text="Noon."), Message(role=Role.TOOL, text="12")
    history = (said, answered, *(said for _ in range(LIMITS.messages - 2)))
    state = replace(state, conversation=replace(state.conversation, messages=history))
    state, _ = reduce(state, ASRPartial(at=2_400 * MS, ear=1, text="mm hmm"))
    state, _ = reduce(state, TimerFired(at=2_750 * MS))
    assert len(state.conversation.messages) == LIMITS.messages - 1
    assert (state.conversation.messages[0], state.conversation.messages[-1].text) == (said, "mm hmm")
