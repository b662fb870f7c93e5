"""Calls in which everything goes wrong, on the real runtime: whatever fails, nothing of a dead run leaves and the call ends clean."""

import asyncio
from random import Random

import pytest
from msgspec.structs import replace

from engine.core.commands import ClearPlayout
from engine.core.events import (
    ASREndOfTurn,
    ASRFinal,
    ASRPartial,
    EndRequested,
    InterruptRequested,
    RunCancelled,
    SayRequested,
    SessionEnded,
    UserTextReceived,
)
from engine.core.policy import OnInterrupt, Policy
from engine.core.units import MS, SECOND
from engine.errors import FailureKind
from engine.transports.memory import MemoryTransport, Sent
from tests.fakes import CAPABILITIES, Call, fails, tool, virtually

SENTENCES = (
    "It is noon. ",
    "And the sun is shining brightly over the hills today, ",
    "which is nice. ",
    "Anything else? ",
    "Hm",
)
KINDS = tuple(FailureKind)


class Chaos:
    """One call's worth of trouble, from a seed."""

    def __init__(self, seed: int) -> None:
        self.chance = Random(seed)
        chance = self.chance
        self.call = Call(
            replace(
                CAPABILITIES,
                ahead_ns=chance.choice((0, 60, 300)) * MS,
                marks=chance.random() < 0.4,
                reports=chance.random() < 0.4,
                screen=True,
                grace_ns=chance.choice((0, 2)) * SECOND,
            ),
            greeting=chance.choice(("", "Hello, how can I help you?")),
            policy=Policy(llm_first_ns=SECOND, tts_first_ns=SECOND, tool_timeout_ns=SECOND, filler_ns=300 * MS),
            tools=(tool("book", on_interrupt=chance.choice(tuple(OnInterrupt))), tool("bye", ends_call=True)),
        )
        self.call.tools.delay_ms = chance.choice((0, 50, 2_000))
        self.call.brain.letting_go_ms = chance.choice((0, 0, 100, 3_000))
        self.call.mouth.words = chance.random() < 0.7
        self.call.mouth.slowness = chance.choice((0.0, 0.1, 0.8, 1.5))
        self.sent_at_clear: dict[int, int] = {}

    def script(self) -> list[tuple[int, object]]:
        """What the model says to the next question."""
        chance = self.chance
        pauses_ms = (0, 10, 100, 1_500)
        items: list[tuple[int, object]] = [
            (chance.choice(pauses_ms), chance.choice(SENTENCES)) for _ in range(chance.randrange(4))
        ]
        if chance.random() < 0.2:
            items.append((10, (chance.choice(("book", "nonsense")), chance.choice(("{}", "no json")))))
        if chance.random() < 0.2:
            items.append((10, chance.choice((fails(chance.choice(KINDS)), ValueError("a bug")))))
        return items

    async def act(self) -> None:
        call, chance = self.call, self.chance
        ear = call.stream.ear
        match chance.randrange(14):
            case 0 | 1 | 2:
                await call.pass_ms(chance.choice((40, 140, 400, 900)), voice=True)
            case 3:
                call.stream.say(ASRPartial(ear=ear, text=chance.choice(("yeah", "no wait", "book me in", ""))))
            case 4 | 5:
                call.stream.say(ASRFinal(ear=ear, text=chance.choice(("mm hmm", "what time is it", "stop"))))
            case 6:
                call.stream.say(ASREndOfTurn(ear=ear))
            case 7:
                call.stream.say(fails(chance.choice(KINDS)))
            case 8:
                call.session.post(InterruptRequested())
            case 9:
                call.session.post(UserTextReceived(text="typed words"))
            case 10:
                call.session.post(SayRequested(text="By the way.", interruptible=chance.random() < 0.5))
            case 11:
                call.mouth.error, call.mouth.fails_on = fails(chance.choice(KINDS)), chance.choice(SENTENCES).strip()
                call.mouth.fails_after_ms = chance.choice((0, 200))
            case 12:
                await self.lose()
            case 13:
                if chance.random() < 0.1:
                    call.session.post(EndRequested(reason="enough", text="Goodbye."))
        await call.pass_ms(chance.choice((0, 20, 100, 600)))

    async def lose(self) -> None:
        """The line breaks, and perhaps comes back."""
        call = self.call
        call.peer.drop()
        await asyncio.sleep(self.chance.choice((0.1, 1, 3)))
        again = MemoryTransport(call.capabilities)
        if call.session.resume(again):
            self.follow(again)
            await asyncio.sleep(0.01)

    def follow(self, transport: MemoryTransport) -> None:
        """Watch what arrives at this end."""
        self.call.transport, self.call.peer = transport, transport.peer
        transport.peer.follow(self.call.loop.time_ns)
        take = transport.peer.take_audio

        def watched(sent: Sent) -> None:
            cleared = {command.run for command in self.call.orders(ClearPlayout)}
            assert sent.run not in cleared, f"sound of dead run {sent.run}"
            take(sent)

        transport.peer.take_audio = watched  # type: ignore[method-assign]

    async def play(self) -> None:
        call = self.call
        call.brain.scripts = [self.script() for _ in range(40)]
        self.follow(call.transport)
        running = asyncio.create_task(call.session.run())
        await asyncio.sleep(0)
        for _ in range(25):
            if running.done():
                break
            await self.act()
        await call.pass_ms(3_000)
        call.peer.hang_up()
        outcome = await running
        assert not outcome.faulty
        assert outcome.state is not None
        assert outcome.state.counters.backwards == 0
        assert isinstance(call.steps[-1][0], SessionEnded)
        assert call.mouth.alive == 0
        assert asyncio.all_tasks() <= {asyncio.current_task(), *self.stubborn()}
        owed = {command.run for command in call.orders(ClearPlayout)} - {fact.run for fact in call.facts(RunCancelled)}
        assert all(self.cleared_at(run) > call.state.at - 3 * SECOND for run in owed)
        assert [stream for stream in call.ears.streams if not stream.closed] == []

    def stubborn(self) -> set["asyncio.Task[object]"]:
        """A model that takes 3 s to let go outlives the session's 2."""
        return asyncio.all_tasks() if self.call.brain.letting_go_ms > 2_000 else set()

    def cleared_at(self, run: int) -> int:
        return next(
            event.at
            for event, _, commands in self.call.steps
            if any(isinstance(command, ClearPlayout) and command.run == run for command in commands)
        )


@pytest.mark.parametrize("seed", range(60))
@virtually
async def test_whatever_goes_wrong_the_call_ends_clean(seed: int, caplog: pytest.LogCaptureFixture) -> None:
    await Chaos(seed).play()
