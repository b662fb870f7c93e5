"""Calls written in the notation, as the steps they were: (event, before, after, commands)."""

from msgspec.structs import replace

from engine.core.commands import Commands
from engine.core.events import Event
from engine.core.policy import Setup, ToolSpec
from engine.core.state import State
from tests.script import SETUP, play

Step = tuple[Event, State, State, Commands]

RECEPTION = replace(
    SETUP,
    greeting="Hello there, how can I help you?",
    transport="memory",
    tools=(ToolSpec("find_slots"),),
)

BARGE_IN = """
    0 asr open e1
    150 tts starts r1 c1
    160 playing r1
    300 tts done r1 c1 1800
    1800 heard r1 1600
    2000 played r1 1800
    3000 caller speaks
    3400 asr partial "what is free"
    4000 asr final "what is free on monday?"
    4010 caller quiet
    4750
    4800 llm r2 calls find_slots {"day":"monday"}
    4805 llm done r2 tool_calls input_tokens=120 output_tokens=14
    5005 tool t1 "[9,10]"
    5405 llm r2 "Nine and ten are free. Which one "
    5500 tts starts r2 c1
    5510 playing r2
    5600 llm r2 "do you want?"
    5700 llm done r2 stop input_tokens=160 output_tokens=12 model=gpt-4.1
    5800 tts done r2 c1 2000
    6000 heard r2 400
    6300 caller speaks
    6450
    6460 paused r2 900
    6800 asr partial "ten"
    6810 cleared r2 900
    7000 asr final "ten please"
    7010 caller quiet
    7500
    7900 llm r3 "Done. "
    8000 llm done r3
    8100 tts starts r3 c1
    8110 playing r3
    8200 tts done r3 c1 500
    8700 played r3 500
    9500 session ended "caller hung up"
"""
"""A greeting; a question answered with a tool; the answer cut short; another answer; the end."""


def steps_of(script: str, setup: Setup = RECEPTION) -> list[Step]:
    """Run a script through the reducer and keep every step. What it orders is not compared."""
    steps: list[Step] = []
    play(script, setup, observer=lambda *step: steps.append(step))
    return steps
