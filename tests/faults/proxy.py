"""A TCP proxy on loopback whose connections can be cut as a failing network cuts them: by a reset, mid-sentence."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from tests.simulation.chance import Chance
from tools.server_process import LOOPBACK

_CHUNK = 65_536


@dataclass(slots=True)
class Proxy:
    """What stands between clients and one server."""

    upstream: int
    port: int = 0
    cuts: int = 0
    """Connections cut so far."""
    _open: dict[int, tuple[asyncio.StreamWriter, ...]] = field(default_factory=dict)

    @property
    def connections(self) -> int:
        return len(self._open)

    def cut(self, chance: Chance, probability: float = 1.0) -> None:
        """Reset connections at both ends, each with this probability: what was under way is lost."""
        for key in [key for key in self._open if chance.happens(probability)]:
            for writer in self._open.pop(key):
                writer.transport.abort()
            self.cuts += 1

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry bytes both ways until one end is done, or the connection is cut."""
        try:
            upstream, onward = await asyncio.open_connection(LOOPBACK, self.upstream)
        except OSError:
            writer.transport.abort()
            return
        key = id(writer)
        self._open[key] = (writer, onward)
        await asyncio.wait(
            [asyncio.create_task(_pump(reader, onward)), asyncio.create_task(_pump(upstream, writer))],
        )
        self._open.pop(key, None)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while chunk := await reader.read(_CHUNK):
            writer.write(chunk)
            await writer.drain()
    writer.close()


@contextlib.asynccontextmanager
async def proxy(upstream: int) -> AsyncIterator[Proxy]:
    """Serve one on a free port, before the loopback port `upstream`."""
    one = Proxy(upstream)
    server = await asyncio.start_server(one.carry, LOOPBACK, 0)
    one.port = server.sockets[0].getsockname()[1]
    try:
        yield one
    finally:
        server.close()
        one.cut(Chance(0, "end"))
        await server.wait_closed()
