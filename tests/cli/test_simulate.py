"""`engine simulate`: what it prints, and when it fails."""

import pytest

from engine.__main__ import main
from engine.core import reduce
from engine.replay.script import parse_script
from tests.script import check


def test_some_seeds_are_told_of_in_one_line_behind_the_situations(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "--seeds", "12", "--from", "100"]) == 0
    *situations, last = capsys.readouterr().out.splitlines()
    assert last.startswith("12 calls, ")
    assert "x real time" in last
    assert last.endswith("; 0 broken")
    assert any("a turn is answered" in line for line in situations)


def test_one_call_is_shown_as_a_test_that_holds(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "--seed", "831", "--show"]) == 0
    *call, last = capsys.readouterr().out.splitlines()
    assert last.startswith("seed 831: ")
    assert last.endswith("nothing broken")
    assert check("\n".join(call)).ended


def test_a_seed_that_breaks_prints_itself_and_the_call_up_to_there(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(reduce, "deadlines", lambda state: reduce.NEVER)
    assert main(["simulate", "--seeds", "1"]) == 1
    first, *call = capsys.readouterr().out.splitlines()
    assert first.startswith("seed 0 breaks at step ")
    steps = int(first.split("step ")[1].split(":")[0])
    assert len(parse_script("\n".join(call[: steps + 1])).lines) == steps
    assert "a turn is answered" in call[steps + 1]


def test_it_goes_on_for_a_time(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "--minutes", "0.0001"]) == 0
    assert "1 calls, " in capsys.readouterr().out


def test_every_order_of_a_few_facts_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "--explore", "3"]) == 0
    assert capsys.readouterr().out.startswith("depth 3: ")


@pytest.mark.parametrize("given", [["--seeds", "0"], ["--minutes", "0"]])
def test_nothing_to_do_is_refused(given: list[str]) -> None:
    assert main(["simulate", *given]) == 2
