"""The definitions of the card, row by row."""

from typing import Any

import numpy as np
import pytest

from engine.core.units import MS, SECOND
from engine.score.card import Played, card, table
from engine.score.scenes import Kind, Scene
from engine.score.sounds import Clip
from engine.score.stage import Result


def one(kind: Kind, **given: Any) -> Played:
    facts: dict[str, Any] = {
        "scene": "one",
        "onset_ns": 3 * SECOND,
        "last_ns": 4 * SECOND,
        "paused_ns": None,
        "lost": False,
        "resumed_ns": None,
        "gap_samples": 0,
        "answered_ns": None,
        "decided_ns": None,
        "over_caller": False,
        "stale_samples": 0,
        "text_error": 0,
        "cancelled_at_once": True,
        "stuck": False,
    }
    return [(Scene("one", kind, Clip(np.zeros(1))), Result(**facts | given))]


def figure(name: str, played: Played) -> str:
    return next(row.figure for row in card(played) if row.name.startswith(name))


@pytest.mark.parametrize(
    ("given", "rate"),
    [
        ({"paused_ns": 3 * SECOND + 180 * MS, "lost": True}, "1.00"),
        ({"paused_ns": 5 * SECOND + 1, "lost": True}, "0.00"),
        ({"paused_ns": 3 * SECOND + 180 * MS, "lost": False}, "0.00"),
        ({"paused_ns": None, "lost": False}, "0.00"),
    ],
)
def test_an_interruption_is_yielded_to_when_the_agent_falls_silent_for_good_in_time(given: Any, rate: str) -> None:
    assert figure("yield rate", one(Kind.INTERRUPTION, **given)) == rate


@pytest.mark.parametrize(
    ("given", "rate"),
    [
        ({}, "1.00"),
        ({"paused_ns": 3_200 * MS, "resumed_ns": 4_500 * MS}, "1.00"),
        ({"paused_ns": 3_200 * MS, "resumed_ns": 5_100 * MS}, "0.00"),
        ({"paused_ns": 3_200 * MS, "resumed_ns": 4_500 * MS, "gap_samples": 1}, "0.00"),
        ({"paused_ns": 3_200 * MS}, "0.00"),
        ({"paused_ns": 3_200 * MS, "lost": True}, "0.00"),
    ],
)
def test_a_backchannel_is_let_be_when_the_agent_goes_on_soon_and_loses_nothing(given: Any, rate: str) -> None:
    assert figure("selectivity: backchannel", one(Kind.BACKCHANNEL, **given)) == rate


def test_a_response_is_counted_from_the_callers_last_sample() -> None:
    assert figure("response p50", one(Kind.PLAIN, answered_ns=4_650 * MS)) == "650"
    assert figure("response over the providers", one(Kind.PLAIN, answered_ns=4_650 * MS)) == "350"


def test_what_misses_its_aim_is_said_so() -> None:
    lines = list(table(list(card(one(Kind.INTERRUPTION, paused_ns=3_500 * MS, lost=True, stale_samples=3)))))
    assert any("stop latency p50" in line and "MISSED" in line for line in lines)
    assert any("stale samples" in line and "MISSED" in line for line in lines)


def test_a_figure_of_nothing_is_a_dash() -> None:
    assert figure("yield rate", one(Kind.PLAIN)) == "-"
    assert figure("answered", one(Kind.CLICK)) == "-"
