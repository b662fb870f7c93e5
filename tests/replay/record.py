"""Calls recorded for the tests of this folder: scripts run through the reducer, written down by a real recorder."""

from pathlib import Path

from engine.core.policy import Setup, ToolSpec
from engine.replay.journal import Recorder
from engine.replay.sheet import Sheet
from tests.script import play

SETUP = Setup(
    instructions="You book appointments.",
    greeting="Hello, how can I help?",
    tools=(ToolSpec("find_slots"),),
    asr=("ear",),
    llm=("model", "spare"),
    tts=("voice",),
    transport="memory",
)
STARTED_NS = 1_795_446_000_000_000_000
"""2026-11-23 15:00 UTC."""

CALL = """
    100     asr open
    150     tts r1 c1 starts
    180     playing r1
    400     tts r1 c1 done 1500
    1680    played r1 1500
    2000    caller speaks
    2600    asr partial "I need a"
    3400    asr final "I need a slot on Monday."
    3450    caller quiet
    3570    timer                       -> llm r2 "I need a slot on Monday."
    3800    timer                       -> open r2
    4300    llm r2 "Let me look. "      -> tts r2 "Let me look."
    4320    llm r2 calls find_slots {"day":"Monday"}
            -> tool t1 r2 find_slots {"day":"Monday"}
    4350    llm r2 done tool_calls input_tokens=210 output_tokens=20
    4500    tts r2 c1 starts
    4510    playing r2
    4800    tts r2 c1 done 900
    5300    tool t1 {"slots":["9:00","14:00"]}
            -> llm r2 tool "{\\"slots\\":[\\"9:00\\",\\"14:00\\"]}"
"""
"""A greeting, a question, a tool; the tests go on from here."""


def record(path: Path, script: str = CALL, setup: Setup = SETUP, *, close: bool = True) -> Path:
    """Run a script and write its journal to `path`."""
    recorder = Recorder(Sheet(path), session="CA123", started_ns=STARTED_NS)
    play(script, setup, observer=recorder)
    if close:
        recorder.close()
    return path
