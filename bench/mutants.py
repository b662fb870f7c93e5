"""Does the net catch fish? Every change that mutmut makes to a function of engine/core, and whether a test of the rules notices.

    python -m bench.mutants                  all files
    python -m bench.mutants ear speech       some
    python -m bench.mutants turn._taken      some functions

Prints the mutants that live, each as the lines it changes, and a table. mutmut makes the mutants; here they are tried, for it collects
the tests anew for each of them. Here they are collected once; a mutant is a process forked from there, in which the code of one function
is exchanged - the table of rules and every import still hold that function - and the tests that reach it run until one fails, first those
that have killed its neighbours. A mutant that uses up its time loops, which is noticed too. Tests of chance (Hypothesis) are left out:
what they kill today may live tomorrow. Functions behind a cache are tried without it.
"""

import argparse
import ast
import difflib
import functools
import gc
import importlib
import inspect
import os
import re
import resource
import signal
import sys
import textwrap
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from pathlib import Path
from types import FrameType, FunctionType
from typing import NamedTuple

import pytest
from _pytest.runner import runtestprotocol
from mutmut.mutation.file_mutation import mutate_file_contents

ROOT = Path(__file__).parents[1]
CORE = ROOT / "engine/core"
TESTS = ("tests/core", "tests/replay/test_golden.py")
SECONDS_MIN = 5
"""Of CPU for one mutant, and three times what its tests take without one."""
MEMORY_BYTES = 2 << 30


class Mutant(NamedTuple):
    file: str
    function: str
    code: str
    change: str
    """The lines that differ."""


def mutants_of(path: Path) -> Iterator[Mutant]:
    source = re.sub(r"^@lru_cache.*\n", "", path.read_text(), flags=re.MULTILINE)
    mutated = mutate_file_contents(str(path), source)
    lines = mutated.code.splitlines()
    written = {
        node.name: textwrap.dedent("\n".join(lines[node.lineno - 1 : node.end_lineno]))
        for node in ast.walk(ast.parse(mutated.code))
        if isinstance(node, ast.FunctionDef)
    }
    for name in mutated.mutant_names:
        mangled, _, _ = name.rpartition("__mutmut_")
        path_in_module = re.split("[_ǁ]", mangled, maxsplit=1)[1].replace("ǁ", ".")
        function = path_in_module.rpartition(".")[2]
        original = f"{mangled}__mutmut_orig"
        before, after = written[original].replace(original, function), written[name].replace(name, function)
        differing = [line for line in difflib.ndiff(before.split("\n"), after.split("\n")) if line[0] in "+-"]
        yield Mutant(path.stem, path_in_module, after, "\n".join(differing))


def function_of(file: str, name: str) -> FunctionType:
    function = attrgetter(name)(importlib.import_module(f"engine.core.{file}"))
    return inspect.unwrap(function)


def exchange(mutant: Mutant) -> None:
    """From here on, in this process, the function is its mutant."""
    function = function_of(mutant.file, mutant.function)
    made: dict[str, FunctionType] = {}
    exec("from __future__ import annotations\n" + mutant.code, function.__globals__, made)
    (mutated,) = (each for each in made.values() if isinstance(each, FunctionType))
    function.__code__ = mutated.__code__
    function.__defaults__, function.__kwdefaults__ = mutated.__defaults__, mutated.__kwdefaults__


def in_a_fork(work: Callable[[], str], seconds: float) -> str | None:
    """What `work` says in a process of its own. None: it used up its CPU time."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        signal.setitimer(signal.ITIMER_PROF, seconds)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        with Path(os.devnull).open("w") as silence:
            os.dup2(silence.fileno(), 1)
            os.dup2(silence.fileno(), 2)
        os.write(writer, work().encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    return said if status == 0 else None


def fails(test: pytest.Item) -> bool:
    try:
        return any(report.failed for report in runtestprotocol(test, log=False, nextitem=None))
    except BaseException:  # Of the runner itself.
        return True


class Hunt:
    """A pytest plugin in the place of its loop."""

    def __init__(self, mutants: Sequence[Mutant]) -> None:
        self.mutants = mutants
        self.tests: dict[str, pytest.Item] = {}
        self.reach: dict[str, list[str]] = {}
        self.seconds: dict[str, float] = {}
        self.killers: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        self.left: list[Mutant] = []

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        ours = [item for item in session.items if not hasattr(getattr(item, "obj", None), "hypothesis")]
        self.tests = {item.nodeid: item for item in ours}
        self.look()
        gc.freeze()
        for number, mutant in enumerate(self.mutants):
            if number % 50 == 0:
                print(f"\r{number} of {len(self.mutants)}, {len(self.left)} left", end="", file=sys.stderr, flush=True)
            if self.lives(mutant):
                self.left.append(mutant)
        print(file=sys.stderr)
        return True

    def look(self) -> None:
        """Which tests reach which function, and that all hold without a mutant."""
        names = {function_of(one.file, one.function).__code__: f"{one.file}.{one.function}" for one in self.mutants}

        def watch() -> str:
            lines = []
            for name, test in self.tests.items():
                reached: set[str] = set()

                def note(frame: FrameType, event: str, arg: object, reached: set[str] = reached) -> None:
                    if event == "call" and frame.f_code in names:
                        reached.add(names[frame.f_code])

                began = time.process_time()
                sys.setprofile(note)
                failed = fails(test)
                sys.setprofile(None)
                assert not failed, f"{name} fails without a mutant"
                lines.append("\t".join([name, str(time.process_time() - began), *reached]))
            return "\n".join(lines)

        seen = in_a_fork(watch, 600)
        assert seen, "a test fails without a mutant"
        for line in seen.split("\n"):
            test, seconds, *functions = line.split("\t")
            self.seconds[test] = float(seconds)
            for function in functions:
                self.reach.setdefault(function, []).append(test)

    def lives(self, mutant: Mutant) -> bool:
        """Whether no test notices."""
        killers = self.killers[mutant.file, mutant.function]
        tests = self.reach.get(f"{mutant.file}.{mutant.function}", [])
        order = sorted(tests, key=lambda test: (-killers[test], self.seconds[test]))

        def work() -> str:
            exchange(mutant)
            return next((test for test in order if fails(self.tests[test])), "")

        killer = in_a_fork(work, SECONDS_MIN + 3 * sum(self.seconds[test] for test in order))
        if killer:
            killers[killer] += 1
        return killer == ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("only", nargs="*", metavar="FILE[.FUNCTION]")
    only = parser.parse_args().only
    files = sorted({name.split(".")[0] for name in only} or {path.stem for path in CORE.glob("*.py")})
    mutants = [
        mutant
        for file in files
        for mutant in mutants_of(CORE / f"{file}.py")
        if not only or {file, f"{file}.{mutant.function}"} & set(only)
    ]
    hunt = Hunt(mutants)
    pytest.main(["-q", "-p", "no:cacheprovider", "--no-header", "--no-summary", *TESTS], plugins=[hunt])
    for mutant in hunt.left:
        print(f"\n{mutant.file}.{mutant.function}\n{mutant.change}")
    tried, left = (Counter(mutant.file for mutant in some) for some in (mutants, hunt.left))
    print("\n| file | mutants | killed | left |\n|---|---|---|---|")
    for file in tried:
        print(f"| `{file}.py` | {tried[file]:,} | {1 - left[file] / tried[file]:.1%} | {left[file]} |")
    total = functools.reduce(int.__add__, tried.values())
    print(f"| together | {total:,} | {1 - len(hunt.left) / total:.1%} | {len(hunt.left)} |")


if __name__ == "__main__":
    main()
