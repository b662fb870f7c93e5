"""The worker processes, asked through the embedded voice, whose worker is the quickest to start."""

import asyncio
import os
import select
import signal
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.adapters.base import SpeechRequest
from engine.adapters.espeak import Espeak, EspeakOptions
from engine.adapters.workers import HEADER, Kind, Unframer
from engine.errors import AdapterError, FailureKind

pytestmark = pytest.mark.anyio
WATCHDOG_S = 20
PARENT = """
import asyncio, sys
from engine.adapters.espeak import Espeak, EspeakOptions

async def main():
    provider = Espeak(EspeakOptions())
    await provider.start()
    print(*provider.pids, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


@asynccontextmanager
async def started():
    provider = Espeak(EspeakOptions())
    async with asyncio.timeout(WATCHDOG_S):
        await provider.start()
        try:
            yield provider
        finally:
            await provider.stop()


async def spoken(provider, text="Hello there."):
    """All sound of a text."""
    pieces = [piece async for piece in provider.voice().speak(SpeechRequest(run=1, chunk=1, text=text))]
    return b"".join(piece for piece in pieces if isinstance(piece, bytes))


def frame(kind, subject, body):
    return HEADER.pack(kind, subject, len(body)) + body


@given(
    st.lists(st.tuples(st.sampled_from(Kind), st.integers(0, 2**32 - 1), st.binary(max_size=50)), max_size=20),
    st.integers(1, 40),
)
def test_frames_come_out_whole_however_the_bytes_are_cut(frames, size):
    data = b"".join(frame(*each) for each in frames)
    unframer = Unframer()
    cut = [data[at : at + size] for at in range(0, len(data), size)]
    assert [each for piece in cut for each in unframer.feed(piece)] == frames


async def test_a_worker_that_dies_fails_the_streams_it_had_and_is_replaced():
    async with started() as provider:
        (pid,) = provider.pids
        speech = provider.voice().speak(SpeechRequest(run=1, chunk=1, text="A sentence that takes a while. " * 30))
        await anext(speech)
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(AdapterError) as caught:
            async for _ in speech:
                pass
        assert caught.value.kind is FailureKind.CLOSED
        assert await spoken(provider)
        assert provider.pids != [pid]


async def test_a_stopped_provider_leaves_no_process():
    async with started() as provider:
        (pid,) = provider.pids
        os.kill(pid, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_a_provider_can_be_started_again():
    async with started() as provider:
        await provider.stop()
        await provider.start()
        assert await spoken(provider)


@pytest.mark.parametrize("ignored", [signal.SIGINT, signal.SIGTERM])
async def test_a_worker_leaves_signals_to_its_parent(ignored):
    async with started() as provider:
        os.kill(provider.pids[0], ignored)
        assert await spoken(provider)


@pytest.mark.parametrize("fatal", [signal.SIGKILL, signal.SIGINT])
def test_no_worker_outlives_its_parent(fatal):
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=Path(__file__).parents[2]
    ) as parent:
        pid = int(parent.stdout.readline())
        end = os.pidfd_open(pid)
        parent.send_signal(fatal)
    try:
        assert select.select([end], [], [], WATCHDOG_S)[0], "readable once the process has ended"
    finally:
        os.close(end)
