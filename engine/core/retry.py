"""Is the same provider worth another try, and whose turn is it otherwise? One rule for recognition, models and voices. Writes nothing.

A provider with a known outage is asked last, never not at all: where all have one, the first is asked all the same.
"""

from engine.core.policy import Policy
from engine.errors import FailureKind


def is_worth_retrying(
    policy: Policy, kind: FailureKind, *, failures: int, retry_ns: int = 0, others: bool, out: bool
) -> bool:
    """Whether to ask the provider that has just failed once more.

    failures: how often it has failed, this time included.
    retry_ns: the wait it asked for.
    others:   whether another provider is left.
    out:      whether it is known to fail other calls too.
    """
    if kind is FailureKind.REJECTED:  # It will never accept this.
        return False
    if others and (out or kind is FailureKind.TIMEOUT):
        return False  # The caller has waited in silence once; another may be quicker.
    return failures <= policy.retries and retry_ns <= policy.retry_ns_max


def choose(names: tuple[str, ...], out: tuple[str, ...], tried: tuple[int, ...] = ()) -> int | None:
    """Whom to ask: the first without a known outage, in order of preference; where all that are left have one, the first of them.

    tried:    places in `names` that are not asked again.
    Returns:  a place in `names`. None: all were tried.
    """
    left = [place for place in range(len(names)) if place not in tried]
    return next((place for place in left if names[place] not in out), left[0] if left else None)


def keep_or_leave(place: int, names: tuple[str, ...], out: tuple[str, ...], tried: tuple[int, ...] = ()) -> int:
    """The provider in use, unless it is known to be out and another is not."""
    if names[place] not in out:
        return place
    other = choose(names, out, (*tried, place))
    return place if other is None or names[other] in out else other
