"""How many SQL statements does a notification cost? Few, and a batch no more of them for being large."""

from __future__ import annotations

from functools import partial

import sqlalchemy as sa

from benchmarks.statements import counted
from services.notifier import tables as t
from tests.conditions import eventually
from tests.notifier_store import notifier_store
from tests.notifying import Notifying, classic, contract, notifying
from tests.receiver import Receiver, receiving

SUBSCRIPTIONS, EVENTS = 20, 10
DELIVERIES = SUBSCRIPTIONS * EVENTS
MOST = 3
"""Statements a delivery, amortised: what the design allows for claiming, loading and recording it."""


def has_got(receiver: Receiver, count: int) -> bool:
    return len(receiver.got) == count


async def recorded(running: Notifying) -> int:
    """How many deliveries the notifier has written down."""
    delivered = sa.select(sa.func.count()).where(t.attempt.c.outcome == "delivered")
    async with running.database.read() as connection:
        return (await connection.execute(delivered)).scalar_one()


async def test_a_delivery_costs_at_most_three_statements(database_urls: tuple[str, str]) -> None:
    async with notifying(*database_urls, poll_seconds=0.5) as running, receiving() as receiver:
        for _ in range(SUBSCRIPTIONS):
            await running.subscribe(classic(receiver.url))
        for _ in range(EVENTS):
            await running.outbox.accept(contract("c1"))
        database = running.database
        with counted(database) as statements:
            while await running.relay.emit():
                pass
            await eventually(partial(has_got, receiver, DELIVERIES), within=30)
            await running.stop()  # in order: what was sent is recorded
        await running.start()
        assert await recorded(running) == DELIVERIES
        # All the notifier did to its database is in there, taking in and idling included.
        assert 0 < statements.total() <= MOST * DELIVERIES


async def test_what_is_sent_one_by_one_is_counted(database_urls: tuple[str, str]) -> None:
    """The counter sees every statement: deliveries that come alone cost more than a drain allows."""
    async with notifying(*database_urls, poll_seconds=0.5) as running, receiving() as receiver:
        await running.subscribe(classic(receiver.url))
        with counted(running.database) as statements:
            for count in range(1, 4):
                await running.publish("c1")
                await eventually(partial(has_got, receiver, count))
        assert statements.total() > MOST * 3


async def test_a_large_batch_is_taken_in_with_as_many_statements_as_a_small_one(
    database_urls: tuple[str, str],
) -> None:
    async with notifier_store(database_urls[1]) as store:
        names = [(await store.subscribe()).id for _ in range(SUBSCRIPTIONS)]
        assert await store.take_in(0, 0, [0], *names) == SUBSCRIPTIONS
        with counted(store.database) as small:
            assert await store.take_in(0, 1, [1], *names) == SUBSCRIPTIONS
        with counted(store.database) as large:
            assert await store.take_in(0, 2, list(range(2, 102)), *names) == 100 * SUBSCRIPTIONS
        assert large.total() == small.total(), large
