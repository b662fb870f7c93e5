"""One scene, from the first ring to the last word, on virtual time."""

import asyncio

import numpy as np
from msgspec import Struct

from engine._codec import Resampler, pcm16_to_ulaw
from engine.adapters.base import VoiceDetector
from engine.core.commands import ClearPlayout, Commands, PausePlayout, Role
from engine.core.events import Event, PlayoutStarted
from engine.core.policy import Policy, Setup
from engine.core.state import RunEnd, State
from engine.core.units import ENGINE_HZ, FRAME_NS, SECOND, AudioFormat, Encoding
from engine.runtime.effects import Providers
from engine.runtime.elastic import JUMP, ElasticLoop
from engine.runtime.session import Session
from engine.score.cast import CHARS_PER_S, SPEECH, Listener, Speaker, Thinker
from engine.score.scenes import Scene
from engine.score.sounds import noisy
from engine.transports.base import Capabilities
from engine.transports.memory import MemoryTransport

TELEPHONE = AudioFormat(8_000, Encoding.ULAW)
TAIL_S = 9.0
"""How long a scene goes on after the caller's last sound."""
GREETING = "How can I help you?"


class Result(Struct, frozen=True):
    """What happened in a scene. Times in nanoseconds of the call. None where it says so: it cannot be seen from outside of the server."""

    scene: str
    onset_ns: int
    """The caller's first sample."""
    last_ns: int
    """The caller's last sample."""
    paused_ns: int | None
    """When the agent fell silent for the caller."""
    lost: bool
    """It lost the floor for good."""
    resumed_ns: int | None
    """When it took the floor back."""
    gap_samples: int
    """Samples of its speech that the ear never got although it went on: 0 is lossless."""
    answered_ns: int | None
    """The first sample of its answer to the turn."""
    decided_ns: int | None
    """When the turn was taken."""
    over_caller: bool
    """It began while the caller was not done."""
    stale_samples: int
    """Sent of a run after it was cleared; from outside: played of the old speech after it had fallen silent for an interruption."""
    text_error: int | None
    """Characters in the history less those the ear got. None: unseen."""
    cancelled_at_once: bool | None
    """Models were cancelled in the step that decided. None: unseen."""
    stuck: bool | None
    """None: unseen."""


class Watch:
    """An observer that keeps what scoring needs."""

    def __init__(self) -> None:
        self.steps: list[tuple[Event, State, State, Commands]] = []

    def __call__(self, event: Event, before: State, after: State, commands: Commands) -> None:
        self.steps.append((event, before, after, commands))


def play(scene: Scene, policy: Policy, detector: VoiceDetector) -> Result:
    """Play one scene. The detector must be new."""
    with asyncio.Runner(loop_factory=_jumping) as runner:
        return runner.run(_play(scene, policy, detector))


def _jumping() -> ElasticLoop:
    loop = ElasticLoop()
    loop.follow(lambda: JUMP)
    return loop


async def _play(scene: Scene, policy: Policy, detector: VoiceDetector) -> Result:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, ElasticLoop)
    greeting_s = len(GREETING) / CHARS_PER_S
    onset_ns = int((scene.after_s if scene.kind.is_overlap else greeting_s + 1.2) * SECOND)
    words = [(onset_ns + int(end * SECOND), word) for end, word in zip(scene.clip.ends, scene.clip.words, strict=True)]
    setup = Setup(
        policy=policy,
        greeting=SPEECH if scene.kind.is_overlap else GREETING,
        asr=("scripted",),
        llm=("scripted",),
        tts=("scripted",),
    )
    providers = Providers(
        asr={"scripted": Listener(words)},
        llm={"scripted": Thinker()},
        tts={"scripted": Speaker(word_times=scene.word_times)},
    )
    capabilities = Capabilities(name="score", inbound=TELEPHONE, outbound=TELEPHONE, marks=True)
    transport, watch = MemoryTransport(capabilities), Watch()
    session = Session(
        transport, setup, providers, detector=detector, observers=[watch], call_id=scene.name, clock=loop.time_ns
    )
    running = asyncio.create_task(session.run())
    await asyncio.sleep(0)
    transport.peer.follow(loop.time_ns)
    for frame in _frames(scene, onset_ns):
        await asyncio.sleep(FRAME_NS / SECOND)
        transport.peer.catch_up()
        transport.peer.speak(frame)
    state = session.state
    transport.peer.hang_up()
    await running
    return _judged(scene, onset_ns, watch, transport, state)


