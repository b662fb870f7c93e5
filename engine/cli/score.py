"""`engine score`: labelled scenes through the real detector and the real pipeline, or against another engine, and a card."""

import asyncio
import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path

import uvloop

from engine.adapters.vad import make_detector
from engine.core.policy import PRESETS
from engine.errors import ConfigError
from engine.load.doors import checked
from engine.score.card import Played, card, table
from engine.score.material import voices
from engine.score.outside import Held, Plan, play_outside
from engine.score.scenes import CONDITIONS, Kind, Material, Scene, scenes
from engine.score.stage import play

NOISES = {"clean" if snr is None else f"{snr:.0f}": snr for snr in CONDITIONS}

LATE_MS_MAX = 20.0
"""A frame late, one time in a hundred: more, and callers stutter."""


def options(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--audio",
        type=Path,
        metavar="FOLDER",
        help="recorded callers: WAV files and transcripts.tsv (default: a synthetic voice)",
    )
    parser.add_argument("--preset", choices=sorted(PRESETS), default="balanced", help="the policy (default balanced)")
    parser.add_argument("--detector", default="silero", help="voice activity: silero or webrtc (default silero)")
    parser.add_argument(
        "--kind", action="append", choices=[kind.value for kind in Kind], help="these scenes only; may be given again"
    )
    parser.add_argument(
        "--noise",
        action="append",
        choices=sorted(NOISES),
        help="this noise only, dB below the voice; may be given again",
    )
    parser.add_argument("--verbose", action="store_true", help="a line for each scene")
    outside = parser.add_argument_group(
        "another engine, over Twilio Media Streams",
        "The same scenes and definitions, in real time, judged by what the line plays. The agent must greet or answer with a speech of "
        "about ten seconds, to be spoken into; what its providers say must be the same in every call, as a fixed text is, or going on "
        "is told from beginning anew by time alone. TWILIO_AUTH_TOKEN, where set, signs. --preset and --detector are the server's.",
    )
    outside.add_argument(
        "--twilio",
        metavar="URL",
        default="",
        help="ws(s) address of a media stream, or http(s) address of the webhook that names it",
    )
    outside.add_argument("--calls", type=int, default=8, metavar="N", help="at once (default 8)")
    outside.add_argument(
        "--provider-ms",
        type=int,
        metavar="MS",
        help="what the server's model and voice take of every response, taken to be always the same; subtracted in one row",
    )
    outside.add_argument(
        "--i-own-it", action="store_true", help="the server is on another machine, and it is mine to call"
    )


def run(arguments: Namespace) -> int:
    if arguments.calls < 1 or (arguments.provider_ms or 0) < 0:
        raise ConfigError("--calls must be above 0, --provider-ms not below")
    url = checked(arguments.twilio, arguments.i_own_it, "--twilio") if arguments.twilio else ""
    material = asyncio.run(voices(arguments.audio))
    todo = list(_wanted(arguments, material))
    return _outside(arguments, url, material, todo) if url else _inside(arguments, todo)


def _wanted(arguments: Namespace, material: Material) -> Iterator[Scene]:
    noises = [NOISES[name] for name in arguments.noise or NOISES]
    for scene in scenes(material):
        if scene.snr_db in noises and scene.kind.value in (arguments.kind or [scene.kind.value]):
            yield scene


def _inside(arguments: Namespace, todo: list[Scene]) -> int:
    policy = PRESETS[arguments.preset]
    played: Played = []
    for count, scene in enumerate(todo, 1):
        played.append((scene, play(scene, policy, make_detector(arguments.detector))))
        _tell(count, len(todo))
    print(f"{len(played)} scenes, μ-law 8 kHz, policy {arguments.preset}, detector {arguments.detector}")
    return _print(arguments, played)


def _outside(arguments: Namespace, url: str, material: Material, todo: list[Scene]) -> int:
    plan = Plan(url=url, token=os.environ.get("TWILIO_AUTH_TOKEN", ""), calls=arguments.calls)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        held = runner.run(play_outside(plan, todo, material.turns[-1], lambda count: _tell(count, len(todo))))
    print(*told(held, url, arguments.calls), sep="\n")
    code = _print(arguments, held.played)
    return 1 if held.failed or held.ignored else code


def told(held: Held, url: str, calls: int) -> Iterator[str]:
    """What is to be known of calls from outside before their figures."""
    what = "an answer" if held.speech.answer else "the greeting"
    yield f"{len(held.played)} scenes at {url}, μ-law 8 kHz, {calls} at once; spoken into {what} of {held.speech.seconds:.1f} s"
    yield f"the callers' own timer was late by {held.late}"
    if held.late.p99 > LATE_MS_MAX:
        yield "this machine did not keep time: the figures are its, not the server's"
    if held.over:
        yield f"{held.over} scenes are not counted: the agent's speech was over before it could give way"
    if held.unknown:
        yield f"in {held.unknown} scenes the agent said something new: whether it went on was told by time alone"
    if held.ignored:
        yield f"{held.ignored} messages of the server are such as Twilio ignores (warning 31951)"
    for reason, count in sorted(held.failed.items()):
        yield f"{count} calls could not be held: {reason}"


def _print(arguments: Namespace, played: Played) -> int:
    if arguments.verbose:
        print(*(result for _, result in played), sep="\n")
    rows = list(card(played, arguments.provider_ms) if arguments.twilio else card(played))
    print(*table(rows), sep="\n")
    return 0 if all(row.met for row in rows) else 1


def _tell(count: int, total: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{count} of {total} scenes", end="\n" if count == total else "", file=sys.stderr)
