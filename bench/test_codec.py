"""What the audio core costs, and with --peers, what its peers cost for the same work.

The caveat first: the peers are timed in their own types and without the conversions that a call would need around them;
ratios are of the best of several rounds, because a shared machine only ever adds time; a resampler's ratio says nothing of
its quality, for which docs/audio.md has a table of its own. `python -m bench.codec_peers NAME` times one peer alone.
"""

import json
import subprocess
import sys

import pytest

from bench.codec_peers import PEERS, SIZES, engine

WORK = [(size, what) for size, seconds in SIZES.items() for what in engine(seconds)]
ROUNDS = 5


@pytest.mark.parametrize(("size", "what"), WORK, ids=lambda part: part.replace(" ", "_"))
def test_the_audio_core(benchmark, size, what):
    benchmark.group = f"{what}, {size}"
    benchmark(engine(SIZES[size])[what])


def timed(name: str) -> dict:
    """One peer's times, from a process of its own."""
    command = [sys.executable, "-m", "bench.codec_peers", name]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True, timeout=600).stdout)


def test_the_peers(request, capsys):
    """Print the table; nothing is asserted, since a ratio depends on the machine."""
    if not request.config.getoption("--peers"):
        pytest.skip("--peers times them")
    best: dict[tuple[str, str, str], float] = {}
    versions = {}
    for _ in range(ROUNDS):  # in turn, so that a busy minute meets everyone
        for name in PEERS:
            found = timed(name)
            versions[name] = found["version"]
            for size, times in found["times"].items():
                for what, (least, _) in times.items():
                    key = (size, what, name)
                    best[key] = min(best.get(key, least), least)
    with capsys.disabled():
        print("\n\n" + ", ".join(f"{name} {found}" for name, found in versions.items()))
        print("ns of a call, the best of all rounds; how many times the engine's in brackets\n")
        for size, what in WORK:
            ours = best[size, what, "engine"]
            peers = [
                (name, best[size, what, name]) for name in PEERS if (size, what, name) in best and name != "engine"
            ]
            others = "  ".join(f"{name} {theirs:,.0f} ({theirs / ours:.1f}x)" for name, theirs in peers)
            print(f"{what:14} {size:6} engine {ours:>12,.0f}   {others}")
