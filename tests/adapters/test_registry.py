"""The list of providers: names, and modules that are imported when they are asked for."""

import subprocess
import sys

import pytest

from engine.adapters.registry import PROVIDERS, provider_class
from engine.core.events import Stage
from engine.errors import ConfigError

MODULES = sorted({place.partition(":")[0] for names in PROVIDERS.values() for place in names.values()})
ASKED = f"""
import sys
import engine.config
from engine.adapters.registry import provider_class
from engine.core.events import Stage
modules = {MODULES!r}
print([name for name in modules if name in sys.modules])
provider_class(Stage.TTS, "rime")
print([name for name in modules if name in sys.modules])
"""


def test_a_provider_is_imported_when_it_is_first_asked_for() -> None:
    told = subprocess.run([sys.executable, "-c", ASKED], capture_output=True, text=True, check=True)
    assert told.stdout.splitlines() == ["[]", "['engine.adapters.rime']"]


@pytest.mark.parametrize("stage", list(PROVIDERS))
def test_a_name_that_is_unknown_is_answered_with_the_known_ones(stage: Stage) -> None:
    with pytest.raises(ConfigError, match=f"unknown {stage.value} provider 'nobody'; known: .*rehearsal"):
        provider_class(stage, "nobody")
