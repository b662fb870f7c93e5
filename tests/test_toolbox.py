"""Tools: what a model is told of a function, and what becomes of what it sends."""

import asyncio
import json
import logging
import threading
from datetime import date
from typing import Annotated, Any, Literal

import pytest
from msgspec import Meta, Struct

from engine import ConfigError, ToolError, tool
from engine.core.policy import OnInterrupt, ToolSpec
from engine.core.units import LIMITS
from engine.toolbox import THREADED_MAX, Toolbox, make_tool


class Address(Struct):
    street: str
    number: int = 0


@tool(timeout_ms=1_500, filler="Let me look.", on_interrupt="finish", ends_call=True)
async def find_slots(
    day: Annotated[str, Meta(pattern=r"^\d{4}")], part: Literal["am", "pm"] | None = None
) -> list[str]:
    """Free times on a day.

    Ask for the day first.

    day: as YYYY-MM-DD.
    """
    return [day, part or "any"]


def call(function: Any, arguments: str = "{}") -> tuple[str, bool]:
    box = Toolbox([function])
    try:
        return asyncio.run(box.call(box.specs[0].name, arguments))
    finally:
        box.close()


class TestTool:
    def test_a_function_becomes_a_description_for_the_model(self) -> None:
        parameters = {
            "type": "object",
            "properties": {
                "day": {"type": "string", "pattern": r"^\d{4}", "description": "as YYYY-MM-DD."},
                "part": {"anyOf": [{"enum": ["am", "pm"]}, {"type": "null"}], "default": None},
            },
            "required": ["day"],
            "additionalProperties": False,
        }
        assert json.loads(find_slots.spec.parameters) == parameters
        assert find_slots.spec == ToolSpec(
            name="find_slots",
            description="Free times on a day.\n\nAsk for the day first.",
            parameters=find_slots.spec.parameters,
            on_interrupt=OnInterrupt.FINISH,
            timeout_ns=1_500_000_000,
            filler="Let me look.",
            ends_call=True,
        )

    def test_a_decorated_function_can_still_be_called(self) -> None:
        assert asyncio.run(find_slots("2026-11-24")) == ["2026-11-24", "any"]

    def test_structures_are_described_under_defs(self) -> None:
        @tool
        def move(to: Address, stops: list[Address] = []) -> None:  # noqa: B006 - what is tested
            """Move."""

        schema = json.loads(move.spec.parameters)
        assert schema["properties"]["to"] == {"$ref": "#/$defs/Address"}
        assert schema["$defs"]["Address"]["required"] == ["street"]
        assert move.arguments(to=Address("x")).stops is not move.arguments(to=Address("x")).stops  # type: ignore[attr-defined]

    def test_an_argument_without_annotation_is_text(self) -> None:
        def greet(name):  # type: ignore[no-untyped-def]
            return f"hello {name}"

        assert call(greet, '{"name":"Ada"}') == ("hello Ada", False)

    @pytest.mark.parametrize(
        ("options", "complaint"),
        [
            ({"name": "no spaces"}, "cannot be a tool's name"),
            ({"on_interrupt": "explode"}, "allowed: cancel, detach, finish"),
            ({"timeout_ms": -1}, "0 .the policy's. or more"),
        ],
    )
    def test_bad_options_are_refused_when_it_is_made(self, options: dict[str, Any], complaint: str) -> None:
        with pytest.raises(ConfigError, match=complaint):
            make_tool(lambda: None, **({"name": "x"} | options))

    def test_what_a_model_cannot_give_is_refused_when_it_is_made(self) -> None:
        def many(*names: str) -> None: ...
        def any_of(**names: str) -> None: ...
        def foreign(thing: threading.Thread) -> None: ...

        for function in (many, any_of, foreign):
            with pytest.raises(ConfigError, match=f"tool {function.__name__}"):
                make_tool(function)


