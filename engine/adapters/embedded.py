"""What the embedded providers share: a crew of worker processes, started and stopped with the provider.

Apart from `workers`, which the workers themselves import: they need to know nothing of providers.
"""

from abc import ABC, abstractmethod
from typing import ClassVar, Generic, TypeVar

from engine.adapters.base import Options
from engine.adapters.workers import Crew

Own = TypeVar("Own", bound=Options)


class Embedded(ABC, Generic[Own]):
    """A provider whose work a crew of this machine's own processes does."""

    key_env: ClassVar[str] = ""

    def __init__(self, options: Own) -> None:
        self._options = options
        self._crew: Crew | None = None

    @abstractmethod
    def hire(self) -> Crew:
        """A crew for the options, not yet started. Raises AdapterError, ConfigError."""

    @property
    def crew(self) -> Crew:
        assert self._crew is not None, "start comes first"
        return self._crew

    @property
    def pids(self) -> list[int]:
        """The processes it runs."""
        return [worker.pid for worker in self._crew.living] if self._crew is not None else []

    @property
    def loads(self) -> list[int]:
        """How many pieces of work each process has in hand."""
        return [worker.load for worker in self._crew.living] if self._crew is not None else []

    async def start(self) -> None:
        """Start the workers. Raises AdapterError, ConfigError."""
        self._crew = self.hire()
        await self._crew.start()

    async def ready(self) -> None:
        """See base."""
        await self.crew.ready()

    async def stop(self) -> None:
        """See base."""
        if self._crew is not None:
            await self._crew.stop()
            self._crew = None
