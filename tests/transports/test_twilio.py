import asyncio
import base64
import json
from contextlib import nullcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import TransportClosed
from engine.transports.asgi import HUNG_UP
from engine.transports.twilio import HANDOVER_NS, SILENCE, Twilio
from tests.transports.wires import Ear, Wire, run, settle

SID = "MZ00000000000000000000000000000001"
CALL = "CA00000000000000000000000000000001"
REFUSED = "+15559999999"
CONNECTED = '{"event":"connected","protocol":"Call","version":"1.0.0"}'
START = json.dumps(
    {
        "event": "start",
        "sequenceNumber": "1",
        "streamSid": SID,
        "start": {
            "accountSid": "AC1",
            "callSid": CALL,
            "streamSid": SID,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": {"token": "secret", "from": "+15550001111"},
        },
    }
)
STOP = json.dumps({"event": "stop", "sequenceNumber": "9", "streamSid": SID, "stop": {"callSid": CALL}})


def media(payload: bytes, chunk: object = "", track: str = "inbound", sid: str = SID) -> str:
    piece = {"track": track, "chunk": chunk, "timestamp": "155", "payload": base64.b64encode(payload).decode()}
    return json.dumps({"event": "media", "sequenceNumber": "2", "streamSid": sid, "media": piece})


def told(*messages: str | bytes) -> tuple[str, Ear]:
    """Open a stream, let the peer say all this and then stop; what the line was told."""
    ear, reason = Ear(), ""

    async def main() -> None:
        nonlocal reason
        wire = Wire()
        wire.say(CONNECTED, START, *messages, STOP)
        twilio = Twilio(wire.receive, wire.send)
        await twilio.open()
        reason = await twilio.carry(ear)

    run(main())
    return reason, ear


def test_start_tells_who_calls() -> None:
    async def main() -> None:
        wire = Wire()
        wire.say(CONNECTED, START)
        opening = await Twilio(wire.receive, wire.send).open()
        assert (opening.call_sid, opening.stream_sid) == (CALL, SID)
        assert opening.custom_parameters == {"token": "secret", "from": "+15550001111"}

    run(main())


@pytest.mark.parametrize("size", [0, 1, 159, 160, 161, 1600])
def test_sound_of_any_size_is_heard(size: int) -> None:
    sound = bytes(n % 256 for n in range(size))
    assert told(media(sound, "1"))[1].sound == sound


def test_numbers_are_read_as_text_and_as_numbers() -> None:
    assert told(media(b"a", "1"), media(b"b", 2), media(b"c"))[1].sound == b"abc"


def test_a_stop_ends_the_call() -> None:
    assert told()[0] == HUNG_UP


def test_a_socket_that_dies_without_stop_is_lost_and_one_that_is_closed_has_hung_up() -> None:
    async def main() -> None:
        for code, lost in ((1006, True), (1000, False)):
            wire = Wire()
            wire.say(CONNECTED, START)
            twilio = Twilio(wire.receive, wire.send)
            await twilio.open()
            wire.leave(code)
            with pytest.raises(TransportClosed) if lost else nullcontext():
                assert await twilio.carry(Ear()) == HUNG_UP

    run(main())


def test_keys_and_marks_are_told() -> None:
    key = json.dumps({"event": "dtmf", "streamSid": SID, "dtmf": {"track": "inbound_track", "digit": "#"}})
    mark = json.dumps({"event": "mark", "sequenceNumber": "4", "streamSid": SID, "mark": {"name": "1-2"}})
    assert told(key, mark)[1].told == [("pressed", "#"), ("marked", "1-2")]


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("{", "malformed JSON"),
        ('{"event":' + "[" * 60_000, "malformed JSON"),
        ("", "malformed JSON"),
        ("42", "malformed message"),
        ("{}", "unknown event"),
        ('{"event":"surprise","x":1}', "unknown event"),
        ('{"event":"media","streamSid":"MZ"}', "malformed media"),
        ('{"event":"media","media":{"payload":7}}', "malformed media"),
        ('{"event":7}', "malformed message"),
        (b"\x00\x01", "binary message"),
        ("x" * 70_000, "oversized message"),
        (CONNECTED, "after start"),
        (START, "after start"),
        (media(b"x", sid="MZ9"), "another stream's message"),
        (media(b"x", track="outbound"), "another track"),
        (json.dumps({"event": "dtmf", "streamSid": SID, "dtmf": {"digit": "rm"}}), "unknown key"),
    ],
)
def test_what_cannot_be_used_is_counted_and_the_call_goes_on(message: str | bytes, reason: str) -> None:
    ended, ear = told(message, media(b"on", "1"))
    assert ear.told == [("rejected", reason)]
    assert ear.sound == b"on"
    assert ended == HUNG_UP


