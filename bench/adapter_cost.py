"""What hearing, answering and speaking through each provider costs: ours, the vendor's client, pipecat's service, LiveKit's plugin.

    python -m bench.adapter_cost --vendor-python V --pipecat-python P --livekit-python L [asr/deepgram tts …]

CPU microseconds, user and system, of the client's process alone, for each second of call: of sound heard, of sound spoken, of answer (at
150 words a minute). The least of some runs, taken in turn; beside it how many connections the provider saw in one run.

The caveats first: the provider is a double of ours, on loopback, without TLS, in another process; the sound comes twenty times as fast as
speech, so what costs by the clock (pings, timers) weighs less. One call in the process; all on uvloop. A peer is called at the door
nearest to the wire: pipecat's service without a pipeline, LiveKit's plugin without a session.
Peers want an interpreter each, since they do not agree on their dependencies:

    pip install --group vendors uvloop
    pip install 'pipecat-ai[deepgram,cartesia,elevenlabs,openai,anthropic,google,assemblyai,soniox,speechmatics,gladia,rime,azure,piper,websocket]' uvloop
    pip install uvloop livekit-agents livekit-plugins-{deepgram,cartesia,elevenlabs,openai,anthropic,google,assemblyai,soniox,speechmatics,gladia,rime,azure}
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import uvloop

from engine.core.events import Stage
from engine.core.units import ENGINE_HZ, FRAME_BYTES
from engine.sandbox import SERVERS, simulated
from engine.sandbox.base import KEY, Behaviour
from engine.sandbox.speech import speak

ROOT = Path(__file__).parents[1]
SENTENCE = "could you book a table for four at eight"
LAST = "goodbye then"
SENTENCES = 10
BEFORE_S, AFTER_S = 1.2, 1.5
"""Of silence around a sentence: a caller who listens as much as he speaks."""
ENDED_S = 0.6
"""Of silence until the engine would ask for the words."""
QUESTIONS, WORDS = 5, 100
TEXT = "Your table is booked for eight o'clock tonight, and we look forward to seeing you."
TEXTS = 15
VARIANTS = {"rime": "named"}
"""Of the provider's known spellings the one that all peers understand."""


class Peer(NamedTuple):
    """Somebody who can do the same work."""

    name: str
    module: str
    python: str


class Figure(NamedTuple):
    us: float
    connections: int


def job(url: str, folder: Path) -> Path:
    """What everybody is to do, written down."""
    sound, ends = bytearray(), []
    for number in range(SENTENCES):
        sound += bytes(FRAME_BYTES * int(BEFORE_S * 50))
        sound += speak(SENTENCE if number < SENTENCES - 1 else LAST, ENGINE_HZ)
        sound += bytes(-len(sound) % FRAME_BYTES)
        ends.append(len(sound) // FRAME_BYTES + int(ENDED_S * 50))
        sound += bytes(FRAME_BYTES * int(AFTER_S * 50))
    (folder / "sound.pcm").write_bytes(sound)
    question = " ".join(f"word{number}" for number in range(WORDS - 2))
    told: dict[str, Any] = {
        "url": url,
        "key": KEY,
        "sound": str(folder / "sound.pcm"),
        "ends": ends,
        "last_word": LAST.split()[0],
        "question": question,
        "answer": f"You said: {question}",
        "questions": QUESTIONS,
        "text": TEXT,
        "texts": TEXTS,
        "speech_s": len(speak(TEXT, ENGINE_HZ)) / 2 / ENGINE_HZ,
    }
    path = folder / "job.json"
    path.write_text(json.dumps(told))
    return path


async def serve(stage: Stage, name: str) -> None:
    """Serve until stdin ends; for each line there, tell how many connections came since the last."""
    server = simulated(stage, name, Behaviour(variant=VARIANTS.get(name, "")))
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    async with server.serve() as url:
        print(url, flush=True)
        while await lines.readline():
            print(server.connections, flush=True)
            server.seen.clear()


class Served:
    """The provider's double, in a process of its own."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self.url = self._answer()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def connections(self) -> int:
        """How many came since this was last asked."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return int(self._answer())


@contextmanager
def served(stage: Stage, name: str) -> Iterator[Served]:
    command = [sys.executable, "-m", "bench.adapter_cost", "serve", stage, name]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            yield Served(process)
        finally:
            process.kill()


def cost(peer: Peer, stage: Stage, name: str, path: Path, server: Served) -> Figure | str:
    """What it costs, or why that is not known."""
    command = [peer.python, "-W", "ignore", "-m", peer.module, stage, name, str(path)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=90, cwd=ROOT)
    except subprocess.TimeoutExpired:
        return "did not end"
    connections = server.connections()
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["died"])[-1][:100]
    return Figure(json.loads(done.stdout.splitlines()[-1])["us"], connections)


def row(peers: list[Peer], stage: Stage, name: str, rounds: int) -> tuple[str, list[str]]:
    """One provider's line of the table, and the reasons for its dashes."""
    found: dict[str, list[Figure]] = {peer.name: [] for peer in peers}
    reasons: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder, served(stage, name) as server:
        path = job(server.url, Path(folder))
        for _ in range(rounds):
            for peer in peers:
                if peer.name in reasons:
                    continue
                figure = cost(peer, stage, name, path, server)
                if isinstance(figure, str):
                    reasons[peer.name] = figure
                else:
                    found[peer.name].append(figure)
    cells, ours = [], 0.0
    for peer in peers:
        if peer.name in reasons:
            cells.append("-")
            continue
        us = min(figure.us for figure in found[peer.name])
        ours = ours or us
        ratio = f"{us / ours:4.1f}x " if cells else ""
        cells.append(f"{us:,.0f} {ratio}({max(figure.connections for figure in found[peer.name])})")
    told = [f"{stage}/{name} {peer}: {reason}" for peer, reason in reasons.items()]
    return f"| {stage}/{name} | {' | '.join(cells)} |", told


def main() -> None:
    if sys.argv[1:2] == ["serve"]:
        uvloop.run(serve(Stage(sys.argv[2]), sys.argv[3]))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wanted", nargs="*", help="stages, or stage/provider; all by default")
    for peer in ("vendor", "pipecat", "livekit"):
        parser.add_argument(f"--{peer}-python", default="", metavar="PATH", help="the interpreter that has it")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    pythons = {name: getattr(given, f"{name}_python") for name in ("vendor", "pipecat", "livekit")}
    asked = {"engine": sys.executable} | {name: python for name, python in pythons.items() if python}
    peers = [Peer(name, f"bench.peers.adapters_{name}", python) for name, python in asked.items()]
    print("CPU µs for each second of call (connections in a run)\n")
    print(f"| | {' | '.join(peer.name for peer in peers)} |\n|---|{'---|' * len(peers)}", flush=True)
    dashes = []
    for stage, names in SERVERS.items():
        for name in names:
            if not given.wanted or stage in given.wanted or f"{stage}/{name}" in given.wanted:
                line, reasons = row(peers, stage, name, given.rounds)
                dashes += reasons
                print(line, flush=True)
    print("\n" + "\n".join(dashes))


if __name__ == "__main__":
    main()
