"""`engine call CALLER.wav`: one conversation with a recorded caller, through the same pipeline as any other call."""

import asyncio
import secrets
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from pathlib import Path

import uvloop
from msgspec.structs import replace

from engine import config
from engine.cli import add_config, readable
from engine.config import Config
from engine.core.commands import Commands, SetTimer
from engine.core.events import Event, PlayoutAdvanced, SessionStarted, TTSWords
from engine.core.state import Phase, State
from engine.core.units import MS
from engine.errors import ConfigError, EngineError
from engine.replay.activity import ActivityLog
from engine.replay.journal import Recorder
from engine.replay.notation import Context, write_step
from engine.replay.sheet import Sheet
from engine.runtime.elastic import REAL_TIME, ElasticLoop, speed_of
from engine.runtime.host import CallInfo
from engine.runtime.latency import Stopwatch, TurnLatency
from engine.runtime.session import Outcome
from engine.server.switchboard import Switchboard
from engine.transports.file import FileTransport
from engine.transports.wav import Sound, read_wav, write_wav


def options(parser: ArgumentParser) -> None:
    parser.add_argument(
        "caller", metavar="CALLER.wav", type=Path, help="what the caller says, from the call's first moment on"
    )
    parser.add_argument(
        "--out", metavar="AGENT.wav", type=Path, help="write what the caller heard, in step with CALLER.wav"
    )
    parser.add_argument("--journal", metavar="CALL.jsonl", type=Path, help="record the call")
    parser.add_argument("--fast", action="store_true", help="as fast as the machine allows (see docs/performance.md)")
    parser.add_argument("--lead", metavar="SECONDS", type=float, default=0.0, help="silence before the recording")
    parser.add_argument("--quiet", action="store_true", help="print the latency table alone")
    add_config(parser)


def run(arguments: Namespace) -> int:
    if not 0 <= arguments.lead <= 600:
        raise ConfigError(f"--lead is {arguments.lead:g}; allowed: 0 to 600 seconds")
    if arguments.journal is not None and arguments.journal.exists():
        raise ConfigError(f"{arguments.journal} exists; a recording is never overwritten")
    caller = read_wav(readable(arguments.caller))
    found = config.load(arguments.config)
    watch = Watch(show=not arguments.quiet, journal=arguments.journal)
    with asyncio.Runner(loop_factory=ElasticLoop if arguments.fast else uvloop.new_event_loop) as runner:
        outcome, heard = runner.run(carry(found, caller, watch, int(arguments.lead * 1000) * MS))
    if arguments.out is not None:
        write_wav(arguments.out, heard)
    print(*table(watch.latencies), sep="\n")
    if outcome.faulty:
        raise EngineError("a fault of the engine ended the call")
    return 0


async def carry(found: Config, caller: Sound, watch: "Watch", lead_ns: int) -> tuple[Outcome, Sound]:
    """The whole call. Returns how it ended, and what the caller heard."""
    loop = asyncio.get_running_loop()
    clock: Callable[[], int] = loop.time_ns if isinstance(loop, ElasticLoop) else time.monotonic_ns
    async with Switchboard(found, [watch.begin], clock=clock) as switchboard:
        transport = FileTransport(caller, lead_ns=lead_ns)
        if isinstance(loop, ElasticLoop):
            loop.follow(lambda: watch.speed(switchboard))
        try:
            outcome = await switchboard.call(transport, watch.call_id)
        finally:
            if isinstance(loop, ElasticLoop):
                loop.follow(lambda: REAL_TIME)
        return outcome, transport.agent_sound


NOISE = (TTSWords, PlayoutAdvanced)
"""Facts that come several times a second and say little: left out at the terminal, unless they led to something."""


class Watch:
    """What the command line wants to know of its call: an observer made once."""

    def __init__(self, *, show: bool, journal: Path | None) -> None:
        self.call_id = f"call-{secrets.token_hex(6)}"
        self.latencies: list[TurnLatency] = []
        self._show = show
        self._journal = journal
        self._recorder: Recorder | None = None
        self._context = Context()
        self._phase = Phase.IDLE
        self._stopwatch = Stopwatch(self.latencies.append)

    def begin(self, info: CallInfo) -> "Watch":
        if self._journal is not None:
            self._recorder = Recorder(
                Sheet(self._journal),
                session=info.call_id,
                started_ns=info.began_ns,
                traceparent=info.traceparent,
                log=ActivityLog(),
            )
        return self

    def __call__(self, event: Event, before: State, after: State, commands: Commands) -> None:
        if self._recorder is not None:
            self._recorder(event, before, after, commands)
        self._stopwatch(event, before, after, commands)
        told = any(not isinstance(command, SetTimer) for command in commands)
        if self._show and (told or not isinstance(event, NOISE)):
            moved = after.phase.value if after.phase is not self._phase else ""
            self._phase = after.phase
            print(write_step(shortened(event), commands, self._context, moved), flush=True)

    def close(self) -> None:
        if self._recorder is not None:
            self._recorder.close()

    def speed(self, switchboard: Switchboard) -> float:
        """How fast an elastic clock may run now."""
        session = switchboard.host.session(self.call_id)
        return REAL_TIME if session is None else speed_of(session.state, session.waiting)


def shortened(event: Event) -> Event:
    """An event as a reader at a terminal wants it: whole milliseconds, without the agent's instructions and tools."""
    if isinstance(event, SessionStarted):
        event = replace(event, setup=replace(event.setup, instructions="", tools=()))
    return replace(event, at=event.at // MS * MS)


COLUMNS = ("total", "decide", "model", "voice", "playout")


def table(latencies: list[TurnLatency]) -> Iterator[str]:
    """The latency of each answer, as lines. Milliseconds; a dash where a part is unknown."""
    if not latencies:
        yield "no turn was answered"
        return
    yield ""
    yield f"{'turn':>4} {'run':>4}" + "".join(f"{name:>9}" for name in COLUMNS) + "   ms from the caller's last sound"
    for each in latencies:
        parts = (each.total_ns, each.decide_ns, each.llm_ns, each.tts_ns, each.playout_ns)
        cells = "".join(f"{'-' if part is None else part // MS:>9}" for part in parts)
        yield f"{each.turn:>4} {'r' + str(each.run):>4}{cells}"
