import asyncio
from collections.abc import Awaitable, Callable, Coroutine

import av
import numpy as np
import pytest
from aiortc.mediastreams import MediaStreamError
from av.audio.codeccontext import AudioCodecContext
from hypothesis import given
from hypothesis import strategies as st

from engine.core.units import FRAME_NS, MS, SECOND
from engine.transports.webrtc_voice import (
    DELAY_NS,
    FADE_FRAMES,
    FRAME_BYTES,
    LATE_NS,
    QUEUE_BYTES_MAX,
    RTP_FRAME,
    SILENCE,
    Voice,
)

FRAME = FRAME_BYTES // 2


def tone(samples: int) -> bytes:
    return (8_000 * np.sin(2 * np.pi * 300 * np.arange(samples) / 24_000)).astype("<i2").tobytes()


class Bench:
    """A track whose clock stands still between packets."""

    def __init__(self) -> None:
        self.now = SECOND
        self.heard: list[tuple[int, int]] = []
        self.voice = Voice(lambda run, samples: self.heard.append((run, samples)), lambda: self.now, self._sleep)
        decoder = av.CodecContext.create("libopus", "r")
        assert isinstance(decoder, AudioCodecContext)
        decoder.format, decoder.layout, decoder.sample_rate = "s16", "mono", 48_000
        self._decoder = decoder

    async def _sleep(self, seconds: float) -> None:
        self.now += round(seconds * SECOND)

    async def take(self, packets: int) -> list["av.Packet[av.AudioFrame]"]:
        return [await self.voice.recv() for _ in range(packets)]

    async def listen(self, packets: int) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
        """What an ear makes of the next packets: 48 kHz, one channel."""
        taken = [av.Packet(bytes(packet)) for packet in await self.take(packets)]
        frames = [frame for packet in taken for frame in self._decoder.decode(packet)]
        return np.concatenate([frame.to_ndarray().ravel() for frame in frames])


def bench(test: Callable[[Bench], Awaitable[None]]) -> None:
    async def main() -> None:
        await test(Bench())

    asyncio.run(main())


def on_bench(test: Callable[[Bench], Coroutine[None, None, None]]) -> Callable[[], None]:
    def wrapped() -> None:
        bench(test)

    wrapped.__name__ = test.__name__
    return wrapped


@on_bench
async def test_a_packet_is_due_every_20_ms_whether_there_is_sound_or_not(on: Bench) -> None:
    on.voice.put(1, 0, tone(3 * FRAME))
    began = on.now
    packets = await on.take(50)
    assert on.now - began == 49 * FRAME_NS
    assert [packet.pts for packet in packets] == [at * RTP_FRAME for at in range(50)]


@on_bench
async def test_sound_comes_out_as_it_went_in(on: Bench) -> None:
    on.voice.put(1, 0, tone(10 * FRAME)[:-100])
    heard = (await on.listen(12)).astype(float)
    expected = np.sin(2 * np.pi * 300 * np.arange(8 * 960) / 48_000)
    best = max(float(np.corrcoef(heard[lag : lag + len(expected)], expected)[0, 1]) for lag in range(0, 960, 8))
    assert best > 0.98


@on_bench
async def test_silence_costs_three_bytes_and_is_silent(on: Bench) -> None:
    on.voice.put(1, 0, tone(2 * FRAME))
    packets = await on.take(2 + FADE_FRAMES + 3)
    assert [bytes(packet) == SILENCE for packet in packets] == [False] * (2 + FADE_FRAMES) + [True] * 3
    assert np.abs((await on.listen(5))[-960:]).max() == 0


@on_bench
async def test_a_clear_leaves_nothing_of_its_run_and_older_ones(on: Bench) -> None:
    on.voice.put(1, 0, tone(2 * FRAME))
    on.voice.put(2, 0, tone(2 * FRAME))
    on.voice.put(3, 0, tone(FRAME))
    on.voice.clear(2)
    await on.take(20)
    assert on.heard == [(3, FRAME)]


@on_bench
async def test_what_was_heard_follows_what_left_by_the_measured_delay(on: Bench) -> None:
    on.voice.put(7, 4_800, tone(5 * FRAME))
    await on.take(1 + DELAY_NS // FRAME_NS)
    assert on.heard == []
    await on.take(1)
    assert on.heard == [(7, 4_800 + FRAME)]
    on.voice.measured(0, 0)
    await on.take(1)
    assert on.heard[-1] == (7, 4_800 + 5 * FRAME)


@on_bench
async def test_after_a_clear_the_jitter_buffer_that_the_page_silences_does_not_count_as_heard(on: Bench) -> None:
    on.voice.measured(100 * MS, 60 * MS)
    on.voice.put(1, 0, tone(10 * FRAME))
    await on.take(6)  # the last of them is on its way, five have left
    on.voice.clear(1)
    await on.take(20)
    assert on.heard[-1] == (1, 2 * FRAME)


@on_bench
async def test_a_stall_is_followed_by_a_later_timestamp_and_not_by_a_burst(on: Bench) -> None:
    before = (await on.take(1))[0]
    on.now += LATE_NS + 3 * FRAME_NS
    at = on.now
    after = (await on.take(2))[0]
    assert (after.pts or 0) - (before.pts or 0) > LATE_NS // FRAME_NS * RTP_FRAME
    assert on.now - at <= 2 * FRAME_NS


@on_bench
async def test_a_track_that_nobody_takes_from_stays_bounded(on: Bench) -> None:
    for at in range(200):
        on.voice.put(1, at * FRAME, tone(FRAME))
    await on.take(1 + QUEUE_BYTES_MAX // FRAME_BYTES + 20)
    assert on.heard[-1] == (1, QUEUE_BYTES_MAX // 2)


@on_bench
async def test_a_stopped_track_gives_nothing(on: Bench) -> None:
    on.voice.stop()
    with pytest.raises(MediaStreamError):
        await on.voice.recv()


@given(st.lists(st.integers(1, 3 * FRAME), max_size=12), st.integers(0, 200))
def test_every_sample_that_left_is_told_once_and_in_order(pieces: list[int], delay_ms: int) -> None:
    async def check(on: Bench) -> None:
        on.voice.measured(delay_ms * MS, 0)
        end = 0
        for samples in pieces:
            on.voice.put(1, end, bytes(2 * samples))
            end += samples
        await on.take(60)
        told = [samples for _, samples in on.heard]
        assert told == sorted(set(told))
        assert (told[-1] if told else 0) == end

    bench(check)
