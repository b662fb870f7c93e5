import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import av
import numpy as np
import pytest

from engine.errors import TransportClosed
from engine.transports.asgi import GONE, HUNG_UP, MESSAGE_BYTES_MAX, REJECTED_MAX, SILENT, UNUSABLE
from engine.transports.webrtc import CANDIDATES_MAX, MICROPHONE_HZ, SAMPLES_AT_ONCE, WebRTC, check_offer, mono
from tests.transports.lossy import Relay
from tests.transports.webrtc_page import Page
from tests.transports.wires import Ear, run

GOOD = "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n"


def tone(hz: int, seconds: float, rate_hz: int) -> bytes:
    return (8_000 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate_hz)) / rate_hz)).astype("<i2").tobytes()


def pitch(sound: np.ndarray[tuple[int], np.dtype[np.int16]], rate_hz: int) -> float:
    """The strongest frequency."""
    return float(np.argmax(np.abs(np.fft.rfft(sound.astype(float)))) * rate_hz / len(sound))


class Call:
    """A page and our end of its connection, carried."""

    def __init__(self) -> None:
        self.page, self.ours, self.ear = Page(), WebRTC(quiet_seconds=0.5), Ear()


@asynccontextmanager
async def connected() -> AsyncIterator[Call]:
    call = Call()
    try:
        await call.page.take(await call.ours.answer(await call.page.offer()))
        await call.page.opened.wait()
        yield call
    finally:
        await call.page.close()
        await call.ours.hang_up("over")


@asynccontextmanager
async def carried() -> AsyncIterator[tuple[Call, asyncio.Task[str]]]:
    async with connected() as call:
        call.page.say(type="hello", rate=48_000, resume="earlier")
        assert (await call.ours.open()).resume == "earlier"
        carrying = asyncio.create_task(call.ours.carry(call.ear))
        await asyncio.sleep(0)
        yield call, carrying
    await asyncio.gather(carrying, return_exceptions=True)


def on_a_call(test: Callable[[Call, asyncio.Task[str]], Awaitable[None]]) -> Callable[[], None]:
    def wrapped() -> None:
        async def main() -> None:
            async with carried() as (call, carrying):
                await test(call, carrying)

        run(main())

    wrapped.__name__ = test.__name__
    return wrapped


@on_a_call
async def test_sound_goes_both_ways_and_positions_come_back(call: Call, carrying: asyncio.Task[str]) -> None:
    call.page.say(type="delay", ms=40, buffer_ms=20)
    call.page.microphone.say(tone(440, 0.5, MICROPHONE_HZ))
    call.ours.send_audio(1, 0, tone(300, 0.5, 24_000))
    agent = await call.page.until_heard(20_000, over=1_000)
    await call.page.microphone.said()
    caller = np.frombuffer(call.ear.sound, np.int16)
    assert pitch(agent[np.abs(agent) > 0], 48_000) == pytest.approx(300, abs=10)
    assert pitch(caller[-40_000:], MICROPHONE_HZ) == pytest.approx(440, abs=10)
    positions = [told[2] for told in call.ear.told if told[:2] == ("played", 1)]
    assert positions[-1] == 12_000
    assert len(positions) >= 5


@on_a_call
async def test_after_a_clear_the_page_is_told_and_hears_only_silence(call: Call, carrying: asyncio.Task[str]) -> None:
    call.ours.send_audio(1, 0, tone(300, 0.9, 24_000))
    await call.page.until_heard(4_800, over=1_000)
    call.ours.clear(1)
    await call.page.until(type="flush", run=1)
    await call.page.until_longer(24_000)
    assert np.abs(np.frombuffer(bytes(call.page.heard[-9_600:]), np.int16)).max() < 50


@on_a_call
async def test_typed_turns_keys_and_pings_are_taken(call: Call, carrying: asyncio.Task[str]) -> None:
    call.page.say(type="text", text="hello")
    call.page.say(type="key", digit="5")
    call.page.say(type="ping", id=3)
    await call.page.until(type="pong", id=3)
    assert ("typed", "hello") in call.ear.told
    assert ("pressed", "5") in call.ear.told
    call.ours.send_message({"type": "phase", "phase": "Idle"})
    await call.page.until(type="phase", phase="Idle")


@on_a_call
async def test_what_cannot_be_used_is_counted_and_the_call_goes_on(call: Call, carrying: asyncio.Task[str]) -> None:
    for text in ("{", '{"type":"nothing"}', '{"type":"key","digit":"X"}', '{"type":"hello","rate":48000}'):
        call.page.channel.send(text)
    call.page.channel.send(b"\0")
    call.page.channel.send(json.dumps({"type": "text", "text": "x" * MESSAGE_BYTES_MAX}))
    call.page.say(type="ping", id=1)
    await call.page.until(type="pong")
    assert call.ear.refusals == [
        "malformed JSON",
        "unknown message",
        "malformed key",
        "early or second message",
        "binary message",
        "oversized message",
    ]
    assert not carrying.done()


@on_a_call
async def test_a_flood_of_messages_ends_the_call_of_its_sender(call: Call, carrying: asyncio.Task[str]) -> None:
    for number in range(2_500):
        call.page.say(type="ping", id=number)
    assert await carrying == "too many unusable messages"


@on_a_call
async def test_a_page_that_says_goodbye_has_hung_up(call: Call, carrying: asyncio.Task[str]) -> None:
    call.page.say(type="bye")
    assert await carrying == HUNG_UP


@on_a_call
async def test_a_page_that_closes_without_a_word_is_lost(call: Call, carrying: asyncio.Task[str]) -> None:
    await call.page.close()
    with pytest.raises(TransportClosed, match=GONE):
        await carrying


