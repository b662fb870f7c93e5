"""`engine load`: what is refused before anybody is called."""

import pytest

from engine.__main__ import MISUSED, main


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--calls", "0"], "--calls, --seconds and --rate must be above 0"),
        (["--interrupts", "2"], "--interrupts from 0 to 1"),
        (["--pin", "0"], "--pin is '0'"),
        (["--against", "wss://voice.example.com/ws"], "another machine"),
        (["--no-journals", "--against", "ws://127.0.0.1:9/ws"], "--no-journals is for a server of our own"),
    ],
)
def test_bad_use_is_said_in_one_sentence(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["load", *words]) == MISUSED
    assert told in capsys.readouterr().err
