"""What every adapter promises, asked of each because it is registered. Each speaks to its own simulated provider."""

import asyncio
import gc
import json
import logging
import tracemalloc
from contextlib import aclosing

import pytest

from engine.adapters import synthesis
from engine.adapters.base import LLMRequest, SpeechRequest
from engine.adapters.registry import PROVIDERS, provider_class
from engine.core.commands import CallMade, Message, Role
from engine.core.events import ASROpened, LLMDone, LLMToken, LLMToolCall, Stage
from engine.core.policy import ToolSpec
from engine.core.units import FRAME_BYTES, MS, SECOND
from engine.errors import AdapterError, FailureKind
from engine.sandbox import SERVERS, simulated
from engine.sandbox.base import Behaviour, Fault
from engine.sandbox.speech import timings
from tests.adapters.drive import (
    WATCHDOG_S,
    answered,
    exercise,
    gather,
    listen,
    make,
    opened,
    options_for,
    question,
    running,
    say,
    until,
    words,
)
from tests.adapters.drive import (
    frames as frames_of,
)

pytestmark = pytest.mark.anyio


def memory_of(work, *given):
    """The most memory that was taken at once while that was done, in bytes."""
    tracemalloc.start()
    try:
        work(*given)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


PLAIN_SOUND = {"openai_speech", "azure", "piper"}
SECRET = "sk-very-secret-4711"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
HEADERS = (("traceparent", TRACE),)
REMOTE = [(stage, name) for stage, names in PROVIDERS.items() for name in names if name in SERVERS[stage]]
WEB = [found for found in REMOTE if found[1] != "wyoming"]
"""All but a plain TCP peer, which knows neither status nor TLS."""
KEYED = [(stage, name) for stage, name in REMOTE if provider_class(stage, name).key_env]


def of(stage):
    return [name for found, name in REMOTE if found is stage]


async def failure(stage, name, behaviour=None, **options):
    """The error that an adapter meets."""
    server = simulated(stage, name, behaviour)
    async with server.serve():
        with pytest.raises(AdapterError) as caught:
            await exercise(stage, make(stage, name, server, **options))
    assert caught.value.provider == name
    return caught.value


@pytest.mark.parametrize(("stage", "name"), [(stage, name) for stage, names in PROVIDERS.items() for name in names])
class TestEveryAdapter:
    def test_it_is_what_the_registry_calls_it(self, stage, name):
        kind = provider_class(stage, name)
        assert kind.name == name
        assert kind.key_env == kind.key_env.upper()

    def test_only_one_that_learns_the_agents_domain_has_an_option_of_that_name(self, stage, name):
        # The configuration fills it with the words callers are likely to say: a service must not be sent them by chance.
        assert ("domain" in provider_class(stage, name).options.__struct_fields__) == (name == "pocketsphinx")

    def test_its_options_hide_the_key(self, stage, name):
        options = options_for(stage, name, api_key=SECRET)
        assert SECRET not in repr(options)
        assert SECRET not in str(options)


@pytest.mark.parametrize(("stage", "name"), REMOTE)
class TestEveryRemoteAdapter:
    async def test_it_works(self, stage, name):
        server = simulated(stage, name)
        async with server.serve():
            assert await exercise(stage, make(stage, name, server))

    async def test_it_says_whether_it_is_ready(self, stage, name):
        server = simulated(stage, name)
        async with server.serve():
            provider = make(stage, name, server)
            await provider.ready()
        with pytest.raises(AdapterError) as caught:
            await provider.ready()
        await provider.stop()
        assert caught.value.kind in (FailureKind.UNAVAILABLE, FailureKind.CLOSED)

    async def test_nobody_there_is_unavailable(self, stage, name):
        server = simulated(stage, name)
        async with server.serve():
            pass
        with pytest.raises(AdapterError) as caught:
            await exercise(stage, make(stage, name, server))
        assert caught.value.kind is FailureKind.UNAVAILABLE

    async def test_nonsense_is_a_protocol_error(self, stage, name):
        error = await failure(stage, name, Behaviour(fault=Fault.GARBAGE))
        assert error.kind is FailureKind.PROTOCOL

    async def test_a_line_that_breaks_is_told(self, stage, name):
        error = await failure(stage, name, Behaviour(fault=Fault.CLOSE))
        assert error.kind in (FailureKind.CLOSED, FailureKind.UNAVAILABLE)

    async def test_an_error_it_sends_itself_is_a_kind(self, stage, name):
        error = await failure(stage, name, Behaviour(fault=Fault.ERROR))
        # Where plain sound is all that comes, there is no room for words, and the line just breaks.
        closed = {FailureKind.CLOSED} if name in PLAIN_SOUND else set()
        assert error.kind in {FailureKind.UNAVAILABLE, FailureKind.RATE_LIMITED, FailureKind.REJECTED} | closed

    async def test_a_stall_can_be_cancelled(self, stage, name):
        server = simulated(stage, name, Behaviour(fault=Fault.STALL))
        async with server.serve():
            provider = make(stage, name, server)
            task = asyncio.create_task(exercise(stage, provider))
            await asyncio.wait([task], timeout=0.4)
            assert not task.done()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    async def test_nothing_is_left_behind(self, stage, name):
        server = simulated(stage, name)
        async with server.serve():
            await exercise(stage, make(stage, name, server))
        gc.collect()
        ours = [task for task in asyncio.all_tasks() if "engine/adapters" in str(task.get_coro())]
        assert ours == []


