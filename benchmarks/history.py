"""Do finished deliveries slow down what comes after them? Each step of a delivery, with few and with millions behind it."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Awaitable
from datetime import timedelta
from typing import TypeVar

import sqlalchemy as sa

from benchmarks import backlog
from benchmarks.backlog import BASE, Load
from benchmarks.reports import SMALL, Reports
from benchmarks.result import Result, run
from benchmarks.servers import BACKENDS, Backend, Place, place
from schemas.event import EventType, ReportEvent
from services.clock import SystemClock
from services.database import Database, micros
from services.event_log import Record
from services.notifier import tables as t
from services.notifier import wiring as notifier
from services.notifier.enqueue.enqueue import Matched, enqueue
from services.notifier.model import Answer
from services.notifier.record.recorder import record
from services.notifier.record.turn import Tried, Turn
from services.notifier.record.verdict import Delivered
from services.notifier.retention import sweeps
from services.notifier.send.claims import Claimed, Room, Terms, claim
from services.retention import Pruner
from services.settings import Settings

T = TypeVar("T")

LANES = 1_000
AT_ONCE = 64
ROUNDS = 12
FEW = 100
"""Events behind every lane at first: enough for each lane to have pages of its own."""
SLOWER = 1.5
"""Most times its first figure that a step may take with the history behind it: noise, not growth."""

_SERIES = {
    "SQLite": "(WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {count}) SELECT n FROM n) AS s",
    "PostgreSQL": "generate_series(1, {count}) AS s(n)",
}


async def measure(result: Result, quick: bool) -> None:
    """Measure both databases, empty and full."""
    finished = 200_000 if quick else 10_000_000
    for backend in BACKENDS:
        with place() as somewhere:
            await _measure(result, somewhere, backend, finished)


async def _measure(result: Result, somewhere: Place, backend: Backend, finished: int) -> None:
    few, many = [await _filled(somewhere, backend, events) for events in (FEW, FEW + finished // LANES)]
    for bench in (few, many):
        await bench.round()  # warm
        bench.forget()
    # In turn: what else the machine does changes from minute to minute, and filling takes many.
    for _ in range(ROUNDS):
        await few.round()
        await many.round()
    before, after = few.medians(), many.medians()
    for step, first in before.items():
        result.at_most(f"{backend}, {finished:,} behind: {step}", after[step], "ms", first * SLOWER, first)
    result.figure(f"{backend}: one round of the pruner, at most", await prune(many.database), "ms")
    for bench in (few, many):
        await bench.database.close()


async def _filled(somewhere: Place, backend: Backend, events: int) -> Bench:
    """Return a bench with so many events behind every lane."""
    database = notifier.open_database(Settings(notifier_database_url=somewhere.database(backend)))
    await notifier.MIGRATIONS.upgrade(database)
    load = Load(LANES, 1, "id-only", 1)
    names = await backlog.subscribe(database, SystemClock(), load, ["http://127.0.0.1:9"])
    await fill(database, backend, events)
    return Bench(database, names)


class Bench:
    """Deliveries without an endpoint: enqueued for every lane, claimed, recorded as taken."""

    def __init__(self, database: Database, names: list[str]) -> None:
        """Take a database with these Subscriptions, all idle."""
        self.database = database
        self._names = tuple(names)
        self._clock = SystemClock()
        self._at: dict[int, int | None] = {0: None}
        self._position = 0
        self._reports = Reports(SMALL)
        self.forget()

    def forget(self) -> None:
        """Begin the measurement anew."""
        self._enqueued: list[float] = []
        self._leased: list[float] = []
        self._recorded: list[float] = []

    async def round(self) -> None:
        """Take in one event for all lanes, then claim and record until nothing is owed."""
        await self._timed(self._enqueued, self._enqueue())
        for _ in range(LANES // AT_ONCE + 1):
            claimed = await self._timed(self._leased, self._claim())
            await self._timed(self._recorded, self._record(claimed))

    def medians(self) -> dict[str, float]:
        """Return the median milliseconds of each step."""
        return {
            f"enqueue for {LANES:,} lanes": statistics.median(self._enqueued),
            f"claim {AT_ONCE} lanes": statistics.median(self._leased),
            f"record {AT_ONCE} lanes": statistics.median(self._recorded),
        }

    async def _timed(self, times: list[float], step: Awaitable[T]) -> T:
        started = self._clock.monotonic()
        found = await step
        times.append((self._clock.monotonic() - started) * 1000)
        return found

    async def _enqueue(self) -> None:
        event = ReportEvent(
            id=self._clock.uuid7(), type=EventType.PUBLISHED, source=BASE,
            subject=f"MeasureReport/bench-{self._position}/_history/1", time=self._clock.now(),
            contract=self._reports.contract, interaction="create", facets={"contract": [self._reports.contract]},
            previous_facets=None, body=self._reports.make(self._position),
        )  # fmt: skip
        batch = [Matched(Record(0, self._position, event), self._names)]
        self._at |= (await enqueue(self.database, self._clock, "bench", self._at, batch)).positions
        self._position += 1

    async def _claim(self) -> list[Claimed]:
        return await claim(
            self.database, self._clock, Room(AT_ONCE, 0, (), lambda _endpoint: AT_ONCE), Terms(90, 2**20)
        )

    async def _record(self, claimed: list[Claimed]) -> None:
        turns = []
        for each in claimed:
            turn = Turn(each.lane, each.channel)
            for batch in each.batches:
                answer = Answer(200, None, "", 1)
                turn.tries.append(
                    Tried(batch.webhook_id, batch.first, batch.last, self._clock.now(), answer, Delivered())
                )
                turn.lane = turn.lane.after(Delivered(), batch.first, batch.last)
            turns.append(turn)
        if turns:
            await record(self.database, self._clock, turns)


async def fill(database: Database, backend: Backend, events: int) -> None:
    """Put so many events behind every lane, each delivered long ago: rows as the steps leave them."""
    long_ago = SystemClock().now() - timedelta(days=1000)
    at = str(micros(long_ago)) if backend == "SQLite" else f"'{long_ago.isoformat()}'::timestamptz"
    series = _SERIES[backend].format(count=events)
    body = "x'7b7d'" if backend == "SQLite" else r"'\x7b7d'::bytea"
    name = f"'{events}-' || n" if backend == "SQLite" else f"'{events}-' || n::text"
    new = f"e.event_id LIKE '{events}-%'"
    number = f"CAST(substr(e.event_id, {len(str(events)) + 2}) AS BIGINT)"
    statements = (
        # What this run has sent so far was long ago too: rows are older the lower their ids.
        f"UPDATE attempt SET at = {at}",
        f"UPDATE event SET received_at = {at}",
        f"""INSERT INTO event (event_id, type, source, report_id, version, contract, interaction, accepted_at,
            received_at, log_partition, log_position, facets, body)
            SELECT {name}, 'org.vbpr.report.published.v1', 's', 'r', 1, 'c', 'create', {at}, {at}, 1, n, '{{}}', {body}
            FROM {series}""",
        f"INSERT INTO seen_event (event_id, accepted_at) SELECT {name}, {at} FROM {series}",
        f"""INSERT INTO notification (subscription_id, number, event_seq)
            SELECT l.subscription_id, l.last_number + {number}, e.seq FROM event e CROSS JOIN lane l WHERE {new}""",
        f"""INSERT INTO attempt (subscription_id, webhook_id, first_number, last_number, at, milliseconds, outcome,
            status, said)
            SELECT subscription_id, subscription_id || number, number, number, {at}, 3, 'delivered', 200, '200 OK'
            FROM notification n JOIN event e ON e.seq = n.event_seq WHERE {new}""",
        f"""UPDATE lane SET next_number = next_number + {events}, last_number = last_number + {events},
            plan_first = plan_first + {events}, plan_last = plan_last + {events}""",
        f"UPDATE counter SET last_number = last_number + {events}",
    )
    for statement in statements:
        async with database.write() as connection:
            if backend == "PostgreSQL":
                await connection.exec_driver_sql("SET LOCAL synchronous_commit = off")
            await connection.exec_driver_sql(statement)
    if backend == "PostgreSQL":
        async with database.write() as connection:
            await connection.exec_driver_sql("ANALYZE")


async def prune(database: Database) -> float:
    """Return the longest of twenty rounds of the pruner over the history, in milliseconds."""
    clock = SystemClock()
    pruner = Pruner(database, clock, sweeps(Settings()))
    longest = 0.0
    for _ in range(20):
        started = clock.monotonic()
        await pruner.round()
        longest = max(longest, (clock.monotonic() - started) * 1000)
    async with database.read() as connection:
        left = (await connection.execute(sa.select(sa.func.count()).select_from(t.attempt))).scalar_one()
    print(f"  {left:,} attempts left", file=sys.stderr)
    return longest


if __name__ == "__main__":
    sys.exit(run("history", __doc__, measure))
