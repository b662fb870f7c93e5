"""What servers of /v1/audio/speech differ in."""

import pytest

from engine.adapters.openai_speech import OpenAISpeechOptions
from engine.core.events import Stage
from engine.errors import AdapterError, FailureKind
from engine.sandbox.base import Behaviour, Fault
from engine.sandbox.openai_speech import OpenAISpeechServer
from tests.adapters.drive import make, say

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("stream_format", ["", "audio", "sse"])
@pytest.mark.parametrize("variant", ["", "delta", "deaf", "done"])
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
