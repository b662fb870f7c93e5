"""The scenes against servers that can only be heard: a scripted one each, on virtual time; and our own, over its real wire."""

import asyncio
import time
from functools import partial
from typing import Any

import httpx
import numpy as np
import pytest

from engine.agent import Agent
from engine.core.units import ENGINE_HZ, MS
from engine.errors import EngineError
from engine.load.doors import WebhookDoor
from engine.load.voice import MADE_HZ, speech
from engine.load.wheel import Wheel
from engine.score.card import card
from engine.score.heard import LINE_HZ
from engine.score.line import Line
from engine.score.outside import Held, Plan, Speech, Theatre, judge, make_ready, play_outside
from engine.score.scenes import Kind, Scene
from engine.score.sounds import SPEECH_RMS, Clip, pink
from tests.score import peers
from tests.server.servers import AUTH_TOKEN, make_config, serving
from tests.transports.wires import run

VOICE = Clip(pink(ENGINE_HZ, 7) * SPEECH_RMS, ("no",), (1.0,))
"""A second of something loud: these peers hear loudness."""
HUM = Clip(VOICE.samples[: ENGINE_HZ * 2 // 5], ("yeah",), (0.4,))


def held(kind: type[peers.Peer], *scenes: Scene) -> tuple[Held, list[peers.Peer]]:
    """Hold the undisturbed call and these scenes with such a peer."""
    made: list[peers.Peer] = []

    async def main() -> Held:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, peers.ElasticLoop)
        wheel = Wheel(loop, loop.time_ns, lambda late: None)
        line = partial(Line, clock=loop.time_ns, dialled=peers.dialled(kind, loop, made))
        theatre = Theatre(peers.Door(), wheel, VOICE, line)
        try:
            found = Held(speech=await theatre.undisturbed())
            for scene in scenes:
                await theatre.play(make_ready(scene), found)
            judge(found)
            return found
        finally:
            wheel.stop()

    with asyncio.Runner(loop_factory=peers.jumping) as runner:
        return runner.run(main()), made


def figure(found: Held, name: str) -> str:
    return next(row.figure for row in card(found.played, None) if row.name.startswith(name))


CUT = Scene("cut", Kind.INTERRUPTION, VOICE)
NOD = Scene("nod", Kind.BACKCHANNEL, HUM)
TURN = Scene("turn", Kind.PLAIN, VOICE)


def test_an_agent_that_falls_silent_yields_and_the_time_it_takes_is_told_within_a_frame() -> None:
    found, _ = held(peers.Polite, CUT)
    (_, result), *_ = found.played
    assert (figure(found, "yield rate"), figure(found, "stale")) == ("1.00", "0")
    assert result.paused_ns is not None
    assert 120 * MS <= result.paused_ns - result.onset_ns <= 160 * MS
    assert not found.speech.answer
    assert found.speech.seconds == pytest.approx(12.0, abs=0.01)


def test_an_agent_that_never_yields_scores_nothing() -> None:
    found, _ = held(peers.Deaf, CUT, NOD)
    assert (figure(found, "yield rate"), figure(found, "selectivity: backchannel")) == ("0.00", "1.00")


def test_sound_that_comes_after_a_clear_is_stale_and_puts_the_silence_off() -> None:
    found, _ = held(peers.Late, CUT)
    (_, result), *_ = found.played
    assert result.stale_samples == pytest.approx(8_000, abs=100)
    assert result.paused_ns is not None
    assert result.paused_ns - result.onset_ns > 1_400 * MS


def test_an_agent_that_goes_on_without_a_loss_keeps_the_floor() -> None:
    found, _ = held(peers.Patient, NOD)
    (_, result), *_ = found.played
    assert figure(found, "selectivity: backchannel") == "1.00"
    assert (result.lost, result.gap_samples) == (False, 0)
    assert result.resumed_ns is not None


@pytest.mark.parametrize("kind", [peers.Polite, peers.Forgetful])
def test_an_agent_that_answers_a_nod_or_loses_words_over_it_does_not(kind: type[peers.Peer]) -> None:
    found, _ = held(kind, NOD)
    assert figure(found, "selectivity: backchannel") == "0.00"


def test_a_turn_is_answered_and_timed_from_its_last_sample() -> None:
    found, _ = held(peers.Polite, TURN)
    (_, result), *_ = found.played
    assert result.answered_ns is not None
    assert 690 * MS <= result.answered_ns - result.last_ns <= 730 * MS
    assert figure(found, "answered") == "1.00"


def test_an_agent_that_talks_over_the_caller_is_caught_at_it() -> None:
    found, _ = held(peers.Hasty, TURN)
    assert figure(found, "agent interrupts the caller") == "1.00"


def test_an_agent_with_nothing_long_to_say_is_not_spoken_into() -> None:
    found, _ = held(peers.Hasty, CUT)
    assert (found.over, found.played) == (1, [])


def test_what_cannot_be_seen_is_a_dash_with_a_reason() -> None:
    found, _ = held(peers.Polite, CUT, TURN)
    rows = {row.name: row for row in card(found.played, None)}
    for name in ("models cancelled in the deciding step", "heard-text error", "stuck calls"):
        assert rows[name].figure == "-"
        assert "cannot be seen from outside" in rows[name].aim
    assert "--provider-ms" in rows["response over the providers p50, ms"].aim
    assert "response over the providers p50, ms" in {row.name for row in card(found.played, 300) if row.figure != "-"}


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (peers.Mute, "never made a sound"),
        (peers.Endless, "did not stop speaking for 60 s"),
        (peers.Leaving, "closed by the server: 1011"),
        (peers.Refusing, "403 Forbidden"),
    ],
)
def test_a_server_that_holds_no_call_is_an_error_that_says_why(kind: type[peers.Peer], reason: str) -> None:
    with pytest.raises(EngineError, match=reason):
        held(kind)


