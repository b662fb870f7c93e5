"""Wyoming's events on a plain connection."""

import json

import pytest

from engine.adapters.wyoming import WyomingOptions, WyomingVoice
from engine.core.events import Stage
from engine.errors import AdapterError, FailureKind
from engine.sandbox.base import Behaviour, Fault
from engine.sandbox.own_voices import WyomingServer
from tests.adapters.drive import gather, make, opened, say

pytestmark = pytest.mark.anyio


async def test_two_chunks_at_once_have_a_connection_each_and_one_is_kept():
    async with (server := WyomingServer()).serve(), opened(make(Stage.TTS, "wyoming", server)) as voice:
        assert (await gather(voice, "lights are on")).text == "lights are on"
        assert (await gather(voice, "lights are off")).text == "lights are off"
        assert server.connections == 1


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault.ERROR, FailureKind.UNAVAILABLE),
        (Fault.GARBAGE, FailureKind.PROTOCOL),
        (Fault.FORMAT, FailureKind.PROTOCOL),
        (Fault.CLOSE, FailureKind.CLOSED),
    ],
)
async def test_what_goes_wrong_is_a_kind(fault, kind):
    async with (server := WyomingServer(Behaviour(fault=fault))).serve():
        with pytest.raises(AdapterError) as caught:
            await say(make(Stage.TTS, "wyoming", server), "lights are on")
    assert caught.value.kind is kind


def test_the_voice_goes_along_where_one_is_named():
    options = WyomingOptions(voice="amy")
    head, _, block = WyomingVoice(options)._question("hi").partition(b"\n")
    assert json.loads(block) == {"text": "hi", "voice": {"name": "amy"}}
    assert json.loads(head) == {"type": "synthesize", "data_length": len(block)}
