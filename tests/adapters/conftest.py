"""The adapters' tests run on the loop that production runs on."""

import pytest


@pytest.fixture
def anyio_backend():
    return "asyncio", {"use_uvloop": True}
