"""A line between a client and a server that can go dead without a word: both ends stay connected, and nothing passes any more."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

PIECE_BYTES = 64 * 1024


class Relay:
    """Passes bytes on until the server has said so many."""

    def __init__(self, target: str, *, freeze_after_bytes: int) -> None:
        """target: http://host:port"""
        host, _, port = target.removeprefix("http://").rpartition(":")
        self._host, self._port = host, int(port)
        self._left = freeze_after_bytes
        self.url = ""

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        """Relay until the block ends; gives the http:// address."""
        lines: set[asyncio.Task[None]] = set()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            line = asyncio.create_task(self._carry(reader, writer))
            lines.add(line)
            line.add_done_callback(lines.discard)

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self.url
        finally:
            server.close()
            for line in list(lines):
                line.cancel()
            await asyncio.gather(*lines, return_exceptions=True)
            await server.wait_closed()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(self._host, self._port)
        try:
            await asyncio.gather(
                self._pass(reader, back, counted=False), self._pass(there, writer, counted=True), return_exceptions=True
            )
        finally:
            back.close()
            writer.close()

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, counted: bool) -> None:
        while data := await source.read(PIECE_BYTES):
            if counted:
                self._left -= len(data)
            if self._left < 0:
                # Nothing is read any more either, so that the silence is the line's and nobody is told.
                await asyncio.Event().wait()
            sink.write(data)
            await sink.drain()
        sink.write_eof()
