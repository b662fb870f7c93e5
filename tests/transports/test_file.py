"""A recorded caller: played in step with the clock, and what they heard kept in step with it too."""

import asyncio

import pytest

from engine.core.units import MS, SECOND
from engine.errors import TransportClosed
from engine.transports.base import Line
from engine.transports.file import ENDED, LONGEST_NS, SPEAKER_HZ, FileTransport
from engine.transports.wav import Sound
from tests.fakes import virtually

MS_BYTES = 2 * SPEAKER_HZ // 1000


class Ear(Line):
    """A line that notes when it heard what."""

    def __init__(self) -> None:
        self.heard: list[tuple[float, bytes]] = []

    def hear(self, chunk: bytes) -> None:
        self.heard.append((asyncio.get_running_loop().time(), chunk))


@virtually
async def test_the_recording_is_played_in_real_time_and_then_the_line_is_quiet() -> None:
    pcm = bytes(range(256)) * 5
    transport, ear = FileTransport(Sound(8_000, pcm), quiet_ns=SECOND), Ear()
    assert await transport.carry(ear) == ENDED
    sound = b"".join(chunk for _, chunk in ear.heard)
    assert sound[: len(pcm)] == pcm
    assert not any(sound[len(pcm) :])
    assert {len(chunk) for _, chunk in ear.heard} == {320}
    assert ear.heard[0][0] == pytest.approx(0.02)
    assert ear.heard[-1][0] == pytest.approx(1.08, abs=0.03)


@virtually
async def test_a_rate_that_does_not_divide_loses_no_sample() -> None:
    pcm = bytes(2 * 11_025)
    transport, ear = FileTransport(Sound(11_025, b"\1\2" * 11_025), quiet_ns=SECOND), Ear()
    await transport.carry(ear)
    sound = b"".join(chunk for _, chunk in ear.heard)
    assert sound[: len(pcm)] == b"\1\2" * 11_025
    assert len(sound) == pytest.approx(2 * 2 * 11_025, abs=2_000)


@virtually
async def test_the_lead_is_silence() -> None:
    transport, ear = FileTransport(Sound(8_000, b"\1\2" * 80), lead_ns=100 * MS, quiet_ns=SECOND), Ear()
    await transport.carry(ear)
    sound = b"".join(chunk for _, chunk in ear.heard)
    assert sound[: 1_600 + 160] == bytes(1_600) + b"\1\2" * 80


@virtually
async def test_an_agent_that_talks_is_not_cut_off() -> None:
    transport = FileTransport(Sound(8_000, bytes(160)), quiet_ns=SECOND)
    carrying = asyncio.create_task(transport.carry(Ear()))
    for _ in range(100):
        await asyncio.sleep(0.02)
        transport.send_audio(1, 0, b"\1\1" * (SPEAKER_HZ // 50))
    assert not carrying.done()
    await asyncio.sleep(1.1)
    assert carrying.done()


@virtually
async def test_an_agent_that_never_stops_is_left() -> None:
    transport = FileTransport(Sound(8_000, bytes(160)), quiet_ns=SECOND)
    carrying = asyncio.create_task(transport.carry(Ear()))
    transport.send_audio(1, 0, bytes(MS_BYTES * 1_000 * 600))
    await asyncio.sleep(LONGEST_NS / SECOND + 1)
    assert carrying.done()


@virtually
async def test_what_was_heard_lies_where_it_was_heard() -> None:
    transport = FileTransport(Sound(8_000, bytes(16_000)), quiet_ns=SECOND)
    carrying = asyncio.create_task(transport.carry(Ear()))
    await asyncio.sleep(0.5)
    transport.send_audio(1, 0, b"\1\1" * (SPEAKER_HZ // 50))
    await asyncio.sleep(0.022)
    transport.send_audio(1, 480, b"\2\2" * (SPEAKER_HZ // 50))
    heard = transport.agent_sound
    assert heard.rate_hz == SPEAKER_HZ
    assert heard.pcm == bytes(500 * MS_BYTES) + b"\1\1" * 480 + b"\2\2" * 480
    await transport.hang_up("done")
    assert await carrying == "done"


@virtually
async def test_what_a_clear_took_back_was_not_heard() -> None:
    transport = FileTransport(Sound(8_000, bytes(16_000)))
    carrying = asyncio.create_task(transport.carry(Ear()))
    await asyncio.sleep(0.1)
    transport.send_audio(1, 0, b"\1\1" * (SPEAKER_HZ // 10))
    await asyncio.sleep(0.03)
    transport.clear(1)
    assert len(transport.agent_sound.pcm) == 130 * MS_BYTES
    await transport.hang_up("done")
    await carrying


@virtually
async def test_a_recording_cannot_be_handed_over() -> None:
    with pytest.raises(TransportClosed):
        await FileTransport(Sound(8_000, bytes(2))).transfer("+15551234")
