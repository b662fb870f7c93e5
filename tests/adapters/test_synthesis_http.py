"""What synthesizers over HTTP send along with each chunk."""

import pytest

from engine.adapters.base import SpeechRequest
from engine.core.events import Stage
from engine.sandbox.openai_speech import OpenAISpeechServer
from engine.sandbox.own_voices import AzureServer, PiperServer
from tests.adapters.drive import make, opened

pytestmark = pytest.mark.anyio
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.parametrize(
    ("name", "kind"), [("openai_speech", OpenAISpeechServer), ("azure", AzureServer), ("piper", PiperServer)]
)
async def test_the_trace_of_a_chunk_goes_with_its_request(name, kind):
    async with (server := kind()).serve(), opened(make(Stage.TTS, name, server)) as voice:
        request = SpeechRequest(run=1, chunk=1, text="two bags", headers=(("traceparent", TRACE),))
        assert b"".join([piece async for piece in voice.speak(request) if isinstance(piece, bytes)])
    assert server.seen[-1]["traceparent"] == TRACE
