"""Worker processes: how the embedded recogniser and voice are kept off the event loop.

A worker is `python -m MODULE FD` in a process of its own, at the other end of a socket pair. Both sides speak one frame:
kind (1 byte), subject (4 bytes, the stream or utterance it is about), length (4 bytes), body; little-endian. This file is the
frame and both ends of it: `Worker` is the parent's, on the event loop; `Link` is the child's, blocking.

A worker lives no longer than its parent: it ends when the socket does, however the parent died. It ignores SIGINT and SIGTERM,
because those are meant for the parent, which may want to finish its calls first.
"""

import asyncio
import logging
import os
import select
import signal
import socket
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Iterator
from enum import IntEnum
from itertools import count
from pathlib import Path
from struct import Struct
from typing import Protocol, cast

from engine.errors import AdapterError, ConfigError, FailureKind

log = logging.getLogger("engine.adapters")

HEADER = Struct("<BII")
READ_BYTES = 1 << 16
START_S = 30.0
"""To a worker's first word. Building a domain's language model takes 1 to 2 s, a machine under load several times that."""
STOP_S = 2.0
"""For a worker to end by itself; then it is killed."""
BACKLOG_BYTES = 1 << 21
"""Unsent bytes a worker may leave with us: a minute of one caller's sound. Past it the worker has stalled."""


class Kind(IntEnum):
    """What a frame is. The first three open a connection; the others belong to a subject."""

    HELLO = 0
    """To the worker: its settings, as JSON."""
    READY = 1
    """From the worker: it has loaded everything."""
    REFUSED = 2
    """From the worker: settings it cannot work with, one sentence a line."""
    OPEN = 3
    SOUND = 4
    FINISH = 5
    CLOSE = 6
    SPEAK = 7
    PARTIAL = 8
    FINAL = 9
    WORDS = 10
    DONE = 11
    FAILED = 12


Frame = tuple[Kind, int, bytes]


class Unframer:
    """Bytes as they come -> whole frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Yield each frame that `data` completes."""
        buffer = self._buffer
        buffer += data
        start = 0
        while len(buffer) - start >= HEADER.size:
            kind, subject, length = HEADER.unpack_from(buffer, start)
            end = start + HEADER.size + length
            if len(buffer) < end:
                break
            yield Kind(kind), subject, bytes(buffer[start + HEADER.size : end])
            start = end
        del buffer[:start]


class Client(Protocol):
    """Who a worker's frames are for."""

    def take(self, kind: Kind, body: bytes) -> None:
        """A frame about this client's subject."""

    def fail(self, error: AdapterError) -> None:
        """The worker is gone. Nothing follows."""


class Seat:
    """A client's place at a worker."""

    def __init__(self, worker: "Worker", subject: int) -> None:
        self._worker = worker
        self._subject = subject

    def send(self, kind: Kind, body: bytes = b"") -> None:
        """Queue one frame. Never blocks. A worker that is gone takes it silently: its clients are told by `fail`."""
        self._worker.send(kind, self._subject, body)

    def leave(self) -> None:
        """Nothing more is wanted."""
        self._worker.leave(self._subject)


class Worker(asyncio.Protocol):
    """The parent's end of one worker process."""

    def __init__(self, provider: str, module: str, settings: bytes) -> None:
        self._provider = provider
        self._module = module
        self._settings = settings
        self._unframer = Unframer()
        self._clients: dict[int, Client] = {}
        self._subjects = count(1)
        self._process: Process | None = None
        self._transport: asyncio.Transport | None = None
        self._ready: asyncio.Future[None] | None = None
        self.gone = asyncio.Event()
        """Set once its end of the socket is closed."""

    @property
    def pid(self) -> int:
        assert self._process is not None, "a worker has a process once it was started"
        return self._process.pid

    @property
    def load(self) -> int:
        """How many clients it has."""
        return len(self._clients)

    async def start(self) -> None:
        """Spawn, and wait until it is ready. Raises AdapterError; ConfigError for settings it refuses."""
        loop = asyncio.get_running_loop()
        self._ready = loop.create_future()
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                self._process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-P", "-m", self._module, str(theirs.fileno())),
                    pass_fds=(theirs.fileno(),),
                    stdin=DEVNULL,
                    stdout=DEVNULL,
                    env=_environment(),
                    start_new_session=True,
                )
            await loop.create_unix_connection(lambda: self, sock=ours)
            self.send(Kind.HELLO, 0, self._settings)
            async with asyncio.timeout(START_S):
                await self._ready
        except TimeoutError:
            await self.stop()
            raise AdapterError(self._provider, FailureKind.TIMEOUT, "its worker does not start") from None
        except BaseException:
            ours.close()
            await self.stop()
            raise

    async def stop(self) -> None:
        """End the process, and wait until it has."""
        if self._transport is not None:
            self._transport.close()
        if self._process is None:
            return
        try:
            async with asyncio.timeout(STOP_S):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    def sit(self, client: Client) -> Seat:
        """Give a client a subject of its own."""
        subject = next(self._subjects)
        self._clients[subject] = client
        return Seat(self, subject)

    def leave(self, subject: int) -> None:
        if self._clients.pop(subject, None) is not None:
            self.send(Kind.CLOSE, subject)

    def send(self, kind: Kind, subject: int, body: bytes = b"") -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if self._transport.get_write_buffer_size() > BACKLOG_BYTES:
            self._transport.abort()  # it has stalled: it is as good as dead, and ends when it next reads
            return
        self._transport.write(HEADER.pack(kind, subject, len(body)) + body)

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one without being a subclass

    def data_received(self, data: bytes) -> None:
        assert self._ready is not None
        for kind, subject, body in self._unframer.feed(data):
            if subject in self._clients:
                self._clients[subject].take(kind, body)
            elif kind is Kind.READY:
                self._ready.set_result(None)
            elif kind is Kind.REFUSED:
                self._ready.set_exception(ConfigError(*body.decode().splitlines()))

    def connection_lost(self, exc: Exception | None) -> None:
        assert self._ready is not None
        self.gone.set()
        if not self._ready.done():
            self._ready.set_exception(AdapterError(self._provider, FailureKind.UNAVAILABLE, "its worker died"))
        for client in self._clients.values():
            client.fail(AdapterError(self._provider, FailureKind.CLOSED, "its worker died"))
        self._clients.clear()


