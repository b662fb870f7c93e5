"""Items of a transcription session, and who cuts them."""

import pytest

from engine.core.events import ASRFinal, ASROpened, Stage
from engine.errors import AdapterError, FailureKind
from engine.sandbox.base import Behaviour
from engine.sandbox.openai_realtime import OpenAIRealtimeServer
from tests.adapters.drive import frames, listen, make, partials, words

pytestmark = pytest.mark.anyio


def stream(server, **options):
    return make(Stage.ASR, "openai_realtime", server, **options).stream(1)


async def test_a_live_model_tells_words_before_the_cut():
    async with (server := OpenAIRealtimeServer()).serve():
        facts = await listen(stream(server), "two tickets please")
    assert partials(facts) == ["two", "two tickets", "two tickets please"]
    assert isinstance(facts[-1], ASRFinal)


async def test_another_model_tells_them_after_it():
    async with (server := OpenAIRealtimeServer()).serve():
        facts = await listen(stream(server, model="gpt-4o-mini-transcribe"), "two tickets please")
    assert words(facts) == "two tickets please"


async def two_cuts(server, **options):
    ear = stream(server, **options)
    facts = []
    async for fact in ear.facts():
        facts.append(fact)
        if isinstance(fact, ASROpened):
            for text in ("first words", "then others"):
                for frame in frames(text):
                    ear.hear(frame)
                ear.finalize()
        if sum(isinstance(fact, ASRFinal) for fact in facts) == 2:
            break
    return facts


async def test_items_finished_in_the_wrong_order_are_told_in_the_right_one():
    async with (server := OpenAIRealtimeServer(Behaviour(variant="crossed"))).serve():
        facts = await two_cuts(server)
    assert [fact.text for fact in facts if isinstance(fact, ASRFinal)] == ["first words", "then others"]


async def test_a_cut_without_sound_is_a_final_without_words():
    async with (server := OpenAIRealtimeServer()).serve():
        ear = stream(server)
        facts = []
        async for fact in ear.facts():
            facts.append(fact)
            if isinstance(fact, ASRFinal):
                break
            ear.finalize()
    assert facts[-1].text == ""


async def test_an_item_that_is_lost_is_an_error_so_that_the_sound_is_given_again():
    async with (server := OpenAIRealtimeServer(Behaviour(variant="lost"))).serve():
        with pytest.raises(AdapterError) as caught:
            await listen(stream(server), "two tickets")
    assert caught.value.kind is FailureKind.UNAVAILABLE


async def test_a_session_the_service_refuses_is_rejected():
    async with (server := OpenAIRealtimeServer()).serve():
        with pytest.raises(AdapterError) as caught:
            await listen(stream(server, turn_detection={"type": "server_vad"}), "two tickets")
    assert caught.value.kind is FailureKind.REJECTED


async def test_a_session_that_has_lasted_its_longest_is_closed_and_no_fault():
    async with (server := OpenAIRealtimeServer(Behaviour(variant="expired"))).serve():
        with pytest.raises(AdapterError) as caught:
            await listen(stream(server), "two tickets")
    assert caught.value.kind is FailureKind.CLOSED


async def test_servers_of_an_older_kind_are_understood():
    async with (server := OpenAIRealtimeServer(Behaviour(variant="beta"))).serve():
        assert words(await listen(stream(server), "two tickets")) == "two tickets"


async def test_options_are_sent_under_their_own_names_and_only_when_set():
    async with (server := OpenAIRealtimeServer()).serve():
        given = {"languages": ("en", "de"), "keywords": ("Acme",), "extra": {"include": ["logprobs"]}}
        await listen(stream(server, query={"model": "m"}, **given), "two tickets")
    session, query = server.seen[-1]["session"], server.seen[-1]["query"]
    transcriber = {"model": "gpt-live-transcribe", "languages": ["en", "de"], "keywords": ["Acme"]}
    assert session["audio"]["input"]["transcription"] == transcriber
    assert session["include"] == ["logprobs"]
    assert query == {"intent": "transcription", "model": "m"}
