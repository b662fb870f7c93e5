"""What every figure needs beside it: the machine, the interpreter, the compiler, the variant. Printed before the first."""

import platform
from pathlib import Path

import pytest

from engine import _codec


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--peers", action="store_true", help="time the peers too, each in a process of its own")


def cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []:
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def governor() -> str:
    path = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    return path.read_text().strip() if path.exists() else "unknown"


def pytest_report_header() -> list[str]:
    return [
        f"cpu: {cpu()}, governor {governor()}, kernel {platform.release()}",
        f"python: {platform.python_version()} ({platform.python_compiler()}), codec: {_codec.clones()[0]}",
    ]
