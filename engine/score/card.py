"""The definitions, the figures and the aims. Definitions: τ-voice for yielding and selectivity, EVA for the operating point."""

from collections.abc import Callable, Iterator

from msgspec import Struct

from engine.core.units import MS, SECOND
from engine.score.cast import SOUND_MS, TOKEN_MS
from engine.score.scenes import Kind, Scene
from engine.score.stage import Result

YIELD_NS = 2 * SECOND
"""An interruption counts as yielded to when the agent is silent within this (τ-voice)."""
BACK_NS = 1 * SECOND
"""A yielding counts as none when the agent goes on, losing nothing, within this of the caller's last sound."""


DASH = "-"
NONE_PLAYED = "nothing to tell it from"
PROVIDERS_MS = TOKEN_MS + SOUND_MS
"""What the cast's model and voice take of every response."""


class Row(Struct, frozen=True):
    """One line of the card."""

    name: str
    figure: str
    aim: str
    met: bool


Played = list[tuple[Scene, Result]]


def card(played: Played, providers_ms: int | None = PROVIDERS_MS) -> Iterator[Row]:
    """All rows. providers_ms: what the providers take of every response; None: not known."""
    yield from _yielding(played)
    yield from _selecting(played)
    yield from _answering(played, providers_ms)
    yield from _remembering(played)


def _yielding(played: Played) -> Iterator[Row]:
    cuts = [result for scene, result in played if scene.kind is Kind.INTERRUPTION]
    stops = sorted(_ms(r.paused_ns - r.onset_ns) for r in cuts if r.paused_ns is not None)
    rate = _rate(cuts, lambda r: r.paused_ns is not None and r.lost and r.paused_ns - r.onset_ns <= YIELD_NS)
    yield _at_least("yield rate", rate, 0.98, len(cuts))
    yield _at_most("stop latency p50, ms", _at(stops, 0.5), 200)
    yield _at_most("stop latency p95, ms", _at(stops, 0.95), 350)
    yield _at_most("stop latency max, ms", _at(stops, 1.0), YIELD_NS / MS)
    name = "models cancelled in the deciding step"
    if any(result.cancelled_at_once is None for result in cuts):
        yield unseen(name, "its models cannot be seen from outside")
    else:
        yield _at_least(name, _rate(cuts, lambda r: bool(r.cancelled_at_once)), 1.0, len(cuts))


def _selecting(played: Played) -> Iterator[Row]:
    aims = {Kind.BACKCHANNEL: 0.85, Kind.COUGH: 0.6, Kind.CLICK: 0.6, Kind.SIDE_SPEECH: 0.6, Kind.NOISE: 0.6}
    for kind, aim in aims.items():
        results = [result for scene, result in played if scene.kind is kind]
        yield _at_least(f"selectivity: {kind.value}", _rate(results, _keeps_floor), aim, len(results))


def _keeps_floor(result: Result) -> bool:
    """It did not stop; or it went on soon after, with every sample."""
    if result.lost:
        return False
    if result.paused_ns is None:
        return True
    return result.resumed_ns is not None and result.resumed_ns - result.last_ns <= BACK_NS and not result.gap_samples


def _answering(played: Played, providers_ms: int | None) -> Iterator[Row]:
    turns = [result for scene, result in played if not scene.kind.is_overlap]
    answered = [r for r in turns if r.answered_ns is not None and not r.over_caller]
    total = sorted(_ms((r.answered_ns or 0) - r.last_ns) for r in answered)
    yield _at_least("answered", _rate(turns, lambda r: r.answered_ns is not None), 0.99, len(turns))
    yield _at_most("agent interrupts the caller", _rate(turns, lambda r: r.over_caller), 0.05)
    slack = PROVIDERS_MS if providers_ms is None else providers_ms
    yield _at_most("response p50, ms", _at(total, 0.5), 1_000 + slack)
    yield _at_most("response p95, ms", _at(total, 0.95), 2_000 + slack)
    name = "response over the providers p50, ms"
    if providers_ms is None:
        yield unseen(name, "what its providers take is not known; --provider-ms tells it")
    else:
        yield _at_most(name, _at([each - providers_ms for each in total], 0.5), 1_000)
    for kind in (Kind.PLAIN, Kind.PAUSE, Kind.DIGITS, Kind.YES_NO):
        times = sorted(
            _ms((r.answered_ns or 0) - r.last_ns)
            for scene, r in played
            if scene.kind is kind and r.answered_ns is not None and not r.over_caller
        )
        if times:
            yield Row(f"  {kind.value}, p50, ms", f"{_at(times, 0.5) or 0:.0f}", "", True)


def _remembering(played: Played) -> Iterator[Row]:
    cuts = [(scene, result) for scene, result in played if scene.kind is Kind.INTERRUPTION and result.lost]
    if any(result.text_error is None for _, result in cuts):
        yield unseen("heard-text error", "its history cannot be seen from outside")
    else:
        for timed, name, aim in ((True, "with word times", 0), (False, "without", 12)):
            errors = sorted(abs(result.text_error or 0) for scene, result in cuts if scene.word_times is timed)
            yield _at_most(f"heard-text error {name}, worst, characters", _at(errors, 1.0), aim)
    yield _at_most("stale samples", sum(result.stale_samples for _, result in played), 0)
    if any(result.stuck is None for _, result in played):
        yield unseen("stuck calls", "its runs cannot be seen from outside; a mute agent is a turn that is not answered")
    else:
        yield _at_most("stuck calls", sum(bool(result.stuck) for _, result in played), 0)


def unseen(name: str, why: str) -> Row:
    """A figure that cannot be had, and why."""
    return Row(name, DASH, f"({why})", True)


def table(rows: list[Row]) -> Iterator[str]:
    """The card as lines of text."""
    width = max(len(row.name) for row in rows)
    yield f"{'':<{width}}  {'measured':>10}  aim"
    for row in rows:
        mark = "" if row.met else "   MISSED"
        yield f"{row.name:<{width}}  {row.figure:>10}  {row.aim}{mark}"


def _ms(ns: int) -> float:
    return ns / MS


def _rate(results: list[Result], good: Callable[[Result], bool]) -> float | None:
    return sum(map(good, results)) / len(results) if results else None


def _at(ordered: list[float] | list[int], share: float) -> float | None:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None


def _at_least(name: str, value: float | None, aim: float, count: int) -> Row:
    if value is None:
        return unseen(name, NONE_PLAYED)
    return Row(name, f"{value:.2f}", f">= {aim:.2f}  (n = {count})", value >= aim)


def _at_most(name: str, value: float | None, aim: float) -> Row:
    if value is None:
        return unseen(name, NONE_PLAYED)
    return Row(name, f"{value:.2f}" if aim < 1 and aim else f"{value:.0f}", f"<= {aim:g}", value <= aim)
