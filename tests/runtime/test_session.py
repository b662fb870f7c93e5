"""One call from end to end: real rules, real pacing, and providers whose timing the test sets."""

import asyncio
import gc
import logging
import weakref

import pytest
from msgspec.structs import replace

from engine.core.commands import CancelLLM, CancelTTS, ClearPlayout, Commands, PausePlayout, ResumePlayout, StartASR
from engine.core.events import (
    AdapterFailed,
    ASRPartial,
    Event,
    InputRejected,
    InterruptRequested,
    LLMToken,
    PlayoutCleared,
    PlayoutDone,
    PlayoutPaused,
    RunCancelled,
    SayRequested,
    SessionEnded,
    SessionStarted,
    TimerFired,
    ToolResult,
    TransferFailed,
    TransportLost,
    TransportResumed,
    UserSpeechStarted,
    UserTextReceived,
)
from engine.core.policy import Policy
from engine.core.state import Phase, State
from engine.core.units import MS, SECOND
from engine.errors import FailureKind, TransportClosed
from engine.runtime import session as session_module
from engine.runtime.session import FAULT
from engine.transports.memory import MemoryTransport
from tests.fakes import CAPABILITIES, Call, fails, tool, virtually

LONG = "And the sun is shining brightly over the hills and the lake and the whole of the town today."


def spoken(call: Call) -> list[tuple[str, str]]:
    return [(message.role.value, message.text) for message in call.state.conversation.messages]


@virtually
async def test_a_question_is_answered() -> None:
    async with Call(greeting="Hello.") as call:
        call.brain.scripts = [[(100, "It is "), (20, "noon.")]]
        await call.pass_ms(1_500)
        await call.say("what time is it")
        await call.pass_ms(3_000)
        assert spoken(call) == [("assistant", "Hello."), ("user", "what time is it"), ("assistant", "It is noon.")]
        assert call.brain.asked[0].messages[-1].text == "what time is it"
        assert call.brain.asked[0].session == "test"
        phases = [phase for phase, _ in _runs(state.phase for _, state, _ in call.steps)]
        speech = [Phase.LISTENING, Phase.TRANSCRIBING, Phase.GENERATING, Phase.SPEAKING, Phase.IDLE]
        assert phases == [Phase.GENERATING, Phase.SPEAKING, Phase.IDLE, *speech]


def _runs(phases):  # type: ignore[no-untyped-def]
    last = None
    for phase in phases:
        if phase is not last:
            yield phase, None
        last = phase


@virtually
async def test_an_interruption_stops_everything_and_keeps_the_words_heard() -> None:
    async with Call() as call:
        call.brain.scripts = [[(100, "It is noon. "), (20, LONG + " "), (60_000, "never said")]]
        await call.say("what time is it")
        await call.pass_ms(2_500)
        await call.pass_ms(140, voice=True)
        assert call.facts(UserSpeechStarted)[-1]
        await call.pass_ms(20, voice=True)
        paused = call.facts(PlayoutPaused)
        assert len(paused) == 1
        assert call.peer.waiting_ns == 0
        call.stream.say(ASRPartial(ear=1, text="no stop"))
        await call.pass_ms(20, voice=True)
        assert call.orders(ClearPlayout)
        assert call.orders(CancelLLM)
        assert call.orders(CancelTTS)
        sent = [piece for piece in call.peer.sent if piece.run == 1]
        await call.pass_ms(2_000)
        assert call.brain.cancelled == [1]
        assert call.mouth.alive == 0
        assert [piece for piece in call.peer.sent if piece.run == 1] == sent
        assert call.facts(RunCancelled) == [RunCancelled(at=call.facts(RunCancelled)[0].at, run=1)]
        assert call.facts(PlayoutCleared)[0].heard_ns == paused[0].heard_ns
        heard = next(text for role, text in spoken(call) if role == "assistant")
        assert "It is noon. And" in heard
        assert f"It is noon. {LONG}".startswith(heard)
        assert heard != f"It is noon. {LONG}"


