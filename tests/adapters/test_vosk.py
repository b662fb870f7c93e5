"""vosk-server's one answer for each message."""

import pytest

from engine.core.events import ASRFinal, Stage
from engine.sandbox.vosk import VoskServer
from tests.adapters.drive import listen, make, partials, words

pytestmark = pytest.mark.anyio


async def test_partials_grow_and_a_pause_makes_them_final():
    async with (server := VoskServer()).serve():
        facts = await listen(make(Stage.ASR, "vosk", server).stream(1), "book a table")
    assert partials(facts)[0] == "book"
    assert words(facts) == "book a table"


async def test_a_reset_that_finds_nothing_is_a_final_without_words():
    async with (server := VoskServer()).serve():
        quiet = lambda facts: isinstance(facts[-1], ASRFinal)  # noqa: E731
        facts = await listen(make(Stage.ASR, "vosk", server).stream(1), "", until=quiet)
    assert facts[-1].text == ""


def test_the_server_in_another_language_is_never_asked():
    assert list(make(Stage.ASR, "vosk", VoskServer(), reset=False).stream(1).finish()) == []
