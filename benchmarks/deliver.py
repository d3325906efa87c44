"""How fast is a backlog drained, beside a bare aiohttp client loop on the same endpoint, bytes and concurrency?"""

from __future__ import annotations

import asyncio
import gc
import sys
from collections import Counter

import sqlalchemy as sa

from benchmarks import backlog, bare
from benchmarks.backlog import BASE, Load
from benchmarks.reports import SMALL, Reports
from benchmarks.result import Result, run
from benchmarks.servers import BACKENDS, Backend, Place, place
from benchmarks.sink import Ledger, RunningSink, running_sink
from benchmarks.statements import counted
from schemas.event import EventType
from services.clock import SystemClock
from services.database import Database
from services.event_log_outbox import OutboxRows, OutboxSource
from services.lifecycle import Lifecycle
from services.notifier import tables as t
from services.notifier import wiring as notifier
from services.notifier.model import Batch, Channel, Owed, Status
from services.notifier.render import render_batch
from services.publisher import wiring as publisher
from services.publisher.store.tables import log_head, outbox, resource_version
from services.settings import Settings
from services.wakeup import Wakeup

LEAST = 0.3
"""Share of the bare loop that a drain has to reach."""
STATEMENTS = 3
"""Most SQL statements a delivery, amortised."""
WORKERS = 64


def loads(*, quick: bool) -> list[Load]:
    """Return what is drained: one lane, some lanes, many lanes."""
    total = 5_000 if quick else 50_000
    shapes = [(1, total // 5), (16, total // 16), (1000, total // 1000)]
    out = [Load(lanes, events, "full-resource", 1) for lanes, events in shapes]
    out += [Load(lanes, events, "full-resource", 16) for lanes, events in shapes[:2]]
    return out + [Load(16, total // 16, "id-only", batch) for batch in (1, 16)]


async def measure(result: Result, quick: bool) -> None:
    """Drain every load on both databases."""
    async with running_sink() as sink:
        for load in loads(quick=quick):
            for backend in BACKENDS:
                with place() as somewhere:
                    await _drain(result, somewhere, backend, load, sink)


async def _bare(load: Load, sink: RunningSink) -> float:
    requests = load.subscriptions * -(-load.events // load.batch)
    return await bare.client_loop(
        sink,
        requests=min(max(requests, 3_000), 12_000),
        concurrency=min(load.subscriptions, WORKERS),
        body=sample(load, sink.urls[0]),
    )


async def _drain(result: Result, somewhere: Place, backend: Backend, load: Load, sink: RunningSink) -> None:
    case = f"{backend}, {load}"
    settings = Settings(
        notifier_database_url=somewhere.database(backend),
        base_url=BASE,
        allow_http_endpoints=True,
        allow_private_endpoints=True,
        workers=WORKERS,
    )
    database = notifier.open_database(settings)
    await notifier.MIGRATIONS.upgrade(database)
    names = await backlog.subscribe(database, SystemClock(), load, sink.urls)
    await backlog.owe(database, SystemClock(), load, names)
    await database.close()
    before = await _bare(load, sink)
    await sink.forget()
    ledger, took, statements = await _run(settings, somewhere, sink, load.notifications)
    # Measured on both sides of the drain: what else the machine does changes from minute to minute.
    ceiling = (before + await _bare(load, sink)) / 2
    result.close(case, ledger.faults(dict.fromkeys(names, load.events)))
    result.close(case, await _unsettled(settings))
    deliveries = ledger.requests
    result.share(case, deliveries / took, "POST/s", ceiling, LEAST)
    if load.batch > 1:
        result.figure(f"{case}: events", ledger.events / took, "events/s")
    per_delivery = statements.total() / max(1, deliveries)
    result.at_most(f"{case}: SQL", per_delivery, "statements/POST", STATEMENTS)


async def _run(
    settings: Settings, somewhere: Place, sink: RunningSink, owed: int
) -> tuple[Ledger, float, Counter[str]]:
    """Run a notifier until the endpoint has everything; return what it heard, the seconds, the statements."""
    clock = SystemClock()
    log = Database(somewhere.database("SQLite"))
    await publisher.MIGRATIONS.upgrade(log)
    source = OutboxSource(log, OutboxRows(outbox, resource_version, BASE), log_head, Wakeup())
    running = await notifier.open_notifier(settings, clock, source, log_name="outbox")
    lifecycle = Lifecycle(clock)
    for loop in running.loops:
        lifecycle.add(loop)
    gc.collect()
    gc.freeze()
    with counted(running._database) as statements:  # noqa: SLF001  # what is measured is what it does to its database
        started = clock.monotonic()
        task = asyncio.create_task(lifecycle.run())
        ledger = await sink.ledger(owed, within=60 + owed / 100)
        lifecycle.stop()
        await task
        await running.close()
    await log.close()
    return ledger, ledger.last - started, statements


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
    owed = [
        Owed(n, "bench-0", 1, EventType.PUBLISHED, "create", now, report) for n in range(1, load.batch + 1)
    ]
    channel = Channel(
        "0" * 36, "topic", Status.ACTIVE, url, "application/fhir+json", load.content, backlog.TOPIC
    )
    return render_batch(channel, Batch(channel.subscription, owed), base=BASE, now=now, deadline=20).body


if __name__ == "__main__":
    sys.exit(run("deliver", __doc__, measure))
