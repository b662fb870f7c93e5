"""Runs a conversation written in the notation through the reducer and compares the orders it gives.

    def test_the_agent_answers() -> None:
        check('''
            0     caller speaks
            1000  asr final "what time is it?"
            1020  caller quiet
            1370  timer                         -> llm r1 "what time is it?"
            1900  llm r1 "It is noon. And"      -> tts r1 "It is noon."
            2100  playing r1
        ''')

- Facts are fed at their times. Timers fire by themselves when the state says so; a `timer` line says when one is expected, and is
  needed wherever a timer leads to an order. A timer due at the very moment of a fact fires after it, unless its line stands before.
- The caller's sound runs along with the clock from 0; `audio stops` holds it, `audio runs` lets it go on from there, `audio runs @ms`
  from that place; a lost line holds it too. Positions that a fact leaves out are where the sound is then.
- A line with nothing but a time lets time pass. `SetTimer` is never shown.
- The session begins by itself at 0 (what that leads to is not compared) unless the first fact is `session`.
- A script that begins with `recorded`, which is what `engine show` prints, is fed as it stands: every timer is in it.
- After every step the state and the orders are what their declarations say, all the way down.
- Only what a line says of an order is compared. `[Phase]` after the orders is compared too where it is written.
"""

import difflib
import textwrap
from collections.abc import Callable

from msgspec import msgpack

from engine.core.commands import Commands
from engine.core.events import Clock, Event, SessionStarted, TimerFired, TransportLost, TransportResumed
from engine.core.policy import Setup
from engine.core.reduce import reduce
from engine.core.state import State
from engine.replay.lexer import Kind, milliseconds, nanoseconds
from engine.replay.notation import (
    SILENT,
    Context,
    read_event,
    write_commands,
    write_event,
    write_line,
)
from engine.replay.script import Line, parse_script

SETUP = Setup(asr=("ear",), llm=("model",), tts=("voice",))
"""What a script's session is given unless told otherwise: one provider of each kind, the balanced policy, no greeting."""
Observer = Callable[[Event, State, State, Commands], None]
TIMERS_MAX = 1_000
"""Between two lines. More is a deadline that does not move."""
STATES, ORDERS = msgpack.Decoder(State), msgpack.Decoder(Commands)


def check(script: str, setup: Setup = SETUP, *, seed: int = 0, observer: Observer | None = None) -> State:
    """Run a script; returns the state after its last line. Raises AssertionError with the whole call where it differs.

    observer: told each step, as a session's observers are.
    """
    call = play(script, setup, seed=seed, observer=observer)
    if call.expected != call.actual:
        lines = difflib.ndiff(_lines(call.expected), _lines(call.actual))
        shown = "\n".join(line for line in lines if not line.startswith("?"))
        raise AssertionError(f"the call differs from its script (- as written, + as it went):\n{shown}")
    return call.state


def play(script: str, setup: Setup = SETUP, *, seed: int = 0, observer: Observer | None = None) -> "Call":
    """Run a script without comparing: for calls that are material, not a claim."""
    written = parse_script(textwrap.dedent(script))
    call = Call(setup, seed, recorded=written.recorded, observer=observer)
    call.run(written.lines)
    return call


def _lines(parts: list[str]) -> list[str]:
    return [line for part in parts for line in part.split("\n")]


