"""`engine verify CALL.jsonl | FOLDER …`: is a journal unchanged, and do today's rules decide the same?"""

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from engine.cli import journals_named
from engine.errors import JournalError
from engine.replay.verify import Report, Verdict, verify

BAR = 30
"""Characters of the progress bar."""


def options(parser: ArgumentParser) -> None:
    parser.add_argument("journals", metavar="CALL.jsonl|FOLDER", type=Path, nargs="+")
    parser.add_argument("--quiet", action="store_true", help="only say what is wrong")


def run(arguments: Namespace) -> int:
    """0 when all are good; a torn one is not: a recording that is missing its end must not look like success."""
    paths = journals_named(arguments.journals)
    bar = Bar(sum(path.stat().st_size for path in paths), len(paths))
    bad = 0
    for path in paths:
        try:
            report = verify(path, bar.move)
        except JournalError as error:
            bad += 1
            bar.say(f"{path}: {error}")
        else:
            torn = report.verdict is Verdict.TORN
            bad += torn
            if torn or not arguments.quiet:
                bar.say(_sentence(report))
        bar.done(path.stat().st_size)
    bar.clear()
    if len(paths) > 1:
        print(f"{len(paths)} journals, {len(paths) - bad} good, {bad} bad")
    return 1 if bad else 0


def _sentence(report: Report) -> str:
    detail = f": {report.detail}" if report.detail else f", digest {report.digest}"
    verdict = "torn, good up to there" if report.verdict is Verdict.TORN else report.verdict.value
    return f"{report.path}: {verdict}, {report.events} events{detail}"


class Bar:
    """Progress on stderr, where stderr is a terminal; nothing anywhere else."""

    def __init__(self, total_bytes: int, files: int) -> None:
        self._total = max(total_bytes, 1)
        self._files = files
        self._before = 0
        self._shown = ""
        self._on = sys.stderr.isatty()

    def move(self, read: int, _size: int) -> None:
        """So many bytes of the present file have been read."""
        part = min((self._before + read) / self._total, 1.0)
        filled = int(part * BAR)
        text = f"[{'█' * filled}{'·' * (BAR - filled)}] {part:4.0%} of {self._files} journals"
        if self._on and text != self._shown:
            self._shown = text
            print(f"\r{text}", end="", file=sys.stderr, flush=True)

    def done(self, size: int) -> None:
        self._before += size

    def say(self, sentence: str) -> None:
        self.clear()
        print(sentence)

    def clear(self) -> None:
        if self._shown:
            print(f"\r{' ' * len(self._shown)}\r", end="", file=sys.stderr, flush=True)
            self._shown = ""
