"""What `docs/security.md` promises: every row names tests that are there, and no page writes markup."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "security.md"
MARKUP = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function")


def rows() -> list[list[str]]:
    table = PAGE.read_text().partition("| threat |")[2].partition("\n\n")[0]
    return [line.strip("|").split("|") for line in table.splitlines()[2:]]


def test_every_row_names_tests_that_are_there() -> None:
    assert len(rows()) > 30
    for threat, _, tests in rows():
        named = re.findall(r"`([\w/]+\.py)(?:::(\w+))?`", tests)
        assert named, f"{threat}: no test"
        assert len(named) == tests.count("`") / 2, f"{threat}: what is quoted is not a test"
        for file, name in named:
            text = (ROOT / "tests" / file).read_text()
            assert not name or f"def {name}(" in text, f"{threat}: {file} has no {name}"


def test_no_page_writes_markup() -> None:
    scripts = sorted((ROOT / "engine" / "web").rglob("*.js"))
    assert scripts
    for script in scripts:
        assert not MARKUP.search(script.read_text()), script
