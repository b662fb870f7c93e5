"""The table: complete, total, deterministic, and each step writes only its slice."""

import inspect
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from engine.core import (
    conversation,
    ear,
    generation,
    idle,
    interruption,
    playout,
    recovery,
    reduce,
    response,
    speech,
    tools,
    turn,
)
from engine.core.commands import Commands, SetTimer, StartLLM
from engine.core.events import (
    AdapterFailed,
    ASREagerEndOfTurn,
    ASREndOfTurn,
    ASRFinal,
    ASROpened,
    ASRPartial,
    ASRStartOfTurn,
    ASRTurnResumed,
    CallAnswered,
    Clock,
    Event,
    InputRejected,
    LLMDone,
    LLMToken,
    LLMToolCall,
    Outages,
    PlayoutAdvanced,
    PlayoutCleared,
    PlayoutDone,
    PlayoutPaused,
    PlayoutStarted,
    SessionEnded,
    SessionStarted,
    Stage,
    TimerFired,
    ToolResult,
    TTSChunkDone,
    TTSStarted,
    TTSWords,
    UserSpeechStarted,
    UserSpeechStopped,
    UserTextReceived,
    Word,
)
from engine.core.policy import OnInterrupt, Setup, ToolSpec
from engine.core.reduce import PHASES, RULES, SETTLE, begin
from engine.core.state import Phase, State, TurnEnd
from engine.core.units import LIMITS, MS, SECOND
from engine.errors import FailureKind
from tests.script import assert_well_formed, check

SETUP = Setup(
    greeting="Hello.",
    asr=("ear", "spare ear"),
    llm=("model", "spare model"),
    tts=("voice", "spare voice"),
    tools=(
        ToolSpec("look_up"),
        ToolSpec("pay", on_interrupt=OnInterrupt.FINISH),
        ToolSpec("search", on_interrupt=OnInterrupt.DETACH),
        ToolSpec("goodbye", ends_call=True),
    ),
)

OUTAGES = (Outages(), Outages(llm=("model",)), Outages(asr=("ear",), llm=("model", "spare model"), tts=("voice",)))

WRITES = {
    turn: {"turn"},
    interruption: {"turn", "contest", "response", "playout", "tools", "conversation", "lost_at"},
    ear: {"ear"},
    tools: {"tools"},
    recovery: {"response"},
    generation: {"response"},
    response: {"response", "ended"},
    speech: {"playout"},
    playout: {"playout"},
    conversation: {"conversation"},
    idle: {"idle"},
    reduce: {"started", "setup", "seed", "outages", "answered_by", "counters"},
}
"""What each file may write. `interruption` alone may write several slices."""


def test_every_event_has_a_row_and_every_row_an_event() -> None:
    assert RULES.keys() == set(get_args(Event))


def test_every_phase_can_be_reached_and_left() -> None:
    assert PHASES.keys() == set(Phase)
    assert set().union(*PHASES.values()) == set(Phase)


def test_every_public_step_of_the_core_stands_in_the_table() -> None:
    used = {step for row in RULES.values() for step in row} | set(SETTLE)
    for module in WRITES:
        for name, function in inspect.getmembers(module, inspect.isfunction):
            written_here = function.__module__ == module.__name__ and not name.startswith("_")
            returns = inspect.signature(function).return_annotation
            if (
                written_here
                and returns == tuple[State, Commands]
                and name not in {"ask", "stop_run", "take_floor", "reduce"}
            ):
                assert function in used, f"{module.__name__}.{name} is never called"


SMALL = st.integers(0, 3)
AUDIO = st.integers(0, 20_000).map(lambda ms: ms * MS)
TEXTS = st.sampled_from(
    [
        "",
        "yes",
        "mm hmm",
        "stop",
        "what time is it?",
        "and",
        "my number is one two three",
        "Hello. How are you? ",
        "x" * 5_000,
    ]
)


