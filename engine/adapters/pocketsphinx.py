"""Recognition without a service: pocketsphinx in worker processes, with a language model of the agent's own domain.

The decoding is in `pocketsphinx_worker`; here is what the parent knows of it. A worker that dies fails its streams with CLOSED
and is replaced.
"""

import asyncio
import os
import re
from collections import deque
from collections.abc import AsyncIterator
from importlib import import_module
from pathlib import Path
from typing import ClassVar, Literal

import pocketsphinx
from msgspec import json

from engine.adapters.base import ASRFact, Headers, Options
from engine.adapters.embedded import Embedded
from engine.adapters.pocketsphinx_worker import Settings
from engine.adapters.workers import Crew, Kind, Seat
from engine.core.events import ASRFinal, ASROpened, ASRPartial
from engine.core.units import FRAME_NS, LIMITS
from engine.errors import AdapterError, ConfigError, FailureKind

NAME = "pocketsphinx"
WORKER = "engine.adapters.pocketsphinx_worker"
WORKERS = 4
"""Processes at most, unless the configuration says more: 80 callers who speak at once."""
REFERENCE = re.compile(r"[\w.]+:\w+")
"""A text in a Python module."""
FACTS = 256
"""Facts a stream keeps for a reader that is slow; a new partial replaces the last."""


class PocketsphinxOptions(Options, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The embedded recogniser's settings."""

    domain: str = ""
    """What callers are likely to say, in the format of `adapters/domain`: "module:ATTRIBUTE", a file's path, or the text itself (of more
    than one line). Empty: general English, which is far worse."""
    workers: int = 0
    """Processes. 0: one for each core, four at most. One carries about 20 callers who speak at once."""
    language_weight: float = 6.5
    """How much the language model counts against the sound."""
    word_insertion: float = 0.65
    """Below 1: fewer, longer words. Above: more, shorter ones."""
    narrow_band: Literal["auto", "always", "never"] = "auto"
    """Whether the sound stops at 4 kHz, as on the telephone. The model was trained on 8 kHz of band."""
    leak: float = 0.5
    """How much of its own mirror image above 4 kHz a narrow band is given, so that the model finds something there. From 0.3 to 0.8
    it makes no difference, below 0.2 it helps less (docs/offline.md)."""


class Ear:
    """One recognition stream of one call."""

    def __init__(self, crew: Crew, ear: int) -> None:
        self._crew = crew
        self._ear = ear
        self._seat: Seat | None = None
        self._early: deque[tuple[Kind, bytes]] = deque(maxlen=LIMITS.inlet_ns // FRAME_NS)
        self._facts: deque[ASRFact] = deque()
        self._news = asyncio.Event()
        self._error: AdapterError | None = None

    def hear(self, frame: bytes) -> None:
        self._send(Kind.SOUND, frame)

    def finalize(self) -> None:
        self._send(Kind.FINISH, b"")

    async def facts(self) -> AsyncIterator[ASRFact]:
        self._seat = seat = await self._crew.sit(self)
        try:
            seat.send(Kind.OPEN)
            while self._early:
                seat.send(*self._early.popleft())
            yield ASROpened(ear=self._ear)
            while True:
                await self._news.wait()
                self._news.clear()
                while self._facts:
                    yield self._facts.popleft()
                if self._error is not None:
                    raise self._error
        finally:
            seat.leave()

    def _send(self, kind: Kind, body: bytes) -> None:
        if self._seat is None:
            self._early.append((kind, body))
        else:
            self._seat.send(kind, body)

    # workers.Client

    def take(self, kind: Kind, body: bytes) -> None:
        text = body.decode()
        if kind is Kind.FINAL:
            self._facts.append(ASRFinal(ear=self._ear, text=text))
        else:
            if self._facts and isinstance(self._facts[-1], ASRPartial):
                self._facts.pop()
            self._facts.append(ASRPartial(ear=self._ear, text=text))
        if len(self._facts) > FACTS:
            self.fail(AdapterError(NAME, FailureKind.CLOSED, "nobody reads its facts"))
        self._news.set()

    def fail(self, error: AdapterError) -> None:
        self._error = self._error or error
        self._news.set()


class Pocketsphinx(Embedded[PocketsphinxOptions]):
    """The embedded recogniser."""

    name: ClassVar[str] = NAME
    options: ClassVar[type[Options]] = PocketsphinxOptions

    def hire(self) -> Crew:
        """See workers. Builds the domain's model, if it is not in the cache."""
        options = self._options
        settings = Settings(
            models=pocketsphinx.get_model_path(),
            domain=read_domain(options.domain),
            language_weight=options.language_weight,
            word_insertion=options.word_insertion,
            narrow_band=options.narrow_band,
            leak=options.leak,
        )
        return Crew(NAME, WORKER, json.encode(settings), options.workers or min(os.cpu_count() or 1, WORKERS))

    def stream(self, ear: int, headers: Headers = ()) -> Ear:
        """See base."""
        return Ear(self.crew, ear)


def read_domain(choice: str) -> str:
    """A domain's text: from "module:ATTRIBUTE", from a file's path, or from itself. Raises ConfigError."""
    if "\n" in choice or not choice:
        return choice
    try:
        if REFERENCE.fullmatch(choice):
            module, _, attribute = choice.partition(":")
            return str(getattr(import_module(module), attribute))
        return Path(choice).read_text(encoding="utf-8")
    except (ImportError, AttributeError, OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"pocketsphinx.domain: {choice} cannot be read: {error}") from error