def _frames(scene: Scene, onset_ns: int) -> list[bytes]:
    """The caller's whole sound as a telephone would carry it, in frames of 20 ms."""
    head = np.zeros(onset_ns * ENGINE_HZ // SECOND)
    sound = np.concatenate([head, scene.clip.samples, np.zeros(int(TAIL_S * ENGINE_HZ))])
    pcm = (np.clip(noisy(sound, scene.snr_db, scene.seed), -1, 1) * 32767).astype("<i2").tobytes()
    narrow = Resampler(ENGINE_HZ, TELEPHONE.rate_hz)
    wire = pcm16_to_ulaw(narrow.push(pcm) + narrow.flush())
    size = TELEPHONE.bytes_in(FRAME_NS)
    return [wire[start : start + size] for start in range(0, len(wire) - size + 1, size)]


def _judged(scene: Scene, onset_ns: int, watch: Watch, transport: MemoryTransport, state: State) -> Result:
    last_ns = onset_ns + int(scene.clip.seconds * SECOND)
    paused = lost = resumed = decided = answered = None
    cancelled = True
    for event, before, after, commands in watch.steps:
        if after.ended:
            break
        quiets = any(isinstance(command, PausePlayout | ClearPlayout) and command.run == 1 for command in commands)
        if quiets and paused is None and after.at >= onset_ns and scene.kind.is_overlap:
            paused = after.at
        if after.contest.resumed > before.contest.resumed:
            resumed = after.at
        if after.contest.interrupted > before.contest.interrupted:
            lost = after.at
            run = before.response.run
            cancelled = cancelled and (run is None or len(commands) >= 1 + len(run.requests))
        if after.turn.taken > before.turn.taken:
            decided = after.at
        if isinstance(event, PlayoutStarted) and event.run > 1 and answered is None:
            answered = event.at
    over = answered is not None and answered < last_ns
    return Result(
        scene=scene.name,
        onset_ns=onset_ns,
        last_ns=last_ns,
        paused_ns=paused,
        lost=lost is not None,
        resumed_ns=resumed,
        gap_samples=_gap(transport),
        answered_ns=answered,
        decided_ns=decided,
        over_caller=over or (decided is not None and decided < last_ns and not scene.kind.is_overlap),
        stale_samples=_stale(watch, transport),
        text_error=_text_error(state, transport) if lost is not None else 0,
        cancelled_at_once=cancelled,
        stuck=bool(state.response.run is not None and state.at - state.response.run.began_at > 30 * SECOND),
    )


def _gap(transport: MemoryTransport) -> int:
    """Samples of the first run that were jumped over at the ear."""
    expected, missing = 0, 0
    for piece in transport.peer.played:
        if piece.run == 1:
            missing += max(0, piece.start_sample - expected)
            expected = max(expected, piece.start_sample + len(piece.sound))
    return missing


def _stale(watch: Watch, transport: MemoryTransport) -> int:
    """Samples played of a run that began after another run's first: none may follow."""
    newest, stale = 0, 0
    for piece in transport.peer.sent:
        if piece.run < newest:
            stale += len(piece.sound)
        newest = max(newest, piece.run)
    return stale


def _text_error(state: State, transport: MemoryTransport) -> int:
    """Characters of the agent's speech in the history, less those whose words the ear got whole."""
    written = next((m.text for m in state.conversation.messages if m.role is Role.ASSISTANT and m.run == 1), "")
    reached = max((p.start_sample + len(p.sound) for p in transport.peer.played if p.run == 1), default=0)
    run = next((run for run in state.response.past if run.number == 1 and run.end is RunEnd.INTERRUPTED), None)
    if run is None:
        return 0
    reached_ns = reached * SECOND // TELEPHONE.rate_hz
    # A word that ends within a frame of the cut may count as heard or not.
    errors = [len(written) - len(_heard(run.text, reached_ns + slack)) for slack in (-FRAME_NS, 0, FRAME_NS)]
    return min(errors, key=abs)


def _heard(text: str, heard_ns: int) -> str:
    """The words of this text whose sound had ended by then, in the cast's voice: chunk by chunk, trimmed as the rules trim."""
    spoken = heard_ns * CHARS_PER_S // SECOND
    position = whole = 0
    for word in text.split():
        position = text.index(word, position) + len(word)
        # Spaces between chunks make no sound; within a chunk they do.
        if position <= spoken + 1:
            whole = position
    return text[:whole].strip()
