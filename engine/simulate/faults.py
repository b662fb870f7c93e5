"""Which world a seed makes: swarm testing leaves whole kinds of trouble out and skews the rest.

Source: Groce et al., "Swarm Testing" (ISSTA 2012); TigerBeetle's VOPR does the same with its event weights.
"""

from dataclasses import dataclass, field
from random import Random

from msgspec.structs import replace

from engine.core.policy import PRESETS, OnInterrupt, Setup, ToolSpec
from engine.core.units import MS, SECOND

FAULTS = (
    "asr_refused", "asr_never_opens", "asr_dies", "asr_no_partials", "asr_final_twice", "asr_final_late", "asr_deaf",
    "asr_late_after_stop", "llm_refused", "llm_silent", "llm_stalls", "llm_dies", "llm_empty", "llm_late_after_cancel",
    "llm_done_twice", "llm_rambles", "tts_refused", "tts_silent", "tts_dies", "tts_late_after_cancel", "tts_no_words", "tts_wrong_rate",
    "tool_fails", "tool_never", "tool_twice", "tool_late_after_cancel", "mark_lost", "mark_late", "wire_lost", "audio_stall",
    "loop_pause", "vad_none", "vad_flaps", "vad_sticks", "clock_back", "playout_stuck", "outages",
)  # fmt: skip
"""Every fault of the list in the simulation's design, by name."""

DOINGS = (
    "ask", "pause_inside", "backchannel", "cough", "interrupt", "stop_word", "aside", "type", "keys", "long_silence", "hang_up", "say",
    "embedder_interrupt",
)  # fmt: skip
"""What callers, and the program around the engine, do."""

TOOLS = (
    ToolSpec("look_up", filler="Let me see."),
    ToolSpec("search", on_interrupt=OnInterrupt.DETACH),
    ToolSpec("pay", on_interrupt=OnInterrupt.FINISH),
    ToolSpec("slow", timeout_ns=4 * SECOND),
    ToolSpec("good_bye", ends_call=True),
)


@dataclass
class World:
    """What one seed decided."""

    seed: int
    setup: Setup
    faults: dict[str, float]
    """Fault -> probability at each opportunity. Absent: never."""
    doings: dict[str, float]
    """What the caller does -> weight."""
    rate_hz: int = 8_000
    """Of the wire."""
    marks: bool = True
    words: bool = True
    faults_until: int = 0
    """Trouble stops here; from then on the call must recover."""
    ends_at: int = 0
    random: Random = field(default_factory=Random)

    def strikes(self, fault: str, now: int) -> bool:
        """Whether this fault happens now."""
        chance = self.faults.get(fault, 0.0)
        return now < self.faults_until and chance > 0 and self.random.random() < chance

    def delay(self, low_ms: int, high_ms: int) -> int:
        """A latency: mostly near the low end, sometimes far out."""
        skewed = self.random.random() ** 3
        return int((low_ms + (high_ms - low_ms) * skewed) * MS)


def world_of(seed: int) -> World:
    """The world of a seed: the same on every machine and Python (random.Random's core is part of its contract)."""
    random = Random(seed)  # noqa: S311 - the very point is that it repeats
    faults = {name: random.choice((0.05, 0.15, 0.4)) for name in FAULTS if random.random() < 0.3}
    doings = {name: random.choice((0.3, 1.0, 3.0)) for name in DOINGS if random.random() < 0.7}
    doings["ask"] = 3.0
    policy = replace(
        random.choice(list(PRESETS.values())),
        speculate=random.random() < 0.7,
        llm_hedge_ns=random.choice((0, 0, 600 * MS)),
        idle_ns=random.choice((0, 6 * SECOND, 12 * SECOND)),
        filler_ns=random.choice((0, 800 * MS, 1_500 * MS)),
    )
    setup = Setup(
        policy=policy,
        instructions="Be brief.",
        greeting=random.choice(("", "Hello. How can I help you today?", "This call may be recorded.")),
        greeting_interruptible=random.random() < 0.7,
        tools=TOOLS if random.random() < 0.7 else (),
        asr=("ear", "spare ear")[: random.choice((1, 2))],
        llm=("model", "spare model", "last model")[: random.choice((1, 2, 3))],
        tts=("voice", "spare voice")[: random.choice((1, 2))],
        transport="simulated",
    )
    length = random.choice((15, 30, 45)) * SECOND
    return World(
        seed=seed,
        setup=setup,
        faults=faults,
        doings=doings,
        rate_hz=random.choice((8_000, 16_000, 24_000, 48_000)),
        marks=random.random() < 0.6,
        words="tts_no_words" not in faults,
        faults_until=length,
        ends_at=length + 60 * SECOND,
        random=random,
    )
