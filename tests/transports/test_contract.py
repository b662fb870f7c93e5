"""What every transport must hold, whatever its wire. A class in engine/transports that carries calls is found by itself."""

import asyncio
import base64
import json
import pkgutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib import import_module
from typing import Any

import pytest
from msgspec import Struct

from engine import transports
from engine.core.units import MS, RATES_HZ, AudioFormat
from engine.errors import TransportClosed
from engine.transports.base import Capabilities, Transport
from engine.transports.browser import UP, Browser
from engine.transports.file import FileTransport
from engine.transports.memory import MemoryTransport
from engine.transports.microphone import Microphone
from engine.transports.twilio import Twilio
from engine.transports.wav import Sound
from engine.transports.webrtc import WebRTC
from tests.transports.cards import HandCard
from tests.transports.webrtc_page import Page
from tests.transports.wires import Ear, Wire, run, settle


def carriers() -> dict[str, type[Transport]]:
    """Every class of engine/transports with the methods of a Transport."""
    found: dict[str, type[Any]] = {}
    for module in pkgutil.iter_modules(transports.__path__, "engine.transports."):
        for kind in vars(import_module(module.name)).values():
            made_here = isinstance(kind, type) and kind.__module__ == module.name
            if made_here and kind is not Transport and hasattr(kind, "carry") and hasattr(kind, "send_audio"):
                found[kind.__name__] = kind
    return found


class Harness(Struct):
    """A transport, opened, and its peer's hands."""

    transport: Transport
    speak: Callable[[], object]
    """The caller makes 100 ms of sound."""
    leave: Callable[[], object]
    """The caller is gone."""
    arrived: Callable[[], Awaitable[None]] = settle
    """Until what the caller did has reached us: a real network's packets come in their own time."""
    tidy: Callable[[], Awaitable[None]] = settle
    """What the caller's end still holds is given back."""


async def browser() -> Harness:
    wire = Wire()
    wire.say('{"type":"hello","rate":48000}')
    made = Browser(wire.receive, wire.send)
    await made.open()
    return Harness(made, lambda: wire.say(UP.pack(0) + bytes(9_600)), wire.leave)


async def twilio() -> Harness:
    wire = Wire()
    wire.say(json.dumps({"event": "start", "start": {"streamSid": "MZ1", "callSid": "CA1"}}))
    made = Twilio(wire.receive, wire.send)
    await made.open()
    payload = base64.b64encode(b"\xff" * 800).decode()
    media = json.dumps({"event": "media", "streamSid": "MZ1", "media": {"payload": payload}})
    return Harness(made, lambda: wire.say(media), wire.leave)


async def webrtc() -> Harness:
    page, made = Page(), WebRTC()
    await page.take(await made.answer(await page.offer()))
    await page.opened.wait()
    page.say(type="hello", rate=48_000)
    await made.open()
    return Harness(
        made,
        lambda: page.microphone.say(bytes(9_600)),
        lambda: asyncio.ensure_future(page.close()),
        page.microphone.said,
        page.close,
    )


async def microphone() -> Harness:
    card = HandCard()
    made = Microphone(card)
    return Harness(made, lambda: card.turn(5), lambda: made.end("you hung up"))


async def memory() -> Harness:
    made = MemoryTransport(Capabilities(name="memory", inbound=AudioFormat(), outbound=AudioFormat()))
    return Harness(made, lambda: made.peer.speak(bytes(3_200)), made.peer.drop)


async def file() -> Harness:
    made = FileTransport(Sound(16_000, bytes(3_200)), quiet_ns=100 * MS)
    return Harness(made, lambda: None, lambda: None)  # it speaks, and leaves, by itself


HARNESSES: dict[str, Callable[[], Awaitable[Harness]]] = {
    "Browser": browser,
    "FileTransport": file,
    "MemoryTransport": memory,
    "Microphone": microphone,
    "Twilio": twilio,
    "WebRTC": webrtc,
}


Make = Callable[[], AbstractAsyncContextManager[Harness]]


@pytest.fixture(params=sorted(carriers()))
def make(request: pytest.FixtureRequest) -> Make:
    assert request.param in HARNESSES, f"{request.param} is a transport; give it a harness in {__file__}"
    build = HARNESSES[request.param]

    @asynccontextmanager
    async def opened() -> AsyncIterator[Harness]:
        harness = await build()
        try:
            yield harness
        finally:
            await harness.tidy()
            await harness.transport.hang_up("over")

    return opened


def test_its_capabilities_are_such_as_the_engine_can_work_with(make: Make) -> None:
    async def main() -> None:
        async with make() as harness:
            able = harness.transport.capabilities
            assert able.name
            assert {able.inbound.rate_hz, able.outbound.rate_hz} <= set(RATES_HZ)
            assert min(able.ahead_ns, able.latency_ns, able.grace_ns) >= 0
            assert not (able.marks and able.reports), "one kind of evidence, or none"

    run(main())


def test_the_caller_is_heard_in_the_inbound_format(make: Make) -> None:
    async def main() -> None:
        async with make() as harness:
            ear = Ear()
            carrying = asyncio.create_task(harness.transport.carry(ear))
            await settle()
            harness.speak()
            await harness.arrived()
            harness.leave()
            await asyncio.wait([carrying])
            heard_ns = harness.transport.capabilities.inbound.duration_ns(len(ear.sound))
            assert heard_ns >= 100 * MS
            assert ear.refusals == []

    run(main())


def test_a_call_that_we_hang_up_ends_with_our_reason_once(make: Make) -> None:
    async def main() -> None:
        async with make() as harness:
            transport = harness.transport
            carrying = asyncio.create_task(transport.carry(Ear()))
            await settle()
            await transport.hang_up("enough")
            assert await carrying == "enough"
            await transport.hang_up("again")

    run(main())


def test_a_call_that_was_hung_up_before_it_began_ends_at_once(make: Make) -> None:
    async def main() -> None:
        async with make() as harness:
            transport = harness.transport
            await transport.hang_up("no room")
            assert await transport.carry(Ear()) == "no room"

    run(main())


def test_a_caller_who_is_gone_ends_the_call(make: Make) -> None:
    async def main() -> None:
        async with make() as harness:
            carrying = asyncio.create_task(harness.transport.carry(Ear()))
            await settle()
            harness.leave()
            await asyncio.wait([carrying])
            assert carrying.exception() is None or isinstance(carrying.exception(), TransportClosed)

    run(main())


def test_nothing_that_is_sent_ever_raises_or_waits(make: Make) -> None:
    async def main() -> None:
        async with make() as harness:
            transport = harness.transport

            def send_everything() -> None:
                transport.send_audio(1, 0, transport.capabilities.outbound.bytes_in(20 * MS) * b"\0")
                transport.clear(1)
                transport.clear(9)
                if transport.capabilities.marks:
                    transport.send_mark("0.1.160")
                if transport.capabilities.screen:
                    transport.send_message({"type": "phase", "phase": "Idle"})

            send_everything()
            carrying = asyncio.create_task(transport.carry(Ear()))
            await settle()
            send_everything()
            harness.leave()
            await asyncio.wait([carrying])
            send_everything()
            await transport.hang_up("over")
            send_everything()

    run(main())


def test_a_transfer_to_nowhere_is_refused(make: Make) -> None:
    async def main() -> None:
        async with make() as harness:
            with pytest.raises(TransportClosed):
                await harness.transport.transfer("nowhere")

    run(main())
