"""`engine replay CALL.jsonl`: walk a recorded call again under today's rules, with what each step changes."""

import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from pathlib import Path

from engine.cli import readable, reservations
from engine.cli.diff import written
from engine.core.state import State
from engine.core.units import SECOND
from engine.errors import ConfigError
from engine.inspector.sound import samples_of
from engine.replay.delta import changes
from engine.replay.forms import slim
from engine.replay.keeper import sound_of
from engine.replay.lexer import compact
from engine.replay.notation import Context, write_step
from engine.replay.reader import Journal
from engine.replay.tape import opened
from engine.replay.verify import Replayed, differs, replay

QUIET = ("at", "audio_ns", "deadlines.wall_ns", "deadlines.audio_ns")
"""Changes not worth a line: time passes."""


BUFFER_S = 0.5
"""Of sound given to the card ahead, so that a busy machine leaves no gap. The steps wait for what is heard."""


def options(parser: ArgumentParser) -> None:
    parser.add_argument("journal", metavar="CALL.jsonl", type=Path)
    parser.add_argument("--until", metavar="SEQ", type=int, help="stop after this step and print the whole state")
    parser.add_argument(
        "--audio", action="store_true", help="play the sound recorded beside it, with the steps in time"
    )


def run(arguments: Namespace) -> int:
    """0: walked to the end, or as far as asked; 1: today's rules decide otherwise on the way."""
    with Journal(readable(arguments.journal)) as journal:
        context, state, parted = Context(), State(), 0
        wait = _play(sound_of(arguments.journal)) if arguments.audio else None
        for step in replay(journal):
            if wait:
                wait(step.step.at / SECOND)
            for line in _told(step, context):
                print(line)
            state = step.after
            if difference := differs(step):
                print(f"      ! recorded was {difference[0]}; the rules give {difference[1]}")
                parted += 1
            if step.step.seq == arguments.until:
                break
        for line in reservations(journal):
            print(f"! {line}")
        if arguments.until is not None:
            print(f"\nstate after step {arguments.until}:")
            print("\n".join(f"  {name}: {compact(value)}" for name, value in slim(state).items() if name != "setup"))
        return 1 if parted or journal.changed else 0


def _play(path: Path) -> Callable[[float], None]:
    """Begin to play a call's sound. Returns what waits until so many seconds of it have passed. Raises ConfigError, JournalError."""
    with opened(readable(path)) as file:
        rate_hz, samples = file.getframerate(), samples_of(file.readframes(file.getnframes()))
    try:
        import sounddevice
    except (ImportError, OSError) as error:
        raise ConfigError(
            f"--audio needs the extra 'microphone' (pip install 'engine[microphone]') and PortAudio: {error}"
        ) from None
    try:
        sounddevice.play(samples, rate_hz, latency=BUFFER_S)
        heard_s = sounddevice.get_stream().latency
    except sounddevice.PortAudioError as error:
        raise ConfigError(f"the sound cannot be played here: {error}") from None
    began = time.monotonic() + heard_s
    return lambda seconds: time.sleep(max(0.0, began + seconds - time.monotonic()))


def _told(step: Replayed, context: Context) -> Iterator[str]:
    moved = step.after.phase.value if step.after.phase is not step.before.phase else ""
    yield f"{step.step.seq:<5} {write_step(step.step.event, step.orders, context, moved)}"
    for change in changes(step.before, step.after):
        if change.path not in QUIET and change.path != "phase" and not change.path.startswith("setup"):
            yield f"      {written(change)}"
