"""A server of our own to call: `engine serve` in a process beside this one, on the rehearsal providers."""

import asyncio
import os
import secrets
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from msgspec import Struct

from engine.errors import EngineError

REHEARSAL = """\
[agent]
asr = ["rehearsal"]
llm = ["rehearsal"]
tts = ["rehearsal"]

[limits]
calls_max = 2000
calls_per_address = 2000
calls_per_minute = 100000
late_ms_max = 0

[journal]
folder = "{journals}"
"""
FAILING = """
[asr.rehearsal]
fail_every = 15

[llm.rehearsal]
fail_every = 9

[tts.rehearsal]
fail_every = 14
"""
"""Providers that fail now and then, for a soak: about one turn in six meets it."""
GREETING = "Talk to the agent at "
START_SECONDS = 30.0
STOP_SECONDS = 60.0


class Served(Struct, frozen=True):
    """A running server."""

    url: str
    token: str
    """Of its Twilio account, made up."""
    journals: Path
    pid: int


@asynccontextmanager
async def own_server(
    config: Path | None = None,
    *,
    cores: Sequence[int] = (),
    workers: int = 1,
    failing: bool = False,
    recording: bool = True,
) -> AsyncIterator[Served]:
    """Run a server for the length of the block. Raises EngineError when it does not begin.

    config: instead of the rehearsal's. cores: the cores it may run on; empty: all. failing: the rehearsal's providers fail at times.
    recording: it writes journals.
    """
    token = secrets.token_hex(16)
    with tempfile.TemporaryDirectory(prefix="engine-load-") as folder:
        journals = Path(folder) / "calls"
        settings = config or Path(folder) / "engine.toml"
        if config is None:
            settings.write_text(REHEARSAL.format(journals=journals if recording else "") + (FAILING if failing else ""))
        command = [sys.executable, "-m", "engine", "serve", "--config", str(settings), "--port", "0"]
        command += ["--workers", str(workers)] if workers > 1 else []
        server = await asyncio.create_subprocess_exec(
            *command, env={**os.environ, "TWILIO_AUTH_TOKEN": token}, stdout=asyncio.subprocess.PIPE
        )
        try:
            if cores:
                os.sched_setaffinity(server.pid, cores)
            async with asyncio.timeout(START_SECONDS):
                url = await greeting_of(server)
            yield Served(url, token, journals, server.pid)
        finally:
            await stop(server)


async def greeting_of(server: asyncio.subprocess.Process) -> str:
    """The address that it says it listens on. Raises EngineError."""
    assert server.stdout is not None
    async for line in server.stdout:
        text = line.decode()
        if text.startswith(GREETING):
            return text.removeprefix(GREETING).partition("#")[0].strip().rstrip("/")
    raise EngineError("the server did not begin")


async def stop(server: asyncio.subprocess.Process) -> None:
    """Let it drain, within bounds."""
    if server.returncode is None:
        server.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(server.communicate(), STOP_SECONDS)
        except TimeoutError:
            server.kill()
            await server.wait()
