import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping

import numpy as np
import pytest

from engine.core.units import MS
from engine.errors import ConfigError, TransportClosed
from engine.transports.microphone import Microphone, portaudio
from tests.transports.cards import HandCard
from tests.transports.wires import Ear, run, settle

FRAME = 1_920


def tone(rms: int) -> bytes:
    return (rms * np.sqrt(2) * np.sin(np.arange(960) * 0.05)).astype("<i2").tobytes()


class Desk:
    def __init__(self) -> None:
        self.card, self.ear = HandCard(), Ear()
        self.shown: list[Mapping[str, object]] = []
        self.levels: list[tuple[int, int]] = []
        self.microphone = Microphone(
            self.card, show=self.shown.append, levels=lambda caller, agent: self.levels.append((caller, agent))
        )
        self.carrying = asyncio.create_task(self.microphone.carry(self.ear))


def at_a_desk(test: Callable[[Desk], Awaitable[None]]) -> Callable[[], None]:
    def wrapped() -> None:
        async def main() -> None:
            desk = Desk()
            await settle()
            await test(desk)
            desk.microphone.end("over")
            await asyncio.gather(desk.carrying, return_exceptions=True)
            assert desk.card.closed

        run(main())

    wrapped.__name__ = test.__name__
    return wrapped


@at_a_desk
async def test_sound_goes_both_ways_frame_by_frame(desk: Desk) -> None:
    desk.microphone.send_audio(1, 0, tone(3_000))
    assert desk.card.turn(2) == tone(3_000) + bytes(FRAME)
    await settle()
    assert desk.ear.sound == bytes(2 * FRAME)
    desk.card.turn(40)  # until no echo is to be expected any more
    desk.card.turn(heard=tone(500))
    await settle()
    assert desk.ear.sound.endswith(tone(500))
    assert desk.levels[0][1] > 2_900
    assert desk.levels[-1][0] > 450


@at_a_desk
async def test_a_position_is_told_when_the_devices_latency_has_passed(desk: Desk) -> None:
    desk.microphone.send_audio(7, 960, tone(3_000))
    desk.card.turn(desk.card.latency_ns // (20 * MS))
    await settle()
    assert desk.ear.told == []
    desk.card.turn()
    await settle()
    assert desk.ear.told == [("played", 7, 1_920)]


@at_a_desk
async def test_a_clear_is_silence_from_the_next_frame_on(desk: Desk) -> None:
    desk.microphone.send_audio(1, 0, 5 * tone(3_000))
    desk.card.turn()
    desk.microphone.clear(1)
    assert desk.card.turn() == bytes(FRAME)


@at_a_desk
async def test_the_agents_own_voice_is_not_heard_as_the_callers(desk: Desk) -> None:
    desk.microphone.send_audio(1, 0, 20 * tone(3_000))
    desk.card.turn(20, heard=tone(600))
    await settle()
    assert not any(desk.ear.sound)


@at_a_desk
async def test_a_card_that_gives_no_frames_is_gone(desk: Desk) -> None:
    desk.microphone._watch(desk.microphone._frames)
    with pytest.raises(TransportClosed, match="gone"):
        await desk.carrying


@at_a_desk
async def test_a_stream_that_gives_out_is_started_again_and_the_call_goes_on(desk: Desk) -> None:
    desk.microphone.send_audio(1, 0, 2 * tone(3_000))
    desk.card.turn()
    desk.card.give_out()
    await settle()
    assert desk.card.restarts == 1
    assert desk.card.turn() == tone(3_000), "what was not played yet is played when it goes on"
    assert not desk.carrying.done()


@at_a_desk
async def test_a_stream_that_gives_out_again_and_again_is_gone(desk: Desk) -> None:
    for _ in range(4):
        desk.card.give_out()
    with pytest.raises(TransportClosed, match="gone"):
        await desk.carrying
    assert desk.card.restarts == 3


@at_a_desk
async def test_a_card_that_is_unplugged_is_gone(desk: Desk) -> None:
    desk.card.unplugged = True
    desk.card.give_out()
    with pytest.raises(TransportClosed, match="gone"):
        await desk.carrying


@at_a_desk
async def test_what_a_screen_may_show_is_shown_until_the_end(desk: Desk) -> None:
    desk.microphone.send_message({"type": "phase"})
    await desk.microphone.hang_up("over")
    desk.microphone.send_message({"type": "late"})
    assert desk.shown == [{"type": "phase"}]


def test_without_the_extra_or_portaudio_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(ConfigError, match="extra"):
        portaudio()

    class Finder:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "sounddevice":
                raise OSError("PortAudio library not found")

    monkeypatch.delitem(sys.modules, "sounddevice")
    monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])
    with pytest.raises(ConfigError, match="PortAudio"):
        portaudio()
