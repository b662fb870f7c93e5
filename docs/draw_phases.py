"""Draws the phase diagram of turn_taking.md from the table in engine/core/reduce.py: `python docs/draw_phases.py`."""

from pathlib import Path

from engine.core.reduce import PHASES

PAGE = Path(__file__).parent / "turn_taking.md"
BEGIN, END = "<!-- phases: drawn from the table -->\n", "<!-- end of phases -->\n"


def diagram() -> str:
    """The table as a Mermaid state diagram, one line a move."""
    moves = [f"    {before.value} --> {after.value}" for before, afters in PHASES.items() for after in afters]
    return "\n".join(["```mermaid", "stateDiagram-v2", "    [*] --> Idle", *moves, "```", ""])


def drawn(page: str) -> str:
    """The page with the diagram as it is today."""
    head, _, rest = page.partition(BEGIN)
    return head + BEGIN + diagram() + END + rest.partition(END)[2]


if __name__ == "__main__":
    PAGE.write_text(drawn(PAGE.read_text()))
