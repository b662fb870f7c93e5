"""Pieces of text on their way to sound: two at once, in order, with nothing lost where one ends and the next begins."""

from engine.core.commands import CancelTTS, Synthesize
from engine.core.events import AdapterFailed, Fact, TTSChunkDone, TTSStarted
from engine.core.units import MS, SECOND
from engine.errors import FailureKind
from tests.fakes import Call, fails, virtually

TEXTS = ("One sentence here.", "Another one follows.", "And a third.", "The last.")


def ask(call: Call, *texts: str, first_ns: int = 0, whole_ns: int = 0, start: int = 1) -> None:
    """Order chunks of run 9, behind the rules' back: what the state thinks of their facts does not matter here."""
    for number, text in enumerate(texts, start):
        order = Synthesize(run=9, chunk=number, provider="mouth", text=text, first_ns=first_ns, whole_ns=whole_ns)
        call.session._effects.do((order,))


def ends(call: Call) -> list[tuple[type[Fact], int]]:
    kinds = (TTSStarted, TTSChunkDone, AdapterFailed)
    return [(type(fact), fact.chunk) for fact, _, _ in call.steps if isinstance(fact, kinds)]


@virtually
async def test_two_chunks_are_under_way_at_once_and_no_more() -> None:
    async with Call() as call:
        ask(call, *TEXTS)
        await call.pass_ms(2_000)
        assert [request.text for request in call.mouth.asked] == list(TEXTS)
        assert call.mouth.alive_max == 2


@virtually
async def test_chunks_end_in_the_order_they_were_asked_for() -> None:
    async with Call() as call:
        ask(call, "A first sentence that takes rather long to say.", "Short.", "Tiny.")
        await call.pass_ms(2_000)
        done = [chunk for kind, chunk in ends(call) if kind is TTSChunkDone]
        assert done == [1, 2, 3]


@virtually
async def test_durations_are_those_of_the_sound() -> None:
    async with Call() as call:
        ask(call, *TEXTS)
        await call.pass_ms(2_000)
        durations = [fact.duration_ns for fact in call.facts(TTSChunkDone)]
        assert durations == [len(text) * call.mouth.ms_per_char * MS for text in TEXTS]
        assert call.session._outbound.written(9) == sum(durations) * 24_000 // SECOND


@virtually
async def test_what_the_next_chunk_has_made_is_there_when_its_turn_comes() -> None:
    async with Call() as call:
        call.mouth.slowness = 0.5
        ask(call, "One sentence here.", "Another one follows.")
        while not call.facts(TTSChunkDone):
            await call.pass_ms(20)
        first = call.facts(TTSChunkDone)[0]
        assert call.session._outbound.written(9) > first.duration_ns * 24_000 // SECOND + 2_400


@virtually
async def test_a_failure_is_told_when_it_is_its_turn() -> None:
    async with Call() as call:
        call.mouth.slowness = 0.5
        call.mouth.error, call.mouth.fails_after_ms, call.mouth.fails_on = fails(FailureKind.CLOSED), 500, "fails"
        ask(call, "A first sentence that takes rather long to say.", "It fails in the middle.")
        await call.pass_ms(6_000)
        assert ends(call)[-2:] == [(TTSChunkDone, 1), (AdapterFailed, 2)]
        assert call.facts(AdapterFailed)[0].duration_ns == 500 * MS


@virtually
async def test_a_cancelled_chunk_says_nothing_more() -> None:
    async with Call() as call:
        ask(call, *TEXTS)
        await call.pass_ms(60)
        call.session._effects.do((CancelTTS(run=9),))
        steps = len(call.steps)
        await call.pass_ms(3_000)
        assert call.mouth.alive == 0
        assert [fact for fact, _, _ in call.steps[steps:] if isinstance(fact, TTSStarted | TTSChunkDone)] == []


@virtually
async def test_chunks_asked_for_after_a_cancel_go_on_behind_the_sound_in_hand() -> None:
    async with Call() as call:
        ask(call, "One sentence here.")
        await call.pass_ms(100)
        call.session._effects.do((CancelTTS(run=9),))
        in_hand = call.session._outbound.written(9)
        assert in_hand > 0
        ask(call, "Another one.", start=2)
        await call.pass_ms(1_000)
        made = len("Another one.") * call.mouth.ms_per_char * 24
        assert call.session._outbound.written(9) == in_hand + made


@virtually
async def test_a_silent_voice_times_out_with_what_it_made() -> None:
    async with Call() as call:
        call.mouth.slowness = 5
        ask(call, "One sentence here.", first_ns=2 * SECOND, whole_ns=3 * SECOND)
        await call.pass_ms(4_000)
        failed = call.facts(AdapterFailed)[0]
        assert (failed.kind, failed.at) == (FailureKind.TIMEOUT, failed.at)
        assert failed.duration_ns == 550 * MS


@virtually
async def test_a_voice_that_never_speaks_times_out() -> None:
    async with Call() as call:
        call.mouth.first_ms = 60_000
        ask(call, "One sentence here.", first_ns=2 * SECOND, whole_ns=30 * SECOND)
        await call.pass_ms(2_100)
        assert [(fact.kind, fact.duration_ns) for fact in call.facts(AdapterFailed)] == [(FailureKind.TIMEOUT, 0)]


@virtually
async def test_the_wait_of_the_next_chunk_begins_with_its_turn() -> None:
    async with Call() as call:
        call.mouth.slowness = 1
        ask(call, "A first sentence that takes rather long to say.", "Short.", first_ns=SECOND, whole_ns=4 * SECOND)
        await call.pass_ms(6_000)
        assert call.facts(AdapterFailed) == []
        assert len(call.facts(TTSChunkDone)) == 2


@virtually
async def test_a_full_ring_is_not_held_against_the_voice() -> None:
    async with Call() as call:
        call.mouth.slowness = 0
        ask(call, *("x" * 400 for _ in range(4)), first_ns=3 * SECOND, whole_ns=5 * SECOND)
        await call.pass_ms(20_000)
        assert call.facts(AdapterFailed) == []
        assert len(call.facts(TTSChunkDone)) == 2
        call.session._outbound.open(9)
        await call.pass_ms(60_000)
        assert call.facts(AdapterFailed) == []
        assert [fact.chunk for fact in call.facts(TTSChunkDone) if fact.run == 9] == [1, 2, 3, 4]
