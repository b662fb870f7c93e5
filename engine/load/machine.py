"""What a server on this machine takes: read from /proc, so that it need not know that it is watched. Linux."""

import os
import time
from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct

from engine.core.units import SECOND
from engine.load.figures import Cost

PROC = Path("/proc")
LISTENING = "0A"


class Sample(Struct, frozen=True):
    """The processes at one moment."""

    at_ns: int
    ran_ns: int
    waited_ns: int
    rss_kb: int
    files: int
    journals: int
    """Of the files."""
    processes: int


def listeners(port: int) -> list[int]:
    """The processes that listen on this port, and their descendants. Empty where they are not ours to see."""
    inodes = set()
    for table in (PROC / "net/tcp", PROC / "net/tcp6"):
        for line in table.read_text().splitlines()[1:] if table.exists() else []:
            words = line.split()
            if words[3] == LISTENING and int(words[1].rpartition(":")[2], 16) == port:
                inodes.add(f"socket:[{words[9]}]")
    pids = [pid for pid in every_pid() if inodes & set(links(pid))]
    return with_descendants(pids)


def every_pid() -> Iterable[int]:
    return (int(name) for name in os.listdir(PROC) if name.isdigit())


def links(pid: int) -> list[str]:
    """What a process has open."""
    try:
        folder = PROC / str(pid) / "fd"
        return [os.readlink(folder / name) for name in os.listdir(folder)]
    except OSError:  # it has ended, or is not ours
        return []


def with_descendants(pids: list[int]) -> list[int]:
    parents = {pid: parent_of(pid) for pid in every_pid()}
    found = list(pids)
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid and child not in found]
    return found


def parent_of(pid: int) -> int:
    try:
        return int((PROC / str(pid) / "stat").read_text().rpartition(") ")[2].split()[1])
    except OSError:
        return 0


def sample(pids: Iterable[int]) -> Sample:
    """What these processes have taken so far."""
    ran = waited = rss = files = journals = alive = 0
    for pid in pids:
        try:
            for thread in (PROC / str(pid) / "task").iterdir():
                spent, queued, _ = (thread / "schedstat").read_text().split()
                ran += int(spent)
                waited += int(queued)
            rss += rss_kb(pid)
        except OSError:  # it has ended
            continue
        alive += 1
        opened = links(pid)
        files += len(opened)
        journals += sum(each.endswith(".jsonl") for each in opened)
    return Sample(time.monotonic_ns(), ran, waited, rss, files, journals, alive)


def rss_kb(pid: int) -> int:
    for line in (PROC / str(pid) / "status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


def cost(before: Sample, after: Sample, idle: Sample) -> Cost | None:
    """Between two moments. None where a process has ended: what it took went with it."""
    if not idle.processes == before.processes == after.processes > 0:
        return None
    passed = max(1, after.at_ns - before.at_ns)
    return Cost(
        seconds=passed / SECOND,
        cores=(after.ran_ns - before.ran_ns) / passed,
        waited=(after.waited_ns - before.waited_ns) / passed,
        rss_kb=after.rss_kb,
        rss_kb_idle=idle.rss_kb,
        processes=after.processes,
        files=after.files,
    )
