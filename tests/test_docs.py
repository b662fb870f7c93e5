"""What is drawn from the code is drawn from today's code."""

from docs.draw_phases import PAGE, drawn


def test_the_phase_diagram_is_todays_table() -> None:
    page = PAGE.read_text()
    assert drawn(page) == page, "run: python docs/draw_phases.py"
