"""The fuzzing targets of `fuzz/strangers.py`, with a few inputs each on every run of the tests."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz.far_end import SEPARATOR
from fuzz.strangers import TARGETS, seeds

BITS = [
    b"", b"null", b"-1", b"1e999", b"9" * 400, b'"', b"{", b"[" * 2_000, b"\\ud800", b"\\u0000", b"\xed\xa0\x80", b"\xff",
    b"\0", b"\x1f\x8b\x08", SEPARATOR, b"%00", b"%2e%2e/", b"../", b"\n", b"\xe2\x80\xae", b"[bad", b":99999", b"true",
    b"18446744073709551616", b'{"kind":"event"', b"0.5", b"<!--", b"@",
]  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn, target: str) -> bytes:
    """An input that gets far, with some places of it cut out and something put there instead."""
    data = draw(st.sampled_from(seeds(target)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        cut = draw(st.sampled_from([0, 0, 1, 2, 9, 60]))
        put = draw(st.sampled_from(BITS) | st.binary(max_size=6))
        data = data[:at] + put + data[at + cut :]
    return data


@pytest.mark.parametrize("target", TARGETS)
def test_the_seeds_get_through(target: str) -> None:
    for seed in seeds(target):
        TARGETS[target](seed)


@pytest.mark.parametrize("target", TARGETS)
def test_nothing_a_stranger_sends_gets_out_of_hand(target: str) -> None:
    @settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
    @given(mutated(target) | st.binary(max_size=300))
    def send(data: bytes) -> None:
        TARGETS[target](data)

    send()
