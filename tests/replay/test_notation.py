"""Every fact and every order can be written and read back; what is left out follows from the call."""

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from engine.core.commands import (
    CancelLLM,
    CancelTTS,
    ClearPlayout,
    Message,
    Order,
    Role,
    SetTimer,
    StartASR,
    StartLLM,
    Synthesize,
)
from engine.core.events import (
    AdapterFailed,
    ASRFinal,
    Event,
    LLMToken,
    SessionStarted,
    Stage,
    TimerFired,
    UserSpeechStarted,
)
from engine.core.policy import Policy, Setup
from engine.errors import FailureKind
from engine.replay.lexer import NotationError, tokens
from engine.replay.notation import (
    SILENT,
    Context,
    parse_command,
    parse_event,
    read_event,
    read_expected,
    write_command,
    write_commands,
    write_event,
    write_step,
)
from engine.replay.script import parse_script

LIMITS = {"first_ns": Policy().tts_first_ns, "whole_ns": Policy().tts_chunk_ns}
TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=30) | st.sampled_from(
    [
        "",
        "r1",
        "5",
        "#",
        '{"a": 1}',
        "{oops",
        '["x"]',
        'say "no", then',
        "never",
        "yes",
        "a=b",
        "-> x",
        "\x1b[31m",
        "\u2028",
        "<script>",
    ]
)
st.register_type_strategy(str, TEXT)
st.register_type_strategy(int, st.integers(0, 2**53))
st.register_type_strategy(float, st.floats(0, 1))


def values(union: Any) -> st.SearchStrategy[Any]:
    return st.one_of([st.builds(cls, **_fields(cls)) for cls in get_args(union)])


def _fields(cls: type[Struct]) -> dict[str, st.SearchStrategy[Any]]:
    """Everything drawn, defaults too. The policy is drawn in few fields: it has many."""
    if cls is SessionStarted:
        return {
            "setup": st.builds(Setup, policy=st.builds(Policy, idle_ns=st.integers(0, 10), filler=TEXT), greeting=TEXT)
        }
    return dict.fromkeys(cls.__struct_fields__, ...)  # type: ignore[misc]


@given(values(Event))
def test_every_fact_reads_back_as_written(event: Event) -> None:
    text = write_event(event)
    assert "\n" not in text
    assert parse_event(text, event.at) == event


@given(values(Order))
def test_every_order_reads_back_as_written(command: Order) -> None:
    assert parse_command(write_command(command)) == command


@given(st.lists(st.tuples(values(Event), st.lists(values(Order), max_size=3)), max_size=6))
def test_a_written_call_reads_back_line_by_line(steps: list[tuple[Event, list[Order]]]) -> None:
    writer, reader = Context(), Context()
    steps.sort(key=lambda step: step[0].at)
    text = "recorded by a test\n" + "\n".join(write_step(event, tuple(commands), writer) for event, commands in steps)
    script = parse_script(text)
    assert script.recorded
    assert len(script.lines) == len(steps)
    for line, (event, commands) in zip(script.lines, steps, strict=True):
        assert read_event(list(line.fact), line.at, reader, line.at) == event
        shown = [command for command in commands if not isinstance(command, SILENT)]
        assert all(expected.fits(command) for expected, command in zip(line.orders, shown, strict=True))
        reader.saw(event)
        write_commands(commands, reader)


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (UserSpeechStarted(audio_ns=1_000_000_000), "caller speaks @1000"),
        (ASRFinal(ear=1, text='what "time"?'), r'asr e1 final "what \"time\"?"'),
        (LLMToken(run=1, request=2, text="It is noon."), 'llm r1 q2 "It is noon."'),
        (TimerFired(), "timer"),
        (AdapterFailed(stage=Stage.LLM, provider="groq", kind=FailureKind.RATE_LIMITED, run=3, request=4, retry_ns=1_500_000),
         "llm r3 q4 failed rate_limited by=groq retry=1.5"),
    ],
)  # fmt: skip
def test_facts_read_like_this(event: Event, text: str) -> None:
    assert write_event(event) == text
    assert parse_event(text) == event


def test_what_follows_from_the_call_is_left_out() -> None:
    context = Context()
    setup = Setup(asr=("ear",), llm=("model",), tts=("voice",))
    ask = StartLLM(
        run=1, request=1, provider="model", messages=(Message(Role.SYSTEM, "Be brief."), Message(Role.USER, "hi"))
    )
    context.saw(SessionStarted(setup=setup))
    context.saw_order(StartASR(ear=1, provider="ear"))
    assert write_commands((ask,), context) == 'llm r1 "hi"'
    assert write_event(LLMToken(run=1, request=1, text="Hello"), context) == 'llm r1 "Hello"'
    assert (
        write_commands((Synthesize(run=1, chunk=1, provider="voice", text="Hello.", **LIMITS),), context)
        == 'tts r1 "Hello."'
    )
    assert (
        write_commands((Synthesize(run=1, chunk=2, provider="spare", text="Bye.", **LIMITS),), context)
        == 'tts r1 "Bye." by=spare'
    )
    assert write_event(ASRFinal(ear=1, text="yes"), context) == 'asr final "yes"'
    assert write_event(ASRFinal(ear=2, text="yes"), context) == 'asr e2 final "yes"'
    assert parse_event('llm r1 "Hello"', 5, context) == LLMToken(at=5, run=1, request=1, text="Hello")


def test_cancelling_model_and_voice_of_a_run_is_one_phrase() -> None:
    commands = (
        ClearPlayout(run=1),
        CancelLLM(run=1, request=1),
        CancelTTS(run=1),
        SetTimer(wall_ns=None, audio_ns=None),
    )
    context = Context()
    context.request[1] = 1
    text = write_commands(commands, context)
    assert text == "clear r1, cancel r1"
    expected = read_expected(tokens(text))
    assert [each.cls for each in expected] == [ClearPlayout, CancelLLM, CancelTTS]


def test_an_order_is_compared_in_what_is_said_of_it() -> None:
    (expected,) = read_expected(tokens('llm r1 tool "noon"'))
    ask = StartLLM(run=1, request=7, provider="any", messages=(Message(Role.TOOL, "noon"),))
    assert expected.fits(ask)
    assert not expected.fits(StartLLM(run=2, request=7, provider="any", messages=(Message(Role.TOOL, "noon"),)))
    assert not expected.fits(StartLLM(run=1, request=7, provider="any", messages=(Message(Role.USER, "noon"),)))


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("0 caller flies", "nothing is called"),
        ("0 heard r1 12 13", "no place for '13'"),
        ("0 heard 12", "must say 'run'"),
        ("0 heard r1 x", "no number of milliseconds"),
        ("0 asr final \"open", "a quote is not closed"),
        ("0 asr e1 final \"x\" colour=red", "no field"),
        ("5 line lost\n4 line back", "time runs backwards"),
        ("-> clear r1", "line 1"),
    ],
)  # fmt: skip
def test_a_line_that_cannot_be_read_is_named(line: str, complaint: str) -> None:
    with pytest.raises(NotationError, match=complaint):
        tuple(read_event(list(each.fact), each.at) for each in parse_script(line).lines)


def test_orders_may_go_on_in_the_next_line() -> None:
    script = parse_script('0 interrupt -> clear r1\n  -> hang up "done"  [Idle]  # why')
    assert len(script.lines) == 1
    assert len(script.lines[0].orders) == 2
    assert script.lines[0].phase == "Idle"
