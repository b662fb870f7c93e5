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


EVENTFUL = """
    0 asr open e1
    150 tts starts r1 c1
    160 playing r1
    300 tts done r1 c1 1800
    2000 played r1 1800
    3000 caller speaks
    3600 asr final "what is free on monday?"
    3610 caller quiet
    4300
    4350 llm failed r2 rejected
    4600 llm r2 calls find_slots {"day":"monday"}
    4605 llm done r2 tool_calls input_tokens=120 output_tokens=14
    4900 tool t1 "[9,10]"
    5200 llm r2 "Nine and ten are free. "
    5300 tts starts r2 c1
    5310 playing r2
    6250 played r2 900
    6300 llm r2 "Which one do you want? "
    6320 llm done r2
    6350 tts done r2 c1 1200
    6400 tts starts r2 c2
    6600 tts done r2 c2 4000
    7000 caller speaks
    7150
    7160 paused r2 1600
    7300 caller quiet
    8000
    9000 caller speaks
    9150
    9160 paused r2 2500
    9500 asr partial "ten please"
    9510 cleared r2 2500
    9700 asr final "ten please."
    9710 caller quiet
    10400
    10500 llm r2 "late"
    10600 llm r3 "Done. "
    10700 llm done r3
    10800 tts starts r3 c1
    10810 playing r3
    10900 tts done r3 c1 500
    11400 played r3 500
    12000 session ended "caller hung up"
"""
"""A provider that refuses and the next one; an ear that catches up; a cough; an interruption; a late token of a dead run."""


def steps_of(script: str, setup: Setup = RECEPTION) -> list[Step]:
    """Run a script through the reducer and keep every step. What it orders is not compared."""
    steps: list[Step] = []
    play(script, setup, observer=lambda *step: steps.append(step))
    return steps
