"""Recorded calls that today's rules must still take the same way.

A rule that was changed on purpose: `REGENERATE=1 pytest tests/replay/test_golden.py` takes each call's facts again and writes what
the rules make of them now; the difference is shown by `git diff`, and in words by this test before. A call is added by its script
here, or by copying a journal into the folder (facts of real calls: nothing that was said may be anybody's secret).
"""

import difflib
import os
from pathlib import Path

import pytest

from engine.core.reduce import begin, reduce
from engine.replay.journal import Recorder, shown
from engine.replay.notation import Context, write_step
from engine.replay.reader import Journal
from engine.replay.sheet import Sheet
from engine.replay.verify import differs, replay
from tests.replay.record import CALL, record
from tests.replay.talk import talk
from tests.script import SETUP as PLAIN

FOLDER = Path(__file__).parent / "journals"
REGENERATE = bool(os.environ.get("REGENERATE"))
ASKED = """
    50    asr open
    100   caller speaks
    900   asr final "what time is it?"
    1000  caller quiet
"""
SCRIPTS = {
    "tool": (CALL, None),
    "interruptions": (talk(4, report_ms=500), PLAIN),
    "cough": (ASKED + """
        1200  llm r1 "It is noon and the sun is high above the town. "
        1300  llm r1 done
        1310  tts r1 c1 starts
        1400  playing r1
        1500  tts r1 c1 done 4000
        2000  caller speaks
        2130  paused r1 640
        2200  caller quiet
        2600  heard r1 700
        6000  played r1 4000
    """, PLAIN),
    "failures": (ASKED + """
        1500  llm r1 failed unavailable
        1900  llm r1 q2 "It is "
        2000  llm r1 q2 failed closed
        2600  llm r1 q3 "It is noon. "
        2650  llm r1 q3 done
        2700  tts r1 c1 failed timeout
        9000
        9100  session ended "gone"
    """, PLAIN),
    "keys": (ASKED.replace('900   asr final "what time is it?"', "900   key 4") + """
        1200  key 2
        1300  key "#"
        2000  llm r1 "Forty-two. "
        2100  tts r1 c1 starts
        2200  playing r1
        2300  typed "and now?"
        2400  cleared r1 100
        3000  asr failed closed
        9000
    """, PLAIN),
    "lost_line": (ASKED + """
        1200  llm r1 "It is noon and the sun is high above the town. "
        1250  llm r1 done
        1300  tts r1 c1 starts
        1400  playing r1
        1500  tts r1 c1 done 4000
        2000  line lost
        2010  paused r1 500
        4000  line back
        4100  heard r1 600
        7600  played r1 4000
        30000
    """, PLAIN),
}  # fmt: skip
NAMES = sorted({path.stem for path in FOLDER.glob("*.jsonl")} | SCRIPTS.keys())


def lines(path: Path, *, today: bool) -> list[str]:
    """The call in words: as it was recorded, or as the rules take it today."""
    context = Context()
    with Journal(path) as journal:
        return [
            write_step(
                step.step.event,
                step.orders if today else shown(step.step.commands),
                context,
                step.after.phase if today else step.step.after,
            )
            for step in replay(journal)
        ]


def regenerate(path: Path) -> None:
    """Take the facts again and write down what comes of them."""
    if path.stem in SCRIPTS:
        script, setup = SCRIPTS[path.stem]
        path.unlink(missing_ok=True)
        record(path, script, **({"setup": setup} if setup else {}))
        path.chmod(0o644)
        return
    with Journal(path) as journal:
        header, facts = journal.header, [step.event for step in journal.steps()]
    path.unlink()
    recorder = Recorder(Sheet(path), session=header.session, started_ns=header.started_ns)
    state = begin()
    for fact in facts:
        after, orders = reduce(state, fact)
        recorder(fact, state, after, orders)
        state = after
    recorder.close()
    path.chmod(0o644)


@pytest.mark.parametrize("name", NAMES)
def test_todays_rules_take_the_recorded_call_the_same_way(name: str) -> None:
    path = FOLDER / f"{name}.jsonl"
    if REGENERATE:
        regenerate(path)
    with Journal(path) as journal:
        parted = [step for step in replay(journal) if differs(step, strict=False)]
        assert journal.footer, journal.tear
    if parted:
        words = difflib.unified_diff(
            lines(path, today=False), lines(path, today=True), "recorded", "today", n=3, lineterm=""
        )
        pytest.fail("the rules decide otherwise (on purpose? REGENERATE=1):\n" + "\n".join(words), pytrace=False)