class TestCall:
    @pytest.mark.parametrize(
        ("arguments", "output"),
        [
            ('{"day":"2026-11-24"}', '["2026-11-24","any"]'),
            ('{"day":"2026-11-24","part":null}', '["2026-11-24","any"]'),
            ('{"day":"2026-11-24","part":"am"}', '["2026-11-24","am"]'),
        ],
    )
    def test_arguments_that_fit_are_given_to_the_function(self, arguments: str, output: str) -> None:
        assert call(find_slots, arguments) == (output, False)

    @pytest.mark.parametrize(
        ("arguments", "reason"),
        [
            ("{}", "missing required field `day`"),
            ('{"day":"tuesday"}', "matching regex"),
            ('{"day":"2026","part":"noon"}', "Invalid enum value 'noon'"),
            ('{"day":"2026","when":1}', "unknown field `when`"),
            ("[]", "got `array`"),
            ('{"day":', "truncated"),
            ("not json", "malformed"),
        ],
    )
    def test_arguments_that_do_not_fit_go_back_to_the_model(self, arguments: str, reason: str) -> None:
        output, failed = call(find_slots, arguments)
        assert failed
        assert output.startswith("find_slots was not run, because its arguments do not fit: ")
        assert reason in output

    @pytest.mark.parametrize("arguments", ['{"deep":' + "[" * 100_000, "\ud800"])
    def test_arguments_too_deep_or_no_text_go_back_to_the_model(self, arguments: str) -> None:
        def open_minded(deep: Any) -> str:
            return "ran"

        output, failed = call(open_minded, arguments)
        assert failed
        assert "they are not JSON of a reasonable depth" in output

    @pytest.mark.parametrize("nothing", ["", "  ", "null", "{}"])
    def test_no_arguments_have_many_spellings(self, nothing: str) -> None:
        def ping() -> str:
            return "pong"

        assert call(ping, nothing) == ("pong", False)

    def test_a_number_written_as_text_is_taken(self) -> None:
        def double(n: int) -> int:
            return 2 * n

        assert call(double, '{"n":"4"}') == ("8", False)

    @pytest.mark.parametrize(
        ("result", "output"),
        [
            (None, "done"),
            ("text", "text"),
            (date(2026, 11, 24), '"2026-11-24"'),
            (Address("x"), '{"street":"x","number":0}'),
        ],
    )
    def test_results_are_written_for_the_model(self, result: object, output: str) -> None:
        def give() -> object:
            return result

        assert call(give) == (output, False)

    def test_an_endless_result_is_cut(self) -> None:
        def talk() -> str:
            return "x" * 100_000

        output, failed = call(talk)
        assert len(output) == LIMITS.tool_output_chars
        assert output.endswith("x (the rest was cut off)")
        assert not failed

    def test_a_tool_may_tell_the_model_what_went_wrong(self) -> None:
        def book() -> None:
            raise ToolError("That time is taken.")

        assert call(book) == ("That time is taken.", True)

    def test_what_a_tool_raises_is_logged_and_only_its_kind_is_told(self, caplog: pytest.LogCaptureFixture) -> None:
        async def book() -> None:
            raise KeyError("the caller's name")

        with caplog.at_level(logging.ERROR):
            assert call(book) == ("book failed (KeyError).", True)
        assert caplog.records[0].exc_info is not None

    def test_a_result_without_json_is_a_failure(self) -> None:
        def give() -> object:
            return object()

        assert call(give) == ("give failed (TypeError).", True)

    def test_an_unknown_tool_is_answered_with_the_known_ones(self) -> None:
        assert asyncio.run(Toolbox([find_slots]).call("find", "{}")) == (
            "There is no tool 'find'. There are: find_slots.",
            True,
        )
        assert asyncio.run(Toolbox([]).call("find", "{}")) == ("There is no tool 'find'. There are: none.", True)

    def test_a_function_that_is_not_async_runs_in_another_thread(self) -> None:
        def where() -> str:
            return threading.current_thread().name

        assert call(where)[0].startswith("tool")

    def test_threads_are_bounded_and_a_cancelled_call_keeps_its_place_until_it_returns(self) -> None:
        gate = threading.Event()

        def wait() -> str:
            gate.wait()
            return "done"

        async def scenario() -> None:
            box = Toolbox([wait])
            running = [asyncio.create_task(box.call("wait", "")) for _ in range(THREADED_MAX)]
            await asyncio.wait(running, timeout=0)
            running[0].cancel()
            await asyncio.wait(running[:1])
            assert await box.call("wait", "") == ("wait is too busy just now. Try again later.", True)
            gate.set()
            assert await asyncio.gather(*running[1:]) == [("done", False)] * (THREADED_MAX - 1)
            assert await box.call("wait", "") == ("done", False)
            box.close()

        asyncio.run(scenario())

    def test_a_cancelled_async_tool_is_cancelled(self) -> None:
        ended = []

        async def wait() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(True)

        async def scenario() -> None:
            task = asyncio.create_task(Toolbox([wait]).call("wait", ""))
            await asyncio.wait([task], timeout=0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        asyncio.run(scenario())
        assert ended == [True]
