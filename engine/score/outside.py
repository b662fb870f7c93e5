"""The scenes against a server that can only be heard: any that speaks Twilio Media Streams, in real time, so many calls at once.

First a call is held in which nobody disturbs the agent: its greeting, a question, its answer. The longer of the two is the speech that
the overlap scenes speak into, and its recording is what their calls are compared with (see `heard`). A turn scene waits until the
greeting is over, takes its turn, and waits for an answer.

Rule 1. Times are of the caller's line: the first sample of a clip, the last, and the samples that the line plays.
Rule 2. Nothing waits for ever: a server that refuses, stays mute, never stops or hangs up is a call that could not be held, with the reason.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
from msgspec import Struct, field

from engine._codec import Resampler
from engine.core.units import ENGINE_HZ, MS, SECOND
from engine.errors import EngineError
from engine.load.doors import Door, StreamDoor, Way, WebhookDoor
from engine.load.figures import Spread, spread
from engine.load.wheel import Wheel
from engine.load.wire import Refused
from engine.score.card import BACK_NS, Played
from engine.score.heard import BREATH_SAMPLES, LINE_HZ, follow, pieces, samples_of
from engine.score.line import BREATH_NS, FRAME_SAMPLES, QUIET, Line
from engine.score.scenes import Kind, Scene
from engine.score.sounds import Clip, noisy
from engine.score.stage import Result

GREETING_SECONDS = 8.0
"""An agent that has said nothing by then waits to be spoken to."""
SPEECH_SECONDS_MAX = 60.0
ANSWER_SECONDS = 10.0
BEFORE_NS = 1_200 * MS
"""Quiet after the greeting before the caller speaks, as on the inner stage."""
OVERLAP_TAIL_SECONDS = 3.0
"""A scene goes on so long after the caller's last sound: the definitions look 2 s ahead."""
LEAD_SECONDS_MIN = 1.0
"""At least so much of a speech is heard before it is spoken into."""
BLIP_SAMPLES = 20 * LINE_HZ // 1_000
"""Less sound than this is no answer."""
NOISE_SECONDS = 8
BEGIN_SECONDS = 0.1
"""Between the beginnings of calls: a server sees callers come, not a wall."""


class Plan(Struct, frozen=True, kw_only=True):
    """Whom to call, and how."""

    url: str
    """ws(s): the media stream itself. http(s): the webhook that says where it is."""
    token: str = ""
    """Of the Twilio account. Empty: nothing is signed."""
    calls: int = 8


class Speech(Struct, frozen=True):
    """What the agent says when nobody disturbs it."""

    answer: bool
    """It is the answer to a question; else the greeting."""
    sound: Any
    """Samples of the line, from the first loud one to the last."""

    @property
    def seconds(self) -> float:
        return len(self.sound) / LINE_HZ


class Prop(Struct, frozen=True):
    """A scene made ready: whatever takes long is done before the calls, which must be ticked on time."""

    scene: Scene
    clip: Any
    noise: Any
    """int16 at 8 kHz, both."""


class Take(Struct, frozen=True):
    """A call that was held to its end, to be judged when no call is held any more."""

    scene: Scene
    heard: bytes
    """μ-law: what the line played."""
    marked: list[int]
    """Samples: where the agent's speech began, in an overlap; and where the caller's did."""


class Held(Struct, kw_only=True):
    """What came of the scenes."""

    speech: Speech
    takes: list[Take] = field(default_factory=list)
    played: Played = field(default_factory=list)
    failed: dict[str, int] = field(default_factory=dict)
    """Why calls could not be held -> how many."""
    over: int = 0
    """Overlaps that the agent's speech was too short for, or came to its end in. They are not counted."""
    unknown: int = 0
    """Overlaps in which the agent said something else than in the undisturbed call."""
    ignored: int = 0
    """Messages that Twilio would ignore."""
    late_ns: list[int] = field(default_factory=list)

    @property
    def late(self) -> Spread:
        """By how much the callers' own timer was late."""
        return spread(self.late_ns)


async def play_outside(
    plan: Plan, scenes: Sequence[Scene], question: Clip, tell: Callable[[int], None] = lambda count: None
) -> Held:
    """Play the scenes, `plan.calls` at once. tell: how many are done. Raises EngineError when no call can be held at all."""
    props = [make_ready(scene) for scene in scenes]
    late: list[int] = []
    loop = asyncio.get_running_loop()
    wheel = Wheel(loop, time.monotonic_ns, late.append)
    async with httpx.AsyncClient() as client:
        direct = urlsplit(plan.url).scheme in ("ws", "wss")
        door: Door = StreamDoor(plan.url, plan.token) if direct else WebhookDoor(plan.url, plan.token, client)
        theatre = Theatre(door, wheel, question)
        try:
            held = Held(speech=await theatre.undisturbed())
            late.clear()
            turnstile = asyncio.Semaphore(plan.calls)

            async def one(prop: Prop) -> None:
                async with turnstile:
                    await theatre.play(prop, held)
                tell(len(held.takes) + held.over + sum(held.failed.values()))

            async with asyncio.TaskGroup() as playing:
                for prop in props:
                    playing.create_task(one(prop))
                    await asyncio.sleep(BEGIN_SECONDS)
        finally:
            wheel.stop()
    held.late_ns = late
    judge(held)
    return held


