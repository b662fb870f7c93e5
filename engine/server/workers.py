"""Several processes behind one port: who gets a connection, and what happens when one of them dies.

This process accepts and hands each connection to a worker, socket and all; it reads nothing of it and carries no call. So a worker
never has to wait for another's, and the one with the fewest connections gets the next.

Rule 1. A connection goes to a worker that is ready; when none is, to the least busy one, which knows how to refuse politely.
Rule 2. A worker that dies takes its own calls with it and nothing else, and another takes its place: at once, then ever later.
Rule 3. The first signal drains all of them, with the door open so that newcomers are told; the second one hangs up.
"""

import logging
import secrets
import selectors
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from engine.server.shared import Shared
from engine.server.worker import PACKET_BYTES_MAX, Hello, Status, encode, read_status

log = logging.getLogger("engine.server")

ACCEPTED_MAX = 64
"""Connections in one go before the workers' news is read."""
LOOK_SECONDS = 0.5
RESTART_SECONDS = (0.0, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Before a worker's place is filled again, by how often it died young."""
YOUNG_SECONDS = 60.0


class Worker:
    """One place for a worker, and the process that holds it now."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.name = ""
        """The process's, among the workers."""
        self.channel: socket.socket | None = None
        self.status = Status()
        self.spoken = False
        """It runs: what is handed to it is answered."""
        self.handed = 0
        """Connections handed over to this process, ever."""
        self.deaths = 0
        self.began_at = 0.0
        self.restart_at = 0.0

    @property
    def load(self) -> int:
        """Connections that it has, and those on their way to it."""
        return self.status.connections + self.handed - self.status.taken


class Supervisor:
    """The process in front. It has no event loop: it may start processes whenever it has to."""

    def __init__(
        self,
        listening: socket.socket,
        command: Sequence[str],
        count: int,
        secret: str,
        ready: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """command: starts a worker; the number of its channel is added. ready: called once, when all of them take calls that can."""
        self._listening = listening
        self._command = list(command)
        self._secret = secret or secrets.token_urlsafe(32)
        self._ready = ready
        self._told = False
        self._clock = clock
        self._selector = selectors.DefaultSelector()
        self._folder = tempfile.TemporaryDirectory(prefix="engine-")
        self._ending = False
        self._signals, self._woken = socket.socketpair()
        for each in (self._listening, self._signals, self._woken):
            each.setblocking(False)
        self.workers = [Worker() for _ in range(count)]

    def run(self) -> int:
        """Until a signal. Returns the exit code: 1 when no worker ever took calls."""
        self._selector.register(self._signals, selectors.EVENT_READ, self._obey)
        signal.set_wakeup_fd(self._woken.fileno())
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: None)
        try:
            while not self._ending or any(worker.process for worker in self.workers):
                for worker in self.workers:
                    self._tend(worker)
                if self._hopeless():
                    break
                self._mind_the_door()
                for key, _ in self._selector.select(LOOK_SECONDS):
                    key.data()
                self._announce()
        finally:
            self._end()
        return 0 if self._told else 1

    # Workers.

    def _tend(self, worker: Worker) -> None:
        """Notice a death; fill an empty place when it is time."""
        process = worker.process
        if process is not None and process.poll() is not None:
            self._bury(worker, process.returncode)
        if worker.process is None and not self._ending and self._clock() >= worker.restart_at:
            self._begin(worker)

    def _begin(self, worker: Worker) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        worker.name = secrets.token_hex(4)
        ours.send(encode(Hello(self._secret, self._folder.name, worker.name)))
        # In a session of its own, so that Ctrl-C reaches it through us and not twice.
        worker.process = subprocess.Popen(  # noqa: S603 - our own command
            [*self._command, str(theirs.fileno())], pass_fds=[theirs.fileno()], start_new_session=True
        )
        theirs.close()
        worker.channel, worker.status, worker.handed, worker.spoken = ours, Status(), 0, False
        worker.began_at = self._clock()
        self._selector.register(ours, selectors.EVENT_READ, lambda: self._listen(worker))

    def _bury(self, worker: Worker, code: int) -> None:
        lost, lived = worker.status.calls, self._clock() - worker.began_at
        if worker.channel is not None:
            self._selector.unregister(worker.channel)
            worker.channel.close()
        worker.process, worker.channel, worker.status = None, None, Status()
        # Its calls have ended with it: nobody is to ask it any more.
        Shared(Path(self._folder.name)).socket_of(worker.name).unlink(missing_ok=True)
        if self._ending:
            return
        if lived >= YOUNG_SECONDS:
            worker.deaths = 0
        wait = RESTART_SECONDS[min(worker.deaths, len(RESTART_SECONDS) - 1)]
        worker.deaths += 1
        worker.restart_at = self._clock() + wait
        log.error("a worker ended with %d and took %d calls along; another begins in %.0f s", code, lost, wait)

    def _hopeless(self) -> bool:
        """No worker has ever taken a call, and all have died: it is the configuration, and they have said so."""
        return not self._told and all(worker.deaths for worker in self.workers)

    def _listen(self, worker: Worker) -> None:
        assert worker.channel is not None
        try:
            packet = worker.channel.recv(PACKET_BYTES_MAX)
        except BlockingIOError:
            return
        except OSError:
            packet = b""
        if not packet:
            self._selector.unregister(worker.channel)
            worker.channel.close()
            worker.channel, worker.status = None, Status(calls=worker.status.calls)
            return
        worker.status, worker.spoken = read_status(packet), True

    def _announce(self) -> None:
        """Say that calls are taken, once all workers do: the first alone would get all the first callers."""
        ready = [worker.status.ready for worker in self.workers]
        if not self._told and any(ready) and all(ready[n] or self.workers[n].deaths for n in range(len(ready))):
            self._told = True
            self._ready()

    # Connections.

    def _accept(self) -> None:
        for _ in range(ACCEPTED_MAX):
            if not self._choice():
                return  # the last of them has just gone
            try:
                connection, _ = self._listening.accept()
            except OSError:  # none left, or it has gone again
                return
            with connection:
                self._hand_over(connection)

    def _mind_the_door(self) -> None:
        """Look for newcomers where anybody is there to take them. Until then they wait in the socket's own queue."""
        open_now, open_before = bool(self._choice()), self._listening in self._selector.get_map()
        if open_now and not open_before:
            self._selector.register(self._listening, selectors.EVENT_READ, self._accept)
        elif open_before and not open_now:
            self._selector.unregister(self._listening)

    def _choice(self) -> list[Worker]:
        """The workers in the order in which they should be asked."""
        there = [worker for worker in self.workers if worker.channel is not None and worker.spoken]
        return sorted(there, key=lambda worker: (not worker.status.ready, worker.load, worker.status.calls))

    def _hand_over(self, connection: socket.socket) -> None:
        for worker in self._choice():
            assert worker.channel is not None
            try:
                socket.send_fds(worker.channel, [b"c"], [connection.fileno()])
            except OSError:  # its queue is full, or it has just died
                continue
            worker.handed += 1
            return
        log.warning("a connection was dropped: no worker took it")

    # The end.

    def _obey(self) -> None:
        try:
            numbers = self._signals.recv(64)
        except BlockingIOError:
            return
        if not {signal.SIGINT, signal.SIGTERM} & set(numbers):
            return
        self._ending = True
        for worker in self.workers:
            if worker.process is not None:
                worker.process.send_signal(signal.SIGTERM)

    def _end(self) -> None:
        signal.set_wakeup_fd(-1)
        for worker in self.workers:
            if worker.channel is not None:
                worker.channel.close()
            if worker.process is not None:
                worker.process.terminate()
                worker.process.wait()
        self._selector.close()
        self._signals.close()
        self._woken.close()
        self._folder.cleanup()
