"""What servers of /v1/audio/speech differ in."""

from contextlib import aclosing

import pytest

from engine.adapters.base import SpeechRequest
from engine.adapters.openai_speech import OpenAISpeechOptions
from engine.core.events import Stage
from engine.errors import AdapterError, FailureKind
from engine.sandbox.base import Behaviour, Fault
from engine.sandbox.openai_speech import OpenAISpeechServer
from tests.adapters.drive import make, opened, say

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("stream_format", ["", "audio", "sse"])
@pytest.mark.parametrize("variant", ["", "delta", "deaf", "done", "strict", "speaches"])
async def test_every_way_to_send_sound_is_heard(stream_format, variant):
    async with (server := OpenAISpeechServer(Behaviour(variant=variant))).serve():
        spoken = await say(make(Stage.TTS, "openai_speech", server, stream_format=stream_format), "two bags, please")
    assert spoken.text == "two bags, please"


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault.ERROR, FailureKind.UNAVAILABLE),
        (Fault.GARBAGE, FailureKind.PROTOCOL),
        (Fault.FORMAT, FailureKind.PROTOCOL),
        (Fault.CLOSE, FailureKind.CLOSED),
    ],
)
async def test_an_event_stream_that_goes_wrong_is_a_kind(fault, kind):
    async with (server := OpenAISpeechServer(Behaviour(fault=fault, fault_after=0))).serve():
        with pytest.raises(AdapterError) as caught:
            await say(make(Stage.TTS, "openai_speech", server, stream_format="sse"), "two bags")
    assert caught.value.kind is kind


async def test_options_are_sent_under_their_own_names_and_only_when_set():
    async with (server := OpenAISpeechServer()).serve():
        await say(make(Stage.TTS, "openai_speech", server, voice="cedar", speed=1.1, extra={"lang_code": "a"}), "hi")
    body = {"model": "gpt-4o-mini-tts", "voice": "cedar", "response_format": "pcm", "speed": 1.1, "lang_code": "a"}
    assert server.seen[-1]["body"] == body | {"input": "hi"}


def test_a_key_is_needed_for_the_vendors_own_address_alone():
    OpenAISpeechOptions(base_url="http://127.0.0.1:8880/v1")
    with pytest.raises(ValueError, match="OPENAI_API_KEY"):
        OpenAISpeechOptions()


async def test_sound_comes_at_the_rate_that_was_agreed():
    async with (server := OpenAISpeechServer(Behaviour(variant="speaches"))).serve():
        options = {"sample_rate": 16_000, "extra": {"sample_rate": 16_000}}
        spoken = await say(make(Stage.TTS, "openai_speech", server, **options), "two bags")
    assert (spoken.text, spoken.rate_hz) == ("two bags", 16_000)


async def test_a_field_that_the_service_does_not_know_is_rejected():
    async with (server := OpenAISpeechServer(Behaviour(variant="strict"))).serve():
        with pytest.raises(AdapterError) as caught:
            await say(make(Stage.TTS, "openai_speech", server, extra={"lang_code": "a"}), "hi")
    assert caught.value.kind is FailureKind.REJECTED


async def test_a_server_that_is_hung_up_on_stops_speaking():
    server = OpenAISpeechServer(Behaviour(step_ms=5))
    request = SpeechRequest(run=1, chunk=1, text="one two three " * 99)
    async with (
        server.serve(),
        opened(make(Stage.TTS, "openai_speech", server)) as voice,
        aclosing(voice.speak(request)) as sound,
    ):
        await anext(sound)
    assert server.seen[-1]["whole"] is False