@pytest.mark.parametrize(("stage", "name"), WEB)
class TestEveryAdapterOfTheWeb:
    @pytest.mark.parametrize(
        ("status", "kind"),
        [
            (400, FailureKind.REJECTED),
            (401, FailureKind.REJECTED),
            (403, FailureKind.REJECTED),
            (429, FailureKind.RATE_LIMITED),
            (500, FailureKind.UNAVAILABLE),
            (503, FailureKind.UNAVAILABLE),
        ],
    )
    async def test_a_refusal_is_a_kind(self, stage, name, status, kind):
        error = await failure(stage, name, Behaviour(status=status))
        assert error.kind is kind

    async def test_the_wait_it_is_asked_for_is_told(self, stage, name):
        error = await failure(stage, name, Behaviour(status=429, retry_after_s=7))
        assert error.retry_ns == 7 * SECOND

    async def test_tls_that_does_not_hold_is_unavailable(self, stage, name):
        server = simulated(stage, name)
        async with server.serve():
            server.url = server.url.replace("http:", "https:")
            with pytest.raises(AdapterError) as caught:
                await exercise(stage, make(stage, name, server))
        assert caught.value.kind is FailureKind.UNAVAILABLE


@pytest.mark.parametrize(("stage", "name"), KEYED)
class TestEveryAdapterWithAKey:
    async def test_a_wrong_key_is_rejected(self, stage, name):
        error = await failure(stage, name, api_key="wrong")
        assert error.kind is FailureKind.REJECTED

    async def test_with_a_wrong_key_it_is_not_ready(self, stage, name):
        server = simulated(stage, name)
        async with server.serve():
            provider = make(stage, name, server, api_key="wrong")
            with pytest.raises(AdapterError) as caught:
                await provider.ready()
            await provider.stop()
        assert caught.value.kind is FailureKind.REJECTED

    async def test_the_key_is_never_told(self, stage, name, caplog):
        caplog.set_level(logging.DEBUG)
        for behaviour in (Behaviour(), Behaviour(fault=Fault.ERROR), Behaviour(status=500)):
            error = await failure(stage, name, behaviour, api_key=SECRET)
            shown = "".join(map(str, (error, error.args, error.detail, error.__cause__, error.__context__)))
            assert SECRET not in shown
        assert SECRET not in caplog.text


