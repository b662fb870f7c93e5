"""A call explained in text: a waterfall for every answer, what became of every interruption, and a sentence for every problem."""

from collections.abc import Iterator
from statistics import median

from engine.core.units import MS, SECOND
from engine.replay.lexer import quoted
from engine.replay.story import LATE_NS, Answer, Interruption, Owner, Story, Stretch, Trouble

SLOW_NS = 1 * SECOND
"""An answer that takes longer gets a verdict. People leave 0.2 s between turns and notice a second."""
BAR = 48
"""Characters of the widest waterfall."""
WORDS_SHOWN = 60

WAIT_NAMES = {
    "speculate_stable_ns": "the wait before a guess",
    "endpoint_finished_ns": "the short endpointing wait",
    "endpoint_unsure_ns": "the medium endpointing wait",
    "endpoint_unfinished_ns": "the long endpointing wait",
    "endpoint_cap_ns": "the wait that ends every wait",
    "endpoint_unheard_ns": "the wait for words that never came",
    "dtmf_ns": "the wait for further keys",
}

UNHEARD = {"closed": "the call ended", "failed": "it failed"}
"""How an answer ended that nobody heard. Otherwise the caller went on, or the application did."""


def explain(story: Story) -> Iterator[str]:
    """Line by line."""
    yield from _summary(story)
    slowest = max((answer.latency_ns or _own_ns(answer) for answer in story.answers), default=0)
    for answer in story.answers:
        yield ""
        yield from _waterfall(answer, max(slowest, 1))
        for contest in story.interruptions:
            if contest.run == answer.run:
                yield f"  {_contest(contest, answer)}"
    yield ""
    yield from _counts(story)
    found = list(verdicts(story))
    yield ""
    yield from [f"! {verdict}" for verdict in found] or ["No problem found."]


def milliseconds(ns: int) -> str:
    """For people: whole milliseconds, thousands apart."""
    return f"{round(ns / MS):,}"


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def seconds(ns: int) -> str:
    return f"{ns / SECOND:.3f} s"


def latencies(story: Story) -> list[int]:
    """Of the answers to the caller's turns that were heard."""
    return [answer.latency_ns for answer in story.answers if answer.latency_ns is not None]


def _summary(story: Story) -> Iterator[str]:
    turns = sum(1 for answer in story.answers if answer.turn)
    unheard = sum(1 for answer in story.answers if answer.turn and answer.started_at is None)
    lost = sum(1 for contest in story.interruptions if contest.outcome in ("interrupted", "cancelled"))
    resumed = sum(1 for contest in story.interruptions if contest.outcome == "resumed")
    yield (
        f"{seconds(story.ended_at)}, {_many(story.events, 'event')}, {_many(turns, 'turn')}"
        + (f" ({unheard} without an answer)" if unheard else "")
        + f", {_many(lost, 'interruption')}, {_many(resumed, 'floor')} taken back"
        + (f"; ended: {story.ended}" if story.ended else "")
    )
    waits = latencies(story)
    if not waits:
        yield "voice to voice: nothing to measure"
        return
    yield f"voice to voice: median {milliseconds(round(median(waits)))} ms, worst {milliseconds(max(waits))} ms"
    shares = {
        owner: sum(s.ns for a in story.answers if a.latency_ns is not None for s in a.stretches if s.owner is owner)
        for owner in Owner
    }
    total = max(sum(shares.values()), 1)
    owned = sorted(((ns, owner) for owner, ns in shares.items() if ns), reverse=True)
    yield "owned by: " + ", ".join(f"{owner.value} {ns / total:.0%}" for ns, owner in owned)


def _own_ns(answer: Answer) -> int:
    return sum(stretch.ns for stretch in answer.stretches)


def _waterfall(answer: Answer, scale_ns: int) -> Iterator[str]:
    yield _title(answer)
    if answer.prompt:
        words = answer.prompt if len(answer.prompt) <= WORDS_SHOWN else answer.prompt[: WORDS_SHOWN - 1] + "…"
        yield f"  {quoted(words)}"
    offset = 0
    for stretch in answer.stretches:
        left = round(offset / scale_ns * BAR)
        right = max(round((offset + stretch.ns) / scale_ns * BAR), left + 1)
        bar = " " * left + "█" * (right - left)
        yield f"  {stretch.owner.value:<12}{milliseconds(stretch.ns):>7} ms  {bar:<{BAR + 1}} {stretch.why}".rstrip()
        offset += stretch.ns


def _title(answer: Answer) -> str:
    what = f"turn {answer.turn}" if answer.turn else answer.cause
    if answer.started_at is None and answer.silence_ns is not None:
        took = f"{milliseconds(answer.silence_ns)} ms without a sound"
    elif answer.started_at is None:
        took = "never heard"
    elif answer.latency_ns is not None:
        took = f"{milliseconds(answer.latency_ns)} ms to the first sound"
    else:
        took = f"{milliseconds(_own_ns(answer))} ms to the first sound"
    heard = (
        f", heard {answer.heard_ns / SECOND:.1f} of {answer.sound_ns / SECOND:.1f} s"
        if answer.started_at is not None
        else ""
    )
    guessed = ", guessed ahead" if answer.guessed and answer.turn else ""
    return (
        f"{seconds(answer.began_at)}  {what}, r{answer.run}: {took}{heard}, {answer.end or 'still going on'}{guessed}"
    )


