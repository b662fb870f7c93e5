"""A whole telephone call, spoken: a person's recorded voice over Twilio's wire, to the embedded recogniser and voice."""

import sqlite3
import wave
from pathlib import Path

import numpy as np

from engine._codec import Resampler, pcm16_to_ulaw, ulaw_to_pcm16
from engine.core.events import PlayoutCleared, PlayoutDone, PlayoutStarted, UserSpeechStarted
from engine.core.units import MS, SECOND
from engine.demo import make_agent
from engine.inspector.sound import samples_of
from engine.replay.reader import Journal
from engine.replay.tape import opened
from engine.sandbox.twilio_line import Stream
from tests.server.servers import AUTH_TOKEN, make_config, serving
from tests.server.test_telephone import CALL, calling
from tests.transports.wires import run

Samples = np.ndarray[tuple[int], np.dtype[np.int16]]
RATE_HZ = 16_000
LOUD = 400
AUDIO = Path(__file__).parent.parent / "fixtures" / "audio"


def spoken(name: str) -> bytes:
    """A recording as a telephone carries it."""
    with wave.open(str(AUDIO / f"{name}.wav")) as said:
        pcm = said.readframes(said.getnframes())
        resampler = Resampler(said.getframerate(), 8_000)
    return pcm16_to_ulaw(resampler.push(pcm) + resampler.flush())


def pcm_of(ulaw: bytes) -> Samples:
    """What a telephone played, at the recording's rate."""
    return np.frombuffer(Resampler(8_000, RATE_HZ).push(ulaw_to_pcm16(ulaw)), "<i2")


def runs_played(stream: Stream, since: int = 0) -> set[int]:
    """Runs that Twilio was sent sound of, by their marks."""
    named = (each.mark.split(".")[1] for each in stream.sent[since:] if each.mark)
    return {int(name) for name in named if name.isdigit()}


def test_a_caller_books_interrupts_and_nothing_of_the_dead_run_follows_the_clear(tmp_path: Path) -> None:
    agent = make_agent(database=str(tmp_path / "book.sqlite"), today="2026-11-23")

    line: list[Samples] = []

    async def main() -> None:
        config = make_config(
            agent, TWILIO_AUTH_TOKEN=AUTH_TOKEN, ENGINE_JOURNAL_FOLDER=str(tmp_path), ENGINE_JOURNAL_SOUND="true"
        )
        async with serving(config) as server, calling(server) as stream:
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
            await stream.until(lambda: bool(runs_played(stream) - {1, 2}))
            events = [each.event for each in stream.sent]
            last_clear = len(events) - 1 - events[::-1].index("clear")
            assert runs_played(stream, last_clear) == runs_played(stream) - {1, 2}
            told = next(each for each in session.state.conversation.messages if each.run == 2 and each.interrupted)
            assert told.text
            assert run_cut.text.startswith(told.text)
            assert len(told.text) < len(run_cut.text)
            line.append(pcm_of(bytes(stream.played)))

    run(main())
    with sqlite3.connect(tmp_path / "book.sqlite") as book:
        assert "2026-11-24" in str(list(book.execute("select * from appointments")))
    (journal,) = tmp_path.glob("*.jsonl")
    check_sound(journal, line[0])


def check_sound(journal: Path, line: Samples) -> None:
    """The recorded sound is what the line played, and stands where the journal says it was heard; the caller's where it was spoken."""
    with Journal(journal) as recorded:
        steps = [step.event for step in recorded.steps()]
    with opened(journal.with_suffix(".wav")) as file:
        caller, agent = samples_of(file.readframes(file.getnframes())).T
    heard = {event.run: event for event in steps if isinstance(event, PlayoutDone | PlayoutCleared)}
    start = 0
    for number in (1, 2):
        began = next(event.at for event in steps if isinstance(event, PlayoutStarted) and event.run == number)
        length = heard[number].heard_ns * RATE_HZ // SECOND
        place, likeness = found(line[start : start + length], agent)
        assert likeness > 0.99, f"run {number} is not what the line played"
        assert abs(place * SECOND // RATE_HZ - began) < 100 * MS, f"run {number}"
        start += length
    onset = next(event for event in steps if isinstance(event, UserSpeechStarted))
    begun = int(np.flatnonzero(np.abs(caller) > LOUD)[0]) * SECOND // RATE_HZ
    assert abs(begun - onset.audio_ns) < 200 * MS
    cleared = heard[2].at * RATE_HZ // SECOND
    after = next(event.at for event in steps if isinstance(event, PlayoutStarted) and event.run > 2) * RATE_HZ // SECOND
    assert not agent[cleared:after].any(), "what was taken back is not in the file"


def found(piece: Samples, sound: Samples) -> tuple[int, float]:
    """Where a piece lies in a sound, and how like it is what lies there: 1 is the same."""
    size = 1 << (len(sound) + len(piece)).bit_length()
    spectrum = np.fft.rfft(sound, size) * np.conj(np.fft.rfft(piece, size))
    place = int(np.fft.irfft(spectrum)[: len(sound)].argmax())
    one, other = sound[place : place + len(piece)].astype(float), piece.astype(float)[: len(sound) - place]
    return place, float(one @ other / np.sqrt((one @ one) * (other @ other)))