@pytest.mark.parametrize("name", of(Stage.ASR))
class TestEveryRecogniser:
    async def test_it_opens_before_it_hears(self, name):
        server = simulated(Stage.ASR, name)
        async with server.serve(), running(make(Stage.ASR, name, server)) as provider:
            facts = await listen(provider.stream(3), "is anyone there")
        assert isinstance(facts[0], ASROpened)
        assert {fact.ear for fact in facts} == {3}
        assert {fact.at for fact in facts} == {0}

    async def test_the_calls_trace_goes_with_everything_it_asks(self, name):
        server = simulated(Stage.ASR, name)
        async with server.serve(), running(make(Stage.ASR, name, server)) as provider:
            await listen(provider.stream(1, HEADERS), "is anyone there")
        assert {seen["traceparent"] for seen in server.seen} == {TRACE}

    async def test_sound_from_before_the_connection_is_not_lost(self, name):
        server = simulated(Stage.ASR, name)
        async with server.serve(), running(make(Stage.ASR, name, server)) as provider:
            facts = await listen(provider.stream(1), "the first words count", early=True)
        assert words(facts).lower() == "the first words count"

    async def test_two_calls_hear_only_their_own(self, name):
        server = simulated(Stage.ASR, name)
        async with server.serve(), running(make(Stage.ASR, name, server)) as provider:
            said = ["one two three", "four five six"]
            heard = await asyncio.gather(*(listen(provider.stream(1), text) for text in said))
        assert [words(facts).lower() for facts in heard] == said

    async def test_a_frame_is_copied_once_on_its_way_to_the_wire(self, name):
        if name == "openai_transcribe":
            pytest.skip("it sends a whole stretch of speech as a file")
        server = simulated(Stage.ASR, name)
        async with server.serve(), running(make(Stage.ASR, name, server)) as provider:
            stream = provider.stream(1)
            async with aclosing(stream.facts()) as facts:
                assert isinstance(await anext(facts), ASROpened)
                frames = [bytes(FRAME_BYTES) for _ in range(4 * stream.message_frames)]
                allocated = [memory_of(stream.hear, frame) for frame in frames]
        # A message at its size on the wire. Where the sound takes another form there, that form is in memory beside it.
        size = stream.message_frames * FRAME_BYTES
        forms = {"sherpa": 2, "openai_realtime": 2}
        most = 2 * forms[name] * size if name in forms else size
        assert size <= max(allocated) < most + 600
        # Between two messages a frame only waits.
        assert sorted(allocated)[0] < 300 or stream.message_frames == 1

    async def test_sentences_share_a_connection(self, name):
        server = simulated(Stage.ASR, name)
        async with server.serve(), running(make(Stage.ASR, name, server)) as provider:
            stream = provider.stream(1)
            async with asyncio.timeout(WATCHDOG_S), aclosing(stream.facts()) as facts:
                for said in ("one two", "three four", "five six"):
                    for frame in frames_of(said):
                        stream.hear(frame)
                    stream.finalize()
                    heard = []
                    while words(heard).lower() != said:
                        heard.append(await anext(facts))
        # Gladia is asked over HTTP for the address of its socket.
        assert server.connections == (2 if name == "gladia" else 1)

    async def test_a_stream_that_nobody_reads_costs_nothing(self, name):
        server = simulated(Stage.ASR, name)
        stream = make(Stage.ASR, name, server).stream(1)
        for _ in range(10_000):
            stream.hear(bytes(640))

    async def test_a_service_that_hangs_up_on_silence_may_be_opened_again(self, name):
        if name == "openai_transcribe":
            pytest.skip("it holds no line")
        server = simulated(Stage.ASR, name, Behaviour(idle_ms=40))
        async with server.serve(), running(make(Stage.ASR, name, server)) as provider:
            with pytest.raises(AdapterError) as caught:
                async with asyncio.timeout(WATCHDOG_S):
                    [fact async for fact in provider.stream(1).facts()]
        assert caught.value.kind in {FailureKind.CLOSED, FailureKind.UNAVAILABLE}

    async def test_sound_and_orders_after_leaving_mean_nothing(self, name):
        server = simulated(Stage.ASR, name)
        async with server.serve(), running(make(Stage.ASR, name, server)) as provider:
            stream = provider.stream(1)
            async with aclosing(stream.facts()) as facts:
                await anext(facts)
            stream.hear(bytes(640))
            stream.finalize()


SLOTS = ToolSpec(
    "get_slots", "Free times.", '{"type":"object","properties":{"day":{"type":"string"}},"required":["day"]}'
)
CALLER = Message(Role.USER, "Any slots on Friday?")
SYSTEM = Message(Role.SYSTEM, "Be brief.")


