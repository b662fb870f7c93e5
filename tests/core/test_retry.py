"""Once more, or the next one; and which is the next one."""

import pytest

from engine.core.policy import Policy
from engine.core.retry import choose, is_worth_retrying, keep_or_leave
from engine.core.units import MS, SECOND
from engine.errors import FailureKind

POLICY = Policy()
NAMES = ("a", "b", "c")


@pytest.mark.parametrize(
    ("kind", "failures", "retry_ns", "others", "out", "expected"),
    [
        (FailureKind.UNAVAILABLE, 1, 0, True, False, True),
        (FailureKind.CLOSED, 1, 0, True, False, True),
        (FailureKind.PROTOCOL, 1, 0, False, False, True),
        (FailureKind.RATE_LIMITED, 1, 500 * MS, True, False, True),
        (FailureKind.RATE_LIMITED, 1, 2 * SECOND, True, False, True),
        (FailureKind.RATE_LIMITED, 1, 2 * SECOND + 1, True, False, False),
        (FailureKind.UNAVAILABLE, 2, 0, True, False, False),
        (FailureKind.REJECTED, 1, 0, False, False, False),
        (FailureKind.TIMEOUT, 1, 0, True, False, False),
        (FailureKind.TIMEOUT, 1, 0, False, False, True),
        (FailureKind.UNAVAILABLE, 1, 0, True, True, False),
        (FailureKind.UNAVAILABLE, 1, 0, False, True, True),
    ],
)
def test_what_is_worth_another_try(
    kind: FailureKind, failures: int, retry_ns: int, others: bool, out: bool, expected: bool
) -> None:
    found = is_worth_retrying(POLICY, kind, failures=failures, retry_ns=retry_ns, others=others, out=out)
    assert found is expected


def test_a_provider_that_asked_for_no_wait_is_tried_again_however_short_waits_must_be() -> None:
    policy = Policy(retry_ns_max=0)
    assert is_worth_retrying(policy, FailureKind.UNAVAILABLE, failures=1, others=True, out=False)


@pytest.mark.parametrize(
    ("out", "tried", "expected"),
    [
        ((), (), 0),
        (("a",), (), 1),
        (("b",), (), 0),
        (("a", "b"), (), 2),
        (("a", "b", "c"), (), 0),
        ((), (0,), 1),
        (("b",), (0,), 2),
        (("b", "c"), (0,), 1),
        (("a",), (1, 2), 0),
        ((), (0, 1, 2), None),
        (("another stage's",), (), 0),
    ],
)
def test_whom_to_ask(out: tuple[str, ...], tried: tuple[int, ...], expected: int | None) -> None:
    assert choose(NAMES, out, tried) == expected


@pytest.mark.parametrize(
    ("place", "out", "tried", "expected"),
    [
        (1, (), (), 1),
        (1, ("a",), (), 1),
        (1, ("b",), (), 0),
        (1, ("b",), (0,), 2),
        (0, ("a", "b", "c"), (), 0),
        (2, ("a", "b", "c"), (), 2),
        (2, ("c",), (0, 1), 2),
    ],
)
def test_whom_to_stay_with(place: int, out: tuple[str, ...], tried: tuple[int, ...], expected: int) -> None:
    assert keep_or_leave(place, NAMES, out, tried) == expected
