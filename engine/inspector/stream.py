"""One call as a stream of pieces: first what the file holds, then, while the call lives, what it grows by; and how far it is folded."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO

from engine.inspector.fold import Fold
from engine.inspector.rows import ROWS_MAX, Rows
from engine.replay.journal import LINE_BYTES_MAX
from engine.replay.reader import UNREADABLE, is_live

FIRST_ROWS = 2_000
"""In the first piece: a screenful at once."""
SLICE_LINES = 1_000
"""Lines taken without a rest: about 4 ms."""
POLL_S = 0.04
"""Between two looks at a growing file. With the writer's own pace (0.05 s) a page is 0.1 s behind at worst."""
FOLD_S = 0.1
"""Folding between two looks at a file that grows, while there is much to fold."""


async def pieces(path: Path, fold: Fold) -> AsyncIterator[bytes]:
    """Pieces for one page, until the journal is whole, or torn, and folded."""
    rows = Rows()
    with path.open("rb") as file:
        file.readline(LINE_BYTES_MAX)
        limit = FIRST_ROWS
        while True:
            more = take(file, rows, limit)
            if len(rows) >= limit or not more:
                yield rows.piece(folded=fold.steps, live=not rows.over and not more)
                limit = ROWS_MAX
            if not more:
                break
            await asyncio.sleep(0)
        while True:
            living = not rows.over and is_live(path)
            grown = take(file, rows, ROWS_MAX) or len(rows) > 0
            if not living and not rows.over and not grown:
                rows.over = "torn: it ends without a footer"
            if grown:
                yield rows.piece(folded=fold.steps, live=living)
            folded = await fold.advance(FOLD_S)
            if grown or not living or not folded:
                yield rows.piece(folded=fold.steps, live=living, done=folded and not living)
            if folded and not living and not grown:
                return
            await asyncio.sleep(POLL_S if folded else 0)


def take(file: BinaryIO, rows: Rows, limit: int) -> bool:
    """Take whole lines up to a limit of rows. False where the file has no more for now."""
    start = file.tell()
    for _ in range(SLICE_LINES):
        if rows.over:
            return False
        raw = file.readline(LINE_BYTES_MAX)
        if not raw.endswith(b"\n"):
            file.seek(start)
            return False
        try:
            rows.take(raw, start)
        except UNREADABLE as error:
            rows.over = f"corrupt at byte {start}: {error}"
            return False
        start += len(raw)
        if len(rows) >= limit:
            return True
    return True