@pytest.mark.parametrize("name", of(Stage.LLM))
class TestEveryLanguageModel:
    async def ask(self, name, *messages, behaviour=None, tools=()):
        server = simulated(Stage.LLM, name, behaviour)
        async with server.serve():
            provider = make(Stage.LLM, name, server)
            try:
                return await question(provider, *messages, tools=tools)
            finally:
                await provider.stop()

    async def test_the_trace_goes_with_the_question(self, name):
        server = simulated(Stage.LLM, name)
        async with server.serve(), running(make(Stage.LLM, name, server)) as provider:
            request = LLMRequest(run=1, request=1, messages=(CALLER,), headers=HEADERS)
            assert [fact async for fact in provider.stream(request)]
        assert [seen["traceparent"] for seen in server.seen] == [TRACE]

    async def test_tokens_come_and_then_exactly_one_end(self, name):
        facts = await self.ask(name, SYSTEM, Message(Role.USER, "is 9 free?"))
        assert answered(facts) == "You said: is 9 free?"
        assert [type(fact) for fact in facts[:-1]] == [LLMToken] * (len(facts) - 1)
        assert len(facts) > 3
        assert {(fact.run, fact.request, fact.at) for fact in facts} == {(4, 2, 0)}

    async def test_the_end_tells_what_was_used(self, name):
        done = (await self.ask(name, CALLER))[-1]
        assert isinstance(done, LLMDone)
        assert (done.reason, done.output_tokens, done.cached_tokens) == ("stop", 37, 10)
        assert done.input_tokens in (40, 50)
        assert done.model

    async def test_a_tool_call_comes_whole(self, name):
        facts = await self.ask(name, CALLER, tools=(SLOTS,))
        calls = [fact for fact in facts if isinstance(fact, LLMToolCall)]
        assert [(call.name, json.loads(call.arguments)) for call in calls] == [("get_slots", {"day": "Friday"})]
        assert calls[0].call_id
        assert facts[-1].reason == "tool_calls"

    async def test_an_answer_goes_on_from_a_tools_result(self, name):
        called = Message(Role.ASSISTANT, "Let me look.", calls=(CallMade("call_1", "get_slots", '{"day":"Friday"}'),))
        result = Message(Role.TOOL, "10:00", call_id="call_1")
        facts = await self.ask(name, SYSTEM, CALLER, called, result, tools=(SLOTS,))
        assert answered(facts) == "I found this: 10:00."

    async def test_what_a_call_does_to_a_history_is_taken(self, name):
        history = [
            SYSTEM,
            Message(Role.ASSISTANT, "Hello, this is Ann."),
            Message(Role.USER, "mhm", backchannel=True),
            CALLER,
            Message(
                Role.ASSISTANT,
                calls=(CallMade("call_1", "get_slots", "not json"), CallMade("call_2", "get_slots", "{}")),
            ),
            Message(Role.TOOL, "10:00", call_id="call_1"),
            Message(Role.TOOL, "", call_id="call_2"),
            Message(Role.ASSISTANT, "Ten o'cl", interrupted=True),
            Message(Role.USER, "No, wait."),
            Message(Role.USER, "Eleven."),
            Message(Role.ASSISTANT, "I will look", interrupted=True),
        ]
        facts = await self.ask(name, *history, tools=(SLOTS,))
        assert answered(facts)

    async def test_questions_share_a_connection(self, name):
        server = simulated(Stage.LLM, name)
        async with server.serve():
            provider = make(Stage.LLM, name, server)
            await provider.start()
            for _ in range(3):
                await question(provider, CALLER)
            await provider.stop()
        assert server.connections == 1

    async def test_a_cancelled_answer_says_no_more_and_the_next_question_is_answered(self, name):
        server = simulated(Stage.LLM, name, Behaviour(step_ms=5))
        async with server.serve():
            provider = make(Stage.LLM, name, server)
            request = LLMRequest(run=1, request=1, messages=(CALLER,))
            async with aclosing(provider.stream(request)) as facts:
                await anext(facts)
            assert answered(await question(provider, Message(Role.USER, "still there?"))) == "You said: still there?"
            await provider.stop()

    async def test_a_page_where_the_stream_should_be_is_a_protocol_error(self, name):
        error = await failure(Stage.LLM, name, Behaviour(fault=Fault.FORMAT))
        assert error.kind is FailureKind.PROTOCOL


