"""A call as a story: its answers with who owned each millisecond of silence, who took the floor, what went wrong.

Told by `teller.py` from a call's steps, read by `explain.py` and the inspector.
"""

from enum import StrEnum

from msgspec import Struct


class Owner(StrEnum):
    """What was waited for."""

    ENDPOINTING = "endpointing"
    RECOGNISER = "recogniser"
    MODEL = "model"
    TOOL = "tool"
    RETRY = "retry"
    CHUNKING = "chunking"
    """Tokens were there, but no piece of text fit to be spoken."""
    SYNTHESIZER = "synthesizer"
    TRANSPORT = "transport"


class Stretch(Struct, frozen=True):
    """A part of a wait and its owner."""

    owner: Owner
    why: str
    """The setting or the provider."""
    start: int
    end: int

    @property
    def ns(self) -> int:
        return self.end - self.start


class Answer(Struct, kw_only=True):
    """One run, from what it answers to how it ended. Times in nanoseconds of the session; None where it never came to that."""

    run: int
    cause: str
    began_at: int
    turn: int = 0
    prompt: str = ""
    quiet_at: int | None = None
    """When the caller had fallen silent: the wait counts from here."""
    taken_at: int | None = None
    """When the turn was taken as over."""
    turn_end: str = ""
    """What decided that."""
    guessed: bool = False
    """It was begun before the turn was taken."""
    opened_at: int | None = None
    token_at: int | None = None
    chunk_at: int | None = None
    sound_at: int | None = None
    started_at: int | None = None
    ended_at: int | None = None
    end: str = ""
    text: str = ""
    heard_ns: int = 0
    sound_ns: int = 0
    """As far as it was synthesised."""
    stretches: tuple[Stretch, ...] = ()
    """Who owned the time until the first sound, in order and without gaps; for a turn that never got one, until it was given up."""
    marks: tuple["Mark", ...] = ()
    guess: "Wait | None" = None
    wait: "Wait | None" = None

    @property
    def latency_ns(self) -> int | None:
        """From the caller's last sound to the agent's first."""
        if self.started_at is None or self.quiet_at is None:
            return None
        return self.started_at - self.quiet_at

    @property
    def silence_ns(self) -> int | None:
        """How long the caller waited for an answer that never made a sound."""
        if self.started_at is not None or self.quiet_at is None or self.ended_at is None:
            return None
        return self.ended_at - self.quiet_at


class Mark(Struct, frozen=True):
    """A moment from which something else is waited for."""

    at: int
    owner: Owner
    why: str


class Wait(Struct, frozen=True):
    """Why a turn was not taken, or an answer not guessed, at once."""

    setting: str
    """The policy's, or whose judgement was waited for."""
    ns: int
    """As long as this it is the setting's; what is longer, somebody was late."""
    words_at: int
    """When the words last changed."""


class Interruption(Struct, kw_only=True):
    """Two voices at once."""

    run: int
    onset_at: int
    """When the caller's voice began, as the detector said."""
    yielded_at: int | None = None
    decided_at: int | None = None
    outcome: str = ""
    """interrupted, cancelled, resumed."""
    why: str = ""
    heard_ns: int = 0


class Trouble(Struct, frozen=True):
    """Something that should not be, in one sentence. The sentence holds no word of the caller's."""

    at: int
    what: str


class Story(Struct, kw_only=True):
    """A whole call."""

    events: int = 0
    ended_at: int = 0
    answers: list[Answer] = []
    interruptions: list[Interruption] = []
    troubles: list[Trouble] = []
    stale: dict[str, int] = {}
    """Facts of dead runs, requests and ears, by type."""
    late_ns_max: int = 0
    """The latest a timer of the wall clock came."""
    late_at: int = 0
    ended: str = ""


LATE_NS = 50_000_000
"""A timer later than this is worth a sentence: two and a half frames."""
