"""The reference of all settings in docs/ is what the source says."""

from pathlib import Path

from engine.reference import markdown

SETTINGS = Path(__file__).parents[1] / "docs" / "settings.md"


def test_the_docs_are_what_the_source_says() -> None:
    assert SETTINGS.read_text("utf-8") == markdown(), "run: make docs"


def test_settings_have_their_bounds_defaults_and_variables() -> None:
    assert "- **`port`** (a whole number from 0 to 65535; `8080`)\\\n  0 takes a free one." in markdown()
    assert "(text of 1 characters or more; required; `LLM_MODEL`)" in markdown()
    assert "- **`auth_token`** (secret; `TWILIO_AUTH_TOKEN`)" in markdown()
