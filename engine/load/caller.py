"""One scripted caller: waits for the greeting, asks, interrupts the answer now and then, asks again, hangs up.

The script is the same on every wire; `twilio` and `browser` say how frames and messages look. Everything happens in two callbacks:
`tick`, every 20 ms, and what the server sends.

Rule 1. A turn is spoken when the agent has been quiet for a while; its answer's latency runs from the last voiced frame.
Rule 2. An interruption is spoken into an answer; it is over when the server orders silence, and missed when it never does.
Rule 3. The agent's sound is played without a gap from when it came. Where the next piece of an answer comes after the last one was
        played, the caller has heard a hole: an underrun.
"""

from collections.abc import Callable
from enum import Enum
from random import Random

from msgspec import Struct

from engine.core.units import FRAME_NS, MS, SECOND
from engine.load.figures import Figures
from engine.load.voice import Voice
from engine.load.wire import Wire

HOLE_NS_MIN = 10 * MS
"""Shorter holes are the generator's own clock."""
HOLE_NS_MAX = 1 * SECOND
"""Longer ones are silence between two things that were said."""
PATIENCE_NS = 10 * SECOND


class Manner(Struct, frozen=True):
    """How callers behave."""

    interrupts: float = 0.5
    """Share of answers that are interrupted."""
    interrupts_after_ns: tuple[int, int] = (500 * MS, 3 * SECOND)
    """How far into an answer."""
    thinks_ns: tuple[int, int] = (400 * MS, 1_000 * MS)
    """Quiet before a turn."""


class Doing(Enum):
    WAITING = "waiting for an answer"
    LISTENING = "listening"
    ASKING = "asking"
    INTERRUPTING = "interrupting"


class Caller:
    """One call. `tick` it every 20 ms from when its wire is open."""

    def __init__(
        self,
        voice: Voice,
        manner: Manner,
        figures: Figures,
        clock: Callable[[], int],
        random: Random,
        gone: Callable[["Caller"], None],
    ) -> None:
        self._voice = voice
        self._manner = manner
        self._figures = figures
        self._clock = clock
        self._random = random
        self._gone = gone
        self.wire: Wire
        self.began_ns = clock()
        self.answered = False
        self.leaving = False
        """This caller has hung up, or broken the line."""
        self._doing = Doing.WAITING
        self._frames = voice.silence
        self._index = random.randrange(len(voice.silence))
        self._since_ns = self.began_ns
        """When what it is doing began: the last voiced frame, the first voiced frame."""
        self._cleared = False
        self._interrupt_at: int | None = None
        self._ask_at: int | None = None
        self._plays_until = 0
        """When the sound at hand will have been played."""
        self._sounding = False
        """An answer is under way: a hole in it would be heard."""

    # What a wire must be able to do.

    def open(self) -> None:
        """The first messages, when the server has let the caller in."""
        raise NotImplementedError

    def send_frame(self, frame: bytes) -> None:
        """20 ms of the caller."""
        raise NotImplementedError

    def report_played(self, now_ns: int) -> None:
        """Tell the server what was played by now."""
        raise NotImplementedError

    def take(self, opcode: int, payload: bytes) -> None:
        """A message of the server's."""
        raise NotImplementedError

    def say_goodbye(self) -> None:
        """What this wire sends before it closes."""
        raise NotImplementedError

    # The call.

    def lost(self, reason: str) -> None:
        """The connection has closed."""
        if not self.leaving:
            self._figures.lost += 1
            self._figures.blame(reason)
        self._gone(self)

    def hang_up(self) -> None:
        """Leave as callers do."""
        self.leaving = True
        self._figures.hung_up += 1
        self.say_goodbye()
        self.wire.close()

    def break_off(self) -> None:
        """Be gone without a word."""
        self.leaving = True
        self._figures.hung_up += 1
        self.wire.abort()

    def tick(self, now_ns: int) -> None:
        """20 ms of the call."""
        if self.leaving:
            return
        if self._index == len(self._frames):
            self._index = 0
            if self._frames is not self._voice.silence:
                self._frames = self._voice.silence
                self._fall_silent(now_ns)
        self.report_played(now_ns)
        self._decide(now_ns)
        self.send_frame(self._frames[self._index])
        self._index += 1
        self._figures.frames += self._figures.measuring

    def _decide(self, now_ns: int) -> None:
        doing = self._doing
        if doing is Doing.LISTENING:
            if self._interrupt_at is not None and now_ns >= self._interrupt_at:
                if now_ns < self._plays_until:
                    self._speak(Doing.INTERRUPTING, self._voice.interruption, now_ns)
                self._interrupt_at = None
            elif now_ns >= self._plays_until:
                if self._ask_at is None:
                    self._ask_at = now_ns + self._between(self._manner.thinks_ns)
                elif now_ns >= self._ask_at:
                    self._speak(Doing.ASKING, self._voice.turn, now_ns)
        elif doing is Doing.WAITING and now_ns - self._since_ns > PATIENCE_NS:
            self._figures.unanswered += self._figures.measuring
            self._speak(Doing.ASKING, self._voice.turn, now_ns)

    def _speak(self, doing: Doing, frames: tuple[bytes, ...], now_ns: int) -> None:
        self._doing, self._frames, self._index, self._since_ns = doing, frames, 0, now_ns
        self._cleared = self._sounding = False

    def _fall_silent(self, now_ns: int) -> None:
        """The utterance is over. What was not yielded to goes on being listened to."""
        interrupting = self._doing is Doing.INTERRUPTING
        if interrupting and not self._cleared:
            self._figures.missed += self._figures.measuring
            self._doing = Doing.LISTENING
            self._ask_at = None
            return
        self._doing = Doing.WAITING
        self._since_ns = now_ns - FRAME_NS

    def _between(self, bounds: tuple[int, int]) -> int:
        return self._random.randrange(*bounds)

    # What the server sends, told by the wire.

    def heard(self, duration_ns: int) -> None:
        """A piece of the agent's sound."""
        now = self._clock()
        figures = self._figures
        if not self.answered:
            self.answered = True
            figures.answered += 1
            figures.greeting_ns.append(now - self.began_ns)
            self._begin_listening(now)
        elif self._doing is Doing.WAITING:
            if figures.measuring:
                figures.response_ns.append(now - self._since_ns)
            self._begin_listening(now)
        hole = now - self._plays_until
        if self._sounding and HOLE_NS_MIN < hole < HOLE_NS_MAX and figures.measuring:
            figures.underruns += 1
            figures.underrun_ns += hole
        self._sounding = self._doing is Doing.LISTENING
        self._plays_until = max(now, self._plays_until) + duration_ns
        self._ask_at = None

    def _begin_listening(self, now: int) -> None:
        self._doing = Doing.LISTENING
        self._ask_at = None
        interrupts = self._random.random() < self._manner.interrupts
        self._interrupt_at = now + self._between(self._manner.interrupts_after_ns) if interrupts else None

    def silenced(self) -> None:
        """The server orders silence."""
        now = self._clock()
        self._plays_until = min(self._plays_until, now)
        self._sounding = False
        if self._doing is Doing.INTERRUPTING and not self._cleared:
            self._cleared = True
            if self._figures.measuring:
                self._figures.clear_ns.append(now - self._since_ns)
