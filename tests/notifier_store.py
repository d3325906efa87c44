"""A notifier's database for tests of its statements: subscriptions made, events enqueued, lanes looked at."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from schemas.event import EventType, ReportEvent
from services.clock import Clock, SystemClock
from services.database import Database
from services.event_log import Record
from services.notifier import tables as t
from services.notifier.enqueue.enqueue import Matched, enqueue
from services.notifier.subscriptions.admission import admit
from services.notifier.subscriptions.channels import EndpointPolicy
from services.notifier.subscriptions.store import SubscriptionStore
from services.notifier.subscriptions.stored import Stored
from services.notifier.wiring import MIGRATIONS
from services.principal import LOCAL
from tests.notifying import classic, contract, topical

LOG = "log"
BASE = "https://vbpr.example/fhir"


def event(number: int, name: str = "c1") -> ReportEvent:
    """The event of a report of a contract; the same number is the same event."""
    return ReportEvent(
        id=f"00000000-0000-7000-8000-{number:012d}",
        type=EventType.PUBLISHED,
        source="test",
        subject=f"MeasureReport/r{number}/_history/1",
        time=datetime(2026, 3, 1, 12, 0, tzinfo=UTC),
        contract=contract(name),
        interaction="create",
        facets={"contract": [contract(name)]},
        previous_facets=None,
        body=b'{"resourceType":"MeasureReport","id":"r%d"}' % number,
    )


@dataclass
class NotifierStore:
    """An open notifier's database."""

    database: Database
    clock: Clock = field(default_factory=SystemClock)
    at: dict[int, int | None] = field(default_factory=dict)
    """Where this reader stands, as an intake keeps it."""

    async def subscribe(
        self, *, topic: bool = False, endpoint: str = "http://127.0.0.1:9/hook", **options: Any
    ) -> Stored:
        """Create a Subscription to contract c1."""
        make = topical if topic else classic
        resource = make(endpoint, **options)
        policy = EndpointPolicy(allow_http=True, allow_private=True)
        admitted = admit(resource, base_url=BASE, policy=policy, now=self.clock.now())
        return await SubscriptionStore(self.database, self.clock).create(LOCAL, admitted)

    async def take_in(self, partition: int, position: int, numbers: list[int], *subscriptions: str) -> int:
        """Enqueue these events from a place in the log on, matched by these subscriptions; return how many are owed."""
        batch = [
            Matched(Record(partition, position + place, event(number)), subscriptions)
            for place, number in enumerate(numbers)
        ]
        done = await enqueue(self.database, self.clock, LOG, self.at, batch)
        self.at |= done.positions
        return done.notifications

    async def numbers(self, subscription: str) -> list[int]:
        """Return the numbers given to a subscription, in order."""
        statement = sa.select(t.notification.c.number).where(t.notification.c.subscription_id == subscription)
        async with self.database.read() as connection:
            return list((await connection.execute(statement.order_by(t.notification.c.number))).scalars())

    async def lane(self, subscription: str) -> Any:
        """Return a lane's row."""
        async with self.database.read() as connection:
            statement = sa.select(t.lane).where(t.lane.c.subscription_id == subscription)
            return (await connection.execute(statement)).one()

    async def attempts(self, subscription: str) -> list[int]:
        """Return the first number of each try of a subscription, in the order they were recorded."""
        of = t.attempt.c
        statement = sa.select(of.first_number).where(of.subscription_id == subscription).order_by(of.id)
        async with self.database.read() as connection:
            return list((await connection.execute(statement)).scalars())

    async def set_lane(self, subscription: str, **values: Any) -> None:
        """Write into a lane's row."""
        async with self.database.write() as connection:
            await connection.execute(
                sa.update(t.lane).where(t.lane.c.subscription_id == subscription).values(values)
            )


@contextlib.asynccontextmanager
async def notifier_store(url: str) -> AsyncIterator[NotifierStore]:
    """Open a database and bring it to its head."""
    database = Database(url, planned_once=True)  # as the notifier opens its own
    try:
        await MIGRATIONS.upgrade(database)
        yield NotifierStore(database)
    finally:
        await database.close()
