"""A bad network between two WebRTC peers: everything goes through a relay that loses, delays and so reorders packets.

The kernel's netem does this better, where it can be had; containers' kernels often lack it.
"""

import asyncio
import random
import re
from typing import Any

HOST = re.compile(r"a=candidate:[^\r\n]* udp \d+ ([\d.]+) (\d+) typ host[^\r\n]*\r\n")
CANDIDATE = re.compile(r"a=candidate:[^\r\n]*\r\n")


class Side(asyncio.DatagramProtocol):
    """The relay's socket towards one of the peers."""

    def __init__(self, relay: "Relay") -> None:
        self._relay = relay
        self.other: Side | None = None
        self.peer: tuple[str, int] | None = None
        self.transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.peer = addr
        assert self.other is not None
        self._relay.pass_on(data, self.other)

    def send(self, data: bytes) -> None:
        if self.transport is not None and self.peer is not None and not self.transport.is_closing():
            self.transport.sendto(data, self.peer)


class Relay:
    """loss: share of packets that never arrive; jitter_ms: each is late by up to so much, so that they overtake each other."""

    def __init__(self, seed: int = 1) -> None:
        self._random = random.Random(seed)
        self.loss = 0.0
        self.jitter_ms = 0.0
        self.passed = self.lost = 0
        self._page, self._server = Side(self), Side(self)
        self._page.other, self._server.other = self._server, self._page

    def pass_on(self, data: bytes, side: Side) -> None:
        if self._random.random() < self.loss:
            self.lost += 1
            return
        self.passed += 1
        late = self._random.random() * self.jitter_ms / 1000
        asyncio.get_running_loop().call_later(late, side.send, data)

    async def instead_of_page(self, offer: str) -> str:
        """A page's offer as the server is to see it: with the relay's address in place of its own."""
        return await self._in_between(self._page, self._server, offer)

    async def instead_of_server(self, answer: str) -> str:
        """The server's answer as the page is to see it, likewise."""
        return await self._in_between(self._server, self._page, answer)

    async def _in_between(self, near: Side, far: Side, sdp: str) -> str:
        found = HOST.search(sdp)
        assert found is not None
        host = found.group(1)
        near.peer = (host, int(found.group(2)))
        await asyncio.get_running_loop().create_datagram_endpoint(lambda: far, local_addr=(host, 0))
        assert far.transport is not None
        own = far.transport.get_extra_info("sockname")[1]
        line = f"a=candidate:relay 1 udp 2130706431 {host} {own} typ host\r\n"
        return CANDIDATE.sub("", sdp[: found.start()]) + line + CANDIDATE.sub("", sdp[found.end() :])

    def close(self) -> None:
        for side in (self._page, self._server):
            if side.transport is not None:
                side.transport.close()