class Theatre:
    """Where the scenes are played: a door to the server, and the clock that drives all lines."""

    def __init__(self, door: Door, wheel: Wheel, question: Clip, make_line: Callable[[Way, Any], Line] = Line) -> None:
        self._door = door
        self._wheel = wheel
        self._make_line = make_line
        self._question = narrow(question.samples)

    async def undisturbed(self) -> Speech:
        """A call that lets the agent finish. Raises EngineError when there is nothing to hear."""
        asked: list[int] = []

        async def listen_out(line: Line) -> None:
            await self._hear_greeting(line)
            asked.append(await self._ask(line))
            if await line.until(lambda: line.speech_ended > asked[0], ANSWER_SECONDS):
                await self._hear_out(line)

        line, reason = await self._call(np.zeros(0, np.int16), listen_out)
        if line is None or reason:
            raise EngineError(f"no call could be held: {reason}")
        sound = samples_of(bytes(line.heard[: line.now]))
        found = [*speeches(sound[: asked[0]], answer=False), *speeches(sound[asked[0] :], answer=True)]
        if not found:
            raise EngineError(
                "no call could be held: the agent never made a sound, neither by itself nor when it was asked"
            )
        return max(found, key=lambda speech: speech.seconds)

    async def play(self, prop: Prop, held: Held) -> None:
        """Play one scene, and keep what came of it."""
        scene, clip, speech = prop.scene, prop.clip, held.speech
        after = min(scene.after_s, speech.seconds - scene.clip.seconds - OVERLAP_TAIL_SECONDS)
        if scene.kind.is_overlap and after < LEAD_SECONDS_MIN:
            held.over += 1
            return
        marked: list[int] = []

        async def act(line: Line) -> None:
            if scene.kind.is_overlap:
                await self._speak_into(line, clip, after, speech, marked)
            else:
                await self._take_turn(line, clip, marked)

        line, reason = await self._call(prop.noise, act)
        held.ignored += line.ignored if line else 0
        if line is None or reason:
            held.failed[reason] = held.failed.get(reason, 0) + 1
        else:
            heard = bytes(line.heard[: line.now]).ljust(line.now, QUIET)
            held.takes.append(Take(scene, heard, marked))

    async def _call(self, noise: Any, act: Callable[[Line], Awaitable[None]]) -> tuple[Line | None, str]:
        """Hold a call. Returns its line, and why it could not be held to its end."""
        try:
            line = self._make_line(await self._door.knock(), noise)
            await line.connect()
        except (Refused, OSError) as error:
            return None, str(error) if isinstance(error, Refused) else f"{type(error).__name__}: {error}"
        except TimeoutError:
            return None, "the server did not answer the handshake"
        self._wheel.add(line)
        try:
            await act(line)
        except Refused as error:
            return line, str(error)
        finally:
            self._wheel.remove(line)
            line.hang_up()
        return line, ""

    # What callers do.

    async def _hear_greeting(self, line: Line) -> None:
        if await line.until(lambda: line.speech_ended >= 0, GREETING_SECONDS):
            await self._hear_out(line)

    async def _hear_out(self, line: Line) -> None:
        if not await line.until(lambda: line.quiet_ns >= BEFORE_NS, SPEECH_SECONDS_MAX):
            raise Refused(f"the agent did not stop speaking for {SPEECH_SECONDS_MAX:.0f} s")

    async def _ask(self, line: Line) -> int:
        """Returns the sample at which the question was over."""
        line.say(self._question)
        await line.until(lambda: not line.saying, len(self._question) / LINE_HZ + 1)
        return line.now

    async def _speak_into(self, line: Line, clip: Any, after_s: float, speech: Speech, marked: list[int]) -> None:
        """marked: where the agent's speech began, and where the caller's; samples."""
        since = -1
        if speech.answer:
            await self._hear_greeting(line)
            since = await self._ask(line)
        if not await line.until(lambda: line.speech_ended > since and line.speech_began is not None, ANSWER_SECONDS):
            raise Refused(f"a question was not answered within {ANSWER_SECONDS:.0f} s")
        began = line.speech_began or 0
        await line.until(lambda: line.now - began >= after_s * LINE_HZ, after_s + 1)
        marked += [began, line.say(clip) * LINE_HZ // SECOND]
        over = len(clip) / LINE_HZ + OVERLAP_TAIL_SECONDS
        await line.until(lambda: line.now >= marked[1] + over * LINE_HZ, over + 1)

    async def _take_turn(self, line: Line, clip: Any, marked: list[int]) -> None:
        """marked: where the turn began; samples."""
        await self._hear_greeting(line)
        marked.append(line.say(clip) * LINE_HZ // SECOND)
        await line.until(lambda: not line.saying, len(clip) / LINE_HZ + 1)
        await line.until(
            lambda: line.speech_ended - max(line.speech_began or 0, marked[0]) > BLIP_SAMPLES, ANSWER_SECONDS
        )


def judge(held: Held) -> None:
    """Results from takes."""
    for take in held.takes:
        if take.scene.kind.is_overlap:
            judge_overlap(take, held, *take.marked)
        else:
            held.played.append((take.scene, judge_turn(take, *take.marked)))
    held.takes.clear()


def judge_turn(take: Take, onset: int) -> Result:
    """When the turn was answered."""
    last = onset + round(take.scene.clip.seconds * LINE_HZ)
    found = pieces(samples_of(take.heard), onset)
    answered = next((piece.start for piece in found if piece.end - piece.start >= BLIP_SAMPLES), None)
    return seen(take.scene, onset, answered=answered, over_caller=answered is not None and answered < last)


def judge_overlap(take: Take, held: Held, began: int, onset: int) -> None:
    """What became of the agent's speech."""
    scene = take.scene
    until = onset + round((scene.clip.seconds + BACK_NS / SECOND) * LINE_HZ)
    heard = follow(take.heard, began, onset, held.speech.sound, until)
    if heard.over and heard.stopped is None:
        held.over += 1
        return
    if heard.stopped is not None and heard.stopped + BREATH_SAMPLES < onset:
        reason = "the agent fell silent before it was spoken into"
        held.failed[reason] = held.failed.get(reason, 0) + 1
        return
    held.unknown += not heard.known
    result = seen(
        scene,
        onset,
        paused=None if heard.stopped is None else max(heard.stopped, onset),
        lost=heard.lost,
        resumed=heard.resumed,
        gap_samples=heard.missing,
        stale=heard.returned if scene.kind is Kind.INTERRUPTION else 0,
    )
    held.played.append((scene, result))


def seen(
    scene: Scene,
    onset: int,
    *,
    paused: int | None = None,
    lost: bool = False,
    resumed: int | None = None,
    gap_samples: int = 0,
    answered: int | None = None,
    over_caller: bool = False,
    stale: int = 0,
) -> Result:
    """A result from what can be seen from outside. Places are samples of the line."""
    return Result(
        scene=scene.name,
        onset_ns=_ns(onset),
        last_ns=_ns(onset) + int(scene.clip.seconds * SECOND),
        paused_ns=None if paused is None else _ns(paused),
        lost=lost,
        resumed_ns=None if resumed is None else _ns(resumed),
        gap_samples=gap_samples,
        answered_ns=None if answered is None else _ns(answered),
        decided_ns=None,
        over_caller=over_caller,
        stale_samples=stale,
        text_error=None,
        cancelled_at_once=None,
        stuck=None,
    )


def speeches(sound: Any, *, answer: bool) -> list[Speech]:
    """What the agent said, cut where it was quiet for longer than a breath."""
    found: list[tuple[int, int]] = []
    for piece in pieces(sound, 0):
        if found and (piece.start - found[-1][1]) * SECOND // LINE_HZ <= BREATH_NS:
            found[-1] = (found[-1][0], piece.end)
        else:
            found.append((piece.start, piece.end))
    return [Speech(answer, sound[start:end]) for start, end in found]


def make_ready(scene: Scene) -> Prop:
    return Prop(scene, narrow(scene.clip.samples), background(scene))


def background(scene: Scene) -> Any:
    """The noise under a scene's whole call."""
    if scene.snr_db is None:
        return np.zeros(0, np.int16)
    return narrow(noisy(np.zeros(NOISE_SECONDS * ENGINE_HZ), scene.snr_db, scene.seed))


def narrow(samples: Any) -> Any:
    """int16 at 8 kHz, whole frames, from full scale 1.0 at 16 kHz."""
    resampler = Resampler(ENGINE_HZ, LINE_HZ)
    pcm = resampler.push((np.clip(samples, -1, 1) * 32_767).astype("<i2").tobytes()) + resampler.flush()
    found = np.frombuffer(pcm, np.int16)
    return np.concatenate([found, np.zeros(-len(found) % FRAME_SAMPLES, np.int16)])


def _ns(samples: int) -> int:
    return samples * SECOND // LINE_HZ