def test_sound_before_start_is_counted() -> None:
    async def main() -> None:
        wire, ear = Wire(), Ear()
        wire.say(media(b"early", "1"), CONNECTED, START, STOP)
        twilio = Twilio(wire.receive, wire.send)
        await twilio.open()
        await twilio.carry(ear)
        assert ear.refusals == ["before start"]
        assert ear.sound == b""

    run(main())


def test_missing_chunks_are_silence_so_that_the_clock_keeps_step() -> None:
    _, ear = told(media(b"a", "7"), media(b"b", "10"))
    assert ear.sound == b"a" + 2 * SILENCE + b"b"
    assert ear.refusals == ["missing chunks"]


def test_a_wild_chunk_number_costs_a_second_of_silence_at_most() -> None:
    _, ear = told(media(b"a", "1"), media(b"b", "999999999"))
    assert len(ear.sound) == 2 + 50 * 160


def test_a_repeated_chunk_is_dropped() -> None:
    _, ear = told(media(b"a", "1"), media(b"a", "1"), media(b"b", "2"))
    assert ear.sound == b"ab"
    assert ear.refusals == ["chunk out of order"]


def test_chunks_out_of_order_and_in_bursts_keep_the_clock_in_step() -> None:
    sent = [1, 2, 5, 3, 4, 6, 6, 7]
    _, ear = told(*[media(bytes([n]) * 160, str(n)) for n in sent])
    assert ear.sound == b"".join(SILENCE if n in (3, 4) else bytes([n]) * 160 for n in range(1, 8))
    assert ear.refusals == ["missing chunks", "chunk out of order", "chunk out of order", "chunk out of order"]


@pytest.mark.parametrize("after", [(STOP,), (media(b"x", "2"),), (START,), ("{",)])
def test_what_comes_after_a_stop_is_not_heard(after: tuple[str, ...]) -> None:
    ended, ear = told(media(b"on", "1"), STOP, *after)
    assert (ended, ear.sound, ear.refusals) == (HUNG_UP, b"on", [])


@pytest.mark.parametrize("code", [1000, 1001, 1006])
def test_a_stop_counts_whatever_close_comes_after_it(code: int) -> None:
    async def main() -> None:
        wire = Wire()
        wire.say(CONNECTED, START, STOP)
        wire.leave(code)
        twilio = Twilio(wire.receive, wire.send)
        await twilio.open()
        assert await twilio.carry(Ear()) == HUNG_UP
        await twilio.hang_up("too late")
        await twilio.hang_up("twice")

    run(main())


@given(
    st.lists(st.one_of(st.text(max_size=40), st.binary(max_size=40), st.sampled_from([CONNECTED, START])), max_size=20)
)
def test_nothing_a_stranger_says_raises(messages: list[str | bytes]) -> None:
    assert told(*messages)[0] == HUNG_UP


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([CONNECTED], "no start within"),
        ([CONNECTED, STOP], HUNG_UP),
        ([START.replace("x-mulaw", "opus")], "not μ-law"),
        ([START.replace("8000", '"what"')], "not μ-law"),
        ([START.replace(SID, "")], "a start without a stream"),
    ],
)
def test_a_stream_that_is_no_call_is_not_opened(messages: list[str], reason: str) -> None:
    async def main() -> None:
        wire = Wire()
        wire.say(*messages)
        with pytest.raises(TransportClosed, match=reason):
            await Twilio(wire.receive, wire.send).open(seconds=0.05)

    run(main())


