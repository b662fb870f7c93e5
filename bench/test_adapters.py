"""What hearing and speaking through each provider costs: CPU microseconds of this process for each second of sound.

The caveat first: the provider is simulated, on loopback and without TLS, in another process; the sound is sent faster than it would be
spoken; frames of 20 ms each. With --peers the vendors' own clients do the same work where they can be pointed at a local address
(`make test-vendors` installs them). The median of three runs, taken in turn.
"""

import json
import statistics
import subprocess
import sys
from contextlib import contextmanager
from importlib.util import find_spec

import pytest

from bench.adapter_cost import VENDORS
from engine.adapters.registry import PROVIDERS
from engine.core.events import Stage
from engine.sandbox import SERVERS

SOCKETS = [(stage, name) for stage in (Stage.ASR, Stage.TTS) for name in PROVIDERS[stage] if name in SERVERS[stage]]
PACKAGES = {"openai_realtime": "openai"}
ROUNDS = 3


@contextmanager
def served(stage, name):
    """The provider's double in a process of its own."""
    command = [sys.executable, "-m", "bench.adapter_cost", "serve", stage, name]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def cost(who, stage, name, url):
    command = [sys.executable, "-m", "bench.adapter_cost", who, stage, name, url]
    told = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout
    return json.loads(told)["us_per_second"]


def test_the_table(request, capsys):
    """Print it; nothing is asserted, since the figures are the machine's."""
    if not request.config.getoption("--peers"):
        pytest.skip("--peers measures it: processes of their own, about a minute")
    lines = []
    for stage, name in SOCKETS:
        found = {"engine": [], "vendor": []}
        with served(stage, name) as url:
            for _ in range(ROUNDS):
                found["engine"].append(cost("engine", stage, name, url))
                if (stage, name) in VENDORS and find_spec(PACKAGES.get(name, name)):
                    found["vendor"].append(cost("vendor", stage, name, url))
        ours = statistics.median(found["engine"])
        theirs = statistics.median(found["vendor"]) if found["vendor"] else None
        beside = f"{theirs:8,.0f} ({theirs / ours:.1f}x)" if theirs else ""
        lines.append(f"{stage} {name:18} engine {ours:8,.0f}   vendor {beside}")
    with capsys.disabled():
        print("\n\nCPU µs for each second of sound, median of three\n", *lines, sep="\n")