class Call:
    """One call under way."""

    def __init__(self, setup: Setup, seed: int, *, recorded: bool, observer: Observer | None) -> None:
        self.state = State()
        self.context = Context()
        self.setup = setup
        self.seed = seed
        self.recorded = recorded
        self.observer = observer
        self.now = 0
        self.place_ns = 0
        """Where the caller's sound stood at `since`."""
        self.since: int | None = 0
        """None: it stands still."""
        self.expected: list[str] = []
        self.actual: list[str] = []

    def run(self, lines: tuple[Line, ...]) -> None:
        if not self.recorded and (not lines or first_word(lines[0]) != "session"):
            self.feed(SessionStarted(at=0, setup=self.setup, seed=self.seed))
        for line in lines:
            self.pass_time(line.at, inclusive=not line.fact)
            self.now = line.at
            word = first_word(line)
            if word == "audio":
                self.steer_sound(line)
            elif word == "timer" and not self.recorded:
                self.expect_timer(line)
            elif line.fact:
                self.take(line)

    # Time and sound.

    def audio_ns(self) -> int:
        """Where the caller's sound is now."""
        return self.place_ns if self.since is None else self.place_ns + self.now - self.since

    def hold_sound(self) -> None:
        self.place_ns, self.since = self.audio_ns(), None

    def steer_sound(self, line: Line) -> None:
        """`audio stops`, `audio runs`, `audio runs @ms`."""
        self.hold_sound()
        if line.fact[1].value == "runs":
            places = [nanoseconds(token.value) for token in line.fact if token.kind is Kind.PLACE]
            self.place_ns, self.since = (*places, self.place_ns)[0], self.now

    def due(self) -> tuple[int, Clock] | None:
        """The next timer: when, on the wall clock, and which clock's it is."""
        wall_ns, audio_ns = self.state.deadlines.wall_ns, self.state.deadlines.audio_ns
        moments = []
        if wall_ns is not None:
            moments.append((max(wall_ns, self.now), Clock.WALL))
        if audio_ns is not None and self.since is not None:
            moments.append((max(self.since + audio_ns - self.place_ns, self.now), Clock.AUDIO))
        return min(moments, key=lambda moment: moment[0], default=None)

    def pass_time(self, until: int, *, inclusive: bool) -> None:
        """Fire what comes due before that moment, or at it. What leads to an order should have had a line."""
        for _ in range(TIMERS_MAX):
            due = None if self.recorded else self.due()
            if due is None or due[0] > until or (due[0] == until and not inclusive):
                return
            fact, orders, commands = self.fire(due)
            if visible(commands):
                self.actual.append(write_line(self.now, fact, orders, width=5))
        raise AssertionError(f"a deadline does not move: {self.state.deadlines} at {milliseconds(self.now)} ms")

    def fire(self, due: tuple[int, Clock]) -> tuple[str, str, Commands]:
        self.now, clock = due
        audio_ns = self.audio_ns() if clock is Clock.AUDIO else 0
        _, orders, commands = self.feed(TimerFired(at=self.now, clock=clock, audio_ns=audio_ns))
        return "timer", orders, commands

    def expect_timer(self, line: Line) -> None:
        """A timer with a line of its own. Others that lead to nothing may come due at the same moment before it."""
        for _ in range(TIMERS_MAX):
            due = self.due()
            if due is None or due[0] > line.at:
                next_one = f"the next at {milliseconds(due[0])}" if due else "none is set"
                self.expected.append(line.source)
                self.actual.append(f"# no timer at {milliseconds(line.at)}: {next_one}")
                return
            fact, orders, commands = self.fire(due)
            due = self.due()
            if visible(commands) or not line.orders or due is None or due[0] > line.at:
                self.compare(line, fact, orders, commands)
                return
        raise AssertionError(f"a deadline does not move: {self.state.deadlines} at {milliseconds(self.now)} ms")

    # Facts.

    def take(self, line: Line) -> None:
        audio_ns = line.at if self.recorded else self.audio_ns()
        event = read_event(list(line.fact), line.at, self.context, audio_ns)
        if isinstance(event, TransportLost):
            self.hold_sound()
        elif isinstance(event, TransportResumed):
            self.since = self.now
        self.compare(line, *self.feed(event))

    def feed(self, event: Event) -> tuple[str, str, Commands]:
        """Reduce one fact. Returns it and its orders in words, and the orders."""
        fact = write_event(event, self.context, self.audio_ns())
        before = self.state
        self.state, commands = reduce(before, event)
        assert_well_formed(self.state, commands)
        if self.observer:
            self.observer(event, before, self.state, commands)
        self.context.saw(event)
        orders = write_commands(commands, self.context)
        return fact, orders, commands

    def compare(self, line: Line, fact: str, orders: str, commands: Commands) -> None:
        """Compare one step with its line. A step that fits is shown in the script's own words."""
        shown = visible(commands)
        phase = self.state.phase.value if line.phase else ""
        fits = len(shown) == len(line.orders) and line.phase == phase
        fits = fits and all(expected.fits(command) for expected, command in zip(line.orders, shown, strict=True))
        self.expected.append(line.source)
        self.actual.append(line.source if fits else write_line(line.at, fact, orders, phase, width=5))


def assert_well_formed(state: State, commands: Commands) -> None:
    """Every field holds what it is declared to hold: a state, or orders, written down are read back as they were.

    And what is due has been done: every deadline lies ahead.
    """
    assert STATES.decode(msgpack.encode(state)) == state
    assert ORDERS.decode(msgpack.encode(commands)) == commands
    assert state.deadlines.wall_ns is None or state.deadlines.wall_ns > state.at
    assert state.deadlines.audio_ns is None or state.deadlines.audio_ns > state.audio_ns


def first_word(line: Line) -> str:
    return line.fact[0].value if line.fact else ""


def visible(commands: Commands) -> list[object]:
    return [command for command in commands if not isinstance(command, SILENT)]
