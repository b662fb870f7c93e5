"""`engine score --twilio`: what is refused, and what is told."""

import numpy as np
import pytest

from engine.__main__ import FAILED, MISUSED, main
from engine.cli.score import told
from engine.core.units import MS
from engine.score.outside import Held, Speech


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--twilio", "here"], "--twilio is 'here'"),
        (["--twilio", "wss://voice.example.com/ws"], "another machine"),
        (["--calls", "0"], "--calls must be above 0"),
    ],
)
def test_an_address_that_must_not_be_called_is_bad_use(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["score", *words]) == MISUSED
    assert told in capsys.readouterr().err


def test_a_server_that_is_not_there_is_said_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", "--twilio", "ws://127.0.0.1:9/ws", "--kind", "click", "--noise", "clean"]) == FAILED
    assert "no call could be held" in capsys.readouterr().err


def test_all_that_makes_figures_doubtful_is_told_before_them() -> None:
    held = Held(
        speech=Speech(answer=True, sound=np.zeros(80_000)),
        failed={"403 Forbidden": 2},
        over=1,
        unknown=3,
        ignored=4,
        late_ns=[40 * MS],
    )
    lines = "\n".join(told(held, "ws://127.0.0.1:9/ws", 5))
    for words in ("an answer of 10.0 s", "did not keep time", "1 scenes", "3 scenes", "4 messages", "2 calls", "403"):
        assert words in lines
    quiet = "\n".join(told(Held(speech=held.speech), "ws://127.0.0.1:9/ws", 5))
    assert "not" not in quiet
