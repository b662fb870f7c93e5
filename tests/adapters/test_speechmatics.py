"""Speechmatics' finals, and who ends the turn."""

import pytest

from engine.core.events import ASREndOfTurn, ASRFinal, Stage
from engine.errors import AdapterError, FailureKind
from engine.sandbox.base import Behaviour, Fault
from engine.sandbox.speechmatics import SpeechmaticsServer
from tests.adapters.drive import listen, make, words

pytestmark = pytest.mark.anyio

TEXT = "please book a table for two"


async def test_finals_come_a_few_words_at_a_time():
    async with (server := SpeechmaticsServer()).serve():
        facts = await listen(make(Stage.ASR, "speechmatics", server).stream(1), TEXT)
    assert words(facts) == TEXT
    assert sum(isinstance(fact, ASRFinal) and bool(fact.text) for fact in facts) > 2
    assert not any(isinstance(fact, ASREndOfTurn) for fact in facts)


async def test_with_a_trigger_the_service_ends_the_turn():
    async with (server := SpeechmaticsServer()).serve():
        over = lambda facts: isinstance(facts[-1], ASREndOfTurn)  # noqa: E731
        stream = make(Stage.ASR, "speechmatics", server, end_of_utterance_silence_trigger=0.3).stream(1)
        facts = await listen(stream, TEXT, until=over)
    assert words(facts) == TEXT


async def test_an_error_has_a_name():
    async with (server := SpeechmaticsServer(Behaviour(fault=Fault.ERROR))).serve():
        with pytest.raises(AdapterError) as caught:
            await listen(make(Stage.ASR, "speechmatics", server).stream(1), TEXT)
    assert caught.value.kind is FailureKind.UNAVAILABLE


@pytest.mark.parametrize(("code", "kind"), [(4005, FailureKind.RATE_LIMITED), (4001, FailureKind.REJECTED)])
async def test_its_close_codes_are_kinds(code, kind):
    async with (server := SpeechmaticsServer(Behaviour(fault=Fault.CLOSE, close_code=code))).serve():
        with pytest.raises(AdapterError) as caught:
            await listen(make(Stage.ASR, "speechmatics", server).stream(1), TEXT)
    assert caught.value.kind is kind
