"""Piper's files."""

import pytest

from engine.core.events import Stage
from engine.errors import AdapterError, FailureKind
from engine.sandbox.own_voices import PiperServer
from engine.sandbox.speech import speak
from tests.adapters.drive import make, say

pytestmark = pytest.mark.anyio


async def test_the_header_of_the_file_is_not_heard():
    async with (server := PiperServer()).serve():
        spoken = await say(make(Stage.TTS, "piper", server, length_scale=1.1), "lights are on")
    assert spoken.text == "lights are on"
    assert spoken.sound == speak("lights are on", 22_050)
    assert server.seen[-1]["body"] == {"length_scale": 1.1, "text": "lights are on"}


async def test_a_voice_of_another_rate_is_told_and_not_played():
    async with (server := PiperServer()).serve():
        with pytest.raises(AdapterError) as caught:
            await say(make(Stage.TTS, "piper", server, sample_rate=16_000), "lights are on")
    assert caught.value.kind is FailureKind.PROTOCOL
    assert "22050" in caught.value.detail


@pytest.mark.parametrize("head", [b"ID3\x04", b"RIFX" + bytes(40), b"RIFF" + bytes(5_000)])
def test_what_is_no_file_of_sound_is_refused(head):
    with pytest.raises(AdapterError):
        make(Stage.TTS, "piper", PiperServer())._sound_start(head)
