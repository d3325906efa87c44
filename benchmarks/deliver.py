"""How fast is a backlog drained, beside a bare aiohttp client loop on the same endpoint, bytes and concurrency?

And does an endpoint that hangs, with much owed to it, slow others down?
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import sqlalchemy as sa

from benchmarks import backlog, bare, neighbour
from benchmarks.backlog import BASE, Content, Load
from benchmarks.draining import Cost, draining
from benchmarks.reports import SMALL, Reports
from benchmarks.result import Result, run
from benchmarks.servers import Backend, Place, place
from benchmarks.sink import Ledger, RunningSink, running_sink
from services.clock import SystemClock
from services.notifier import tables as t
from services.notifier import wiring as notifier
from services.notifier.model import Batch, Channel, Event, Owed, Status
from services.notifier.render import render_batch
from services.settings import Settings

LEAST = 0.6
"""Share of the bare loop that a drain has to reach, for each process."""
MANY, LEAST_FOR_MANY = 1000, 2500
"""Subscriptions, and deliveries a second that they have to come to on two cores."""
STATEMENTS = 3
"""Most SQL statements a delivery, amortised."""
WORKERS = 64


@dataclass(frozen=True, slots=True)
class Drain:
    """One measurement."""

    backend: Backend
    load: Load
    processes: int = 1

    def __str__(self) -> str:
        """Name it in a table."""
        many = f", {self.processes} notifiers" if self.processes > 1 else ""
        return f"{self.backend}, {self.load}{many}"


def drains(*, quick: bool) -> list[Drain]:
    """Return what is measured: one lane, some and many; both payloads, singly and batched; one and two notifiers.

    SQLite, which one process has to itself, only singly and with reports.
    """
    total = 4_000 if quick else 50_000
    one, some = (1, total // 4 if quick else total), (16, total // 16)
    many = (total // 16 if quick else MANY, 16 if quick else total // MANY)
    shapes = [Load(lanes, events, "full-resource", 1) for lanes, events in (one, some, many)]
    two = [Drain("PostgreSQL", shapes[-1], processes=2)]
    if quick:
        return [*(Drain("SQLite", load) for load in shapes), Drain("PostgreSQL", shapes[-1]), *two]
    contents: tuple[Content, ...] = ("full-resource", "id-only")
    every = [
        Load(lanes, events, content, batch)
        for lanes, events in (one, some, many)
        for content in contents
        for batch in (1, 16)
    ]
    return [*(Drain("PostgreSQL", load) for load in every), *two, *(Drain("SQLite", load) for load in shapes)]


async def measure(result: Result, quick: bool) -> None:
    """Drain every load, then measure beside an endpoint that hangs."""
    async with running_sink() as sink:
        with place() as somewhere:
            for each in drains(quick=quick):
                await _drain(result, somewhere, each, sink)
            await neighbour.measure(result, somewhere, sink, quick=quick)


async def _bare(load: Load, sink: RunningSink) -> float:
    requests = load.subscriptions * -(-load.events // load.batch)
    return await bare.client_loop(
        sink,
        requests=min(max(requests, 2_000), 12_000),
        concurrency=min(load.subscriptions, WORKERS),
        body=sample(load, sink.urls[0]),
    )


async def _drain(result: Result, somewhere: Place, drain: Drain, sink: RunningSink) -> None:
    case, load, clock = str(drain), drain.load, SystemClock()
    url = somewhere.database(drain.backend)
    settings = Settings(notifier_database_url=url)
    database = notifier.open_database(settings)
    await notifier.MIGRATIONS.upgrade(database)
    names = await backlog.subscribe(database, clock, load, sink.urls)
    await backlog.owe(database, clock, load, names)
    await database.close()
    before = await _bare(load, sink)
    await sink.forget()
    ledger, took, cost = await _run(url, drain.processes, sink, load.notifications)
    # Measured on both sides of the drain: what else the machine does changes from minute to minute.
    ceiling = (before + await _bare(load, sink)) / 2
    result.close(case, ledger.faults(dict.fromkeys(names, load.events)))
    result.close(case, await _unsettled(settings))
    deliveries = ledger.requests
    if drain.processes == 1:
        result.share(case, deliveries / took, "POST/s", ceiling, LEAST)
    else:
        result.at_least(case, deliveries / took, "POST/s", LEAST_FOR_MANY, ceiling)
    if load.batch > 1:
        result.figure(f"{case}: events", ledger.events / took, "events/s")
    result.figure(f"{case}: processor", cost.processor / max(1, deliveries) * 1e6, "us/POST")
    result.at_most(f"{case}: SQL", cost.statements / max(1, deliveries), "statements/POST", STATEMENTS)


async def _run(url: str, processes: int, sink: RunningSink, owed: int) -> tuple[Ledger, float, Cost]:
    """Run notifiers until the endpoint has everything; return what it heard, the seconds, and their cost."""
    settings = {
        "VBPR_NOTIFIER_DATABASE_URL": url,
        "VBPR_BASE_URL": BASE,
        "VBPR_ALLOW_HTTP_ENDPOINTS": "true",
        "VBPR_ALLOW_PRIVATE_ENDPOINTS": "true",
        "VBPR_WORKERS": str(WORKERS),
    }
    async with draining(settings, processes) as notifiers:
        started = SystemClock().monotonic()
        await notifiers.begin()
        ledger = await sink.ledger(owed, within=60 + owed / 100)
        cost = await notifiers.end()
    return ledger, ledger.last - started, cost


async def _unsettled(settings: Settings) -> list[str]:
    """Say which lanes still owe something by their own record, after an orderly end."""
    database = notifier.open_database(settings)
    async with database.read() as connection:
        owing = sa.select(sa.func.count()).where(t.lane.c.next_number <= t.lane.c.last_number)
        left = (await connection.execute(owing)).scalar_one()
    await database.close()
    return [f"{left} lanes owe something still, by their record"] if left else []


def sample(load: Load, url: str) -> bytes:
    """Return one notification's bytes as they will be sent."""
    report, now = Reports(SMALL).make(0), SystemClock().now()
    event = Event("", "bench-0", 1, "create", now, len(report), report)
    owed = [Owed(n, event) for n in range(1, load.batch + 1)]
    channel = Channel(
        "0" * 36, "topic", Status.ACTIVE, url, "application/fhir+json", load.content, backlog.TOPIC
    )
    return render_batch(channel, Batch(channel.subscription, owed), base=BASE, now=now, deadline=20).body


if __name__ == "__main__":
    sys.exit(run("deliver", __doc__, measure))