def test_a_server_that_fails_later_is_counted_with_the_reason() -> None:
    class Tiring(peers.Polite):
        calls = 0

        def greet(self) -> None:
            Tiring.calls += 1
            super().greet()
            if Tiring.calls > 1:
                self.loop.call_later(4.0, self.gone, "closed by the server: 1006")

    found, _ = held(Tiring, CUT, TURN)
    assert found.failed == {"closed by the server: 1006": 2}
    assert found.played == []


def test_an_agent_that_falls_silent_by_itself_has_not_yielded() -> None:
    found, _ = held(peers.Fickle, CUT)
    assert (found.played, found.failed) == ([], {"the agent fell silent before it was spoken into": 1})


def test_messages_that_twilio_ignores_are_counted_and_do_no_harm() -> None:
    found, _ = held(peers.Garbling, CUT)
    assert found.ignored == 8
    assert figure(found, "yield rate") == "1.00"


def test_our_own_server_yields_over_its_real_wire() -> None:
    agent = Agent(
        "", asr=("rehearsal",), llm=("rehearsal",), tts=("rehearsal",), greeting="We are open from nine to five. " * 5
    )
    scene = Scene("cut", Kind.INTERRUPTION, voice(1.2), after_s=1.0)

    async def main() -> None:
        async with serving(make_config(agent, TWILIO_AUTH_TOKEN=AUTH_TOKEN)) as server, httpx.AsyncClient() as client:
            wheel = Wheel(asyncio.get_running_loop(), time.monotonic_ns, lambda late: None)
            theatre = Theatre(WebhookDoor(server.http, AUTH_TOKEN, client), wheel, VOICE)
            # What it says is taken as not known: the undisturbed call would take as long as its greeting.
            found = Held(speech=Speech(answer=False, sound=np.zeros(9 * LINE_HZ)))
            await theatre.play(make_ready(scene), found)
            wheel.stop()
            judge(found)
            assert (found.failed, found.ignored, found.unknown) == ({}, 0, 1)
            assert figure(found, "yield rate") == "1.00"
            with pytest.raises(EngineError, match="403"):
                await play_outside(Plan(url=server.http, token="another's"), [scene], VOICE)

    run(main())


def voice(length_s: float) -> Clip:
    """Vowels, which a detector takes for speech."""
    sound: Any = np.frombuffer(speech("aeiouaeo"), np.int16)[: int(length_s * MADE_HZ)]
    return Clip(np.repeat(sound, ENGINE_HZ // MADE_HZ) / 32_768, ("no",), (length_s,))
