"""What all targets share: a loop, and the far end of a transport."""

import asyncio
import functools
import logging
from collections.abc import Awaitable
from typing import Any

from engine import _codec

SEPARATOR = b"\xff\xfe"
"""Between the parts of an input."""


@functools.cache
def loop() -> asyncio.AbstractEventLoop:
    """One loop for all inputs of a process: a new one for each would take most of the time."""
    logging.disable(logging.CRITICAL)  # a refusal is logged, and there are as many as inputs
    return asyncio.new_event_loop()


def run(main: Awaitable[Any]) -> Any:
    return loop().run_until_complete(main)


class Ear:
    """The far end of a transport: the codec, and the bounds that the runtime relies on."""

    def __init__(self, coding: str, rate_hz: int) -> None:
        self._inlet = _codec.Inlet(coding, rate_hz)

    def hear(self, chunk: bytes) -> None:
        self._inlet.push(chunk)

    def hear_base64(self, payload: str | bytes) -> None:
        self._inlet.push_base64(payload)

    def marked(self, name: str) -> None:
        assert isinstance(name, str)

    def played(self, run: int, samples: int) -> None:
        assert 0 <= run < 2**32
        assert 0 <= samples < 2**32

    def pressed(self, digit: str) -> None:
        assert digit in "0123456789*#ABCD"
        assert len(digit) == 1

    def typed(self, text: str) -> None:
        assert text

    def rejected(self, reason: str) -> None:
        """A few fixed words: what a stranger says must not be repeated to whoever reads the journal."""
        assert len(reason) < 40
