"""A journal folded beside the page: the state before and after any step, and the story as far as it has been folded.

Folding 200,000 facts takes a dozen seconds and happens in slices of a few milliseconds, so that calls on the same loop do not notice.
States are kept every so many steps; those between are folded again from the nearest when somebody looks at them.
"""

import asyncio
import math
from pathlib import Path
from typing import BinaryIO

import msgspec
from msgspec import Struct

from engine.core.reduce import begin, reduce
from engine.core.state import State
from engine.errors import JournalError
from engine.replay.delta import Change, changes
from engine.replay.journal import LINE_BYTES_MAX, Chain, Step
from engine.replay.reader import UNREADABLE
from engine.replay.story import Story
from engine.replay.teller import Teller
from engine.replay.verify import Replayed, differs

EVERY = 256
"""Steps between two states that are kept: 15 ms to fold at worst, a few hundred states an hour."""
SLICE_STEPS = 128
"""Steps folded without a rest: about 3 ms."""
REST_S = 0.0005
"""A fifth of the time is everybody else's, and whatever waits in the loop comes first."""


class Kept(Struct, frozen=True):
    """A state, and where the line of the next step begins."""

    state: State
    offset: int


_decode = msgspec.json.Decoder(Step).decode


class Fold:
    """One journal's states and story. Grows while the file grows."""

    def __init__(self, path: Path, *, faithful: bool) -> None:
        """faithful: the journal's words are all there, so that the rules can be asked again."""
        self.path = path
        self.faithful = faithful
        self.steps = 0
        """How far it has got."""
        self.parted = ""
        """Where today's rules decided otherwise than the journal says, or a line cannot be read. There it stops."""
        self.broken = ""
        """The first place where the file is not what was written. What is told from there on may not be what happened."""
        self._chain = Chain()
        self._teller = Teller()
        self._state = begin()
        self._kept = [Kept(self._state, 0)]
        self._offset = 0
        self._lock = asyncio.Lock()

    @property
    def story(self) -> Story:
        return self._teller.story

    async def advance(self, budget_s: float = math.inf) -> bool:
        """Fold what the file holds by now, for about so long. Returns whether it got to the end."""
        if not self.faithful or self.parted:
            return True
        loop = asyncio.get_running_loop()
        until = loop.time() + budget_s
        async with self._lock:
            with self.path.open("rb") as file:
                file.seek(self._offset)
                try:
                    while loop.time() < until:
                        if not self._slice(file):
                            return True
                        await asyncio.sleep(REST_S)
                except JournalError as error:
                    self.parted = str(error)
                    return True
        return False

    def _slice(self, file: BinaryIO) -> bool:
        """Fold a few steps. False at the end."""
        for _ in range(SLICE_STEPS):
            raw = file.readline(LINE_BYTES_MAX)
            if not raw.endswith(b"\n") or self.parted:
                return False
            self._check(raw)
            if raw.startswith(b'{"kind":"event"'):
                self._step(_step(raw))
            self._offset += len(raw)
            if self.steps and self.steps % EVERY == 0 and len(self._kept) == self.steps // EVERY:
                self._kept.append(Kept(self._state, self._offset))
        return True

    def _check(self, raw: bytes) -> None:
        if not self.broken and not raw.startswith(b'{"kind":"torn"') and not self._chain.check(raw):
            self.broken = f"The file was changed: what follows step {self.steps - 1} is not what was written"
            if not self.steps:
                self.broken = "The file was changed: its beginning is not what was written"

    def _step(self, step: Step) -> None:
        after, orders = reduce(self._state, step.event)
        if difference := differs(Replayed(step, self._state, after, orders), strict=False):
            self.parted = f"step {step.seq}: recorded was {difference[0]}; today's rules give {difference[1]}"
            return
        self._teller(step.event, self._state, after, orders)
        self._state = after
        self.steps += 1

    def changed(self, seq: int) -> list[Change] | None:
        """What a step changed in the state; None when the fold has not come there (yet)."""
        if seq >= self.steps:
            return None
        kept = self._kept[min(seq // EVERY, len(self._kept) - 1)]
        state = kept.state
        with self.path.open("rb") as file:
            file.seek(kept.offset)
            while raw := file.readline(LINE_BYTES_MAX):
                if not raw.startswith(b'{"kind":"event"'):
                    continue
                step = _step(raw)
                after, _ = reduce(state, step.event)
                if step.seq == seq:
                    return list(changes(state, after))
                state = after
        return None


def _step(raw: bytes) -> Step:
    try:
        return _decode(raw)
    except UNREADABLE as error:
        raise JournalError(f"a line cannot be read: {error}") from None
