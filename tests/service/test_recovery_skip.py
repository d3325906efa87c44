"""Skipping the head of a lane: given up with its reason, and what stands behind it goes on in order."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import sqlalchemy as sa
from aiohttp import web

from services.notifier import tables as t
from services.notifier.watch.insights import subscriptions
from services.notifier.watch.insights.views import SubscriptionView
from services.notifier.watch.recovery.skip import skip
from services.notifier.watch.recovery.trail import Order, RecoveryRefusedError
from tests.receiver import Received
from tests.watching import HOUR, LEASE, Watched, watched

JO = Order("jo", "the clinic does not want it")


@pytest.fixture
async def rows(database_urls: tuple[str, str]) -> AsyncIterator[Watched]:
    async with watched(database_urls[1]) as opened:
        yield opened


async def viewed(rows: Watched, lane: str) -> SubscriptionView:
    view = await subscriptions.subscription(rows.database, lane)
    assert view is not None
    return view


async def given_up(rows: Watched, lane: str) -> dict[int, str]:
    columns = (t.given_up.c.number, t.given_up.c.reason)
    async with rows.database.read() as connection:
        found = await connection.execute(sa.select(*columns).where(t.given_up.c.subscription_id == lane))
        return {row[0]: row[1] for row in found}


async def audited(rows: Watched) -> list[tuple[str, ...]]:
    columns = (t.audit.c.client, t.audit.c.subject, t.audit.c.reason)
    async with rows.database.read() as connection:
        found = await connection.execute(sa.select(*columns).where(t.audit.c.action == "delivery-skip"))
        return [tuple(row) for row in found]


def numbers(rows: Watched) -> list[str]:
    return [got.webhook_id.partition("_")[2] for got in rows.receiver.events()]


async def test_the_head_is_given_up_and_the_rest_goes_on_at_once(rows: Watched) -> None:
    lane = await rows.subscribe()
    rows.receiver.answer = lambda got: web.Response(status=500 if got.webhook_id.endswith("_1-1") else 200)
    await rows.owe(3, lane)
    await rows.turns()
    counted = await skip(rows.database, rows.clock, lane, None)
    assert (counted.first, counted.last, counted.owed, counted.failure) == (1, 1, 2, "answered 500")
    assert (await viewed(rows, lane)).owed == 3, "a count changes nothing"
    assert await skip(rows.database, rows.clock, lane, JO) == counted
    await rows.all_turns()
    assert numbers(rows) == ["1-1", "2-2", "3-3"]
    assert await given_up(rows, lane) == {1: "skipped by an operator: the clinic does not want it"}
    view = await viewed(rows, lane)
    assert (view.owed, view.delivered, view.given_up, view.tries) == (0, 2, 1, 0)
    assert await audited(rows) == [("jo", f"Subscription/{lane}", "number 1: the clinic does not want it")]


async def test_several_are_skipped_together(rows: Watched) -> None:
    lane = await rows.subscribe()
    rows.receiver.statuses(500)
    await rows.owe(4, lane)
    await rows.turns()
    await skip(rows.database, rows.clock, lane, JO, through=3)
    await rows.all_turns()
    assert numbers(rows) == ["1-1", "4-4"]
    assert list(await given_up(rows, lane)) == [1, 2, 3]


async def test_batches_behind_a_skipped_number_keep_their_ids(rows: Watched) -> None:
    lane = await rows.subscribe(topic=True, max_count=3)
    rows.receiver.statuses(500)
    await rows.owe(7, lane)
    await rows.turns()
    await skip(rows.database, rows.clock, lane, JO)
    await rows.all_turns()
    assert numbers(rows) == ["1-3", "2-3", "4-6", "7-7"]


async def test_whoever_is_sending_records_nothing_and_nobody_sends_beside_it(rows: Watched) -> None:
    lane = await rows.subscribe()
    await rows.owe(2, lane)

    async def meanwhile(_got: Received) -> web.Response:
        rows.receiver.statuses()
        skipped = await skip(rows.database, rows.clock, lane, JO)
        assert skipped.sending
        assert await rows.lease() == []
        return web.Response()

    rows.receiver.answer = meanwhile
    await rows.turns()
    view = await viewed(rows, lane)
    assert (view.owed, view.delivered, view.given_up) == (1, 0, 1)
    assert await rows.lease() == [], "until the lease of whoever was sending has run out"
    await rows.owe(1, lane)
    assert await rows.lease() == []
    due = (await rows.store.lane(lane)).due_at
    now = await subscriptions.now(rows.database, rows.clock)
    assert 0 < (due - now).total_seconds() <= LEASE
    await rows.again(lane)
    await rows.all_turns()
    assert numbers(rows)[-2:] == ["2-2", "3-3"]


async def test_a_parked_classic_lane_goes_on_and_its_subscription_is_active(rows: Watched) -> None:
    lane = await rows.subscribe()
    rows.receiver.statuses(500, 500, 500)
    await rows.owe(2, lane)
    await rows.turns()
    await rows.again(lane)
    await rows.again(lane)
    assert (await viewed(rows, lane)).status == "error"
    await skip(rows.database, rows.clock, lane, JO, through=2)
    view = await viewed(rows, lane)
    assert (view.status, view.lane, view.owed) == ("active", "open", 0)
    await rows.owe(1, lane)
    await rows.all_turns()
    assert numbers(rows)[-1] == "3-3"


async def test_a_parked_topic_lane_still_waits_for_its_client(rows: Watched) -> None:
    lane = await rows.subscribe(topic=True)
    rows.receiver.statuses(500, 500, 500)
    await rows.owe(2, lane)
    await rows.turns()
    await rows.again(lane)
    await rows.again(lane)
    await skip(rows.database, rows.clock, lane, JO)
    view = await viewed(rows, lane)
    assert (view.status, view.lane, view.owed, view.next_due) == ("error", "parked", 1, None)


async def test_a_head_that_failed_leaves_nothing_of_its_schedule_to_the_next(rows: Watched) -> None:
    lane = await rows.subscribe()
    rows.receiver.statuses(500, 500, 500)
    await rows.owe(2, lane)
    await rows.turns()
    await rows.again(lane)
    await skip(rows.database, rows.clock, lane, JO)
    await rows.turns()
    view = await viewed(rows, lane)
    assert (view.lane, view.tries) == ("open", 1)
    assert view.next_due is not None
    left = (view.next_due - await subscriptions.now(rows.database, rows.clock)).total_seconds()
    assert HOUR - 60 < left <= HOUR


async def test_what_cannot_be_skipped_is_refused_with_a_sentence(rows: Watched) -> None:
    lane = await rows.subscribe()

    async def refusal(of: str, through: int | None = None) -> str:
        with pytest.raises(RecoveryRefusedError) as refused:
            await skip(rows.database, rows.clock, of, JO, through=through)
        return str(refused.value)

    assert await refusal(lane) == f"Subscription/{lane} owes nothing: there is nothing to skip."
    await rows.owe(2, lane)
    assert await refusal(lane, 3) == f"Subscription/{lane} owes 1 to 2: 3 is not among them."
    assert await refusal("nobody") == "There is no Subscription/nobody, or it was deleted."
    assert await given_up(rows, lane) == {}
    assert await audited(rows) == []