class Crew:
    """The workers of one provider. One that dies is replaced: at once, and if that fails, when it is next needed."""

    def __init__(self, provider: str, module: str, settings: bytes, size: int) -> None:
        self._provider = provider
        self._module = module
        self._settings = settings
        self._size = size
        self._workers: list[Worker] = []
        self._lock = asyncio.Lock()
        self._keeper: asyncio.Task[None] | None = None

    @property
    def living(self) -> list[Worker]:
        return [worker for worker in self._workers if not worker.gone.is_set()]

    async def start(self) -> None:
        """Start all, one first: it fills the caches the others read. Raises AdapterError, ConfigError."""
        try:
            await self._fill(1)
            await self._fill(self._size)
        except BaseException:
            await self.stop()
            raise
        self._keeper = asyncio.create_task(self._keep(), name=f"{self._provider} workers")

    async def stop(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])
            self._keeper = None
        await asyncio.gather(*(worker.stop() for worker in self._workers))
        self._workers.clear()

    async def ready(self) -> None:
        """Have one worker at least. Raises AdapterError."""
        await self._fill(1)

    async def sit(self, client: Client) -> Seat:
        """A seat at the worker with the fewest clients. Raises AdapterError."""
        assert self._keeper is not None, "start comes first"
        await self._fill(1)
        return min(self.living, key=lambda worker: worker.load).sit(client)

    async def _fill(self, size: int) -> None:
        """Bring the number of living workers up to `size`."""
        async with self._lock:
            dead = [worker for worker in self._workers if worker.gone.is_set()]
            self._workers = self.living
            await asyncio.gather(*(worker.stop() for worker in dead))
            fresh = [Worker(self._provider, self._module, self._settings) for _ in range(size - len(self._workers))]
            results = await asyncio.gather(*(worker.start() for worker in fresh), return_exceptions=True)
            self._workers += [worker for worker, result in zip(fresh, results, strict=True) if result is None]
        for result in results:
            if result is not None:
                raise result

    async def _keep(self) -> None:
        """Replace workers that die."""
        while True:
            deaths = [asyncio.ensure_future(worker.gone.wait()) for worker in self._workers]
            try:
                await asyncio.wait(deaths, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for death in deaths:
                    death.cancel()
            try:
                await self._fill(self._size)
            except (AdapterError, ConfigError) as error:
                log.warning("a worker could not be replaced", extra={"provider": self._provider, "error": str(error)})
                return


def _environment() -> dict[str, str]:
    """Ours, and the folder `engine` was imported from, which the child may not find by itself."""
    home = str(Path(__file__).parents[2])
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, (home, os.environ.get("PYTHONPATH"))))}


class Link:
    """The worker's end. Ends the process (SystemExit) when the parent is gone."""

    def __init__(self, fd: int) -> None:
        self._socket = socket.socket(fileno=fd)
        self._unframer = Unframer()

    def hello(self) -> bytes:
        """The settings the parent sends first."""
        kind, _, body = self.receive()[0]
        assert kind is Kind.HELLO
        return body

    def receive(self, *, wait: bool = True) -> list[Frame]:
        """The frames that have come; at least one if `wait`."""
        frames: list[Frame] = []
        while wait or select.select((self._socket,), (), (), 0)[0]:
            data = self._socket.recv(READ_BYTES)
            if not data:
                raise SystemExit(0)
            frames += self._unframer.feed(data)
            wait = not frames
        return frames

    def send(self, kind: Kind, subject: int = 0, body: bytes = b"") -> None:
        """Write one frame; waits while the parent does not read."""
        try:
            self._socket.sendall(HEADER.pack(kind, subject, len(body)) + body)
        except (BrokenPipeError, ConnectionResetError):
            raise SystemExit(0) from None


def enter(argv: list[str]) -> Link:
    """What a worker's main does first."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return Link(int(argv[1]))
