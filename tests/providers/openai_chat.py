"""A Chat Completions server that sends exactly the bytes it is told to, in the pieces it is told to, and counts its connections.

It speaks HTTP/1.1 by hand, because what is tested are the wire's oddities, which a web framework would put right. It lists its
models, as all such servers do, and answers each POST with the next of its `answers`.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

DONE = "[DONE]"


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, **fields: Any) -> dict[str, Any]:
    """One chunk, with all the fields OpenAI's own server sends."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1763900000,
        "model": "m-2026",
        "choices": [
            {"index": 0, "delta": delta if delta is not None else {}, "logprobs": None, "finish_reason": finish}
        ],
        "usage": None,
        "obfuscation": "x7k2",
        **fields,
    }


def usage(prompt: int = 20, completion: int = 2, cached: int = 0) -> dict[str, Any]:
    details = {"prompt_tokens_details": {"cached_tokens": cached}, "completion_tokens_details": {"reasoning_tokens": 0}}
    counts = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return chunk(choices=[], usage=counts | details)


def events(*data: dict[str, Any] | str, end: str = "\n\n") -> bytes:
    """Server-sent events, as bytes."""
    texts = [each if isinstance(each, str) else json.dumps(each) for each in data]
    return "".join(f"data: {text}{end}" for text in texts).encode()


@dataclass
class Sent:
    """One answer."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    pieces: int = 0
    """Send the body in pieces of this many bytes. 0: whole."""
    end: str = "whole"
    """whole: as HTTP wants; cut: the connection closes in the middle; stall: it stays open and silent; now: before any answer."""


class ChatServer:
    """The server's side of the wire."""

    def __init__(self, *answers: Sent | bytes) -> None:
        self.answers = [each if isinstance(each, Sent) else Sent(each) for each in answers]
        self.asked: list[dict[str, Any]] = []
        """Bodies of the questions."""
        self.headers: list[dict[str, str]] = []
        """Headers of the questions, names in lower case."""
        self.paths: list[str] = []
        """Of every request."""
        self.connections = 0
        self.closed = asyncio.Event()
        """A client has hung up in the middle of an answer."""
        self.models_status = 200
        self.url = ""

    @asynccontextmanager
    async def serve(self) -> AsyncIterator["ChatServer"]:
        lines: list[tuple[asyncio.StreamWriter, asyncio.Task[None]]] = []

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            lines.append((writer, asyncio.create_task(self._connection(reader, writer))))

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        try:
            yield self
        finally:
            server.close()
            for writer, task in lines:
                task.cancel()
                writer.close()
            await asyncio.gather(*(task for _, task in lines), return_exceptions=True)
            await asyncio.gather(*(writer.wait_closed() for writer, _ in lines), return_exceptions=True)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while await self._exchange(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            return  # the client hung up between two requests
        finally:
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its answer; returns whether the connection stays."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, path, _ = head[0].split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        self.paths.append(path)
        if method == "GET":
            await self._send(writer, Sent(b'{"object":"list","data":[]}', self.models_status), "application/json")
            return True
        self.asked.append(json.loads(body))
        self.headers.append(headers)
        return await self._answer(reader, writer, self.answers.pop(0))

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Sent) -> bool:
        if answer.end == "now":
            return False
        await self._send(writer, answer, "text/event-stream" if answer.status == 200 else "application/json")
        if answer.end == "stall":
            await reader.read(1)  # returns when the client hangs up
            self.closed.set()
        return answer.end == "whole"

    async def _send(self, writer: asyncio.StreamWriter, answer: Sent, kind: str) -> None:
        headers = {"Content-Type": kind, "Transfer-Encoding": "chunked"} | answer.headers
        lines = [f"HTTP/1.1 {answer.status} X", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        writer.write("\r\n".join(lines).encode())
        size = answer.pieces or max(len(answer.body), 1)
        for start in range(0, len(answer.body), size):
            piece = answer.body[start : start + size]
            writer.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            await writer.drain()
        if answer.end == "whole":
            writer.write(b"0\r\n\r\n")
        await writer.drain()
