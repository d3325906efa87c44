"""From what is taken in to what is sent and recorded: nothing on the way waits to be looked for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa

from services.event_log import Record
from services.notifier import tables as t
from services.notifier.enqueue.enqueue import Matched, enqueue_in
from services.notifier.model import Batch, Channel, Request
from services.notifier.record.lane import AHEAD
from services.notifier.render import render_batch
from services.notifier.send import sender
from tests.conditions import eventually
from tests.notifier_store import LOG, event
from tests.notifying import classic, notifying, topical
from tests.receiver import Receiver
from tests.watching import Watched, watched

NEVER: dict[str, Any] = {
    "poll_seconds": 600.0,
    "retry_schedule": (0.05, 0.05),
    "handshake_schedule": (0.02,),
}
"""A loop that is not woken is not heard of again within a test."""


@pytest.fixture
async def rows(database_urls: tuple[str, str]) -> AsyncIterator[Watched]:
    async with watched(database_urls[1]) as opened:
        yield opened


def count_of(receiver: Receiver, count: int) -> bool:
    return len(receiver.events()) == count


async def test_every_step_is_woken_by_the_one_before(
    database_urls: tuple[str, str], receiver: Receiver
) -> None:
    async with notifying(*database_urls, **NEVER) as running:
        await running.subscribe(classic(receiver.url))
        await running.subscribe(topical(receiver.url, max_count=1))
        for published in range(1, 4):
            await running.publish("c1")
            await eventually(partial(count_of, receiver, 2 * published), within=5)
        await running.publish(*["c1"] * 20)  # more than one turn sends
        await eventually(partial(count_of, receiver, 2 * 23), within=5)


async def test_lanes_that_wait_for_room_at_their_endpoint_get_it_as_soon_as_there_is_some(
    database_urls: tuple[str, str], receiver: Receiver
) -> None:
    async with notifying(*database_urls, **NEVER, endpoint_lanes=2) as running:
        for _ in range(12):
            await running.subscribe(topical(receiver.url, max_count=1))
        await running.publish(*["c1"] * 20)
        await eventually(partial(count_of, receiver, 240), within=15)


async def test_a_short_wait_is_not_lengthened_by_looking_seldom(
    database_urls: tuple[str, str], receiver: Receiver
) -> None:
    async with notifying(*database_urls, **NEVER) as running:
        await running.subscribe(classic(receiver.url))
        receiver.statuses(500, 503)
        await running.publish("c1", "c1")
        await eventually(partial(count_of, receiver, 4), within=5)


@pytest.mark.requirement("R-190")
async def test_an_endpoint_with_a_rate_gets_what_it_is_owed_at_that_rate(
    database_urls: tuple[str, str], receiver: Receiver
) -> None:
    async with notifying(*database_urls, **NEVER, endpoint_rate=50) as running:
        await running.subscribe(classic(receiver.url))
        await running.publish(*["c1"] * 6)
        await eventually(partial(count_of, receiver, 6), within=5)


async def lease_of(rows: Watched, subscription: str) -> str | None:
    async with rows.database.read() as connection:
        statement = sa.select(t.lane.c.claim_id).where(t.lane.c.subscription_id == subscription)
        found: str | None = (await connection.execute(statement)).scalar_one()
        return found


async def test_what_is_taken_in_is_leased_with_it_and_sent_when_that_is_committed(rows: Watched) -> None:
    subscription = await rows.subscribe()
    batch = [Matched(Record(0, 0, event(1)), (subscription,))]
    async with rows.delivery.transaction() as outgoing:
        await enqueue_in(outgoing.connection, rows.database, rows.clock, LOG, rows.store.at, batch)
        await outgoing.lease_due()
        assert rows.receiver.got == []
    assert await lease_of(rows, subscription) is not None
    await rows.delivery.close()
    assert [got.body for got in rows.receiver.got] == [event(1).body]
    assert await lease_of(rows, subscription) is None, "and recorded"


def has_taken(rows: Watched, count: int) -> bool:
    return len(rows.receiver.got) == count


async def test_a_lane_is_never_more_than_sixteen_ahead_of_its_record(rows: Watched) -> None:
    """What was sent is recorded while the next is sent: each record lets half of the sixteen follow."""
    subscription = await rows.subscribe()
    await rows.owe(40, subscription)
    await rows.delivery.step()
    for recorded in (0, 8, 16):
        await eventually(partial(has_taken, rows, recorded + AHEAD), within=5)
        for _ in range(200):  # whoever could send would have
            await rows.clock.sleep(0)
        assert has_taken(rows, recorded + AHEAD)
        assert (await rows.store.lane(subscription)).next_number == recorded + 1
        lease = await lease_of(rows, subscription)
        await rows.delivery.step()
        assert await lease_of(rows, subscription) == lease is not None, "the lane stays with whoever sends"
    await eventually(partial(has_taken, rows, 40), within=5)
    await rows.delivery.close()
    assert await rows.store.attempts(subscription) == list(range(1, 41))
    assert await lease_of(rows, subscription) is None


async def test_a_lane_that_another_has_taken_is_sent_for_no_further(rows: Watched) -> None:
    subscription = await rows.subscribe()
    await rows.owe(40, subscription)
    await rows.delivery.step()
    await eventually(partial(has_taken, rows, AHEAD), within=5)
    await rows.store.set_lane(subscription, claim_id="another")
    await rows.delivery.step()
    await eventually(lambda: not rows.delivery.deliverer.running, within=5)
    await rows.delivery.close()
    assert has_taken(rows, AHEAD)
    assert (await rows.store.lane(subscription)).next_number == 1


async def test_what_was_sent_is_recorded_with_what_is_taken_in_next(
    database_urls: tuple[str, str], receiver: Receiver
) -> None:
    """On SQLite that saves a transaction a report; and when nothing comes, it is recorded all the same."""
    async with notifying(*database_urls, **NEVER) as running:
        made = await running.subscribe(classic(receiver.url))
        await running.publish("c1")
        await running.publish("c1")
        await eventually(partial(count_of, receiver, 2), within=5)
        lane = sa.select(t.lane.c.next_number).where(t.lane.c.subscription_id == made["id"])

        async def recorded() -> bool:
            async with running.database.read() as connection:
                return bool((await connection.execute(lane)).scalar_one() == 3)

        await eventually(recorded, within=5)


async def test_what_is_not_committed_is_neither_leased_nor_sent(rows: Watched) -> None:
    subscription = await rows.subscribe()
    batch = [Matched(Record(0, 0, event(1)), (subscription,))]

    async def fail() -> None:
        async with rows.delivery.transaction() as outgoing:
            await enqueue_in(outgoing.connection, rows.database, rows.clock, LOG, rows.store.at, batch)
            await outgoing.lease_due()
            raise RuntimeError("before the commit")

    with pytest.raises(RuntimeError, match="before the commit"):
        await fail()
    await rows.delivery.close()
    assert rows.receiver.got == []
    assert await lease_of(rows, subscription) is None
    await rows.owe(1, subscription)
    await rows.turns()
    assert [got.webhook_id for got in rows.receiver.got] == [f"{subscription}_1-1"]


async def test_a_fault_of_ours_in_a_turn_loses_no_record_of_what_was_sent(
    rows: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    lane = await rows.subscribe()
    await rows.owe(3, lane)
    render = render_batch

    def faulty(channel: Channel, batch: Batch, **given: Any) -> Request:
        if batch.first == 3:
            raise RuntimeError("a fault")
        return render(channel, batch, **given)

    monkeypatch.setattr(sender, "render_batch", faulty)
    await rows.turns()

    assert [each.webhook_id.rpartition("_")[2] for each in rows.receiver.got] == ["1-1", "2-2"]
    assert await rows.lease() == [], "it waits"
    monkeypatch.undo()
    await rows.again(lane)
    assert [each.webhook_id.rpartition("_")[2] for each in rows.receiver.got] == ["1-1", "2-2", "3-3"]