@on_a_call
async def test_a_page_that_neither_pings_nor_sounds_is_lost(call: Call, carrying: asyncio.Task[str]) -> None:
    call.page.peer.getSenders()[0].replaceTrack(None)
    with pytest.raises(TransportClosed, match=SILENT):
        await carrying


@on_a_call
async def test_a_second_data_channel_is_closed(call: Call, carrying: asyncio.Task[str]) -> None:
    closed = asyncio.Event()
    other = call.page.peer.createDataChannel("other")
    other.on("close", lambda: closed.set())
    await closed.wait()
    assert call.ear.refusals == ["a data channel that is not ours"]


@on_a_call
async def test_we_say_why_we_hang_up(call: Call, carrying: asyncio.Task[str]) -> None:
    await call.ours.hang_up("enough")
    assert (await call.page.until(type="bye"))["reason"] == "enough"
    assert await carrying == "enough"


def test_a_page_that_never_connects_is_given_up() -> None:
    async def main() -> None:
        ours = WebRTC()
        page = Page()
        await ours.answer(await page.offer())
        with pytest.raises(TransportClosed, match="no connection"):
            await ours.open(seconds=0.05)
        await ours.hang_up("over")
        await page.close()

    run(main())


def test_a_loss_is_filled_up_so_that_the_callers_clock_keeps_step() -> None:
    async def main() -> None:
        ours, ear = WebRTC(), Ear()
        for at in (0, 960, 3 * 960):
            frame = av.AudioFrame(format="s16", layout="stereo", samples=960)
            frame.planes[0].update(bytes(4 * 960))
            frame.pts = at
            ours._hear(ear, frame)
        await ours.hang_up("over")
        assert len(ear.sound) == 2 * 4 * 960

    run(main())


def test_sound_that_comes_faster_than_time_is_dropped_and_ends_the_connection() -> None:
    async def main() -> None:
        ours, ear = WebRTC(), Ear()
        ours._line = ear
        frame = av.AudioFrame(format="s16", layout="stereo", samples=960)
        frame.planes[0].update(bytes(4 * 960))
        for number in range(SAMPLES_AT_ONCE // 960 + REJECTED_MAX + 50):
            frame.pts = 960 * number
            ours._hear(ear, frame)
        assert len(ear.sound) < 1.2 * 2 * SAMPLES_AT_ONCE
        assert ours._over.result() == UNUSABLE
        await ours.hang_up("over")

    run(main())


def test_stereo_becomes_the_mean_of_both() -> None:
    frame = av.AudioFrame(format="s16", layout="stereo", samples=2)
    frame.planes[0].update(np.array([100, 300, -32_768, -32_768], "<i2").tobytes())
    assert np.frombuffer(mono(frame), "<i2").tolist() == [200, -32_768]


@pytest.mark.parametrize(
    "offer",
    [
        "",
        "v=0\r\nm=audio 9 X 1\r\n",
        GOOD + "m=video 9 X 1\r\n",
        GOOD + "a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n" * (CANDIDATES_MAX + 1),
        GOOD + "a=x\r\n" * 1_000,
    ],
)
def test_an_offer_of_anything_but_a_conversation_is_refused(offer: str) -> None:
    with pytest.raises(ValueError, match="offer"):
        check_offer(offer)


@pytest.mark.parametrize("offer", [GOOD, GOOD + "a=fingerprint:x\r\n", GOOD.replace("111", "x"), GOOD + "c=IN IP4\r\n"])
def test_an_offer_that_makes_the_parser_stumble_is_refused_in_words(offer: str) -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match="this offer cannot be used"):
            await WebRTC().answer(offer)

    run(main())


def test_an_offer_without_opus_is_refused() -> None:
    async def main() -> None:
        page = Page()
        offer = (await page.offer()).replace("opus/48000/2", "other/48000/2")
        with pytest.raises(ValueError, match="cannot be used"):
            await WebRTC().answer(offer)
        await page.close()

    run(main())


def test_through_loss_jitter_and_reordering_both_are_heard_and_no_message_is_lost() -> None:
    async def main() -> None:
        page, ours, ear, relay = Page(), WebRTC(), Ear(), Relay()
        answer = await ours.answer(await relay.instead_of_page(await page.offer()))
        await page.take(await relay.instead_of_server(answer))
        await page.opened.wait()
        page.say(type="hello", rate=48_000)
        await ours.open()
        carrying = asyncio.create_task(ours.carry(ear))
        relay.loss, relay.jitter_ms = 0.05, 40
        page.microphone.say(tone(440, 2, MICROPHONE_HZ))
        for at in range(0, 24_000, 4_800):
            ours.send_audio(1, at, tone(300, 0.2, 24_000))
        for number in range(20):
            page.say(type="text", text=str(number))
        page.say(type="ping", id=1)
        await page.until(type="pong")
        agent = await page.until_heard(24_000, over=1_000)
        await page.microphone.said()
        relay.loss = relay.jitter_ms = 0
        caller = np.frombuffer(ear.sound, np.int16)
        loud = np.flatnonzero(np.abs(caller) > 1_000)
        assert relay.lost > 10
        assert [told[1] for told in ear.told if told[0] == "typed"] == [str(number) for number in range(20)]
        assert pitch(agent[np.abs(agent) > 0], 48_000) == pytest.approx(300, abs=15)
        assert pitch(caller[loud[0] : loud[-1]], MICROPHONE_HZ) == pytest.approx(440, abs=15)
        assert (loud[-1] - loud[0]) / MICROPHONE_HZ == pytest.approx(2, abs=0.15), "the caller's clock keeps step"
        assert np.diff(loud).max() < 0.1 * MICROPHONE_HZ, "what is lost is made up for, not left out"
        await page.close()
        await ours.hang_up("over")
        await asyncio.gather(carrying, return_exceptions=True)
        relay.close()

    run(main())