async def opened(wire: Wire, transfers: dict[str, str] | None = None, *, gone: bool = False) -> Twilio:
    """gone: Twilio ends the stream itself when a caller is handed over."""

    async def transfer(call_sid: str, target: str) -> bool:
        assert transfers is not None
        if target == REFUSED:
            raise TransportClosed("Twilio did not take it")
        transfers[call_sid] = target
        return gone

    wire.say(CONNECTED, START)
    twilio = Twilio(wire.receive, wire.send, None if transfers is None else transfer)
    await twilio.open()
    return twilio


def test_what_is_sent_has_exactly_the_fields_twilio_knows() -> None:
    async def main() -> None:
        wire = Wire()
        twilio = await opened(wire)
        twilio.send_audio(1, 0, b"\xff\x7f\x00")
        twilio.send_mark("r1-1")
        twilio.clear(1)
        twilio.send_message({"type": "caption"})
        assert [json.loads(each) for each in wire.sent] == [
            {"event": "media", "streamSid": SID, "media": {"payload": "/38A"}},
            {"event": "mark", "streamSid": SID, "mark": {"name": "r1-1"}},
            {"event": "clear", "streamSid": SID},
        ]

    run(main())


def test_a_clear_leaves_before_sound_that_waits_and_the_sound_never_leaves() -> None:
    async def main() -> None:
        wire = Wire()
        twilio = await opened(wire)
        wire.stall()
        twilio.send_audio(1, 0, b"a")
        twilio.send_audio(1, 1, b"b")
        twilio.send_mark("r1")
        twilio.clear(1)
        twilio.send_audio(2, 0, b"c")
        wire.read_on()
        await settle()
        events = [json.loads(each) for each in wire.sent]
        assert [each["event"] for each in events] == ["media", "clear", "mark", "media"]
        assert [each["media"]["payload"] for each in events if each["event"] == "media"] == ["YQ==", "Yw=="]

    run(main())


def test_a_transfer_is_arranged_and_the_stream_left() -> None:
    async def main() -> None:
        wire, transfers = Wire(), dict[str, str]()
        twilio = await opened(wire, transfers)
        carrying = asyncio.create_task(twilio.carry(Ear()))
        await settle()
        await twilio.transfer("+15550002222")
        with pytest.raises(TransportClosed, match="transferred"):
            await carrying
        assert transfers == {CALL: "+15550002222"}
        assert wire.closed == (1000, "transferred")
        assert twilio.capabilities.grace_ns == HANDOVER_NS > Twilio.capabilities.grace_ns

    run(main())


@pytest.mark.parametrize("leaving", ["stop", "close"])
def test_a_stream_that_twilio_ends_for_a_transfer_is_away_and_not_gone(leaving: str) -> None:
    async def main() -> None:
        wire = Wire()
        twilio = await opened(wire, {}, gone=True)
        carrying = asyncio.create_task(twilio.carry(Ear()))
        await settle()
        await twilio.transfer("+15550002222")
        assert not carrying.done()
        if leaving == "stop":
            wire.say(STOP)
        else:
            wire.leave(1000)
        with pytest.raises(TransportClosed, match="transferred"):
            await carrying

    run(main())


def test_a_transfer_that_twilio_refuses_leaves_the_call_as_it_was() -> None:
    async def main() -> None:
        wire, ear = Wire(), Ear()
        twilio = await opened(wire, {})
        carrying = asyncio.create_task(twilio.carry(ear))
        await settle()
        with pytest.raises(TransportClosed, match="did not take"):
            await twilio.transfer(REFUSED)
        wire.say(media(b"on", "1"), STOP)
        assert await carrying == HUNG_UP
        assert ear.sound == b"on"

    run(main())


@pytest.mark.parametrize("target", ["", "<Dial>", "sip:a b", "tel:+1555", "+1"])
def test_a_transfer_to_nowhere_is_refused(target: str) -> None:
    async def main() -> None:
        twilio = await opened(Wire(), {})
        with pytest.raises(TransportClosed):
            await twilio.transfer(target)

    run(main())


def test_a_line_without_a_webhook_cannot_transfer() -> None:
    async def main() -> None:
        twilio = await opened(Wire())
        with pytest.raises(TransportClosed, match="cannot hand"):
            await twilio.transfer("+15550002222")

    run(main())
