"""The slow obvious twin of the audio core: what every compiled loop must equal, written from the standards' tables.

Nothing here is clever, nothing is shared with engine/_codec, and nothing here ships.
"""

from bisect import bisect_right
from math import gcd

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.int16]

# -- G.711: tables of decision and output values, multiplied to fill 16 bits -----------------------------------------

ULAW_EDGES = [max(0, ((128 + 8 * step) << segment) - 132) for segment in range(8) for step in range(16)]
"""Table 2a: the decision values of one sign. A magnitude on an edge belongs to the interval above it."""
ULAW_LEVELS = [((132 + 8 * step) << segment) - 132 for segment in range(8) for step in range(16)]
"""Table 2a: the output values of one sign."""
ALAW_EDGES = [16 * i for i in range(32)] + [(256 + 16 * step) << k for k in range(1, 7) for step in range(16)]
"""Table 1a: the decision values of one sign."""
ALAW_LEVELS = [8 + 16 * i for i in range(32)] + [(264 + 16 * step) << k for k in range(1, 7) for step in range(16)]
"""Table 1a: the output values of one sign."""


def ulaw_encode(sample: int) -> int:
    """Sign and magnitude, the classic way: every bit inverted."""
    code = bisect_right(ULAW_EDGES, abs(sample)) - 1
    return ~(code | (0x80 if sample < 0 else 0)) & 0xFF


def ulaw_decode(code: int) -> int:
    magnitude = ULAW_LEVELS[~code & 0x7F]
    return magnitude if code & 0x80 else -magnitude


def alaw_encode(sample: int) -> int:
    """Ones' complement for negatives, as in ITU-T G.191; even bits inverted."""
    code = bisect_right(ALAW_EDGES, sample if sample >= 0 else ~sample) - 1
    return (code | (0x80 if sample >= 0 else 0)) ^ 0x55


def alaw_decode(code: int) -> int:
    magnitude = ALAW_LEVELS[(code ^ 0x55) & 0x7F]
    return magnitude if (code ^ 0x55) & 0x80 else -magnitude


# -- resampling: the definition, in floating point, one product at a time ---------------------------------------------

HALVES = {"telephone": (32, 6.2), "high": (44, 10.06)}


def half_length(up: int, down: int, quality: str) -> int:
    return HALVES[quality][0] * max(up, down) // 2 - 1


def prototype(up: int, down: int, quality: str) -> NDArray[np.float64]:
    """The low-pass at the common rate: 2 * half + 1 taps that sum to `up`, Kaiser window over a sinc."""
    half, beta = half_length(up, down, quality), HALVES[quality][1]
    at = np.arange(-half, half + 1)
    slow = max(up, down)
    window = np.i0(beta * np.sqrt(1 - (at / (half + 1)) ** 2)) / np.i0(beta)
    return up / slow * np.sinc(at / slow) * window


def resample(pcm: bytes, source_hz: int, target_hz: int, quality: str) -> NDArray[np.float64]:
    """Every output as the sum it is defined to be, unrounded: insert zeros, filter, keep every down-th."""
    x = np.frombuffer(pcm, "<i2").astype(np.float64)
    if source_hz == target_hz:
        return x
    common = gcd(source_hz, target_hz)
    up, down = target_hz // common, source_hz // common
    taps, half = prototype(up, down, quality), half_length(up, down, quality)
    outputs = -(-len(x) * up // down)
    result = np.zeros(outputs)
    for k in range(outputs):
        oldest, newest = -((half - k * down) // up), (k * down + half) // up
        n = np.arange(max(0, oldest), min(len(x) - 1, newest) + 1)
        row = taps[(k * down % up + half) % up :: up].sum()
        result[k] = (x[n] * taps[k * down - n * up + half]).sum() / row
    return result


def outputs_due(samples: int, source_hz: int, target_hz: int, quality: str) -> int:
    """How many outputs that many samples determine: those whose filter reaches no further."""
    common = gcd(source_hz, target_hz)
    up, down = target_hz // common, source_hz // common
    half = 0 if up == down else half_length(up, down, quality)
    return max(0, -((half - samples * up) // down))


# -- the rest ---------------------------------------------------------------------------------------------------------


def saturated(values: NDArray[np.int64]) -> bytes:
    return values.clip(-32768, 32767).astype("<i2").tobytes()
