"""AssemblyAI's turns."""

import pytest

from engine.core.events import ASREagerEndOfTurn, ASREndOfTurn, ASROpened, ASRTurnResumed, Stage
from engine.errors import AdapterError, FailureKind
from engine.sandbox.assemblyai import AssemblyAIServer
from engine.sandbox.base import Behaviour, Fault
from tests.adapters.drive import frames, listen, make, partials

pytestmark = pytest.mark.anyio


def stream(server, **options):
    return make(Stage.ASR, "assemblyai", server, **options).stream(1)


async def test_a_pause_is_an_early_end_and_the_end_is_one():
    async with (server := AssemblyAIServer()).serve():
        facts = await listen(stream(server), "book a table")
    assert [type(fact) for fact in facts if "Turn" in type(fact).__name__] == [ASREagerEndOfTurn, ASREndOfTurn]
    assert partials(facts)[:2] == ["book", "book a"]
    assert facts[-1].text == "book a table"


async def test_an_early_end_is_taken_back_when_the_caller_goes_on():
    async with (server := AssemblyAIServer()).serve():
        ear = stream(server)
        facts = []
        async for fact in ear.facts():
            facts.append(fact)
            if isinstance(fact, ASROpened):
                for frame in frames("my number is", after_ms=260) + frames("five", before_ms=0):
                    ear.hear(frame)
            if isinstance(fact, ASREndOfTurn):
                break
    kinds = [type(fact) for fact in facts]
    assert kinds.index(ASREagerEndOfTurn) < kinds.index(ASRTurnResumed) < kinds.index(ASREndOfTurn)
    assert facts[-1].text == "my number is five"


async def test_a_turn_that_ends_twice_ends_once_with_its_punctuation():
    async with (server := AssemblyAIServer()).serve():
        facts = await listen(stream(server, format_turns=True), "book a table.")
    ends = [fact.text for fact in facts if isinstance(fact, ASREndOfTurn)]
    assert ends == ["Book a table."]


async def test_lists_travel_as_one_value_and_the_rest_under_their_own_names():
    async with (server := AssemblyAIServer()).serve():
        await listen(stream(server, keyterms_prompt=("Acme", "Zed"), max_turn_silence=900), "hello")
    query = server.seen[-1]["query"]
    assert query["keyterms_prompt"] == '["Acme", "Zed"]'
    assert query["max_turn_silence"] == "900"
    assert "prompt" not in query


async def test_a_short_last_message_is_filled_up():
    async with (server := AssemblyAIServer()).serve():
        ear = stream(server)
        for _ in range(4):
            ear.hear(bytes(640))
        ear.finalize()
        facts = await listen(ear, "all is well")
    assert isinstance(facts[-1], ASREndOfTurn)


@pytest.mark.parametrize(
    ("fault", "code", "kind"),
    [
        (Fault.ERROR, 0, FailureKind.UNAVAILABLE),
        (Fault.FORMAT, 0, FailureKind.PROTOCOL),
        (Fault.CLOSE, 3009, FailureKind.RATE_LIMITED),
        (Fault.CLOSE, 3008, FailureKind.CLOSED),
        (Fault.CLOSE, 1008, FailureKind.REJECTED),
    ],
)
async def test_its_codes_are_kinds(fault, code, kind):
    async with (server := AssemblyAIServer(Behaviour(fault=fault, close_code=code))).serve():
        with pytest.raises(AdapterError) as caught:
            await listen(stream(server), "book a table")
    assert caught.value.kind is kind
