"""The inspector on the server: where calls are recorded, for this machine or for whoever has the token."""

import asyncio
from pathlib import Path

import httpx
import pytest

from tests.replay.record import record
from tests.server.servers import make_config, serving

TOKEN = "a-token-that-cannot-be-guessed-0123456789"


async def statuses(config: object, *requests: tuple[str, dict[str, str]]) -> list[int]:
    async with serving(config) as server, httpx.AsyncClient(base_url=server.http) as client:  # type: ignore[arg-type]
        return [(await client.get(url, headers=headers)).status_code for url, headers in requests]


@pytest.mark.parametrize("token", ["", TOKEN])
def test_this_machine_may_look_and_a_proxys_visitors_need_the_token(token: str, tmp_path: Path) -> None:
    record(tmp_path / "one.jsonl")
    config = make_config(ENGINE_JOURNAL_FOLDER=str(tmp_path), ENGINE_INSPECT_TOKEN=token)
    away = {"x-forwarded-for": "203.0.113.9"}
    found = asyncio.run(
        statuses(
            config,
            ("/inspect", {}),
            ("/inspect/", {}),
            ("/inspect/main.js", {}),
            ("/inspect/api/calls", {}),
            ("/inspect/api/calls", away),
            ("/inspect/api/calls", away | {"authorization": f"Bearer {TOKEN}"}),
        )
    )
    assert found == [307, 200, 200, 200, 403, 200 if token else 403]


def test_without_journals_there_is_nothing_to_inspect() -> None:
    assert asyncio.run(statuses(make_config(), ("/inspect/", {}))) == [404]
