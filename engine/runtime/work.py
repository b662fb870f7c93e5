"""A call's work under way: a task for each live recognition stream, model request, chunk under synthesis and tool, under its key.

Rule 1. There is one `except AdapterError`, and it makes a fact. What to do about it is a rule of the core.
Rule 2. Cancelling never waits: what is cancelled is no longer live from that moment on. When all that a cleared run had under way has
        ended, its owner is told; a provider that does not let go is given `LETTING_GO_NS`, then it is left to end alone.
"""

import asyncio
import functools
import logging
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from engine.core.events import Fact, Stage
from engine.core.units import SECOND
from engine.errors import AdapterError, FailureKind

log = logging.getLogger("engine.runtime")

LETTING_GO_NS = 2 * SECOND
"""A cancelled task has this long to close its connection. Providers take tens of milliseconds."""

Key = tuple[Stage, int, int]
"""A live task: (ASR, ear, 0), (LLM, run, request), (TTS, run, chunk), (TOOL, call, 0)."""
Job = Callable[[], Coroutine[Any, Any, None]]
Failed = Callable[..., Fact]
"""Makes the fact of a failure, given `provider`, `kind` and `retry_ns`."""


class Work:
    """The tasks of one call."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, post: Callable[[Fact], None], let_go: Callable[[int], None]
    ) -> None:
        """let_go: told of each cleared run when nothing of it is under way any more."""
        self._loop = loop
        self._post = post
        self._let_go = let_go
        self.live: dict[Key, asyncio.Task[None]] = {}
        self._owners: dict[asyncio.Task[None], int] = {}
        """The run that each task works for. 0: the session."""
        self._ending: set[asyncio.Task[None]] = set()
        """Those of them that were cancelled and have not ended."""
        self._cleared: dict[int, asyncio.TimerHandle | None] = {}
        """Cleared runs of which nothing was told yet, and until when they are waited for."""

    def begin(self, key: Key, run: int, provider: str, job: Job, failed: Failed) -> None:
        """Begin a job for a run; its failure becomes the fact that `failed` makes."""
        task = self._loop.create_task(self._guard(key, provider, job, failed))
        self.live[key] = task
        self._owners[task] = run
        task.add_done_callback(functools.partial(self._ended, key))

    def is_live(self, key: Key) -> bool:
        """Whether the task that asks is the live one under its key."""
        return self.live.get(key) is asyncio.current_task()

    def cancel(self, key: Key) -> None:
        task = self.live.pop(key, None)
        if task is not None and not task.done():
            self._ending.add(task)
            task.cancel()

    def clear(self, run: int) -> None:
        """This run is over: `let_go` is owed, at the next `settle` or when its last cancelled task has ended."""
        self._cleared.setdefault(run, None)

    def settle(self) -> None:
        """Tell of the cleared runs of which nothing is under way, and wait for the others."""
        for run in [run for run, timer in self._cleared.items() if timer is None]:
            self._settle(run)

    async def stop(self, last: Iterable[Job]) -> None:
        """End everything under way, and do these jobs beside it, within bounds."""
        tasks = list(self._owners)
        self.live.clear()
        for timer in self._cleared.values():
            if timer is not None:
                timer.cancel()
        self._cleared.clear()
        for task in tasks:
            task.cancel()
        tasks += [self._loop.create_task(self._finish(job)) for job in last]
        if tasks:
            _, pending = await asyncio.wait(tasks, timeout=LETTING_GO_NS / SECOND)
            for task in pending:
                task.cancel()
        del self._post, self._let_go

    async def _guard(self, key: Key, provider: str, job: Job, failed: Failed) -> None:
        """Do one job; whatever goes wrong in it is a fact."""
        try:
            await job()
            return
        except AdapterError as error:
            kind, retry_ns = error.kind, error.retry_ns
            told = {"provider": provider, "kind": kind.value, "detail": error.detail}
            log.warning("%s failed: %s (%s)", *told.values(), extra=told)
        except Exception:
            # A fault of an adapter is one provider's trouble, not the call's.
            kind, retry_ns = FailureKind.PROTOCOL, 0
            log.exception("adapter fault", extra={"provider": provider})
        if self.is_live(key):
            del self.live[key]
            self._post(failed(provider=provider, kind=kind, retry_ns=retry_ns))

    async def _finish(self, job: Job) -> None:
        try:
            await job()
        except Exception:
            log.exception("adapter fault", extra={"provider": type(getattr(job, "__self__", job)).__name__})

    def _ended(self, key: Key, task: asyncio.Task[None]) -> None:
        if self.live.get(key) is task:
            del self.live[key]
        self._ending.discard(task)
        run = self._owners.pop(task)
        if run in self._cleared:
            self._settle(run)

    def _settle(self, run: int) -> None:
        if any(self._owners[task] == run for task in self._ending):
            if self._cleared[run] is None:
                self._cleared[run] = self._loop.call_later(LETTING_GO_NS / SECOND, self._give_up, run)
            return
        timer = self._cleared.pop(run)
        if timer is not None:
            timer.cancel()
        self._let_go(run)

    def _give_up(self, run: int) -> None:
        log.warning("a cancelled provider does not let go", extra={"run": run})
        for task in [task for task in self._ending if self._owners[task] == run]:
            self._ending.discard(task)
        self._settle(run)
