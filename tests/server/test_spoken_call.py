"""A whole telephone call, spoken: a person's recorded voice over Twilio's wire, to the embedded recogniser and voice."""

import sqlite3
import wave
from pathlib import Path

from engine._codec import Resampler, pcm16_to_ulaw
from engine.demo import make_agent
from engine.sandbox.twilio_line import Stream
from tests.server.servers import AUTH_TOKEN, make_config, serving
from tests.server.test_telephone import CALL, calling
from tests.transports.wires import run

AUDIO = Path(__file__).parent.parent / "fixtures" / "audio"


def spoken(name: str) -> bytes:
    """A recording as a telephone carries it."""
    with wave.open(str(AUDIO / f"{name}.wav")) as said:
        pcm = said.readframes(said.getnframes())
        resampler = Resampler(said.getframerate(), 8_000)
    return pcm16_to_ulaw(resampler.push(pcm) + resampler.flush())


def runs_played(stream: Stream, since: int = 0) -> set[int]:
    """Runs that Twilio was sent sound of, by their marks."""
    named = (each.mark.split(".")[1] for each in stream.sent[since:] if each.mark)
    return {int(name) for name in named if name.isdigit()}


def test_a_caller_books_interrupts_and_nothing_of_the_dead_run_follows_the_clear(tmp_path: Path) -> None:
    agent = make_agent(database=str(tmp_path / "book.sqlite"), today="2026-11-23")

    async def main() -> None:
        async with serving(make_config(agent, TWILIO_AUTH_TOKEN=AUTH_TOKEN)) as server, calling(server) as stream:
            await stream.until(lambda: len(stream.played) > 8_000 and not stream.queued)
            session = server.app.switchboard.host.session(CALL)
            assert session is not None
            stream.say(spoken("day-007"))
            await stream.until(lambda: 2 in runs_played(stream))
            heard = len(stream.played)
            await stream.until(lambda: len(stream.played) > heard + 8_000)
            stream.say(spoken("digits-009"))
            await stream.until(lambda: session.state.contest.interrupted == 1)
            assert stream.ignored == []
            run_cut = next(each for each in session.state.response.past if each.end and each.number == 2)
            await stream.until(lambda: 3 in runs_played(stream))
            events = [each.event for each in stream.sent]
            last_clear = len(events) - 1 - events[::-1].index("clear")
            assert runs_played(stream, last_clear) == {3}
            told = next(each for each in session.state.conversation.messages if each.run == 2 and each.interrupted)
            assert told.text
            assert run_cut.text.startswith(told.text)
            assert len(told.text) < len(run_cut.text)

    run(main())
    with sqlite3.connect(tmp_path / "book.sqlite") as book:
        assert "2026-11-24" in str(list(book.execute("select * from appointments")))
