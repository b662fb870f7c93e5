"""The arithmetic of Silero's network. Not to be shared between threads."""

from typing import Self, final

from typing_extensions import disjoint_base

@final
class Weights:
    """The trained network: one for a process."""

    def __new__(cls, packed: bytes, variant: int = 0) -> Self:
        """packed: as `silero.pack` makes them. variant: of the loops that this machine can run, best first; the last is plain C.

        Raises ValueError for another size, or when there is no such variant.
        """

@disjoint_base
class Silero:
    """The network with one caller's state."""

    def __new__(cls, weights: Weights) -> Self: ...
    def step(self, window: bytes) -> float:
        """The probability of speech in the next 512 samples (PCM16, 1,024 bytes). Raises ValueError for another size."""
