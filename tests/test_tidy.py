"""The house rules, as tests: what may import what, how long things may be, and that every file has its test."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "engine").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))

MAY_IMPORT = {
    "core": {"errors"},
    "errors": set(),
    "audio": {"_codec", "core", "errors"},
    "adapters": {"_codec", "core", "errors", "audio"},
    "transports": {"_codec", "core", "errors", "audio"},
    "replay": {"core", "errors", "__version__"},
    "simulate": {"core", "errors", "runtime.pacing"},
    "sandbox": {"core", "errors", "_codec"},
    "telemetry": {"core"},
    "runtime": {"_codec", "core", "audio", "errors", "adapters.base", "transports.base"},
    "agent": {"core", "errors", "toolbox"},
    "demo": {"agent", "core", "errors", "toolbox"},
    "settings": {"core"},
    "toolbox": {"core", "errors"},
    "tools": {"core", "errors", "toolbox"},
}
"""Part -> parts it may import besides itself. A part that is not here stands at the top and may import everything."""

NEVER_IN_CORE = {
    "asyncio",
    "time",
    "random",
    "datetime",
    "logging",
    "os",
    "socket",
    "threading",
    "uuid",
    "secrets",
    "math",
}
CORE_LIBRARIES = {"collections", "enum", "functools", "re", "typing", "msgspec"}

FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 500
"""A file is counted with its documentation, a function without. `state`, `events` and `policy` are mostly sentences under fields."""


def part_of(path: Path) -> str:
    inside = path.relative_to(ROOT / "engine")
    return inside.parts[0] if len(inside.parts) > 1 else inside.stem


def imports_of(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.module == "engine":
                yield from (f"engine.{alias.name}" for alias in node.names)
            else:
                yield node.module


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_part_imports_only_what_is_below_it(path: Path) -> None:
    allowed = MAY_IMPORT.get(part_of(path))
    if allowed is None:
        return
    for name in imports_of(path):
        if name.startswith("engine."):
            target = name.removeprefix("engine.")
            fits = target.split(".")[0] in allowed | {part_of(path)} or any(
                target == exact or target.startswith(exact + ".") for exact in allowed
            )
            assert fits, f"{part_of(path)} must not import {name}"


@pytest.mark.parametrize("path", sorted((ROOT / "engine/core").glob("*.py")), ids=lambda path: path.name)
def test_the_core_is_pure(path: Path) -> None:
    libraries = {name.split(".")[0] for name in imports_of(path)} - {"engine"}
    assert not libraries & NEVER_IN_CORE
    assert libraries <= CORE_LIBRARIES
    tree = ast.parse(path.read_text())
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Await | ast.AsyncFunctionDef | ast.Global)]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_are_short(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= FILE_LINES_MAX
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            documentation = (ast.get_docstring(node) or "").count("\n")
            length = (node.end_lineno or 0) - node.lineno + 1 - documentation
            assert length <= FUNCTION_LINES_MAX, f"{node.name} has {length} lines"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text()))


@pytest.mark.parametrize("path", TESTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_test_sleeps_or_reads_the_clock(path: Path) -> None:
    text = path.read_text()
    # On the fakes' loop time is virtual: a sleep there takes none, and is how a script says when.
    virtual = "virtually" in text or "jumping_loop" in text or "ElasticLoop" in text
    if path == Path(__file__):
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            called = ast.unparse(node.func)
            assert called != "time.sleep", f"line {node.lineno}"
            if called == "asyncio.sleep" and not virtual:
                assert ast.unparse(node.args[0]) == "0", f"line {node.lineno}: giving way is fine, waiting is not"


def test_nothing_is_left_to_do() -> None:
    for path in [*SOURCES, *TESTS]:
        if path != Path(__file__):
            assert not {"TODO", "FIXME", "XXX"} & set(path.read_text().split()), path
