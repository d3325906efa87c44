"""The endpoint that is delivered to: another process, lean, that checks the numbers of every subscription.

`/…` takes notifications, `POST /forget` starts anew, `GET /ledger?N` answers when N events have come. The number
of an event comes from `webhook-id` (`{subscription}_{first}-{last}`); times are of the machine's monotonic clock,
which all its processes share.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, cast

import orjson

from benchmarks.wire import Connection
from services.clock import SystemClock

PORTS = 16
_HEAD_END = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_WEBHOOK_ID = re.compile(rb"\r\nwebhook-id: *(\S+)_(\d+)-(\d+)\r", re.IGNORECASE)
_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


@dataclass(slots=True)
class _Heard:
    last: int = 0
    gaps: int = 0
    repeats: int = 0


@dataclass(slots=True)
class _Book:
    heard: dict[bytes, _Heard] = field(default_factory=dict)
    arrivals: list[tuple[str, float, int]] = field(default_factory=list)
    events: int = 0
    requests: int = 0
    first: float = 0.0
    last: float = 0.0


class Sink:
    """Keeps the book; `changed` is set when somebody waits for more events."""

    def __init__(self) -> None:
        """Start with nothing heard."""
        self.clock = SystemClock()
        self.book = _Book()
        self.wanted = 0
        self.reached = asyncio.Event()

    def take(self, path: bytes, head: bytes) -> None:
        """Note one notification; a request without event numbers, such as a handshake, is only answered."""
        found = _WEBHOOK_ID.search(head)
        if found is None:
            return
        book = self.book
        book.last = self.clock.monotonic()
        book.first = book.first or book.last
        book.requests += 1
        first, last = int(found[2]), int(found[3])
        heard = book.heard.setdefault(found[1], _Heard())
        if first > heard.last + 1:
            heard.gaps += 1
        elif first <= heard.last:
            heard.repeats += 1
        book.events += last - first + 1
        heard.last = max(heard.last, last)
        book.arrivals.append((path.rpartition(b"/")[2].decode(), book.last, last))
        if book.events >= self.wanted:
            self.reached.set()

    async def ledger(self, events: int) -> bytes:
        """Return the book as JSON once that many events have come."""
        self.wanted = events
        if self.book.events < events:
            self.reached.clear()
            await self.reached.wait()
        book = self.book
        heard = {name.decode(): [one.last, one.gaps, one.repeats] for name, one in book.heard.items()}
        return orjson.dumps(
            {
                "events": book.events,
                "requests": book.requests,
                "first": book.first,
                "last": book.last,
                "subscriptions": heard,
                "arrivals": book.arrivals,
            }
        )


class _Protocol(asyncio.Protocol):
    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._waiting: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but its class

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(_HEAD_END)) >= 0:
            head = bytes(self._buffer[: end + 2])
            found = _LENGTH.search(head)
            whole = end + 4 + (int(found[1]) if found else 0)
            if len(self._buffer) < whole:
                return
            del self._buffer[:whole]
            self._answer(head)

    def _answer(self, head: bytes) -> None:
        assert self._transport is not None
        path = head.split(b" ", 2)[1]
        if path.startswith(b"/ledger?"):
            task = asyncio.create_task(self._tell(int(path[8:])))
            self._waiting.add(task)
            task.add_done_callback(self._waiting.discard)
            return
        if path == b"/forget":
            self._sink.book = _Book()
        else:
            self._sink.take(path, head)
        self._transport.write(_OK)

    async def _tell(self, events: int) -> None:
        assert self._transport is not None
        body = await self._sink.ledger(events)
        self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


@dataclass(frozen=True, slots=True)
class Ledger:
    """What the endpoint heard."""

    events: int
    requests: int
    last: float
    """When the last of them came, on the machine's monotonic clock."""
    subscriptions: dict[str, tuple[int, int, int]]
    """Subscription → its highest number, requests that left a gap before them, requests that came again."""
    arrivals: list[tuple[str, float, int]]
    """Last part of the path, time and highest number of each request, as they came."""

    def faults(self, owed: dict[str, int]) -> list[str]:
        """Say what is missing, twice or out of order, given the highest number owed to each subscription."""
        if not owed or not any(owed.values()):
            return ["nothing was owed"]
        out = [f"{name} was never subscribed" for name in self.subscriptions.keys() - owed.keys()]
        for name, number in owed.items():
            last, gaps, repeats = self.subscriptions.get(name, (0, 0, 0))
            if (last, gaps, repeats) != (number, 0, 0):
                out.append(f"{name} is owed 1 to {number}: got up to {last}, {gaps} gaps, {repeats} repeats")
        return out


@dataclass(slots=True)
class RunningSink:
    """The endpoint, running in another process, at several ports: a sender may limit what one of them gets."""

    urls: list[str]
    _control: Connection

    async def forget(self) -> None:
        """Start anew."""
        await self._control.send("POST", "/forget")

    async def ledger(self, events: int, within: float) -> Ledger:
        """Return what was heard once that many events have come, or what there is after so many seconds."""
        try:
            async with asyncio.timeout(within):
                reply = await self._control.send("GET", f"/ledger?{events}")
        except TimeoutError:
            self._control.close()
            reply = await self._control.send("GET", "/ledger?0")
        found: dict[str, Any] = orjson.loads(reply.body)
        heard = {name: (one[0], one[1], one[2]) for name, one in found["subscriptions"].items()}
        arrivals = [(path, at, number) for path, at, number in found["arrivals"]]
        return Ledger(found["events"], found["requests"], found["last"], heard, arrivals)


@contextlib.asynccontextmanager
async def beside(module: str) -> AsyncIterator[list[str]]:
    """Run a module of ours as a server in another process; yields the URLs of the ports it prints."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        yield [f"http://127.0.0.1:{int(port)}" for port in (await process.stdout.readline()).split()]
    finally:
        process.terminate()
        await process.wait()


@contextlib.asynccontextmanager
async def running_sink() -> AsyncIterator[RunningSink]:
    """Run an endpoint in another process until the block ends."""
    async with beside("benchmarks.sink") as urls:
        yield RunningSink(urls, Connection(urls[0]))


async def _serve() -> None:
    sink = Sink()
    loop = asyncio.get_running_loop()
    servers = [await loop.create_server(lambda: _Protocol(sink), "127.0.0.1", 0) for _ in range(PORTS)]
    print(*(server.sockets[0].getsockname()[1] for server in servers), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    from services.event_loop import run_until_complete

    run_until_complete(_serve())
