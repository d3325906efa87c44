"""The endpoint that providers let be told at: it keeps what it gets as `vbpr listen` does, and acts as told.

It runs in the test, so that it can do at the very moment of a request what no outsider could time: kill the
process that is sending it, or leave it without an answer.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from aiohttp import web

from services.cli.listen.order import Lanes
from services.cli.listen.reading import Reading, read_request
from services.cli.listen.record import Entry, Record
from services.clock import SystemClock
from tools.server_process import LOOPBACK

Status: TypeAlias = int | None
Before: TypeAlias = Callable[[Reading], Awaitable[Status]]
After: TypeAlias = Callable[[Reading], Awaitable[None]]
Respond: TypeAlias = Callable[[web.Request, Reading], Awaitable[web.StreamResponse | None]]
_KEPT_HEADERS = ("content-type", "webhook-id", "webhook-timestamp")


async def take(_reading: Reading) -> Status:
    """Answer 200: the ordinary case."""
    return 200


async def answer(_reading: Reading) -> None:
    """Send the answer at once: the ordinary case."""


async def respond(_request: web.Request, _reading: Reading) -> web.StreamResponse | None:
    """Answer with the status and nothing else: the ordinary case."""
    return None


@dataclass(slots=True)
class Endpoint:
    """A running endpoint. `before`, `after` and `respond` may be replaced at any moment."""

    url: str
    path: Path
    """Its record, which the ledger reads."""
    entries: list[Entry] = field(default_factory=list)
    before: Before = take
    """Asked before a request is put on record; its status is the answer, `None` takes nothing."""
    after: After = answer
    """Awaited once a request is on record, before the answer is sent."""
    respond: Respond = respond
    """Asked for the answer itself, if it is more than a status; the status on record is the one of `before`."""
    others: list[str] = field(default_factory=list)
    """Further URLs it is reached at."""

    def taken(self, subscription: str) -> list[int]:
        """Return the numbers it has taken for a subscription, in the order they were first taken."""
        entries = [
            each for each in self.entries if each.reading.subscription == subscription and each.answered
        ]
        return list(dict.fromkeys(number for each in entries for number in each.reading.numbers))

    def readings(self, subscription: str) -> list[Reading]:
        """Return every request of a subscription in the order they came, handshakes and copies too."""
        return [each.reading for each in self.entries if each.reading.subscription == subscription]


@contextlib.asynccontextmanager
async def listening(folder: Path, *, others: int = 0) -> AsyncIterator[Endpoint]:
    """Serve an endpoint on a free loopback port, and on so many others: a sender takes each for one of its own."""
    endpoint = Endpoint("", folder / "received.ndjson")
    record, lanes, clock = Record(endpoint.path), Lanes(), SystemClock()
    ended = asyncio.Event()

    async def handle(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        reading = read_request(request.method, request.path, headers, body)
        status = await endpoint.before(reading)
        judged = lanes.judge(reading, accepted=status is not None and status < 300)
        entry = Entry(
            at=clock.now().isoformat(timespec="milliseconds"),
            method=request.method,
            path=request.path,
            headers={name: headers[name] for name in _KEPT_HEADERS if name in headers},
            header_names=tuple(headers),
            reading=reading,
            duplicate=judged.duplicate,
            problems=reading.problems + judged.problems,
            answered=status,
            body=body.decode(errors="replace"),
        )
        await record.append(entry)
        endpoint.entries.append(entry)
        await endpoint.after(reading)
        if (own := await endpoint.respond(request, reading)) is not None:
            return own
        if status is None:
            await ended.wait()
        return web.Response(status=status or 503)

    app = web.Application(client_max_size=2**26)
    app.router.add_route("*", "/{tail:.*}", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    for _ in range(1 + others):
        await web.TCPSite(runner, LOOPBACK, 0).start()
    endpoint.url, *endpoint.others = (f"http://{LOOPBACK}:{port}" for _, port in runner.addresses)
    try:
        yield endpoint
    finally:
        ended.set()
        await runner.cleanup()
        record.close()
