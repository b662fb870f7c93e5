"""The outline of a recorded call's sound."""

import asyncio
import wave
from pathlib import Path

import numpy as np

from engine.errors import JournalError

BUCKET_S = 0.02
SLICE_BUCKETS = 3_000
"""A minute of sound at a time, then others may go on."""


async def peaks(path: Path) -> bytes:
    """Loudest sample of each 20 ms: caller, agent, caller, agent …, one byte each, square root of full scale, so that quiet shows.

    Raises OSError, JournalError for a file that is not what a recorder wrote.
    """
    parts: list[bytes] = []
    try:
        with wave.open(str(path), "rb") as file:
            if file.getnchannels() != 2 or file.getsampwidth() != 2:
                raise JournalError(f"{path.name} is not the sound of a call: two channels of 16 bits")
            frames = round(file.getframerate() * BUCKET_S)
            while data := file.readframes(frames * SLICE_BUCKETS):
                parts.append(_outline(np.frombuffer(data, "<i2").reshape(-1, 2), frames))
                await asyncio.sleep(0)
    except (wave.Error, EOFError) as error:
        raise JournalError(f"{path.name} cannot be read: {error}") from None
    return b"".join(parts)


def _outline(samples: "np.ndarray[tuple[int, int], np.dtype[np.int16]]", frames: int) -> bytes:
    whole = len(samples) // frames * frames
    loudest = np.abs(samples[:whole].astype(np.int32)).reshape(-1, frames, 2).max(axis=1)
    return bytes(np.sqrt(loudest / 32_768 * 255**2).clip(0, 255).astype(np.uint8).tobytes())
