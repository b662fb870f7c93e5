"""A call survives any provider failing in any way: the caller's words are all heard, the answer is said, the memory is right."""

import asyncio

import pytest
from msgspec.structs import replace

from engine.core.events import Stage
from engine.core.policy import BALANCED
from engine.core.units import MS, SECOND
from tests.sandbox.matrix import ANSWER, CELLS, CHOSEN, FAULTS, SAID, all_calls, letters

HASTY = replace(BALANCED, llm_first_ns=SECOND, llm_stall_ns=SECOND, tts_first_ns=SECOND, final_wait_ns=400 * MS)
"""The same rules, with less patience, so that the test is quick."""
SILENT = {"slow first byte", "stall mid-stream", "half-open line"}
"""Faults that nobody tells: only time shows them."""


@pytest.fixture(scope="module")
def calls():
    """All calls of the matrix, several at once."""
    return asyncio.run(all_calls(HASTY))


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: f"{cell[1].value}, {cell[0]}{', alone' * cell[2]}")
class TestEveryFault:
    def test_every_word_of_the_caller_is_heard(self, calls, cell):
        assert letters(SAID) in letters("".join(calls[cell].caller))

    def test_the_answer_is_said_to_its_end(self, calls, cell):
        assert letters(calls[cell].text).endswith(letters(SAID)[-12:])

    def test_the_memory_is_what_was_said(self, calls, cell):
        assert letters(calls[cell].agent[-1]) == letters(ANSWER)

    def test_a_fault_that_is_told_costs_no_patience(self, calls, cell):
        if cell[0] not in SILENT:
            assert 0 <= calls[cell].first_ms < 3_000


@pytest.mark.parametrize("fault", sorted(set(FAULTS) - SILENT))
def test_a_synthesizer_that_fails_is_never_noticed_in_the_answers_beginning(calls, fault):
    assert calls[fault, Stage.TTS, False].first_ms < 2_000


def test_a_call_without_a_fault_tries_nobody_twice(calls):
    assert [calls["none", stage, False].retries for stage in CHOSEN] == [[], [], []]