def _contest(contest: Interruption, answer: Answer) -> str:
    onset = contest.onset_at
    what = "two voices" if answer.started_at is not None else "the caller spoke again"
    parts = [f"{what} at {seconds(onset)}:"]
    if contest.yielded_at is not None:
        parts.append(f"yielded after {milliseconds(contest.yielded_at - onset)} ms,")
    if contest.decided_at is None:
        return " ".join([*parts, "undecided"])
    parts.append(f"{contest.outcome} after {milliseconds(contest.decided_at - onset)} ms: {contest.why}")
    if contest.outcome == "interrupted" and answer.sound_ns:
        parts.append(f"({milliseconds(answer.sound_ns - contest.heard_ns)} ms were not heard)")
    return " ".join(parts)


def _counts(story: Story) -> Iterator[str]:
    stale = sum(story.stale.values())
    kinds = ", ".join(f"{name} {count}" for name, count in sorted(story.stale.items()))
    yield f"stale facts dropped: {stale:,}" + (f" ({kinds})" if stale else "")
    if story.late_ns_max:
        yield f"latest timer: {story.late_ns_max / MS:.1f} ms late at {seconds(story.late_at)}"


def verdicts(story: Story) -> Iterator[str]:
    """One sentence for each problem, in the order of the call."""
    return (problem.what for problem in problems(story))


def problems(story: Story) -> list[Trouble]:
    """Everything that should not be, in the order of the call: at the caller's last sound where an answer took too long."""
    found = [Trouble(_asked_at(answer), verdict) for answer in story.answers if (verdict := _verdict(answer))]
    found += [Trouble(trouble.at, f"{seconds(trouble.at)}: {trouble.what}") for trouble in story.troubles]
    found += [
        Trouble(contest.onset_at, verdict) for contest in story.interruptions if (verdict := _false_alarm(contest))
    ]
    if story.late_ns_max > LATE_NS:
        late = f"a timer came {milliseconds(story.late_ns_max)} ms late: the process had no time"
        found.append(Trouble(story.late_at, f"{seconds(story.late_at)}: {late}"))
    return sorted(found, key=lambda trouble: trouble.at)


def _asked_at(answer: Answer) -> int:
    return answer.quiet_at if answer.quiet_at is not None else answer.began_at


def _verdict(answer: Answer) -> str:
    what = f"turn {answer.turn}" if answer.turn else f"r{answer.run} ({answer.cause})"
    waited = answer.latency_ns if answer.latency_ns is not None else answer.silence_ns
    if answer.end == "failed" and answer.started_at is not None:
        return f"{what}: r{answer.run} failed"
    if answer.end == "failed" and (waited is None or waited <= SLOW_NS):
        return f"{what}: r{answer.run} failed before it made a sound"
    if waited is None or waited <= SLOW_NS:
        return ""
    worst = max(answer.stretches, key=lambda stretch: stretch.ns)
    share = f"{milliseconds(worst.ns)} ms of {milliseconds(waited)} ms is {_blame(worst)}{_remark(worst, answer)}"
    if answer.started_at is not None:
        return f"{what}: {share}"
    return f"{what}: {UNHEARD.get(answer.end, 'it was given up')} before it made a sound; {share}"


def _blame(stretch: Stretch) -> str:
    match stretch.owner:
        case Owner.ENDPOINTING:
            return WAIT_NAMES.get(stretch.why, "the wait for the turn's end")
        case Owner.RECOGNISER:
            return "the recogniser's last words" if stretch.why == "the last words" else stretch.why
        case Owner.MODEL:
            return f"the model's ({stretch.why}) first token"
        case Owner.TOOL:
            return f"the tool {stretch.why}"
        case Owner.RETRY:
            return f"trying again after a failure ({stretch.why})"
        case Owner.CHUNKING:
            return "the wait for a piece of text fit to be spoken"
        case Owner.SYNTHESIZER:
            return f"the synthesizer's ({stretch.why}) first sound"
        case Owner.TRANSPORT:
            return "between the first sound and the caller's ear"


def _remark(stretch: Stretch, answer: Answer) -> str:
    """Whether the setting was the wrong one for these words."""
    patient = stretch.why in ("endpoint_unsure_ns", "endpoint_unfinished_ns", "endpoint_cap_ns")
    if patient and answer.prompt.rstrip().endswith((".", "!", "?")):
        return "; the text was finished"
    return ""


def _false_alarm(contest: Interruption) -> str:
    if contest.outcome != "resumed" or contest.yielded_at is None or contest.decided_at is None:
        return ""
    paused = milliseconds(contest.decided_at - contest.yielded_at)
    return f"{seconds(contest.onset_at)}: r{contest.run} fell silent for {paused} ms for a voice that did not want the floor"
