"""From the decision to clear until the bytes are in the peer's hands: `python bench/wire.py`.

A peer in another process waits in a blocking read. The decision falls in a callback behind which the work of other calls is ready too.
"one step" is the engine's way out; "writer task" is the usual one, a queue and a task that empties it.
"""

import asyncio
import multiprocessing
import socket
import time
from collections.abc import Callable
from typing import Any

import uvicorn
import uvloop

from engine.transports.asgi import Message, Outbox, Receive, Send

CLEARS = 400
OTHERS = (0, 100, 300)
WORK_NS = 20_000
"""What another call's frame costs."""
CLEAR = '{"event":"clear","streamSid":"MZ00000000000000000000000000000001"}'
UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
BEGIN = bytes((0x81, 0x81, 0, 0, 0, 0, ord("a")))
"""A masked text frame."""


class WriterTask:
    """The usual way out."""

    def __init__(self, send: Send) -> None:
        self._queue: asyncio.Queue[Message] = asyncio.Queue()
        self._send = send
        self._task = asyncio.create_task(self._write())

    def overtake(self, message: Message, run: int) -> None:
        self._queue.put_nowait(message)

    async def _write(self) -> None:
        while True:
            await self._send(await self._queue.get())


def peer(port: int, arrivals: "multiprocessing.Queue[list[int]]") -> None:
    """Read clears as they come, and say when."""
    stamps = []
    with socket.create_connection(("127.0.0.1", port)) as wire:
        wire.send(UPGRADE)
        wire.recv(4_096)
        wire.send(BEGIN)
        for _ in range(CLEARS):
            wire.recv(4_096)
            stamps.append(time.perf_counter_ns())
    arrivals.put(stamps)


def work() -> None:
    until = time.perf_counter_ns() + WORK_NS
    while time.perf_counter_ns() < until:
        pass


async def measure(make: Callable[[Send], Any], others: int) -> list[float]:
    """Microseconds from decision to arrival, sorted."""
    loop = asyncio.get_running_loop()
    decided: list[int] = []
    over = loop.create_future()

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await receive()
        box = make(send)

        def decide() -> None:
            for _ in range(others):
                loop.call_soon(work)
            decided.append(time.perf_counter_ns())
            box.overtake({"type": "websocket.send", "text": CLEAR}, 1)
            if len(decided) < CLEARS:
                loop.call_later(0.012, decide)
            else:
                loop.call_later(0.1, over.set_result, None)

        decide()
        await over

    with socket.create_server(("127.0.0.1", 0)) as listening:
        options: Any = {
            "ws": "websockets-sansio",
            "ws_per_message_deflate": False,
            "lifespan": "off",
            "log_config": None,
        }
        server = uvicorn.Server(uvicorn.Config(app, **options))
        serving = asyncio.create_task(server.serve([listening]))
        arrivals: multiprocessing.Queue[list[int]] = multiprocessing.Queue()
        process = multiprocessing.Process(target=peer, args=(listening.getsockname()[1], arrivals))
        process.start()
        arrived = await asyncio.to_thread(arrivals.get)
        process.join()
        server.should_exit = True
        await serving
    return sorted((there - here) / 1e3 for here, there in zip(decided, arrived, strict=True))


def main() -> None:
    print(f"{'others':>7}  {'way out':<12} {'median':>8} {'p99':>8} {'max':>8}  (µs, {CLEARS} clears)")
    ways: dict[str, Callable[[Send], Any]] = {
        "one step": lambda send: Outbox(send, lambda: None),
        "writer task": WriterTask,
    }
    for others in OTHERS:
        for name, make in ways.items():
            took = uvloop.run(measure(make, others))
            print(
                f"{others:>7}  {name:<12} {took[CLEARS // 2]:>8.0f} {took[CLEARS * 99 // 100]:>8.0f} {took[-1]:>8.0f}"
            )


if __name__ == "__main__":
    main()
