"""What the README shows can be run as it stands."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette

README = (Path(__file__).parents[1] / "README.md").read_text("utf-8")


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """The names that the README's Python defines, one block after the other."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LLM_MODEL", "any")
    monkeypatch.setenv("LLM_API_KEY", "any")
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL):
        exec(block, names)
    return names


def test_the_app_of_the_readme_is_an_app(shown: dict[str, Any]) -> None:
    assert isinstance(shown["app"], Starlette)
    assert asyncio.run(shown["opening_hours"]("Sunday")) == "closed"


def test_the_caller_of_the_readme_is_answered_without_a_server(
    shown: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LLM_MODEL")
    monkeypatch.delenv("LLM_API_KEY")
    assert "appointment" in asyncio.run(shown["one_question"]("who are you?"))


def test_every_link_in_the_documents_leads_somewhere() -> None:
    root = Path(__file__).parents[1]
    for page in [root / "README.md", root / "CONTRIBUTING.md", *(root / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#\s]+)", page.read_text("utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"