@virtually
async def test_a_cough_costs_the_agent_no_sample() -> None:
    async with Call() as call:
        call.brain.scripts = [[(50, LONG)]]
        await call.say("tell me")
        await call.pass_ms(1_500)
        await call.pass_ms(200, voice=True)
        await call.pass_ms(8_000)
        assert len(call.orders(PausePlayout)) == len(call.orders(ResumePlayout)) == 1
        ends = [(piece.start_sample, piece.start_sample + len(piece.sound) // 2) for piece in call.peer.played]
        assert [start for start, _ in ends[1:]] == [end for _, end in ends[:-1]]
        assert ends[0][0] == 0
        assert call.peer.played[-1].run == 1
        done = call.facts(PlayoutDone)[-1]
        assert done.heard_ns == len(LONG) * call.mouth.ms_per_char * MS
        assert ("assistant", LONG) in spoken(call)


@virtually
async def test_late_output_of_a_cancelled_run_reaches_neither_state_nor_wire() -> None:
    async with Call() as call:
        call.brain.scripts = [[(50, LONG), (50, " More and more of it is said."), (5_000, " Late.")]]
        call.brain.letting_go_ms = 500
        call.mouth.slowness = 0.9
        await call.say("tell me")
        await call.pass_ms(2_000)
        call.session.post(InterruptRequested())
        at, sent = call.state.at, len(call.peer.sent)
        await call.pass_ms(6_000)
        assert len(call.peer.sent) == sent
        assert [fact for fact in call.facts(LLMToken) if fact.at > at] == []
        cancelled = call.facts(RunCancelled)[0]
        assert 500 * MS <= cancelled.at - at <= 600 * MS
        assert call.state.counters.stale == 0


@virtually
async def test_a_provider_that_does_not_let_go_is_left_behind(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        async with Call() as call:
            call.brain.scripts = [[(50, LONG), (60_000, "late")]]
            call.brain.letting_go_ms = 30_000
            await call.say("tell me")
            await call.pass_ms(2_000)
            call.session.post(InterruptRequested())
            at = call.state.at
            await call.pass_ms(3_000)
            assert call.facts(RunCancelled)[0].at - at == 2 * SECOND
    assert "does not let go" in caplog.text


@virtually
async def test_tools_run_and_the_model_goes_on() -> None:
    async with Call(tools=(tool("book"),)) as call:
        call.brain.scripts = [[(50, "One moment. "), (10, ("book", '{"day":1}'))], [(50, "It is booked.")]]
        call.tools.delay_ms = 300
        await call.say("book me in")
        await call.pass_ms(4_000)
        assert call.tools.called == [("book", '{"day":1}')]
        assert [fact.output for fact in call.facts(ToolResult)] == ["done"]
        assert call.brain.asked[0].tools == (tool("book"),)
        assert ("assistant", "It is booked.") in spoken(call)


@virtually
async def test_a_failing_model_is_asked_once_more() -> None:
    async with Call() as call:
        call.brain.scripts = [[(50, fails(FailureKind.UNAVAILABLE))], [(50, "Here I am.")]]
        await call.say("hello")
        await call.pass_ms(3_000)
        assert [fact.kind for fact in call.facts(AdapterFailed)] == [FailureKind.UNAVAILABLE]
        assert ("assistant", "Here I am.") in spoken(call)


@virtually
async def test_a_fault_of_an_adapter_is_one_providers_trouble(caplog: pytest.LogCaptureFixture) -> None:
    async with Call() as call:
        call.brain.scripts = [[(50, ZeroDivisionError("a bug"))], [(50, "Here I am.")]]
        await call.say("hello")
        await call.pass_ms(3_000)
        assert [fact.kind for fact in call.facts(AdapterFailed)] == [FailureKind.PROTOCOL]
        assert ("assistant", "Here I am.") in spoken(call)
    assert "ZeroDivisionError" in caplog.text


@virtually
async def test_a_model_that_ends_without_saying_so_has_failed() -> None:
    async with Call() as call:
        call.brain.ends_silently = 1
        await call.say("hello")
        await call.pass_ms(3_000)
        assert [fact.kind for fact in call.facts(AdapterFailed)] == [FailureKind.CLOSED]


@virtually
async def test_a_lost_recogniser_is_replaced_and_hears_what_was_missed() -> None:
    async with Call() as call:
        await call.pass_ms(500)
        await call.pass_ms(200, voice=True)
        call.stream.say(fails(FailureKind.CLOSED))
        await call.pass_ms(400, voice=True)
        await call.pass_ms(200)
        assert len(call.ears.streams) == 2
        first, second = call.ears.streams
        assert first.closed
        assert len(second.heard) == (500 + 200 + 400 + 200) // 20
        assert [command.ear for command in call.orders(StartASR)] == [1, 2]


@virtually
async def test_a_recogniser_that_breaks_in_the_frame_path_is_replaced() -> None:
    async with Call() as call:
        await call.pass_ms(100)
        call.stream.hear = None  # type: ignore[method-assign,assignment]
        await call.pass_ms(1_000)
        assert [fact.kind for fact in call.facts(AdapterFailed)] == [FailureKind.PROTOCOL]
        assert len(call.ears.streams) == 2


@virtually
async def test_a_voice_that_fails_in_the_middle_loses_nothing_it_made() -> None:
    async with Call() as call:
        call.brain.scripts = [[(50, LONG)]]
        call.mouth.error, call.mouth.fails_after_ms, call.mouth.fails_on = fails(FailureKind.CLOSED), 1_000, LONG
        await call.say("tell me")
        await call.pass_ms(9_000)
        failed = call.facts(AdapterFailed)[0]
        assert failed.duration_ns == 1_000 * MS
        assert LONG.endswith(call.mouth.asked[-1].text)
        assert ("assistant", LONG) in spoken(call)


@virtually
async def test_facts_are_taken_one_after_the_other() -> None:
    async with Call() as call:
        depth, seen = 0, []

        def observer(event: Event, before: State, after: State, commands: Commands) -> None:
            nonlocal depth
            depth += 1
            assert depth == 1
            seen.append(event)
            if isinstance(event, UserTextReceived):
                call.session.post(SayRequested(text="first"))
                call.session.post(SayRequested(text="second"))
            depth -= 1

        call.session._observers.append(observer)
        call.session.post(UserTextReceived(text="hi"))
        assert [type(event) for event in seen] == [UserTextReceived, SayRequested, SayRequested]
        assert [event.text for event in seen[1:]] == ["first", "second"]


@virtually
async def test_time_is_read_once_for_a_fact_and_never_runs_backwards() -> None:
    async with Call(greeting="Hello there.") as call:
        await call.say("hm")
        times = [event.at for event, _, _ in call.steps]
        assert times == sorted(times)
        assert call.state.counters.backwards == 0


@virtually
async def test_the_timer_fires_when_the_rules_want_it() -> None:
    async with Call(policy=Policy(idle_ns=3 * SECOND), asr=()) as call:
        await asyncio.sleep(2.9)
        assert not call.facts(TimerFired)
        await asyncio.sleep(0.2)
        assert call.facts(TimerFired)[0].at == 3 * SECOND
        assert call.mouth.asked[0].text == Policy().idle_prompt


@virtually
async def test_an_observer_that_raises_is_told_nothing_more(caplog: pytest.LogCaptureFixture) -> None:
    async with Call() as call:

        def full_disk(event: Event, before: State, after: State, commands: Commands) -> None:
            raise OSError("no space left on device")

        call.session._observers.insert(0, full_disk)
        await call.say("hello")
        await call.pass_ms(2_000)
        assert ("assistant", "All right.") in spoken(call)
        rejected = call.facts(InputRejected)
        assert [(fact.source, fact.reason) for fact in rejected] == [("observer", "OSError")]


@virtually
async def test_a_broken_invariant_ends_this_call_and_is_said_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = session_module.reduce

    def broken(state: State, event: Event) -> tuple[State, Commands]:
        assert not isinstance(event, UserTextReceived), "a broken invariant"
        return real(state, event)

    monkeypatch.setattr(session_module, "reduce", broken)
    call = Call(greeting="Hello.")
    running = asyncio.create_task(call.session.run())
    await asyncio.sleep(1)
    call.session.post(UserTextReceived(text="boom"))
    outcome = await running
    assert outcome.faulty
    assert outcome.reason == FAULT
    assert "a broken invariant" in caplog.text
    assert call.stream.closed
    sent = len(call.peer.sent)
    call.session.post(SayRequested(text="after the end"))
    await asyncio.sleep(5)
    assert len(call.peer.sent) == sent


@virtually
async def test_facts_that_breed_without_end_are_a_broken_invariant(caplog: pytest.LogCaptureFixture) -> None:
    call = Call()

    def breed(event: Event, before: State, after: State, commands: Commands) -> None:
        if isinstance(event, InputRejected):
            call.session.post(InputRejected(source="test", reason="again"))
            call.session.post(InputRejected(source="test", reason="and again"))

    call.session._observers.append(breed)
    running = asyncio.create_task(call.session.run())
    await asyncio.sleep(0)
    call.session.post(InputRejected(source="test", reason="once"))
    assert (await running).faulty


@virtually
async def test_the_callers_hang_up_ends_everything() -> None:
    async with Call() as call:
        call.brain.scripts = [[(50, LONG), (60_000, "late")]]
        await call.say("tell me")
        await call.pass_ms(1_000)
    assert call.running is not None
    outcome = call.running.result()
    assert outcome.reason == "the caller hung up"
    assert outcome.state is not None
    assert outcome.state.ended == "the caller hung up"
    assert call.stream.closed
    assert call.brain.cancelled == [1]
    assert call.mouth.alive == 0
    assert [voice.closed for voice in call.mouth.voices] == [1]
    assert isinstance(call.steps[-1][0], SessionEnded)
    assert asyncio.all_tasks() == {asyncio.current_task()}


@virtually
async def test_the_rules_can_hang_up() -> None:
    async with Call(tools=(tool("bye", ends_call=True),)) as call:
        call.brain.scripts = [[(50, ("bye", "{}"))], [(50, "Goodbye.")]]
        await call.say("goodbye")
        await call.pass_ms(4_000)
        assert call.running is not None
        assert call.running.done()
        assert call.running.result().reason == "ended by the agent"
        assert call.facts(PlayoutDone)


@virtually
async def test_a_transport_that_does_not_hang_up_is_left() -> None:
    call = Call()

    async def deaf(reason: str) -> None:
        await asyncio.sleep(3_600)

    call.transport.hang_up = deaf  # type: ignore[method-assign]
    running = asyncio.create_task(call.session.run())
    await asyncio.sleep(1)
    call.session.hang_up("enough")
    assert (await running).reason == "enough"
    assert call.loop.time() == pytest.approx(7, abs=0.1)


@virtually
async def test_a_transport_that_breaks_ends_this_call_and_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    call = Call()

    async def broken(line: object) -> str:
        raise KeyError("a bug")

    call.transport.carry = broken  # type: ignore[method-assign,assignment]
    outcome = await call.session.run()
    assert outcome.faulty
    assert outcome.state is not None
    assert outcome.state.ended == FAULT


@virtually
async def test_a_cancelled_session_hangs_up_and_leaves_nothing() -> None:
    call = Call(greeting="Hello.")
    running = asyncio.create_task(call.session.run())
    await asyncio.sleep(0.5)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert call.state.ended == "stopped"
    assert asyncio.all_tasks() == {asyncio.current_task()}


@virtually
async def test_a_caller_who_comes_back_hears_the_rest() -> None:
    capabilities = replace(CAPABILITIES, grace_ns=10 * SECOND, reports=True)
    async with Call(capabilities) as call:
        call.brain.scripts = [[(50, LONG)]]
        await call.say("tell me")
        await call.pass_ms(1_500)
        heard = call.peer.played[-1]
        call.peer.drop()
        await asyncio.sleep(3)
        assert call.facts(TransportLost)
        again = MemoryTransport(capabilities)
        assert call.session.resume(again)
        call.transport, call.peer = again, again.peer
        again.peer.follow(call.loop.time_ns)
        await asyncio.sleep(0.01)
        assert call.facts(TransportResumed)
        assert again.peer.sent[0].start_sample == heard.start_sample + len(heard.sound) // 2
        await call.pass_ms(9_000)
        assert ("assistant", LONG) in spoken(call)


@virtually
async def test_a_caller_who_stays_away_has_hung_up() -> None:
    capabilities = replace(CAPABILITIES, grace_ns=2 * SECOND)
    call = Call(capabilities)
    running = asyncio.create_task(call.session.run())
    await asyncio.sleep(1)
    call.peer.drop("the connection broke")
    outcome = await running
    assert outcome.reason == "the connection broke"
    assert not call.session.resume(MemoryTransport(capabilities))
    assert call.loop.time() == pytest.approx(3, abs=0.1)


@virtually
async def test_a_transfer_this_wire_cannot_do_is_told() -> None:
    async with Call() as call:
        call.session.transfer("+15551234")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert "cannot be transferred" in call.facts(InputRejected)[0].reason
        failed = call.facts(TransferFailed)[0]
        assert (failed.target, failed.reason) == ("+15551234", "refused")
        assert call.session.state.response.run is not None
        assert call.session.state.response.run.text == call.session.state.setup.policy.not_transferred


@virtually
async def test_the_first_fact_names_the_call_and_its_setup() -> None:
    async with Call(greeting="Hello.") as call:
        first = call.steps[0][0]
        assert isinstance(first, SessionStarted)
        assert (first.call_id, first.setup.greeting, first.at) == ("test", "Hello.", 0)


@virtually
async def test_the_voice_is_connected_ahead_of_need() -> None:
    async with Call() as call:
        await asyncio.sleep(0)
        assert [voice.opened for voice in call.mouth.voices] == [1]


@virtually
async def test_a_lost_line_without_grace_is_the_end() -> None:
    call = Call()

    async def lost(line: object) -> str:
        raise TransportClosed("gone")

    call.transport.carry = lost  # type: ignore[method-assign,assignment]
    assert (await call.session.run()).reason == "gone"


@virtually
async def test_a_call_that_is_over_is_gone_without_a_collection() -> None:
    gc.collect()
    gc.disable()
    try:
        call = Call(greeting="Hello.")
        running = asyncio.create_task(call.session.run())
        await call.pass_ms(1_000)
        await call.say("hello")
        await call.pass_ms(1_000)
        call.peer.hang_up()
        await running
        session = weakref.ref(call.session)
        line = call.peer.line
        assert line is not None
        line.hear(bytes(640))
        line.marked("0.1.5")
        line.played(1, 5)
        line.rejected("late")
        call.session = None  # type: ignore[assignment]
        assert session() is None
    finally:
        gc.enable()


@virtually
async def test_hanging_up_while_the_line_is_lost_ends_the_wait() -> None:
    call = Call(replace(CAPABILITIES, grace_ns=60 * SECOND))
    running = asyncio.create_task(call.session.run())
    await asyncio.sleep(1)
    call.peer.drop("the connection broke")
    await asyncio.sleep(1)
    call.session.hang_up("enough")
    assert (await running).reason == "enough"
    assert call.loop.time() < 3


@virtually
async def test_hanging_up_on_a_call_that_is_ending_does_nothing() -> None:
    call = Call()
    call.brain.scripts = [[(50, LONG), (60_000, "late")]]
    call.brain.letting_go_ms = 1_500
    running = asyncio.create_task(call.session.run())
    await call.say("tell me")
    await call.pass_ms(1_000)
    call.peer.hang_up()
    await asyncio.sleep(0.5)
    assert not running.done()
    call.session.hang_up("the server is stopping")
    assert (await running).state is not None
