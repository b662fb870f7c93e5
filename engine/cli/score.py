"""`engine score`: labelled scenes through the real detector and the real pipeline, and a card."""

import asyncio
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from engine.adapters.registry import provider_class
from engine.adapters.vad import make_detector
from engine.core.events import Stage
from engine.core.policy import PRESETS
from engine.core.words import trailing_digits
from engine.errors import ConfigError
from engine.score import sounds
from engine.score.card import Played, card, table
from engine.score.scenes import ASIDES, BACKCHANNELS, INTERRUPTIONS, Kind, Material, scenes
from engine.score.stage import play

SPOKEN_TURNS = (
    "I would like an appointment on Monday",
    "is there anything free on Tuesday at three p.m.",
    "please cancel the one on Friday",
    "what are your opening hours",
)
SPOKEN_DIGITS = ("my number is five five five one two three four", "four six four eight")
SPOKEN_ANSWERS = ("yes", "no", "yes please", "no thank you")


def options(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--audio",
        type=Path,
        metavar="FOLDER",
        help="recorded callers: WAV files and transcripts.tsv (default: a synthetic voice)",
    )
    parser.add_argument("--preset", choices=sorted(PRESETS), default="balanced", help="the policy (default balanced)")
    parser.add_argument("--detector", default="silero", help="voice activity: silero or webrtc (default silero)")
    parser.add_argument("--kind", choices=[kind.value for kind in Kind], help="these scenes only")
    parser.add_argument("--verbose", action="store_true", help="a line for each scene")


def run(arguments: Namespace) -> int:
    material = asyncio.run(_material(arguments.audio))
    policy = PRESETS[arguments.preset]
    played: Played = []
    todo = [scene for scene in scenes(material) if arguments.kind in (None, scene.kind.value)]
    for count, scene in enumerate(todo, 1):
        result = play(scene, policy, make_detector(arguments.detector))
        played.append((scene, result))
        if arguments.verbose:
            print(result)
        if sys.stderr.isatty():
            print(f"\r{count} of {len(todo)} scenes", end="", file=sys.stderr)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    rows = list(card(played))
    print(f"{len(played)} scenes, μ-law 8 kHz, policy {arguments.preset}, detector {arguments.detector}")
    print(*table(rows), sep="\n")
    return 0 if all(row.met for row in rows) else 1


async def _material(folder: Path | None) -> Material:
    """Voices: recorded ones where there are any; the embedded voice for the rest."""
    synthesizer = provider_class(Stage.TTS, "espeak")
    provider = synthesizer(synthesizer.options())
    await provider.start()
    try:
        voice = provider.voice()
        await voice.open()

        async def speak(texts: tuple[str, ...]) -> list[sounds.Clip]:
            return [await sounds.said(voice, text) for text in texts]

        turns, digits = await speak(SPOKEN_TURNS), await speak(SPOKEN_DIGITS)
        interruptions = await speak(INTERRUPTIONS)
        if folder is not None:
            clips = sounds.recorded(folder)
            long = [clip for clip in clips if len(clip.words) >= 2]
            digits = [clip for clip in long if trailing_digits(" ".join(clip.words)) == len(clip.words)] or digits
            turns = [clip for clip in long if not trailing_digits(" ".join(clip.words))]
            if len(turns) < 2:
                raise ConfigError(f"{folder} has fewer than two turns of two words")
            interruptions += turns[:6]
        return Material(
            turns=turns,
            digits=digits,
            answers=await speak(SPOKEN_ANSWERS),
            interruptions=interruptions,
            backchannels=await speak(BACKCHANNELS),
            asides=await speak(ASIDES),
        )
    finally:
        await provider.stop()
