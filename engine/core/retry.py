"""Is the same provider worth another try, or is it the next one's turn? One rule for recognition, models and voices. Writes nothing."""

from engine.core.policy import Policy
from engine.errors import FailureKind


def is_worth_retrying(policy: Policy, kind: FailureKind, *, failures: int, retry_ns: int = 0, others: bool) -> bool:
    """Whether to ask the provider that has just failed once more.

    failures: how often it has failed, this time included.
    retry_ns: the wait it asked for.
    others:   whether another provider is left.
    """
    if kind is FailureKind.REJECTED:  # It will never accept this.
        return False
    if kind is FailureKind.TIMEOUT and others:  # The caller has waited in silence once; another may be quicker.
        return False
    return failures <= policy.retries and retry_ns <= policy.retry_ns_max