@pytest.mark.parametrize("name", of(Stage.TTS))
class TestEverySynthesizer:
    async def test_what_is_asked_for_is_what_is_heard(self, name):
        server = simulated(Stage.TTS, name)
        async with server.serve():
            spoken = await say(make(Stage.TTS, name, server), "your table is booked for 8 o'clock.")
        assert spoken.text == "your table is booked for 8 o'clock."

    async def test_the_trace_goes_with_the_calls_connection_or_with_each_chunk(self, name):
        if name == "wyoming":
            pytest.skip("its wire has no headers")
        server = simulated(Stage.TTS, name)
        async with server.serve(), running(make(Stage.TTS, name, server)) as provider:
            voice = provider.voice(HEADERS)
            await voice.open()
            assert [piece async for piece in voice.speak(SpeechRequest(run=1, chunk=1, text="hello", headers=HEADERS))]
            await voice.close()
        assert [seen["traceparent"] for seen in server.seen] == [TRACE]

    async def test_words_lie_where_they_are_heard(self, name):
        text = "your table is booked."
        server = simulated(Stage.TTS, name)
        async with server.serve():
            spoken = await say(make(Stage.TTS, name, server), text)
        if not spoken.words:
            pytest.skip("this provider tells nothing of its words")
        assert [text[: word.end_char] for word in spoken.words] == ["your", "your table", "your table is", text]
        for word, said in zip(spoken.words, timings(text), strict=True):
            assert word.end_ns == pytest.approx(said.end_ms * MS, abs=40 * MS)

    async def test_two_chunks_at_once_do_not_mix(self, name):
        server = simulated(Stage.TTS, name, Behaviour(step_ms=1))
        async with server.serve(), opened(make(Stage.TTS, name, server)) as voice:
            one, two = await asyncio.gather(gather(voice, "one two three"), gather(voice, "four five six", chunk=2))
        assert (one.text, two.text) == ("one two three", "four five six")

    async def test_what_comes_late_for_a_cancelled_chunk_is_dropped(self, name):
        server = simulated(Stage.TTS, name, Behaviour(step_ms=2, variant="late"))
        async with server.serve(), opened(make(Stage.TTS, name, server)) as voice:
            request = SpeechRequest(run=1, chunk=1, text="the caller does not want to hear any of this")
            async with aclosing(voice.speak(request)) as sound:
                await anext(sound)
            after = await gather(voice, "sorry, go on", run=2)
        assert after.text == "sorry, go on"

    async def test_many_cancelled_chunks_leave_room_for_the_next(self, name):
        server = simulated(Stage.TTS, name, Behaviour(step_ms=1))
        async with server.serve(), opened(make(Stage.TTS, name, server)) as voice:
            for run in range(12):
                async with aclosing(voice.speak(SpeechRequest(run=run, chunk=1, text="one two three four"))) as sound:
                    await anext(sound)
            assert (await gather(voice, "five", run=99)).text == "five"

    async def test_sound_that_stops_coming_is_a_timeout(self, name, monkeypatch):
        monkeypatch.setattr(synthesis, "STALL_NS", 50 * MS)
        error = await failure(Stage.TTS, name, Behaviour(fault=Fault.STALL))
        assert error.kind is FailureKind.TIMEOUT

    async def test_sound_in_another_format_is_never_played(self, name):
        error = await failure(Stage.TTS, name, Behaviour(fault=Fault.FORMAT, fault_after=0))
        assert error.kind is FailureKind.PROTOCOL

    async def test_one_connection_serves_a_whole_call(self, name):
        server = simulated(Stage.TTS, name)
        async with server.serve(), opened(make(Stage.TTS, name, server)) as voice:
            for chunk in range(3):
                await gather(voice, "hello", chunk=chunk)
            connections = server.connections
        assert connections == 1

    async def test_a_line_that_was_closed_for_being_idle_is_opened_again_unasked(self, name):
        if name in PLAIN_SOUND | {"wyoming"}:
            pytest.skip("it holds no line that the service would close")
        server = simulated(Stage.TTS, name, Behaviour(idle_ms=40))
        async with server.serve(), opened(make(Stage.TTS, name, server)) as voice:
            await until(lambda: server.connections == 2)
            server.behaviour.idle_ms = 0
            assert (await gather(voice, "hello")).text == "hello"

    async def test_a_voice_that_is_opened_twice_or_closed_twice_is_no_harm(self, name):
        server = simulated(Stage.TTS, name)
        async with server.serve(), opened(make(Stage.TTS, name, server)) as voice:
            await voice.open()
            await voice.close()
