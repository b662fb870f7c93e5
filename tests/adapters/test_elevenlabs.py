"""ElevenLabs' spellings and traps."""

import pytest

from engine.adapters.base import SpeechRequest
from engine.adapters.elevenlabs import ElevenLabs, ElevenLabsOptions
from engine.core.events import Stage
from engine.core.units import MS
from engine.errors import AdapterError, ConfigError, FailureKind
from engine.sandbox.base import Behaviour, Fault
from engine.sandbox.elevenlabs import ElevenLabsServer
from engine.sandbox.speech import timings
from tests.adapters.drive import gather, make, opened, say

pytestmark = pytest.mark.anyio

TEXT = "the parcel left Leeds this morning."


@pytest.mark.parametrize("variant", ["", "snake", "absolute", "joined"])
async def test_every_spelling_says_the_same(variant):
    async with (server := ElevenLabsServer(Behaviour(variant=variant))).serve():
        spoken = await say(make(Stage.TTS, "elevenlabs", server), TEXT)
    assert spoken.text == TEXT.lower()
    assert [TEXT[: word.end_char].split()[-1] for word in spoken.words] == TEXT.split()
    for word, said in zip(spoken.words, timings(TEXT), strict=True):
        assert word.end_ns == pytest.approx(said.end_ms * MS, abs=40 * MS)


async def test_the_settings_of_a_voice_travel_in_the_first_message_and_the_rest_in_the_address():
    async with (server := ElevenLabsServer()).serve():
        provider = make(Stage.TTS, "elevenlabs", server, voice_settings={"stability": 0.4}, language_code="de", seed=7)
        await say(provider, "eins zwei")
    query = server.seen[-1]["query"]
    assert query["model_id"] == "eleven_flash_v2_5"
    assert query["auto_mode"] == "true"
    assert (query["language_code"], query["seed"]) == ("de", "7")
    assert "apply_text_normalization" not in query


async def test_its_own_error_comes_before_the_close_code():
    async with (server := ElevenLabsServer(Behaviour(fault=Fault.ERROR))).serve():
        with pytest.raises(AdapterError) as caught:
            await say(make(Stage.TTS, "elevenlabs", server), TEXT)
    assert caught.value.kind is FailureKind.REJECTED


async def test_a_connection_lost_while_idle_is_opened_again_unasked():
    async with (server := ElevenLabsServer()).serve():
        async with opened(make(Stage.TTS, "elevenlabs", server)) as voice:
            await gather(voice, "one")
            voice._socket._transport.abort()
            assert (await gather(voice, "two", chunk=2)).text == "two"
        assert server.connections == 2


async def test_a_connection_lost_while_speaking_is_an_error_and_no_more():
    async with (server := ElevenLabsServer(Behaviour(step_ms=2))).serve():
        async with opened(make(Stage.TTS, "elevenlabs", server)) as voice:
            sound = voice.speak(SpeechRequest(run=1, chunk=1, text=TEXT))
            await anext(sound)
            voice._socket._transport.abort()
            with pytest.raises(AdapterError) as caught:
                async for _ in sound:
                    pass
        assert caught.value.kind is FailureKind.CLOSED
        assert server.connections == 1


@pytest.mark.parametrize("output_format", ["mp3_44100_128", "ulaw_8000", "pcm_fast"])
def test_only_pcm_is_played(output_format):
    with pytest.raises(ConfigError, match="output_format"):
        ElevenLabs(ElevenLabsOptions(output_format=output_format))


async def test_the_rate_is_the_formats():
    async with (server := ElevenLabsServer()).serve():
        spoken = await say(make(Stage.TTS, "elevenlabs", server, output_format="pcm_16000"), "hello")
    assert (spoken.rate_hz, spoken.text) == (16_000, "hello")
