"""The callers against a real server, in a process of its own."""

import asyncio

import pytest
from msgspec.structs import replace

from engine.load.caller import Manner
from engine.load.crowd import Crowd
from engine.load.run import Plan, crowd_for, measure
from engine.load.served import own_server
from engine.load.soak import Look, Soaked
from tests.transports.wires import run


@pytest.mark.parametrize(("transport", "recording"), [("twilio", True), ("browser", False)])
def test_callers_are_answered_and_counted(transport: str, recording: bool) -> None:
    async def main() -> None:
        async with own_server(recording=recording) as served:
            plan = Plan(url=served.url, token=served.token, calls=2, seconds=4, transport=transport)
            found = await measure(replace(plan, manner=Manner(interrupts=1.0)))
            assert served.journals.exists() is recording
        assert (found.answered, found.refused, found.lost) == (2, 0, 0), found.reasons
        assert found.response.count + found.clear.count > 0
        assert found.server is not None
        assert found.server.processes == 1
        assert found.tasks_per_call is not None

    run(main())


def test_a_caller_that_is_not_let_in_is_counted_with_the_reason() -> None:
    async def main() -> None:
        async with own_server() as served, crowd_for(Plan(url=served.url, token="someone else's")) as crowd:
            assert isinstance(crowd, Crowd)
            assert await crowd.enter() is None
            assert crowd.figures.refused == 1
            assert any("403" in reason for reason in crowd.figures.reasons)

    run(main())


def test_a_server_that_holds_more_than_before_leaks() -> None:
    look = Look(rss_kb=80_000, files=20, journals=0, tasks=2, calls=0)
    soaked = Soaked(
        minutes=1, calls=9, answered=9, refused=0, unexpected=0, before=look, after=replace(look, files=21), reasons={}
    )
    assert soaked.leaks() == ["files: 20 before, 21 after"]
    assert replace(soaked, after=replace(look, journals=1)).leaks() == ["journals: 0 before, 1 after"]
    assert replace(soaked, after=replace(look, rss_kb=81_000)).leaks() == []
    assert replace(soaked, after=replace(look, rss_kb=99_000)).leaks()
    assert soaked.lines()
    growing = [replace(look, rss_kb=80_000 + 5_000 * n) for n in range(8)]
    assert replace(soaked, after=look, looks=tuple(growing)).leaks()
    settled = [*growing, *[growing[-1]] * 8]
    assert replace(soaked, after=growing[-1], looks=tuple(settled)).leaks() == []


def test_a_server_that_does_not_begin_is_an_error(tmp_path) -> None:  # type: ignore[no-untyped-def]
    settings = tmp_path / "engine.toml"
    settings.write_text("[nonsense]\n")

    async def main() -> None:
        from engine.errors import EngineError

        with pytest.raises(EngineError, match="did not begin"):
            async with own_server(settings):
                pass

    asyncio.run(main())
