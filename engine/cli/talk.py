"""`engine talk`: a conversation at this machine's microphone and loudspeaker."""

import asyncio
import math
import shutil
import signal
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TextIO

import uvloop

from engine import config
from engine.cli import add_config
from engine.cli.call import Watch
from engine.config import Config
from engine.errors import ConfigError, EngineError
from engine.runtime.session import Outcome
from engine.server.switchboard import Switchboard
from engine.transports.microphone import Card, Device, Microphone, SoundCard, portaudio

METER = "▁▂▃▄▅▆▇█"
FULL_SCALE = 32_768
FLOOR_DB = -54
CLEAR_LINE = "\r\x1b[2K"
FRAMES_SHOWN = 5
"""The last line is drawn anew every tenth of a second."""


def options(parser: ArgumentParser) -> None:
    parser.add_argument("--list", action="store_true", help="name the sound devices, and do nothing else")
    parser.add_argument("--input", metavar="DEVICE", help="the microphone: its number, or a part of its name")
    parser.add_argument("--output", metavar="DEVICE", help="the loudspeaker, likewise")
    parser.add_argument(
        "--headphones", action="store_true", help="no echo gate: the microphone does not hear the loudspeaker"
    )
    parser.add_argument("--journal", metavar="CALL.jsonl", type=Path, help="record the call")
    add_config(parser)


def run(arguments: Namespace) -> int:
    if arguments.list:
        print(portaudio().query_devices())
        return 0
    if arguments.journal is not None and arguments.journal.exists():
        raise ConfigError(f"{arguments.journal} exists; a recording is never overwritten")
    found = config.load(arguments.config)
    watch = Watch(show=False, journal=arguments.journal)
    screen = Screen(sys.stdout)
    card = SoundCard(device(arguments.input), device(arguments.output))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        outcome = runner.run(talk(found, card, screen, watch, headphones=arguments.headphones))
    screen.line(f"{outcome.reason}.")
    if outcome.faulty:
        raise EngineError("a fault of the engine ended the call")
    return 0


def device(given: str | None) -> Device:
    """A device as it was named: by its number or a part of its name."""
    return int(given) if given is not None and given.isdecimal() else given


async def talk(found: Config, card: Card, screen: "Screen", watch: Watch, *, headphones: bool = False) -> Outcome:
    """One conversation, until the agent hangs up or Ctrl-C."""
    async with Switchboard(found, [watch.begin]) as switchboard:
        microphone = Microphone(card, gate=not headphones, show=screen.show, levels=screen.levels)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, microphone.end, "you hung up")
        if not headphones:
            screen.line(
                "Talk. With headphones, --headphones lets you interrupt as softly as you like. Ctrl-C hangs up."
            )
        return await switchboard.call(microphone, watch.call_id)


class Screen:
    """The conversation as lines; on a terminal, a last line that is drawn anew: levels, phase, and words as they come."""

    def __init__(self, out: TextIO, columns: Callable[[], int] = lambda: shutil.get_terminal_size().columns) -> None:
        self._out = out
        self._columns = columns
        self._live = out.isatty()
        self._phase = "Idle"
        self._partial = ""
        self._caller = self._agent = 0
        self._frames = 0

    def show(self, message: Mapping[str, object]) -> None:
        """One message of runtime/captions."""
        match message:
            case {"type": "phase", "phase": str(phase)}:
                self._phase = phase
                self._draw()
            case {"type": "caller", "text": str(text), "final": bool(final)}:
                self._partial = "" if final else text
                if final and text:
                    self.line(f"  you  {text}")
                else:
                    self._draw()
            case {"type": "agent", "state": str(state), "text": str(text), "heard": int(heard)}:
                self._agent_says(state, text, heard)
            case {"type": "tool", "name": str(name), "state": str(state)}:
                self.line(f" tool  {name}: {state}")
            case {"type": "latency", "total_ms": int(total)}:
                self.line(f"       answered after {total} ms")
            case {"type": "trouble", "stage": str(stage), "provider": str(provider), "kind": str(kind)}:
                self.line(f"       {stage} {provider}: {kind}")

    def levels(self, caller: int, agent: int) -> None:
        """The loudness of both ends, 50 times a second."""
        self._caller, self._agent = max(caller, self._caller * 3 // 4), max(agent, self._agent * 3 // 4)
        self._frames += 1
        if self._frames % FRAMES_SHOWN == 0:
            self._draw()

    def line(self, text: str) -> None:
        """A line that stays."""
        print(f"{CLEAR_LINE if self._live else ''}{text}", file=self._out, flush=True)
        self._draw()

    def _agent_says(self, state: str, text: str, heard: int) -> None:
        if state in ("thinking", "speaking", "paused"):
            self._partial = text[:heard]
            self._draw()
            return
        self._partial = ""
        if text:
            self.line(f"agent  {text}" + ("" if state == "done" else f" [{state}]"))

    def _draw(self) -> None:
        if not self._live:
            return
        meters = f"you {meter(self._caller)} agent {meter(self._agent)}  {self._phase:<12} "
        room = max(0, self._columns() - len(meters) - 1)
        words = self._partial if len(self._partial) <= room else "…" + self._partial[len(self._partial) - room + 1 :]
        print(f"{CLEAR_LINE}{meters}{words if room else ''}", end="", file=self._out, flush=True)


def meter(rms: int) -> str:
    """A level as one block: nothing at -54 dBFS, full at 0."""
    decibels = 20 * math.log10(rms / FULL_SCALE) if rms > 0 else FLOOR_DB
    step = int((decibels - FLOOR_DB) / -FLOOR_DB * len(METER))
    return METER[min(max(step, 0), len(METER) - 1)]
