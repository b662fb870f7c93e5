"""The caller's sound: edges of speech, the audio clock, what is kept for the next recogniser, and what is refused."""

import base64

import pytest

from engine.core.events import (
    Clock,
    DTMFPressed,
    Fact,
    InputRejected,
    TimerFired,
    UserSpeechStarted,
    UserSpeechStopped,
    UserTextReceived,
)
from engine.core.policy import Policy
from engine.core.units import ENGINE_FORMAT, FRAME_BYTES, FRAME_NS, LIMITS, MS, SECOND, AudioFormat, Encoding
from engine.runtime.inbound import FLOOD_NS, QUIET_KEPT_FRAMES, REJECTIONS_TOLD, Inbound
from engine.transports.base import Capabilities

QUIET, VOICE = bytes(FRAME_BYTES), b"\x70\x17" * (FRAME_BYTES // 2)


class Ear:
    """A recogniser's stream that only listens."""

    def __init__(self, fails_at: int = -1) -> None:
        self.heard: list[bytes] = []
        self.finalized = 0
        self._fails_at = fails_at

    def hear(self, frame: bytes) -> None:
        if len(self.heard) == self._fails_at:
            raise RuntimeError("a fault of the adapter")
        self.heard.append(frame)

    def finalize(self) -> None:
        if self._fails_at == 0:
            raise RuntimeError("a fault of the adapter")
        self.finalized += 1

    def facts(self) -> object:
        raise NotImplementedError


class Mute:
    """An outbound that nobody tells anything."""

    def marked(self, name: str) -> None: ...

    def played(self, run: int, samples: int) -> None: ...


class Scores:
    """A detector that gives the answers of a list, then those of the sound."""

    def __init__(self, *answers: float) -> None:
        self.answers = list(answers)

    def score(self, frame: bytes) -> float:
        return self.answers.pop(0) if self.answers else float(any(frame))


class Way:
    """An inbound on a clock that the test moves."""

    def __init__(self, *answers: float, sound: AudioFormat = ENGINE_FORMAT, **policy: float) -> None:
        self.facts: list[Fact] = []
        self.levels: list[tuple[int, float]] = []
        self.clock_ns = 0
        capabilities = Capabilities(name="memory", inbound=sound, outbound=AudioFormat())
        self.way = Inbound(
            capabilities,
            Policy(**policy),  # type: ignore[arg-type]
            Scores(*answers),
            Mute(),  # type: ignore[arg-type]
            self.facts.append,
            lambda: self.clock_ns,
            lambda rms, prob: self.levels.append((rms, prob)),
        )

    def hear(self, frame: bytes, times: int = 1) -> "Way":
        for _ in range(times):
            self.clock_ns += FRAME_NS
            self.way.hear(frame)
        return self

    def attach(self, ear: Ear) -> Ear:
        self.way.attach(ear, lambda: self.facts.append(InputRejected(source="ear", reason="deaf")))  # type: ignore[arg-type]
        return ear


def test_speech_begins_where_it_began_and_not_where_it_was_proven() -> None:
    facts = Way().hear(QUIET, 10).hear(VOICE, 2).facts
    assert facts == [UserSpeechStarted(audio_ns=200 * MS, speech_prob=1.0, heard_ns=240 * MS, level_db=-15)]


def test_speech_ends_where_it_ended_and_not_where_it_was_proven() -> None:
    way = Way().hear(VOICE, 10).hear(QUIET, 7)
    assert len(way.facts) == 1
    assert way.hear(QUIET).facts[1] == UserSpeechStopped(audio_ns=200 * MS, heard_ns=360 * MS, level_db=-15)


def test_a_click_is_not_speech() -> None:
    assert Way().hear(QUIET, 10).hear(VOICE, 1).hear(QUIET, 10).facts == []


def test_a_short_pause_does_not_end_speech() -> None:
    assert len(Way().hear(VOICE, 10).hear(QUIET, 7).hear(VOICE, 10).hear(QUIET, 7).facts) == 1


@pytest.mark.parametrize(
    ("answers", "edges"),
    [
        ((0.49, 0.49, 0.49, 0.49), 0),
        ((0.5, 0.5), 1),
        ((0.5, 0.49, 0.5, 0.49, 0.5, 0.49), 0),
        ((0.9, 0.9, *[0.36] * 30), 1),
        ((0.9, 0.9, *[0.34] * 8), 2),
        ((0.9, 0.9, *[0.34] * 7, 0.36, *[0.34] * 7), 1),
    ],
)
def test_edges_have_hysteresis(answers: tuple[float, ...], edges: int) -> None:
    assert len(Way(*answers).hear(VOICE, len(answers)).facts) == edges


def test_an_audio_deadline_fires_on_the_frame_that_reaches_it() -> None:
    way = Way()
    way.way.deadline_ns = 95 * MS
    assert way.hear(QUIET, 4).facts == []
    assert way.hear(QUIET).facts == [TimerFired(clock=Clock.AUDIO, audio_ns=100 * MS)]


def test_a_burst_counts_as_much_as_the_sound_it_carries() -> None:
    way = Way()
    way.clock_ns = SECOND
    way.way.hear(QUIET * 25 + VOICE * 2)
    assert way.facts == [UserSpeechStarted(audio_ns=500 * MS, speech_prob=1.0, heard_ns=540 * MS, level_db=-15)]


def test_telephone_sound_arrives_in_base64() -> None:
    way = Way(sound=AudioFormat(8_000, Encoding.ULAW))
    ear = way.attach(Ear())
    way.way.hear_base64(base64.b64encode(b"\xff" * 160).decode())
    assert [len(frame) for frame in ear.heard] == [FRAME_BYTES]
    way.way.hear_base64("not base64!")
    assert way.facts == [InputRejected(source="inlet", reason="sound that is no base64")]


def test_odd_chunks_lose_nothing() -> None:
    way = Way()
    ear = way.attach(Ear())
    sound = bytes(range(1, 256)) * 20
    for start in range(0, len(sound), 7):
        way.way.hear(sound[start : start + 7])
    assert b"".join(ear.heard) == sound[: len(sound) // FRAME_BYTES * FRAME_BYTES]


def test_a_new_recogniser_first_hears_what_the_last_never_finished() -> None:
    way = Way()
    way.attach(Ear())
    way.hear(QUIET, 10).hear(VOICE, 30)
    ear = way.attach(Ear())
    assert len(ear.heard) == 40
    way.hear(VOICE)
    assert len(ear.heard) == 41


def test_a_final_is_not_heard_again() -> None:
    way = Way().hear(VOICE, 30).hear(QUIET, 10)
    way.way.forget()
    assert way.attach(Ear()).heard == []


def test_a_final_in_the_middle_of_speech_keeps_the_last_moments() -> None:
    way = Way().hear(VOICE, 100)
    way.way.forget()
    assert len(way.attach(Ear()).heard) == 25


def test_silence_is_not_hoarded() -> None:
    assert len(Way().hear(QUIET, 500).attach(Ear()).heard) == QUIET_KEPT_FRAMES


def test_what_is_kept_is_bounded() -> None:
    way = Way().hear(VOICE, LIMITS.inlet_ns // FRAME_NS + 200)
    assert len(way.attach(Ear()).heard) == LIMITS.inlet_ns // FRAME_NS


def test_a_detached_recogniser_hears_nothing_and_the_sound_is_kept() -> None:
    way = Way()
    first = way.attach(Ear())
    way.hear(VOICE, 5)
    way.way.detach(first)  # type: ignore[arg-type]
    way.hear(VOICE, 5)
    assert len(first.heard) == 5
    assert len(way.attach(Ear()).heard) == 10


def test_a_recogniser_that_raises_is_told_and_given_no_more() -> None:
    way = Way()
    ear = way.attach(Ear(fails_at=3))
    way.hear(QUIET, 10)
    assert len(ear.heard) == 3
    assert way.facts == [InputRejected(source="ear", reason="deaf")]


def test_a_recogniser_that_cannot_finalize_is_told() -> None:
    way = Way()
    ear = way.attach(Ear(fails_at=0))
    way.way.finalize(ear)  # type: ignore[arg-type]
    assert way.facts == [InputRejected(source="ear", reason="deaf")]


def test_sound_faster_than_real_time_is_refused_before_it_costs_anything() -> None:
    way = Way()
    for _ in range(1_000):
        way.way.hear(QUIET * 50)
    assert FLOOD_NS < way.way.audio_ns <= FLOOD_NS + SECOND
    assert len(way.facts) == REJECTIONS_TOLD


def test_many_refusals_are_told_once_a_second_with_their_number() -> None:
    way = Way()
    for _ in range(REJECTIONS_TOLD + 5):
        way.way.rejected("nonsense")
    assert len(way.facts) == REJECTIONS_TOLD
    way.clock_ns = 2 * SECOND
    way.way.rejected("nonsense")
    assert way.facts[-1] == InputRejected(source="memory", reason="nonsense (6 times)")


@pytest.mark.parametrize("digit", list("0123456789*#ABCD"))
def test_keys_become_facts(digit: str) -> None:
    way = Way()
    way.way.pressed(digit)
    assert way.facts == [DTMFPressed(digit=digit)]


@pytest.mark.parametrize("digit", ["", "E", "12", "a", "٣"])
def test_keys_no_telephone_has_are_refused(digit: str) -> None:
    way = Way()
    way.way.pressed(digit)
    assert [type(fact) for fact in way.facts] == [InputRejected]


def test_typed_turns_become_facts_within_bounds() -> None:
    way = Way()
    way.way.typed("hello")
    way.way.typed("")
    way.way.typed("x" * (LIMITS.transcript_chars + 1))
    assert [type(fact) for fact in way.facts] == [UserTextReceived, InputRejected, InputRejected]


def test_the_level_is_metered_ten_times_a_second() -> None:
    way = Way().hear(VOICE, 50)
    assert len(way.levels) == 10
    assert way.levels[0] == (6_000, 1.0)


def test_everybody_hears_the_same_frame_and_not_a_copy():
    way, taped, scored = Way(), [], []
    ear = way.attach(Ear())
    way.way.tap = taped.append
    way.way._score = lambda frame: scored.append(frame) or 0.0
    way.hear(VOICE)
    assert len(ear.heard) == 1
    assert ear.heard[0] is taped[0] is scored[0] is way.way._kept[0]
