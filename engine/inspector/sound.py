"""The outline of a recorded call's sound."""

import asyncio
from pathlib import Path

import numpy as np

from engine.replay.tape import opened

Samples = np.ndarray[tuple[int, int], np.dtype[np.int16]]
BUCKET_S = 0.02
SLICE_BUCKETS = 3_000
"""A minute of sound at a time, then others may go on."""


async def peaks(path: Path, first: int = 0) -> bytes:
    """Loudest sample of each 20 ms: caller, agent, caller, agent …, one byte each, square root of full scale, so that quiet shows.

    first: the first 20 ms to be told; past the end there is nothing. Raises OSError, JournalError for a file that is not what a recorder wrote.
    """
    parts: list[bytes] = []
    with opened(path) as file:
        frames = round(file.getframerate() * BUCKET_S)
        file.setpos(min(first * frames, file.getnframes()))
        while data := file.readframes(frames * SLICE_BUCKETS):
            parts.append(_outline(samples_of(data), frames))
            await asyncio.sleep(0)
    return b"".join(parts)


def samples_of(data: bytes) -> Samples:
    """Whole pairs of samples, caller and agent. A file that was cut off may end in half of one."""
    return np.frombuffer(data[: len(data) // 4 * 4], "<i2").reshape(-1, 2)


def _outline(samples: Samples, frames: int) -> bytes:
    whole = len(samples) // frames * frames
    loudest = np.abs(samples[:whole].astype(np.int32)).reshape(-1, frames, 2).max(axis=1)
    return bytes(np.sqrt(loudest / 32_768 * 255**2).clip(0, 255).astype(np.uint8).tobytes())
