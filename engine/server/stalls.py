"""Who held the event loop up, for how long, with the stack; and whether this process should take another call.

The loop beats; a thread watches. When a beat is overdue the thread notes where the loop's thread is, again and again until it beats.
A thread, because the loop cannot watch itself while it is held up; it sleeps all but twenty times a second.

Rule 1. A stall is told once, when it is over, with the place where it was seen most often.
Rule 2. A stall in which this process hardly ran is the machine's: another program had the core, or a system call waited.
Rule 3. A process says no to new calls before those it has suffer: when its loop is late or its core nearly used up, until that is
        over for good.
"""

import asyncio
import faulthandler
import gc
import logging
import re
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import IO

from msgspec import Struct

from engine.core.units import MS, SECOND

log = logging.getLogger("engine.stalls")

BEAT_NS = 50 * MS
STALL_NS = 100 * MS
"""Later than this is told. Sound is sent 300 ms ahead, so nobody has heard it yet. Precedent: LiveKit warns at 100 ms."""
STACK_FRAMES = 12
CALL = re.compile(r' *File "(?P<file>.*)", line (?P<line>\d+) in (?P<name>.*)')
"""A call as faulthandler writes it."""
TOLD_NS_MIN = SECOND
"""Between two log lines. Stalls between them are counted."""
WINDOW_BEATS = 60
"""Three seconds: what is judged."""
BUSY_MAX, BUSY_FINE = 0.85, 0.75
"""Of a core, used by the loop: above the first there are no more calls, until it is below the second. Measured: see
docs/performance.md, "Many calls"; near 1 the slowest answers come 0.3 s late."""


class Stall(Struct, frozen=True):
    """One time that the loop was held up."""

    late_ns: int
    ran_ns: int
    """CPU time of the loop's thread in it."""
    collected_ns: int
    """Of that, in the garbage collector."""
    stack: str
    """Where it was seen most often, innermost call last. Empty: it was over before anybody looked."""

    @property
    def cause(self) -> str:
        """In words."""
        if self.ran_ns < self.late_ns // 2:
            return "the machine did not run it, or a system call waited"
        return "the garbage collector" if self.collected_ns > self.late_ns // 2 else "one callback"


class Stalls:
    """Watches one loop. `start` in its thread; `stop` ends the watching thread."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, late_ns_max: int = 0, tell: Callable[[Stall], None] | None = None
    ) -> None:
        """late_ns_max: how late nine of ten beats may be before new calls are refused. 0: nothing is a reason to refuse.

        tell: told each stall, in the loop. None: the log is.
        """
        self.stalls = 0
        self._late_ns_max = late_ns_max
        self._loop = loop
        self._tell = tell or Teller()
        self._thread_id = threading.get_ident()
        self._stop = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="stalls", daemon=True)
        self._seen: Counter[str] = Counter()
        self._late: deque[int] = deque([0] * WINDOW_BEATS, WINDOW_BEATS)
        self._busy: deque[float] = deque([0.0] * WINDOW_BEATS, WINDOW_BEATS)
        self._collected_ns = 0
        self._collecting_since = 0
        self._timer: asyncio.TimerHandle | None = None
        self.strained = False

    def start(self) -> None:
        gc.callbacks.append(self._note_collection)
        self._due_ns = time.monotonic_ns() + BEAT_NS
        self._ran_ns = time.thread_time_ns()
        self._timer = self._loop.call_later(BEAT_NS / SECOND, self._beat)
        self._watcher.start()

    def stop(self) -> None:
        """Idempotent."""
        if self._timer is None:
            return
        self._timer.cancel()
        self._timer = None
        gc.callbacks.remove(self._note_collection)
        self._stop.set()
        self._watcher.join(STALL_NS / SECOND)

    @property
    def late_ns(self) -> int:
        """How late nine of ten recent beats were at most."""
        return sorted(self._late)[9 * WINDOW_BEATS // 10]

    @property
    def busy(self) -> float:
        """The loop's recent share of a core."""
        return sum(self._busy) / WINDOW_BEATS

    def _beat(self) -> None:
        now, ran = time.monotonic_ns(), time.thread_time_ns()
        late = max(0, now - self._due_ns)
        self._late.append(late)
        self._busy.append((ran - self._ran_ns) / (late + BEAT_NS))
        if late > STALL_NS:
            self._report(late, ran - self._ran_ns)
        if self._late_ns_max:
            self._judge()
        self._seen.clear()
        self._collected_ns = 0
        self._ran_ns = ran
        self._due_ns = now + BEAT_NS
        self._timer = self._loop.call_later(BEAT_NS / SECOND, self._beat)

    def _judge(self) -> None:
        late, busy = self.late_ns, self.busy
        if late > self._late_ns_max or busy > BUSY_MAX:
            strained = True
        elif late < self._late_ns_max // 2 and busy < BUSY_FINE:
            strained = False
        else:
            return
        if strained is not self.strained:
            self.strained = strained
            taken = "takes no more calls" if strained else "takes calls again"
            log.warning(
                "the process %s: its loop is %d ms late and uses %.0f %% of a core", taken, late // MS, 100 * busy
            )

    def _report(self, late_ns: int, ran_ns: int) -> None:
        self.stalls += 1
        stack = self._seen.most_common(1)[0][0] if self._seen else ""
        self._tell(Stall(late_ns, ran_ns, self._collected_ns, stack))

    def _note_collection(self, phase: str, info: dict[str, int]) -> None:
        if threading.get_ident() != self._thread_id:
            return
        if phase == "start":
            self._collecting_since = time.monotonic_ns()
        else:
            self._collected_ns += time.monotonic_ns() - self._collecting_since

    def _watch(self) -> None:
        """The thread: look where the loop is while its beat is overdue."""
        with tempfile.TemporaryFile() as file:
            while not self._stop.wait(BEAT_NS / SECOND):
                if time.monotonic_ns() > self._due_ns + BEAT_NS and (stack := stack_of(self._thread_id, file)):
                    self._seen[stack] += 1


class Teller:
    """Writes stalls to the log, not more often than is useful."""

    def __init__(self, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._clock = clock
        self._told_at = -TOLD_NS_MIN
        self._untold = 0

    def __call__(self, stall: Stall) -> None:
        now = self._clock()
        if now - self._told_at < TOLD_NS_MIN:
            self._untold += 1
            return
        more = f" ({self._untold} more since the last)" if self._untold else ""
        self._told_at, self._untold = now, 0
        log.warning(
            "the event loop was held up for %d ms by %s%s\n%s", stall.late_ns // MS, stall.cause, more, stall.stack
        )


def stack_of(thread_id: int, file: IO[bytes]) -> str:
    """The innermost calls of a thread, one a line, innermost last. file: a real one, to write in.

    Not by `frame.f_back`: a frame object is then made for each frame of a thread that goes on running, and CPython 3.11 has crashed
    over it here. faulthandler reads the stacks as they lie, while no other thread can run, and makes nothing.
    """
    file.seek(0)
    file.truncate()
    faulthandler.dump_traceback(file, all_threads=True)
    file.seek(0)
    _, _, after = file.read().decode(errors="replace").partition(f"hread 0x{thread_id:016x}")
    calls = [CALL.fullmatch(line) for line in after.partition("\n\n")[0].splitlines()[1 : STACK_FRAMES + 1]]
    return "\n".join(f"  {call['file']}:{call['line']} {call['name']}" for call in reversed(calls) if call)
