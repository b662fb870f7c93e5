"""Deepgram's two dialects."""

import pytest

from engine.core.events import (
    ASREagerEndOfTurn,
    ASREndOfTurn,
    ASRFinal,
    ASROpened,
    ASRStartOfTurn,
    ASRTurnResumed,
    Stage,
)
from engine.errors import AdapterError, FailureKind
from engine.sandbox.base import Behaviour, Fault
from engine.sandbox.deepgram_asr import DeepgramServer
from tests.adapters.drive import frames, listen, make, partials, words

pytestmark = pytest.mark.anyio


@pytest.fixture
async def server():
    server = DeepgramServer()
    async with server.serve():
        yield server


def stream(server, **options):
    return make(Stage.ASR, "deepgram", server, **options).stream(1)


async def test_partials_grow_until_the_final_takes_their_place(server):
    facts = await listen(stream(server), "book a table for two")
    grown = partials(facts)
    assert grown
    assert all("book a table for two".startswith(text) for text in grown)
    assert isinstance(facts[0], ASROpened)
    assert isinstance(facts[-1], ASRFinal)
    assert facts[-1].confidence == pytest.approx(0.98)


async def test_options_travel_under_their_own_names(server):
    await listen(stream(server, keyterm=("Acme", "Zed"), smart_format=True, query={"version": "latest"}), "hi")
    query = server.seen[-1]["query"]
    assert query["model"] == "nova-3"
    assert query["interim_results"] == "true"
    assert query["smart_format"] == "true"
    assert query["version"] == "latest"
    assert server.seen[-1]["path"] == "/v1/listen"


async def test_a_finalize_that_finds_nothing_is_a_final_without_words(server):
    facts = await listen(stream(server), "", until=lambda facts: isinstance(facts[-1], ASRFinal))
    assert facts[-1].text == ""


async def test_an_utterance_end_after_its_final_says_nothing_new(server):
    server.behaviour.variant = "double_end"
    facts = await listen(stream(server), "twice")
    assert words(facts) == "twice"


async def test_flux_starts_and_ends_the_turn_itself(server):
    facts = await listen(stream(server, model="flux-general-en"), "what is my balance?")
    kinds = [type(fact) for fact in facts]
    assert kinds[0] is ASROpened
    assert kinds.index(ASRStartOfTurn) < kinds.index(ASREagerEndOfTurn) < kinds.index(ASREndOfTurn)
    eager = next(fact for fact in facts if isinstance(fact, ASREagerEndOfTurn))
    assert eager.text == facts[-1].text == "what is my balance?"
    assert server.seen[-1]["path"] == "/v2/listen"


async def test_flux_takes_an_early_end_back_when_the_caller_goes_on(server):
    ear = stream(server, model="flux-general-en")
    facts = []
    async for fact in ear.facts():
        facts.append(fact)
        if isinstance(fact, ASROpened):
            for frame in frames("my number is", after_ms=180) + frames("five", before_ms=0):
                ear.hear(frame)
        if isinstance(fact, ASREndOfTurn):
            break
    kinds = [type(fact) for fact in facts]
    assert kinds.index(ASREagerEndOfTurn) < kinds.index(ASRTurnResumed) < kinds.index(ASREndOfTurn)
    assert facts[-1].text == "my number is five"


async def test_flux_without_a_threshold_never_ends_early(server):
    facts = await listen(stream(server, model="flux-general-en", eager_eot_threshold=None), "just once")
    assert ASREagerEndOfTurn not in [type(fact) for fact in facts]


async def test_flux_is_never_asked_to_finalize():
    # An unknown message is fatal there: the stream would end with an error instead of the turn.
    async with (server := DeepgramServer()).serve():
        ear = stream(server, model="flux-general-en")
        assert list(ear.finish()) == []


@pytest.mark.parametrize(
    ("model", "close_code", "kind"),
    [
        ("nova-3", 1011, FailureKind.UNAVAILABLE),
        ("nova-3", 1008, FailureKind.REJECTED),
        ("nova-3", 1000, FailureKind.CLOSED),
        ("flux-general-en", 1011, FailureKind.UNAVAILABLE),
    ],
)
async def test_a_close_code_is_a_kind(model, close_code, kind):
    behaviour = Behaviour(fault=Fault.CLOSE, fault_after=0, close_code=close_code)
    async with (server := DeepgramServer(behaviour)).serve():
        with pytest.raises(AdapterError) as caught:
            await listen(stream(server, model=model), "hello there")
    assert caught.value.kind is kind


async def test_a_fatal_message_of_flux_is_a_kind():
    async with (server := DeepgramServer(Behaviour(fault=Fault.ERROR))).serve():
        with pytest.raises(AdapterError) as caught:
            await listen(stream(server, model="flux-general-en"), "hello there")
    assert caught.value.kind is FailureKind.UNAVAILABLE


async def test_flux_is_sent_nothing_that_it_refuses(server):
    options = {"language": "en", "endpointing": 300, "smart_format": True, "eot_threshold": 0.8}
    assert words(await listen(stream(server, model="flux-general-en", **options), "hello there")) == "hello there"
    assert not {"language", "endpointing", "smart_format", "punctuate"} & server.seen[-1]["query"].keys()


@pytest.mark.parametrize("options", [{"eot_threshold": 0.6, "eager_eot_threshold": 0.7}, {"language_hint": ("de",)}])
async def test_flux_rejects_what_it_does_not_take(server, options):
    with pytest.raises(AdapterError) as caught:
        await listen(stream(server, model="flux-general-en", **options), "hello")
    assert caught.value.kind is FailureKind.REJECTED
