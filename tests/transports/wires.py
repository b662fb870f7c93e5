"""Two real peers for a transport: an ASGI WebSocket in memory, and a Line that keeps what it is told."""

import asyncio
import base64
from collections.abc import Coroutine
from typing import Any

import uvloop


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run a test's coroutine on the loop the engine runs on; a test that hangs fails."""

    async def bounded() -> None:
        async with asyncio.timeout(20):
            await main

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(bounded())


class Wire:
    """An ASGI WebSocket, accepted. `say` is the peer talking; `sent` is what reached the peer; `stall` stops it reading."""

    def __init__(self) -> None:
        self._incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._reads = asyncio.Event()
        self._reads.set()
        self.sent: list[Any] = []
        self.closed: tuple[int, str] | None = None
        self.gone = False

    def say(self, *messages: str | bytes) -> None:
        for message in messages:
            kind = "text" if isinstance(message, str) else "bytes"
            self._incoming.put_nowait({"type": "websocket.receive", kind: message})

    def leave(self, code: int = 1006) -> None:
        self.gone = True
        self._incoming.put_nowait({"type": "websocket.disconnect", "code": code})

    def stall(self) -> None:
        self._reads.clear()

    def read_on(self) -> None:
        self._reads.set()

    async def receive(self) -> dict[str, Any]:
        return await self._incoming.get()

    async def send(self, message: Any) -> None:
        await self._reads.wait()
        if self.gone:
            raise OSError("the peer is gone")
        if message["type"] == "websocket.close":
            self.closed = (message["code"], message["reason"])
        else:
            self.sent.append(message.get("text") or message.get("bytes"))


class Ear:
    """A Line that keeps everything."""

    def __init__(self) -> None:
        self.sound = b""
        self.told: list[tuple[object, ...]] = []

    def hear(self, chunk: bytes) -> None:
        self.sound += chunk

    def hear_base64(self, payload: str | bytes) -> None:
        self.sound += base64.b64decode(payload)

    def marked(self, name: str) -> None:
        self.told.append(("marked", name))

    def played(self, run: int, samples: int) -> None:
        self.told.append(("played", run, samples))

    def pressed(self, digit: str) -> None:
        self.told.append(("pressed", digit))

    def typed(self, text: str) -> None:
        self.told.append(("typed", text))

    def rejected(self, reason: str) -> None:
        self.told.append(("rejected", reason))

    @property
    def refusals(self) -> list[object]:
        return [each[1] for each in self.told if each[0] == "rejected"]


async def settle() -> None:
    """Let every task that can run do so."""
    for _ in range(5):
        await asyncio.sleep(0)
