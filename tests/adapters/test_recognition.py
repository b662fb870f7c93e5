"""How sound is poured into a recognition stream."""

import pytest

from engine.adapters.base import Options
from engine.adapters.recognition import SocketStream
from engine.adapters.websocket import Dial
from engine.core.units import FRAME_NS, LIMITS


class Wire:
    """What a stream writes, kept."""

    def __init__(self):
        self.sent = []

    def send(self, *parts):
        self.sent.append(parts[0] if len(parts) == 1 else b"".join(parts))


def opened(kind, backlog=0):
    """A stream whose connection has just opened on a backlog of frames."""
    stream = kind(1, Options())
    for number in range(backlog):
        stream.hear(bytes([number % 256]) * 640)
    stream._socket = Wire()
    stream._begin()
    return stream, stream._socket.sent


class Plain(SocketStream):
    async def dial(self):
        return Dial("ws://nowhere.invalid")

    def translate(self, message):
        return ()

    def finish(self):
        return ("finish",)


class Large(Plain):
    message_frames = 4


class Paced(Plain):
    catch_up = 4


def test_a_frame_is_sent_in_its_own_callback_without_a_copy():
    stream, sent = opened(Plain)
    frame = bytes(640)
    stream.hear(frame)
    assert sent[0] is frame


def test_frames_are_joined_to_the_message_a_provider_wants():
    stream, sent = opened(Large)
    for number in range(7):
        stream.hear(bytes([number]) * 640)
    assert sent == [b"".join(bytes([number]) * 640 for number in range(4))]
    stream.finalize()
    assert [len(message) for message in sent] == [4 * 640, 3 * 640, 6]


def test_a_backlog_goes_out_at_once_where_the_provider_takes_it():
    _, sent = opened(Plain, backlog=50)
    assert len(sent) == 50


def test_a_backlog_goes_out_no_faster_than_the_provider_takes_it():
    stream, sent = opened(Paced, backlog=50)
    assert len(sent) == 1
    stream.hear(bytes(640))
    assert len(sent) == 5
    for _ in range(20):
        stream.hear(bytes(640))
    assert len(sent) == 71


@pytest.mark.parametrize("kind", [Plain, Paced, Large])
def test_finalizing_sends_all_there_is_first(kind):
    stream, sent = opened(kind, backlog=50)
    stream.finalize()
    assert b"".join(sent[:-1]) == b"".join(bytes([number]) * 640 for number in range(50))
    assert sent[-1] == "finish"


def test_finalizing_before_the_connection_is_done_when_it_opens():
    stream = Plain(1, Options())
    stream.hear(bytes(640))
    stream.finalize()
    stream._socket = Wire()
    stream._begin()
    assert stream._socket.sent == [bytes(640), "finish"]


def test_sound_for_a_connection_that_does_not_open_is_bounded():
    stream = Plain(1, Options())
    for _ in range(10_000):
        stream.hear(bytes(640))
    assert len(stream._frames) == LIMITS.inlet_ns // FRAME_NS


def test_a_partial_is_told_once():
    stream = Plain(7, Options())
    assert [fact.text for fact in stream.partial("one")] == ["one"]
    assert list(stream.partial("one")) == []
    assert stream.final("one").ear == 7
    assert [fact.text for fact in stream.partial("one")] == ["one"]
