"""What happens in each scene, and what would be right.

Two families. In one the agent holds a long speech and something comes from the caller's side: words that want the floor, or not. In the
other the caller takes a turn, with or without pauses in it, and the agent has to answer it, and only then.
"""

from collections.abc import Iterator
from enum import StrEnum

from msgspec import Struct

from engine.score import sounds
from engine.score.sounds import Clip


class Kind(StrEnum):
    """What a scene is about. The first wants the floor, the next five do not, the rest are turns."""

    INTERRUPTION = "interruption"
    BACKCHANNEL = "backchannel"
    COUGH = "cough"
    CLICK = "click"
    SIDE_SPEECH = "side speech"
    NOISE = "noise"
    PLAIN = "plain turn"
    PAUSE = "pause inside"
    DIGITS = "digits"
    YES_NO = "yes or no"

    @property
    def is_overlap(self) -> bool:
        return self in OVERLAPS


OVERLAPS = (Kind.INTERRUPTION, Kind.BACKCHANNEL, Kind.COUGH, Kind.CLICK, Kind.SIDE_SPEECH, Kind.NOISE)


class Scene(Struct, frozen=True):
    """One scene. The caller's clip begins `after_s` into the agent's speech, or after the greeting."""

    name: str
    kind: Kind
    clip: Clip
    snr_db: float | None = None
    """Pink noise under the whole call. None: none."""
    after_s: float = 3.0
    word_times: bool = True
    """Whether the agent's voice gives word times."""
    seed: int = 0


CONDITIONS: tuple[float | None, ...] = (None, 20.0, 10.0, 5.0)
BACKCHANNELS = ("uh huh", "yeah", "okay", "right", "i see", "all right")
INTERRUPTIONS = (
    "wait a second",
    "no that is wrong",
    "can I ask something",
    "stop",
    "I meant tomorrow",
    "hold on please",
)
ASIDES = ("put it over there", "not now darling", "the dinner is ready")
FAR_DB = 24.0
"""How much quieter somebody else in the room is than the caller: about 2 m against 10 cm, less the room's echo."""


class Material(Struct, frozen=True):
    """The voices at hand."""

    turns: list[Clip]
    beginnings: list[Clip]
    """Turns that break off at an "and"."""
    digits: list[Clip]
    answers: list[Clip]
    interruptions: list[Clip]
    backchannels: list[Clip]
    asides: list[Clip]


def scenes(material: Material) -> Iterator[Scene]:
    """Every scene in every condition, the same in every run."""
    for number, snr in enumerate(CONDITIONS):
        for index, clip in enumerate(material.interruptions):
            yield _scene(Kind.INTERRUPTION, clip, snr, index, after_s=2.0 + 0.7 * index, word_times=index % 2 == 0)
        for index, clip in enumerate(material.backchannels):
            yield _scene(Kind.BACKCHANNEL, clip, snr, index, after_s=2.0 + 0.5 * index)
        for index in range(4):
            yield _scene(Kind.COUGH, sounds.cough(100 * number + index), snr, index)
            yield _scene(Kind.CLICK, sounds.click(100 * number + index), snr, index)
        for index, clip in enumerate(material.asides):
            yield _scene(Kind.SIDE_SPEECH, sounds.quieter(Clip(clip.samples), FAR_DB), snr, index)
        yield _scene(Kind.NOISE, Clip(sounds.pink(32_000, number) * sounds.SPEECH_RMS * 0.5), snr, 0)
        for index, clip in enumerate(material.turns):
            yield _scene(Kind.PLAIN, clip, snr, index)
        for index, (first, second) in enumerate(zip(material.beginnings, material.turns[1::2], strict=False)):
            yield _scene(Kind.PAUSE, sounds.joined(first, 0.6 + 0.2 * index, second), snr, index)
        for index, clip in enumerate(material.digits):
            yield _scene(Kind.DIGITS, clip, snr, index)
        for index, clip in enumerate(material.answers):
            yield _scene(Kind.YES_NO, clip, snr, index)


def _scene(
    kind: Kind, clip: Clip, snr: float | None, index: int, *, after_s: float = 3.0, word_times: bool = True
) -> Scene:
    name = f"{kind.value} {index} {'clean' if snr is None else f'{snr:.0f} dB'}"
    seed = 1000 * list(Kind).index(kind) + index + int(snr or 0)
    return Scene(name, kind, clip, snr, after_s, word_times, seed)
