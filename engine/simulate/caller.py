"""The caller of a simulated call, and the program around the engine: they speak, pause, hum, cough, interrupt, type, press keys, go away."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from engine.core.events import (
    DTMFPressed,
    InterruptRequested,
    SayRequested,
    SessionEnded,
    TransportLost,
    TransportResumed,
    UserSpeechStarted,
    UserSpeechStopped,
    UserTextReceived,
)
from engine.core.units import MS, SECOND

if TYPE_CHECKING:
    from engine.simulate.world import Call

QUESTIONS = (
    "what time is it?",
    "I would like an appointment on Monday",
    "my number is five five five one two three four",
    "can you tell me and also",
    "yes",
    "no thanks",
    "move it to Tuesday at three p.m.",
)
HANGOVER_NS = 160 * MS
ONSET_NS = 40 * MS
WORD_NS = 280 * MS


class Caller:
    """One caller."""

    def __init__(self, call: "Call") -> None:
        self.call = call
        self.world = call.world
        self.speaking_until = 0
        self.probed_at: int | None = None

    def begin(self) -> None:
        self.call.later(self.world.delay(200, 3_000), self.act)

    def act(self) -> None:
        """Do something, and think of the next thing."""
        world, now = self.world, self.call.now
        if now >= world.faults_until:
            self.probe()
            return
        names = list(world.doings)
        doing = world.random.choices(names, [world.doings[name] for name in names])[0]
        length: int = getattr(self, doing)()
        self.call.later(length + world.delay(300, 6_000), self.act)

    def probe(self) -> None:
        """Trouble is over: one plain question, which must be answered."""
        if self.speaking_until > self.call.now:
            self.call.later(self.speaking_until - self.call.now + 500 * MS, self.probe)
            return
        self.call.recover()
        self.probed_at = self.call.now + 6 * SECOND
        self.call.at(self.probed_at, self.ask_plainly)

    def ask_plainly(self) -> None:
        self.speak("excuse me what time is it please?")
        self.call.later(35 * SECOND, self.ask_once_more)

    def ask_once_more(self) -> None:
        if not self.call.probe_answered:
            self.speak("excuse me what time is it please?")

    # What a caller does. Each returns how long it takes.

    def ask(self) -> int:
        return self.speak(self.world.random.choice(QUESTIONS))

    def pause_inside(self) -> int:
        random = self.world.random
        first = self.speak("I would like")
        gap = random.choice((250, 500, 900, 1_500)) * MS

        def go_on() -> None:
            self.speak("to come on Friday")

        self.call.later(first + gap, go_on)
        return first + gap + 5 * WORD_NS

    def backchannel(self) -> int:
        return self.speak(self.world.random.choice(("mm hmm", "okay", "yeah", "right", "i see", "all right")))

    def cough(self) -> int:
        return self.voice(self.world.random.choice((60, 150, 300, 500)) * MS)

    def interrupt(self) -> int:
        return self.speak("hold on that is not what I asked")

    def stop_word(self) -> int:
        return self.speak("stop")

    def aside(self) -> int:
        return self.voice(self.world.random.choice((400, 900, 2_500)) * MS)

    def type(self) -> int:
        self.call.post(UserTextReceived(text="when are you open?"))
        return 0

    def keys(self) -> int:
        for count, digit in enumerate(self.world.random.choice(("1", "12#", "4711"))):
            self.call.later(count * 300 * MS, lambda digit=digit: self.call.post(DTMFPressed(digit=digit)))  # type: ignore[misc]
        return 1_500 * MS

    def long_silence(self) -> int:
        return self.world.random.choice((4, 9, 14)) * SECOND

    def hang_up(self) -> int:
        if self.world.random.random() < 0.15:
            self.call.post(SessionEnded(reason="caller hung up"))
        return SECOND

    def say(self) -> int:
        self.call.post(SayRequested(text="Your taxi is here.", interruptible=self.world.random.random() < 0.6))
        return 0

    def embedder_interrupt(self) -> int:
        self.call.post(InterruptRequested())
        return 0

    # How a voice sounds to the engine.

    def speak(self, text: str) -> int:
        """Say words: edges from the detector, partials as they come."""
        words = text.split()
        length = len(words) * WORD_NS
        if not self._voice(length):
            return 0
        for count in range(1, len(words) + 1):
            said = " ".join(words[:count])
            self.call.later(count * WORD_NS, self._said(said, done=count == len(words)))
        return length

    def _said(self, words: str, *, done: bool) -> Callable[[], None]:
        return lambda: self.call.services.hear(words, done=done)

    def voice(self, length: int) -> int:
        """Make a noise that the detector takes for speech."""
        return length if self._voice(length) else 0

    def _voice(self, length: int) -> bool:
        now = self.call.now
        if self.speaking_until > now - 400 * MS:
            return False
        self.speaking_until = now + length
        if "vad_none" in self.world.faults and now < self.world.faults_until:
            return True
        self._edges(now, length)
        if self.world.strikes("vad_flaps", now):
            self.call.later(length + HANGOVER_NS + 30 * MS, lambda: self._edges(self.call.now, 50 * MS))
        return True

    def _edges(self, start: int, length: int) -> None:
        call = self.call

        def started() -> None:
            heard = call.audio_now()
            call.post(UserSpeechStarted(audio_ns=max(0, heard - ONSET_NS), heard_ns=heard))

        def stopped() -> None:
            heard = call.audio_now()
            call.post(UserSpeechStopped(audio_ns=max(0, heard - HANGOVER_NS), heard_ns=heard))

        call.at(start + ONSET_NS, started)
        stuck = 3 * SECOND if self.world.strikes("vad_sticks", start) else 0
        call.at(start + length + HANGOVER_NS + stuck, stopped)
        call.stuck_until = max(call.stuck_until, start + length + HANGOVER_NS + stuck)

    def lose_wire(self) -> None:
        """The connection breaks, and comes back a little later."""
        call = self.call
        call.wire.lose()
        call.post(TransportLost())

        def back() -> None:
            call.wire.regain()
            call.post(TransportResumed())

        call.later(self.world.delay(300, 4_000), back)
