"""What is drawn from the code is drawn from today's code."""

import re
from pathlib import Path

from docs.draw_phases import PAGE, drawn
from engine.simulate.invariants import SOMETIMES

TESTS = Path(__file__).parent


def test_the_phase_diagram_is_todays_table() -> None:
    page = PAGE.read_text()
    assert drawn(page) == page, "run: python docs/draw_phases.py"


def test_every_race_of_the_page_is_held_where_it_says() -> None:
    page = (PAGE.parent / "simulation.md").read_text()
    rows = page.partition("## Races")[2].partition("##")[0]
    written = "".join(path.read_text() for path in TESTS.rglob("test_*.py"))
    tests, situations = re.findall(r"`(test_\w+)`", rows), re.findall(r'"([^"]+)"', rows)
    assert len(tests) > 12
    assert [name for name in tests if f"def {name}(" not in written] == []
    assert [name for name in situations if name not in SOMETIMES] == []
