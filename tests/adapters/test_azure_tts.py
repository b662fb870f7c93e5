"""Azure's markup."""

import pytest

from engine.adapters.azure_tts import Azure, AzureOptions
from engine.core.events import Stage
from engine.errors import ConfigError
from engine.sandbox.own_voices import AzureServer
from tests.adapters.drive import make, say

pytestmark = pytest.mark.anyio


async def azure(text, **options):
    server = AzureServer()
    async with server.serve():
        return await say(make(Stage.TTS, "azure", server, **options), text), server


@pytest.mark.parametrize("sample_rate", [8_000, 16_000, 22_050, 24_000, 44_100, 48_000])
async def test_every_rate_is_asked_for_by_its_name(sample_rate):
    spoken, _ = await azure("hello there", sample_rate=sample_rate)
    assert (spoken.text, spoken.rate_hz) == ("hello there", sample_rate)


async def test_text_cannot_become_markup():
    spoken, server = await azure('tom & "jerry" <b>', rate="+10%")
    assert spoken.text == "tom jerry b"
    assert '<prosody rate="+10%">tom &amp; &quot;jerry&quot; &lt;b&gt;</prosody>' in server.seen[-1]["ssml"]


def test_a_rate_it_does_not_make_is_the_operators_mistake():
    with pytest.raises(ConfigError, match="sample_rate"):
        Azure(AzureOptions(sample_rate=11_025))
