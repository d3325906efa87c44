"""A notifier's database whose lanes are sent by hand, one turn at a time: what operators then see is known exactly."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from schemas.event import ReportEvent
from services.clock import Clock
from services.database import Database
from services.event_log import Record
from services.notifier import tables as t
from services.notifier.enqueue.enqueue import Matched, enqueue
from services.notifier.record.verdict import RetryPolicy
from services.notifier.send.claims import Claimed, Room, Terms, claim
from services.notifier.send.client import RestHookClient
from services.notifier.send.delivery import Delivery
from services.notifier.send.endpoints import Endpoints
from services.notifier.send.leases import Leases
from services.notifier.send.sender import Sender
from services.notifier.subscriptions.admission import admit
from services.notifier.subscriptions.channels import EndpointPolicy
from services.notifier.subscriptions.store import SubscriptionStore
from services.principal import LOCAL
from services.wakeup import Wakeup
from tests.notifier_store import BASE, LOG, NotifierStore, event, notifier_store
from tests.notifying import classic, topical
from tests.receiver import Receiver, receiving

HOUR = 3600.0
LEASE = 90.0


@dataclass
class Watched:
    """The rows, a real endpoint, and the real steps from a claim to its record."""

    store: NotifierStore
    receiver: Receiver
    delivery: Delivery
    position: int = 0

    @property
    def database(self) -> Database:
        return self.store.database

    @property
    def clock(self) -> Clock:
        return self.store.clock

    async def subscribe(self, *, topic: bool = False, endpoint: str | None = None, **options: Any) -> str:
        """Create a Subscription to contract c1 at the receiver; return its id."""
        make = topical if topic else classic
        policy = EndpointPolicy(allow_http=True, allow_private=True)
        asked = admit(
            make(endpoint or self.receiver.url, **options), base_url=BASE, policy=policy, now=self.clock.now()
        )
        made = await SubscriptionStore(self.database, self.clock).create(LOCAL, asked)
        if topic:
            await self.turns()  # its handshake
        return made.id

    async def owe(self, count: int, *subscriptions: str) -> None:
        """Take in so many events, each matched by these subscriptions."""
        numbers = range(self.position + 1, self.position + 1 + count)
        await self.take_in(*((event(number), subscriptions) for number in numbers))

    async def take_in(self, *matched: tuple[ReportEvent, tuple[str, ...]]) -> None:
        """Take in these events, each with the subscriptions it matched."""
        batch = [
            Matched(Record(0, self.position + place, of), subscriptions)
            for place, (of, subscriptions) in enumerate(matched)
        ]
        done = await enqueue(self.database, self.clock, LOG, self.store.at, batch)
        self.store.at |= done.positions
        self.position += len(batch)

    async def delete(self, subscription: str) -> None:
        """Delete a Subscription, as its client would."""
        await SubscriptionStore(self.database, self.clock).delete(LOCAL, subscription)

    async def lease(self) -> list[Claimed]:
        """Claim everything that is due, and do no more."""
        return await claim(
            self.database, self.clock, Room(10, 10, (), lambda _endpoint: 10), Terms(LEASE, 2**20)
        )

    async def turns(self) -> None:
        """Claim what is due, send it and record what it came to."""
        await self.delivery.step()
        await self.delivery.close()  # waits for the turns and records them; it may claim again

    async def all_turns(self) -> None:
        """Take turns until no lane is due."""
        lane = t.lane.c
        while True:
            due = sa.select(lane.subscription_id).where(lane.due_at <= self.database.now(self.clock)).limit(1)
            async with self.database.read() as connection:
                if (await connection.execute(due)).first() is None:
                    return
            await self.turns()

    async def again(self, subscription: str) -> None:
        """Make a waiting lane due, as time would, and take a turn."""
        await self.store.set_lane(subscription, due_at=self.clock.now())
        await self.turns()


def sending(clock: Clock, client: RestHookClient, policy: RetryPolicy) -> Sender:
    """Return what sends, by this client."""
    return Sender(
        client=client,
        clock=clock,
        policy=policy,
        base=BASE,
        deadline=5,
        leases=Leases(clock, LEASE),
        endpoints=Endpoints(clock, at_a_time=10, a_second=0),
        stopping=lambda: False,
    )


@contextlib.asynccontextmanager
async def watched(
    url: str, *, schedule: tuple[float, ...] = (HOUR, 2 * HOUR), clock: Clock | None = None
) -> AsyncIterator[Watched]:
    """Open a migrated database beside an endpoint that answers 200 until it is told otherwise."""
    async with notifier_store(url) as store, receiving() as receiver:
        store.clock = clock or store.clock
        clock = store.clock
        client = RestHookClient(clock, private=True, response_bytes=1024)
        sender = sending(clock, client, RetryPolicy(schedule=schedule, jitter=0.0))
        delivery = Delivery(store.database, clock, sender, workers=10, owed=Wakeup())
        try:
            yield Watched(store, receiver, delivery)
        finally:
            await client.close()
