"""Does an endpoint that hangs slow others down? The same events at the same rate, before it owes much and while it does."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from benchmarks import backlog
from benchmarks.backlog import Load
from benchmarks.draining import draining
from benchmarks.reports import SMALL, Reports
from benchmarks.result import Result, percentile
from benchmarks.servers import Place
from benchmarks.sink import RunningSink
from services.clock import SystemClock
from services.database import Database
from services.event_log import Record
from services.notifier import wiring as notifier
from services.notifier.enqueue.enqueue import Matched, enqueue
from services.settings import Settings

MOST = 1.2
"""How many times as long the healthy may wait at the 95th percentile."""
RATE, HEALTHY = 20, 4
"""Events a second, one that whoever enqueues them keeps up with (else its backlog is measured), and who gets each."""
_LOG = "healthy"


async def measure(result: Result, somewhere: Place, sink: RunningSink, *, quick: bool) -> None:
    """Measure on PostgreSQL, where the one that makes lanes due and the one that sends are two processes."""
    url = somewhere.database("PostgreSQL")
    database = notifier.open_database(Settings(notifier_database_url=url))
    await notifier.MIGRATIONS.upgrade(database)
    clock, seconds = SystemClock(), 4 if quick else 30
    owed = Load(100, 50 if quick else 1000, "full-resource", 1)
    async with _hanging() as deaf:
        healthy = await backlog.subscribe(
            database, clock, Load(HEALTHY, 0, "id-only", 1), [sink.urls[0], sink.urls[1]]
        )
        hanging = await backlog.subscribe(database, clock, owed, [deaf])
        await sink.forget()
        settings = {
            "VBPR_NOTIFIER_DATABASE_URL": url,
            "VBPR_ALLOW_HTTP_ENDPOINTS": "true",
            "VBPR_ALLOW_PRIVATE_ENDPOINTS": "true",
        }
        async with draining(settings) as notifiers:
            await notifiers.begin()
            feed = _Feed(database, healthy)
            await feed.run(RATE)  # connections and plans are made
            alone = await feed.latencies(sink, RATE * seconds)
            await backlog.owe(database, clock, owed, hanging)
            beside = await feed.latencies(sink, RATE * seconds)
            await notifiers.end()
        await database.close()
    ledger = await sink.ledger(feed.next_number * HEALTHY, within=1)
    result.close("hanging neighbour", ledger.faults(dict.fromkeys(healthy, feed.next_number)))
    before, after = percentile(alone, 95), percentile(beside, 95)
    case = f"PostgreSQL, {RATE} events/s to {HEALTHY} subscriptions, a hanging endpoint owed {owed.notifications:,}"
    result.figure(f"{case}: p95 before", before, "ms")
    result.figure(f"{case}: p95 beside it", after, "ms")
    result.at_most(f"{case}: p95", after / before, "times", MOST)


class _Feed:
    """Enqueues events at a fixed rate, and knows when each was due."""

    def __init__(self, database: Database, subscriptions: list[str]) -> None:
        self._database = database
        self._names = tuple(subscriptions)
        self._clock = SystemClock()
        self._reports = Reports(SMALL)
        self._at: dict[int, int | None] = {0: None}
        self.next_number = 0

    async def run(self, count: int) -> dict[int, float]:
        """Enqueue so many; return the time each was due at, by event number."""
        due = {}
        started = self._clock.monotonic()
        for place in range(count):
            at = started + place / RATE
            if (wait := at - self._clock.monotonic()) > 0:
                await self._clock.sleep(wait)
            event = backlog.event(self._reports, self.next_number, self._clock)
            batch = [Matched(Record(0, self.next_number, event), self._names)]
            self._at |= (await enqueue(self._database, self._clock, _LOG, self._at, batch)).positions
            self.next_number += 1
            due[self.next_number] = at
        return due

    async def latencies(self, sink: RunningSink, count: int) -> list[float]:
        """Enqueue so many; return the milliseconds to each arrival."""
        due = await self.run(count)
        ledger = await sink.ledger(self.next_number * len(self._names), within=30)
        return [(at - due[number]) * 1000 for _, at, number in ledger.arrivals if number in due]


@contextlib.asynccontextmanager
async def _hanging() -> AsyncIterator[str]:
    """Serve an endpoint that takes requests and never answers; yields its URL."""
    ended = asyncio.Event()

    async def take(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await ended.wait()
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        ended.set()
        server.close()