def facts() -> st.SearchStrategy[Any]:
    """Any fact at all, sensible or not."""
    known: dict[str, st.SearchStrategy[Any]] = {
        "at": AUDIO,
        "audio_ns": AUDIO,
        "level_db": st.integers(-96, 0),
        "heard_ns": AUDIO,
        "duration_ns": AUDIO,
        "run": SMALL,
        "request": SMALL,
        "chunk": SMALL,
        "ear": SMALL,
        "call": SMALL,
        "text": TEXTS,
        "name": st.sampled_from(["look_up", "pay", "search", "goodbye", "unknown"]),
        "digit": st.sampled_from("0123456789*#"),
        "setup": st.just(SETUP),
        "outages": st.sampled_from(OUTAGES),
        "retry_ns": st.sampled_from([0, 100 * MS, 60 * SECOND]),
        "seed": st.integers(0, 2**62),
        "words": st.lists(st.builds(Word, st.integers(-1, 30), AUDIO), max_size=4).map(tuple),
        "speech_prob": st.floats(0, 1),
        "complete_prob": st.floats(0, 1),
    }

    def of(cls: type[Struct]) -> st.SearchStrategy[Any]:
        fields = {
            field.name: known.get(field.name, st.from_type(field.type) if field.type is not str else TEXTS)
            for field in msgspec.structs.fields(cls)
        }
        return st.builds(cls, **fields)

    return st.one_of([of(cls) for cls in get_args(Event) if cls is not SessionEnded])


def assert_bounded(state: State) -> None:
    assert len(state.conversation.messages) <= LIMITS.messages
    assert len(state.turn.text) <= LIMITS.transcript_chars
    assert len(state.playout.ledgers) <= LIMITS.runs_remembered + 1
    assert all(len(ledger.chunks) <= 2 * LIMITS.chunks for ledger in state.playout.ledgers)
    assert state.response.run is None or len(state.response.run.text) <= LIMITS.response_chars + 1_000
    assert len(state.tools.calls) <= 100


@settings(max_examples=300, deadline=None)
@given(st.lists(facts(), max_size=60))
def test_reduce_is_total_bounded_repeatable_and_well_formed_for_any_facts_in_any_order(events: list[Any]) -> None:
    first = again = begin()
    for event in [SessionStarted(setup=SETUP), *events]:
        before = first
        first, commands = reduce.reduce(first, event)
        again, repeated = reduce.reduce(again, event)
        assert commands == repeated
        assert_well_formed(first, commands)
        assert first.at >= before.at
        assert first.audio_ns >= before.audio_ns
        assert_bounded(first)
    assert first == again
    ended, commands = reduce.reduce(first, SessionEnded(at=first.at, reason="hang-up"))
    assert ended.deadlines.wall_ns is None
    after, nothing = reduce.reduce(ended, ASRFinal(at=ended.at, ear=1, text="hello"))
    assert nothing == ()
    assert after.counters.stale == ended.counters.stale + 1


@settings(max_examples=150, deadline=None)
@given(st.lists(facts(), max_size=60))
def test_each_step_writes_only_its_slice(events: list[Any]) -> None:
    state = begin()
    for event in [SessionStarted(setup=SETUP), *events]:
        timed = reduce._timed(state, event)
        if reduce._is_stale(timed, event):
            continue
        for step in RULES[type(event)]:
            timed = assert_writes(step, timed, step(timed, event)[0])
        for settle in SETTLE:
            timed = assert_writes(settle, timed, settle(timed)[0])
        state, _ = reduce.reduce(state, event)


def assert_writes(step: Any, before: State, after: State) -> State:
    allowed = WRITES[inspect.getmodule(step)]  # type: ignore[index]
    for field in msgspec.structs.fields(State):
        if field.name not in allowed:
            unchanged = getattr(before, field.name) is getattr(after, field.name)
            assert unchanged, f"{step.__module__}.{step.__name__} wrote {field.name}"
    return after


def test_state_holds_nothing_that_could_be_changed_in_place() -> None:
    plain = (int, float, str, bytes, bool, type(None))

    def look(cls: type[Struct], seen: set[type]) -> None:
        if cls in seen:
            return
        seen.add(cls)
        assert cls.__struct_config__.frozen, cls
        for field in msgspec.structs.fields(cls):
            for part in flat(field.type):
                if isinstance(part, type) and issubclass(part, Struct):
                    look(part, seen)
                else:
                    assert part is Ellipsis or issubclass(part, plain), f"{cls.__name__}.{field.name}: {part}"

    def flat(annotation: Any) -> list[Any]:
        inner = get_args(annotation)
        return [leaf for part in inner for leaf in flat(part)] if inner else [annotation]

    look(State, set())


