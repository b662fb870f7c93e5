import asyncio
import os
import signal
from contextlib import aclosing, asynccontextmanager

import pytest

from engine.adapters.pocketsphinx import Pocketsphinx, PocketsphinxOptions
from engine.core.events import ASRFinal, ASROpened, ASRPartial
from engine.errors import AdapterError, ConfigError, FailureKind
from tests.adapters.recorded import TEXTS, frames, quiet, samples, telephone

pytestmark = pytest.mark.anyio
WATCHDOG_S = 30
DEMO = "engine.demo.domain:DOMAIN"
WELL_HEARD = ["day-000.wav", "date-002.wav", "date-008.wav", "short-011.wav", "short-005.wav", "short-023.wav"]
"""Recordings whose every word is recognised."""


@asynccontextmanager
async def started(domain=DEMO, **options):
    provider = Pocketsphinx(PocketsphinxOptions(domain=domain, **{"workers": 1, **options}))
    async with asyncio.timeout(WATCHDOG_S):
        await provider.start()
        try:
            yield provider
        finally:
            await provider.stop()


def say(stream, *sounds, finalize=True):
    """A caller in a quiet room: silence, the sounds, silence."""
    for frame in frames(quiet(300) + quiet(200).join(sounds) + quiet(200)):
        stream.hear(frame)
    if finalize:
        stream.finalize()


async def until_final(facts, finals=1):
    """The facts up to so many finals."""
    gathered = []
    async for fact in facts:
        gathered.append(fact)
        finals -= isinstance(fact, ASRFinal)
        if not finals:
            return gathered
    raise AssertionError("a stream goes on until it is cancelled")


async def heard(provider, *sounds):
    """The words of one turn on a stream of its own."""
    stream = provider.stream(1)
    async with aclosing(stream.facts()) as facts:
        say(stream, *sounds)
        return (await until_final(facts))[-1].text


@pytest.mark.parametrize("name", WELL_HEARD)
async def test_recorded_people_are_understood(name):
    async with started() as provider:
        assert await heard(provider, samples(name)) == TEXTS[name]


@pytest.mark.parametrize("name", ["date-008.wav", "short-011.wav", "short-005.wav", "time-010.wav"])
async def test_recorded_people_are_understood_over_the_telephone(name):
    async with started() as provider:
        assert await heard(provider, telephone(samples(name))) == TEXTS[name]


async def test_words_come_while_the_caller_speaks_and_a_final_when_he_is_quiet():
    async with started() as provider:
        stream = provider.stream(7)
        async with aclosing(stream.facts()) as facts:
            assert await anext(facts) == ASROpened(ear=7)
            partials = []
            for frame in frames(quiet(300) + samples("day-000.wav") + quiet(300)):
                stream.hear(frame)
            async for fact in facts:
                assert isinstance(fact, ASRPartial)
                assert fact.ear == 7
                partials.append(fact.text)
                if fact.text == TEXTS["day-000.wav"]:
                    break
            stream.finalize()
            assert await anext(facts) == ASRFinal(ear=7, text=TEXTS["day-000.wav"])


async def test_what_was_said_before_the_stream_was_read_is_heard():
    async with started() as provider:
        stream = provider.stream(1)
        say(stream, samples("short-005.wav"))
        async with aclosing(stream.facts()) as facts:
            assert (await until_final(facts))[-1].text == "hello"


async def test_finals_add_up_when_the_caller_goes_on():
    async with started() as provider:
        stream = provider.stream(1)
        async with aclosing(stream.facts()) as facts:
            say(stream, samples("short-005.wav"))
            say(stream, samples("day-000.wav"))
            gathered = await until_final(facts, 2)
    assert [fact.text for fact in gathered if isinstance(fact, ASRFinal)] == ["hello", "monday at ten twenty"]


async def test_an_utterance_ends_by_itself_after_a_long_quiet():
    async with started() as provider:
        stream = provider.stream(1)
        async with aclosing(stream.facts()) as facts:
            say(stream, samples("short-005.wav"), quiet(1_500), finalize=False)
            assert (await until_final(facts))[-1].text == "hello"


async def test_silence_is_no_words():
    async with started() as provider:
        stream = provider.stream(1)
        async with aclosing(stream.facts()) as facts:
            say(stream, quiet(2_000))
            say(stream, bytes(64_000))
            say(stream, samples("short-005.wav"))
            gathered = await until_final(facts)
    assert [fact.text for fact in gathered if isinstance(fact, ASRFinal)] == ["hello"]


async def test_finalize_without_speech_says_nothing():
    async with started() as provider:
        stream = provider.stream(1)
        async with aclosing(stream.facts()) as facts:
            stream.finalize()
            stream.finalize()
            say(stream, samples("short-005.wav"))
            gathered = await until_final(facts)
    assert sum(isinstance(fact, ASRFinal) for fact in gathered) == 1


async def test_callers_who_speak_at_once_are_kept_apart():
    async with started() as provider:
        names = WELL_HEARD * 2
        texts = await asyncio.gather(*(heard(provider, samples(name)) for name in names))
    assert texts == [TEXTS[name] for name in names]


async def test_streams_are_spread_over_the_workers():
    async with started(workers=2) as provider:
        assert len(provider.pids) == 2
        streams = [provider.stream(ear).facts() for ear in range(4)]
        for facts in streams:
            await anext(facts)
        assert provider.loads == [2, 2]
        for facts in streams:
            await facts.aclose()
        assert provider.loads == [0, 0]


async def test_a_stream_that_is_cancelled_leaves_its_worker():
    async with started() as provider:
        task = asyncio.create_task(heard(provider, quiet(500)))
        await asyncio.wait([task], timeout=0.1)
        task.cancel()
        await asyncio.wait([task])
        assert provider.loads == [0]
        assert await heard(provider, samples("short-005.wav")) == "hello"


async def test_a_worker_that_dies_closes_its_streams_and_is_replaced():
    async with started() as provider:
        stream = provider.stream(1)
        async with aclosing(stream.facts()) as facts:
            await anext(facts)
            os.kill(provider.pids[0], signal.SIGKILL)
            with pytest.raises(AdapterError) as caught:
                await anext(facts)
            assert caught.value.kind is FailureKind.CLOSED
            stream.hear(bytes(640))
            stream.finalize()
        assert await heard(provider, samples("short-005.wav")) == "hello"


@pytest.mark.parametrize(
    ("domain", "problem"),
    [
        ("yes\nzyxwv", "no pronunciation is known for 'zyxwv'"),
        ("yes\n(no", "line 2"),
        ("/nowhere/domain.txt", "/nowhere/domain.txt cannot be read"),
        ("engine.nowhere:DOMAIN", "engine.nowhere:DOMAIN cannot be read"),
        ("engine.demo.domain:NOTHING", "engine.demo.domain:NOTHING cannot be read"),
    ],
)
async def test_a_domain_that_cannot_be_used_is_told_at_start(domain, problem, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(ConfigError) as caught:
        async with started(domain):
            pass
    assert problem in str(caught.value)


async def test_a_domain_may_lie_in_a_file(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = tmp_path / "shop.txt"
    path.write_text("hello | goodbye\n", encoding="utf-8")
    async with started(str(path)) as provider:
        assert await heard(provider, samples("short-005.wav")) == "hello"


async def test_without_a_domain_it_listens_for_any_english():
    async with started("") as provider:
        assert (await heard(provider, samples("short-023.wav"))).endswith("one moment please")
