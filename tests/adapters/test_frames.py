"""Frames off the wire and onto it, against the library that everybody trusts with them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from engine.adapters.frames import Reader, frame

SIZES = (0, 1, 125, 126, 127, 65_535, 65_536, 70_001)
MAX = 1 << 20


class Seen:
    """What a reader told."""

    def __init__(self):
        self.messages = []
        self.rare = []
        self.reader = Reader(self.take, self.rare.append, message_bytes_max=MAX)

    def take(self, text, payload):
        self.messages.append(str(payload, "utf-8") if text else bytes(payload))


def wire(opcode, data, fin=True):
    return Frame(opcode, data, fin).serialize(mask=False)


def parsed(data):
    """What a server reads in a client's bytes."""
    reader = StreamReader()
    reader.feed_data(data)
    parser = Frame.parse(reader.read_exact, mask=True)
    try:
        next(parser)
    except StopIteration as done:
        assert not reader.buffer
        return done.value
    raise AssertionError("not whole")


@pytest.mark.parametrize("size", SIZES)
def test_a_message_is_one_frame_whatever_its_parts(size):
    data = bytes(number % 251 for number in range(size))
    whole = parsed(frame((data,)))
    assert (whole.opcode, whole.fin, bytes(whole.data)) == (Opcode.BINARY, True, data)
    for cut in (0, 1, 3, size // 2):
        assert bytes(parsed(frame((data[:cut], b"", data[cut:]))).data) == data


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1))
def test_a_text_is_sent_as_utf_8(parts):
    whole = parsed(frame(tuple(parts)))
    assert (whole.opcode, bytes(whole.data).decode()) == (Opcode.TEXT, "".join(parts))


def test_a_text_may_carry_bytes():
    assert bytes(parsed(frame(('{"audio":"', b"AAAA", '"}'))).data) == b'{"audio":"AAAA"}'


def test_no_two_frames_have_a_mask_in_common():
    assert len({frame((b"sound",))[2:6] for _ in range(20)}) == 20


@given(
    st.lists(st.one_of(st.text(max_size=200), st.binary(max_size=200), st.binary(min_size=65_530, max_size=65_540))),
    st.lists(st.integers(0, 300)),
)
def test_messages_come_out_whole_however_the_bytes_are_cut(messages, cuts):
    messages = [message for message in messages if not isinstance(message, str) or message.isprintable()]
    data = b"".join(
        wire(Opcode.TEXT, message.encode()) if isinstance(message, str) else wire(Opcode.BINARY, message)
        for message in messages
    )
    seen, at = Seen(), 0
    for cut in cuts:
        seen.reader.feed(data[at : at + cut])
        at += cut
    seen.reader.feed(data[at:])
    assert seen.messages == messages
    assert seen.rare == []


def test_every_single_byte_may_come_alone():
    seen = Seen()
    for byte in wire(Opcode.TEXT, b"a" * 300) + wire(Opcode.BINARY, b"b"):
        seen.reader.feed(bytes((byte,)))
    assert seen.messages == ["a" * 300, b"b"]


def test_control_frames_and_fragments_are_left_to_others_whole_and_in_order():
    seen = Seen()
    rare = [
        wire(Opcode.PING, b"p"),
        wire(Opcode.TEXT, b"one ", fin=False),
        wire(Opcode.PONG, b""),
        # Out of place in a fragmented message: the others know what to say to it.
        wire(Opcode.TEXT, b"stray"),
        wire(Opcode.TEXT, b"one ", fin=False),
        wire(Opcode.CONT, b"two"),
        wire(Opcode.CLOSE, b"\x03\xe8"),
    ]
    seen.reader.feed(wire(Opcode.TEXT, b"before") + b"".join(rare[:3]))
    seen.reader.feed(rare[3][:3])
    seen.reader.feed(rare[3][3:] + b"".join(rare[4:]) + wire(Opcode.TEXT, b"after"))
    assert seen.rare == rare
    assert seen.messages == ["before", "after"]


@pytest.mark.parametrize(
    "head", [bytes((0x82, 0x81, 0, 0, 0, 0, 7)), bytes((0x82, 127)) + (MAX + 1).to_bytes(8, "big")]
)
def test_from_a_frame_that_no_server_may_send_on_everything_is_left_to_others(head):
    seen = Seen()
    seen.reader.feed(wire(Opcode.BINARY, b"good") + head)
    seen.reader.feed(wire(Opcode.BINARY, b"never read"))
    assert seen.messages == [b"good"]
    assert seen.rare == [head, wire(Opcode.BINARY, b"never read")]