def test_a_fact_of_a_dead_run_changes_nothing_but_a_counter() -> None:
    state, _ = reduce.reduce(begin(), SessionStarted(setup=SETUP))
    for event in (
        LLMToken(run=9, request=1, text="late"),
        LLMToolCall(run=9, request=1, call_id="1", name="look_up", arguments="{}"),
        LLMDone(run=9, request=1),
        TTSStarted(run=9, chunk=1),
        TTSWords(run=9, chunk=1, words=()),
        TTSChunkDone(run=9, chunk=1, duration_ns=1),
        PlayoutStarted(run=9),
        PlayoutAdvanced(run=9, heard_ns=1),
        PlayoutPaused(run=9, heard_ns=1),
        PlayoutCleared(run=9, heard_ns=1),
        PlayoutDone(run=9, heard_ns=1),
        ToolResult(call=9, output="{}"),
        ASROpened(ear=9),
        ASRPartial(ear=9, text="late"),
        ASRFinal(ear=9, text="late"),
        ASRStartOfTurn(ear=9),
        ASREagerEndOfTurn(ear=9, text="late"),
        ASRTurnResumed(ear=9),
        ASREndOfTurn(ear=9, text="late"),
        *(
            AdapterFailed(stage=stage, provider="x", kind=FailureKind.TIMEOUT, run=9, request=9, chunk=9, ear=9)
            for stage in Stage
        ),
    ):
        after, commands = reduce.reduce(state, event)
        assert commands == ()
        assert after == msgspec.structs.replace(
            state, counters=msgspec.structs.replace(state.counters, stale=state.counters.stale + 1)
        )


def test_facts_before_the_session_and_a_second_beginning_are_stale() -> None:
    state, commands = reduce.reduce(begin(), ASRPartial(ear=1, text="hello"))
    assert (state.counters.stale, commands) == (1, ())
    state, _ = reduce.reduce(state, SessionStarted(setup=SETUP))
    again, commands = reduce.reduce(state, SessionStarted(setup=Setup()))
    assert (again.setup, commands) == (SETUP, ())


def test_time_never_runs_backwards() -> None:
    state, _ = reduce.reduce(begin(), SessionStarted(at=5 * SECOND, setup=SETUP))
    state, _ = reduce.reduce(state, ASROpened(at=1 * SECOND, ear=1))
    assert (state.at, state.counters.backwards) == (5 * SECOND, 1)
    state, _ = reduce.reduce(state, CallAnswered(at=5 * SECOND, by="human"))
    assert (state.at, state.counters.backwards) == (5 * SECOND, 1), "two facts of one moment are in order"


def test_the_callers_sound_never_runs_backwards_and_is_known_as_far_as_any_fact_has_told() -> None:
    state, _ = reduce.reduce(begin(), SessionStarted(at=5 * SECOND, setup=SETUP))
    places = []
    for event in (
        UserSpeechStarted(at=5 * SECOND, audio_ns=100),
        UserSpeechStopped(at=5 * SECOND, audio_ns=200, heard_ns=300),
        UserSpeechStarted(at=5 * SECOND, audio_ns=50, heard_ns=60),
        TimerFired(at=4 * SECOND, clock=Clock.AUDIO, audio_ns=400),
        TimerFired(at=6 * SECOND, clock=Clock.WALL, audio_ns=900),
        TimerFired(at=6 * SECOND, clock=Clock.AUDIO, audio_ns=10),
    ):
        state, _ = reduce.reduce(state, event)
        places.append(state.audio_ns)
    assert places == [100, 300, 300, 400, 400, 400]


def test_two_rules_that_undo_each_other_end_the_call_and_do_not_hang_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def flip(state: State) -> tuple[State, Commands]:
        return msgspec.structs.replace(state, answered_by="" if state.answered_by else "human"), ()

    monkeypatch.setattr(reduce, "SETTLE", (flip,))
    with pytest.raises(AssertionError, match=r"^two rules undo each other$"):
        reduce.reduce(begin(), SessionStarted(setup=SETUP))


def test_unusable_input_is_counted() -> None:
    state, _ = reduce.reduce(begin(), SessionStarted(setup=SETUP))
    state, commands = reduce.reduce(state, InputRejected(source="twilio", reason="not JSON"))
    assert (state.counters.rejected, commands) == (1, ())


def test_a_timer_is_ordered_only_when_a_deadline_changed() -> None:
    state, commands = reduce.reduce(begin(), SessionStarted(setup=SETUP))
    assert sum(isinstance(command, SetTimer) for command in commands) == 1
    state, commands = reduce.reduce(state, InputRejected(source="x", reason="y"))
    assert commands == ()


