"""The vendors' own clients against our simulated providers, so that server and adapter cannot share one misunderstanding.

They are heavy and are no dependency of ours: `make test-vendors` installs them and runs these files, an ordinary run passes them by.
"""

import os

import pytest

collect_ignore_glob = [] if os.environ.get("ENGINE_TEST_VENDORS") else ["test_*.py"]


@pytest.fixture
def anyio_backend():
    return "asyncio"
