"""The configured agent on simulated providers."""

import asyncio

import pytest

from engine import config
from engine.core.commands import Message, Role
from engine.core.events import Stage
from engine.errors import ConfigError
from engine.sandbox import SERVERS
from engine.sandbox.base import Behaviour, Fault
from engine.server.rehearsal import behaviours, rehearsing, with_keys
from tests.adapters.drive import answered, question

CHOSEN = {"ENGINE_ASR": "deepgram", "ENGINE_LLM": "anthropic", "ENGINE_TTS": "cartesia"}


def test_no_key_is_needed():
    found = config.load(environ=with_keys(CHOSEN))
    assert set(found.options) >= {"asr.deepgram", "llm.anthropic", "tts.cartesia"}


def test_ones_own_key_stays_ones_own():
    assert with_keys({"DEEPGRAM_API_KEY": "mine"})["DEEPGRAM_API_KEY"] == "mine"


def test_the_configured_providers_speak_to_their_doubles():
    async def main():
        found = config.load(environ=with_keys(CHOSEN))
        async with rehearsing(found, behaviours([])) as (rehearsed, told):
            model = rehearsed.provider(Stage.LLM, "anthropic")
            facts = await question(model, Message(Role.USER, "hello"))
            await model.stop()
            return facts, told

    facts, told = asyncio.run(main())
    assert answered(facts) == "You said: hello"
    assert [line.split(" at ")[0] for line in told] == [
        "Simulated: asr.deepgram",
        "Simulated: llm.anthropic",
        "Simulated: tts.cartesia",
    ]


def test_a_wish_is_for_one_provider_or_a_whole_stage():
    found = behaviours(["llm.first_ms=800", "llm.gemini.fault=stall", "tts.cartesia.status=429"])
    assert {found[Stage.LLM, name].first_ms for name in SERVERS[Stage.LLM]} == {800}
    assert found[Stage.LLM, "gemini"].fault is Fault.STALL
    assert found[Stage.LLM, "openai"].fault is Fault.NONE
    assert found[Stage.TTS, "cartesia"].status == 429
    assert found[Stage.ASR, "deepgram"] == Behaviour()


def test_every_wish_that_is_none_is_named():
    with pytest.raises(ConfigError) as caught:
        behaviours(["llm.first_ms=soon", "tts.nobody.fault=stall", "asr.colour=red", "nonsense"])
    assert len(caught.value.problems) == 4
