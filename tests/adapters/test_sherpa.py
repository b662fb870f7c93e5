"""sherpa-onnx's segments, in both servers' spelling."""

import pytest

from engine.core.events import ASRFinal, ASROpened, Stage
from engine.sandbox.base import Behaviour
from engine.sandbox.vosk import SherpaServer
from tests.adapters.drive import frames, make

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("variant", ["", "python"])
async def test_a_segment_that_ends_is_a_final(variant):
    async with (server := SherpaServer(Behaviour(variant=variant))).serve():
        stream = make(Stage.ASR, "sherpa", server).stream(1)
        finals = []
        async for fact in stream.facts():
            if isinstance(fact, ASROpened):
                for frame in frames("first words") + frames("then others"):
                    stream.hear(frame)
            if isinstance(fact, ASRFinal):
                finals.append(fact.text)
            if len(finals) == 2:
                break
    assert finals == ["first words", "then others"]


def test_sound_goes_out_as_floats():
    stream = make(Stage.ASR, "sherpa", SherpaServer()).stream(1)
    parts = stream.encode((b"\x00\x80\xff\x7f", b"\x00\x00"))
    assert parts == (b"\x00\x00\x80\xbf\x00\xfe\x7f\x3f", b"\x00\x00\x00\x00")