def test_ten_thousand_tokens_in_a_burst_end_the_answer_at_its_limit() -> None:
    state, _ = reduce.reduce(begin(), SessionStarted(setup=Setup(llm=("model",), tts=("voice",))))
    state, commands = reduce.reduce(state, UserTextReceived(at=1, text="hello"))
    request = next(command for command in commands if isinstance(command, StartLLM))
    for count in range(10_000):
        state, _ = reduce.reduce(state, LLMToken(at=2 + count, run=request.run, request=request.request, text="word. "))
    assert state.response.run is not None
    assert len(state.response.run.text) == LIMITS.response_chars
    assert state.response.run.written
    assert state.counters.stale > 0


def test_a_megabyte_of_transcript_ends_the_turn_at_its_limit() -> None:
    state, _ = reduce.reduce(begin(), SessionStarted(setup=Setup(asr=("ear",), llm=("model",), tts=("voice",))))
    state, _ = reduce.reduce(state, ASROpened(at=1, ear=1))
    state, commands = reduce.reduce(state, ASRFinal(at=2, ear=1, text="word " * 200_000))
    asked = next(command for command in commands if isinstance(command, StartLLM))
    assert len(asked.messages[-1].text) <= LIMITS.transcript_chars
    assert state.turn.last_end is TurnEnd.FULL


def test_the_session_survives_contradictory_facts() -> None:
    state, _ = reduce.reduce(begin(), SessionStarted(setup=SETUP))
    for event in (
        UserSpeechStopped(at=1, audio_ns=0),
        UserSpeechStopped(at=2, audio_ns=10),
        UserSpeechStarted(at=3, audio_ns=5),
        UserSpeechStarted(at=4, audio_ns=1),
        ASRFinal(at=5, ear=7, text="for a stream that never was"),
        LLMDone(at=6, run=1, request=1),
        LLMToken(at=7, run=1, request=1, text="after done"),
        PlayoutDone(at=8, run=1, heard_ns=10**15),
        PlayoutStarted(at=9, run=1),
        TimerFired(at=10, clock=Clock.AUDIO, audio_ns=3),
    ):
        state, _ = reduce.reduce(state, event)
    assert state.phase in Phase


@pytest.mark.parametrize("phase", list(Phase))
def test_no_phase_moves_to_itself_in_the_table(phase: Phase) -> None:
    assert phase not in PHASES[phase]


def test_sound_of_a_run_that_was_cut_is_late_and_so_is_a_chunk_that_is_done_twice() -> None:
    state = check(
        """
        500   typed "hello"                           -> open r1, llm r1 "hello"
        600   llm r1 "One. "                          -> tts r1 "One."
        700   llm r1 "Two. "                          -> tts r1 "Two."
        800   tts r1 c1 done 300
        810   tts r1 c1 done 700
        820   typed "stop"                            -> clear r1, cancel r1, open r2, llm r2 "hello stop"
        900   tts r1 c2 done 500
        910   tts r1 c2 failed timeout
        """
    )
    assert state.counters.stale == 3
    assert [chunk.duration_ns for chunk in state.playout.ledgers[0].chunks] == [300 * MS, None]


def test_what_is_told_of_a_guess_that_nobody_may_hear_yet_was_not_heard() -> None:
    state = check(
        """
        0     asr open
        500   caller speaks
        1400  asr final "what time is it?"
        1500  caller quiet
        1620  timer                                   -> llm r1 "what time is it?"
        1700  playing r1                               [Transcribing]
        1710  heard r1 500
        1720  played r1 500
        1850  timer                                   -> open r1  [Generating]
        """
    )
    assert state.counters.stale == 3
    assert (state.playout.ledgers[0].started_at, state.playout.ledgers[0].heard_ns) == (None, 0)


def test_the_answer_to_a_question_that_was_asked_again_is_late() -> None:
    state = check(
        """
        500   typed "hello"                           -> open r1, llm r1 "hello"
        600   llm r1 failed unavailable
        785   timer                                   -> llm r1 "hello"
        790   llm r1 q1 "Late."
        800   llm r1 q1 failed unavailable
        """
    )
    assert state.counters.stale == 2


def test_a_recogniser_that_is_being_replaced_is_listened_to_no_more() -> None:
    state = check(
        """
        0     asr open
        100   asr failed unavailable                  -> stop asr
        150   asr partial "late"
        160   asr failed unavailable
        """
    )
    assert state.counters.stale == 2
