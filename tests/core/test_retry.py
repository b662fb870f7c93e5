"""Once more, or the next one."""

import pytest

from engine.core.policy import Policy
from engine.core.retry import is_worth_retrying
from engine.core.units import MS, SECOND
from engine.errors import FailureKind

POLICY = Policy()


@pytest.mark.parametrize(
    ("kind", "failures", "retry_ns", "others", "expected"),
    [
        (FailureKind.UNAVAILABLE, 1, 0, True, True),
        (FailureKind.CLOSED, 1, 0, True, True),
        (FailureKind.PROTOCOL, 1, 0, False, True),
        (FailureKind.RATE_LIMITED, 1, 500 * MS, True, True),
        (FailureKind.RATE_LIMITED, 1, 30 * SECOND, True, False),
        (FailureKind.UNAVAILABLE, 2, 0, True, False),
        (FailureKind.REJECTED, 1, 0, False, False),
        (FailureKind.TIMEOUT, 1, 0, True, False),
        (FailureKind.TIMEOUT, 1, 0, False, True),
    ],
)
def test_what_is_worth_another_try(
    kind: FailureKind, failures: int, retry_ns: int, others: bool, expected: bool
) -> None:
    assert is_worth_retrying(POLICY, kind, failures=failures, retry_ns=retry_ns, others=others) is expected
