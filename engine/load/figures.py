"""What all callers together have met, and how it reads."""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct, field
from msgspec.structs import asdict

from engine.core.units import MS, SECOND


class Spread(Struct, frozen=True):
    """How a latency is spread, in milliseconds."""

    count: int
    p50: float
    p99: float
    max: float

    def __str__(self) -> str:
        return f"p50 {self.p50:.1f}  p99 {self.p99:.1f}  max {self.max:.1f} ms  ({self.count})"


def spread(values_ns: Sequence[int]) -> Spread:
    """Of latencies in nanoseconds. Percentiles are values that occurred: the nearest rank."""
    ordered = sorted(values_ns)
    if not ordered:
        return Spread(0, 0.0, 0.0, 0.0)
    p50, p99 = (ordered[max(0, -(-len(ordered) * share // 100) - 1)] for share in (50, 99))
    return Spread(len(ordered), p50 / MS, p99 / MS, ordered[-1] / MS)


class Figures(Struct):
    """Counted by the callers. Only what happens while `measuring` counts, except for how calls begin and end."""

    measuring: bool = False
    begun: int = 0
    answered: int = 0
    refused: int = 0
    lost: int = 0
    """Ended by the server, or by a broken line that no caller broke."""
    hung_up: int = 0
    unanswered: int = 0
    """Turns to which nothing was said within ten seconds."""
    missed: int = 0
    """Interruptions that did not silence the agent."""
    underruns: int = 0
    underrun_ns: int = 0
    frames: int = 0
    """Sent by callers."""
    reasons: dict[str, int] = field(default_factory=dict)
    """Why calls were refused or lost."""
    greeting_ns: list[int] = field(default_factory=list)
    """From the webhook, or the connection, to the first sound."""
    response_ns: list[int] = field(default_factory=list)
    """From the last voiced frame of a turn to the first sound of its answer."""
    clear_ns: list[int] = field(default_factory=list)
    """From the first voiced frame of an interruption to the order to be silent."""
    late_ns: list[int] = field(default_factory=list)
    """By how much the callers' own timer was late: what is below it was not the server's doing."""

    def blame(self, reason: str) -> None:
        self.reasons[reason] = self.reasons.get(reason, 0) + 1

    def note_late(self, late_ns: int) -> None:
        if self.measuring:
            self.late_ns.append(late_ns)


class Cost(Struct, frozen=True):
    """What the server took while it was measured."""

    seconds: float
    cores: float
    """CPU seconds of all its processes, each second."""
    waited: float
    """Seconds a second in which it could have run and the machine gave the core to others."""
    rss_kb: int
    rss_kb_idle: int
    """Before the first of these calls."""
    processes: int
    files: int
    """Open: sockets, journals and the rest."""


class Report(Struct, frozen=True, kw_only=True):
    """The outcome of a run."""

    calls: int
    seconds: float
    answered: int
    refused: int
    lost: int
    hung_up: int
    unanswered: int
    missed: int
    underruns: int
    underrun_seconds: float
    frames: int
    greeting: Spread
    response: Spread
    clear: Spread
    late: Spread
    generator_cores: float
    reasons: dict[str, int]
    server: Cost | None = None
    cpu_percent_per_call: float | None = None
    rss_kb_per_call: float | None = None
    tasks_per_call: float | None = None

    def lines(self) -> list[str]:
        """For people."""
        told = [
            f"calls         {self.calls} at once: {self.answered} answered, {self.refused} refused, {self.lost} lost",
            f"measured      {self.seconds:.0f} s, {self.frames} frames from callers",
            f"greeting      {self.greeting}",
            f"response      {self.response}, {self.unanswered} unanswered",
            f"barge-in      {self.clear} to clear, {self.missed} missed",
            f"underruns     {self.underruns}, {self.underrun_seconds:.2f} s",
            f"callers       timer late by {self.late}; {self.generator_cores:.2f} of a core",
        ]
        told += [f"because       {count} x {reason}" for reason, count in sorted(self.reasons.items())]
        if self.server is not None:
            told += self._server_lines(self.server)
        else:
            told.append(
                "server        not measured: it is on another machine or not ours to see, or a process of it has ended"
            )
        return told

    def _server_lines(self, cost: Cost) -> list[str]:
        per_call = f"{self.cpu_percent_per_call:.3f} % of a core per call" if self.cpu_percent_per_call else ""
        told = [
            f"server CPU    {100 * cost.cores:.1f} % of a core in {cost.processes} processes; {per_call}",
            f"              waited for a core {100 * cost.waited:.1f} % of the time",
            f"server memory {cost.rss_kb // 1024} MB, {cost.rss_kb_idle // 1024} before; {self.rss_kb_per_call or 0:.0f} KB per call",
            f"server files  {cost.files} open",
        ]
        if self.tasks_per_call is not None:
            told.append(f"server tasks  {self.tasks_per_call:.1f} per call")
        return told

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def report(figures: Figures, *, calls: int, seconds: float, generator_cores: float, **server: Any) -> Report:
    """Sum up."""
    return Report(
        calls=calls,
        seconds=seconds,
        answered=figures.answered,
        refused=figures.refused,
        lost=figures.lost,
        hung_up=figures.hung_up,
        unanswered=figures.unanswered,
        missed=figures.missed,
        underruns=figures.underruns,
        underrun_seconds=figures.underrun_ns / SECOND,
        frames=figures.frames,
        greeting=spread(figures.greeting_ns),
        response=spread(figures.response_ns),
        clear=spread(figures.clear_ns),
        late=spread(figures.late_ns),
        generator_cores=generator_cores,
        reasons=figures.reasons,
        **server,
    )
