"""Retry: what is owed is tried now, under the same number, and the audit trail says who asked and why."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import sqlalchemy as sa

from services.notifier import tables as t
from services.notifier.watch.actions import RetryRefusedError, retry
from services.notifier.watch.insights import subscriptions
from tests.watching import HOUR, Watched, watched


@pytest.fixture
async def rows(database_urls: tuple[str, str]) -> AsyncIterator[Watched]:
    async with watched(database_urls[1]) as opened:
        yield opened


async def asked(rows: Watched, lane: str, reason: str = "the clinic is back") -> str:
    return await retry(rows.database, rows.clock, lane, actor="jo", reason=reason)


async def refusal(rows: Watched, lane: str, reason: str = "the clinic is back") -> str:
    with pytest.raises(RetryRefusedError) as refused:
        await asked(rows, lane, reason)
    return str(refused.value)


async def audited(rows: Watched) -> list[tuple[str, str, str | None]]:
    columns = (t.audit.c.client, t.audit.c.subject, t.audit.c.reason)
    async with rows.database.read() as connection:
        found = await connection.execute(sa.select(*columns).where(t.audit.c.action == "delivery-retry"))
        return [(row[0], row[1], row[2]) for row in found]


async def test_a_waiting_lane_is_tried_now_with_the_very_same_batch(rows: Watched) -> None:
    rows.receiver.statuses(500)
    lane = await rows.subscribe()
    await rows.owe(2, lane)
    await rows.turns()
    assert await rows.lease() == []
    assert await asked(rows, lane) == f"Subscription/{lane} is tried now from number 1 on; 2 owed."
    await rows.turns()
    assert [got.webhook_id for got in rows.receiver.got] == [f"{lane}_{n}-{n}" for n in (1, 1, 2)]
    assert await audited(rows) == [("jo", f"Subscription/{lane}", "the clinic is back")]


async def test_a_try_that_was_asked_for_uses_up_nothing_of_the_schedule(rows: Watched) -> None:
    rows.receiver.statuses(500, 500, 500, 500, 500)
    lane = await rows.subscribe()
    await rows.owe(1, lane)
    await rows.turns()
    await rows.again(lane)  # the second and last wait of the schedule
    for _ in range(3):
        await asked(rows, lane)
        await rows.turns()
    view = await subscriptions.subscription(rows.database, lane)
    assert view is not None
    assert (view.lane, view.tries) == ("open", 2)
    assert view.next_due is not None
    left = view.next_due - await subscriptions.now(rows.database, rows.clock)
    assert HOUR < left.total_seconds() <= 2 * HOUR


async def test_a_parked_head_is_tried_and_its_success_wakes_the_lane(rows: Watched) -> None:
    rows.receiver.statuses(500, 500, 500)
    lane = await rows.subscribe(topic=False)
    await rows.owe(2, lane)
    await rows.turns()
    await rows.again(lane)
    await rows.again(lane)
    await asked(rows, lane)
    await rows.turns()
    view = await subscriptions.subscription(rows.database, lane)
    assert view is not None
    assert (view.status, view.lane, view.delivered) == ("active", "open", 2)


async def test_what_cannot_be_retried_is_refused_with_a_sentence_and_not_audited(rows: Watched) -> None:
    lane = await rows.subscribe()
    assert await refusal(rows, lane) == f"Subscription/{lane} owes nothing: there is nothing to try."
    assert await refusal(rows, "nobody") == "There is no Subscription/nobody."
    await rows.owe(1, lane)
    assert await refusal(rows, lane, " ") == "A retry needs a reason: it is kept in the audit trail."
    rows.receiver.statuses(410)
    await rows.turns()
    off = await refusal(rows, lane)
    assert off.startswith(f"Subscription/{lane} is off")
    await rows.delete(lane)
    assert await refusal(rows, lane) == f"Subscription/{lane} was deleted: what it was owed is given up."
    assert await audited(rows) == []


async def test_a_failed_handshake_waits_for_its_client_alone(rows: Watched) -> None:
    rows.receiver.statuses(500, 500, 500, 500)
    lane = await rows.subscribe(topic=True)
    await rows.owe(1, lane)
    assert await asked(rows, lane) == f"The handshake with Subscription/{lane} is tried now."
    for _ in range(3):
        await rows.again(lane)
    view = await subscriptions.subscription(rows.database, lane)
    assert view is not None
    assert (view.status, view.lane) == ("error", "held")
    assert (await refusal(rows, lane)).startswith(f"Subscription/{lane} is error, so nothing is sent to it")
    await rows.turns()
    assert {got.kind for got in rows.receiver.got} == {"handshake"}


async def test_a_leased_lane_is_not_handed_to_a_second_notifier(rows: Watched) -> None:
    lane = await rows.subscribe()
    await rows.owe(1, lane)
    assert len(await rows.lease()) == 1
    assert (await refusal(rows, lane)).startswith(f"Subscription/{lane} is being tried right now")
    assert await rows.lease() == []
    # Its holder died: the lease has run out, so an operator need not wait for anyone.
    await rows.store.set_lane(lane, due_at=rows.clock.now())
    await asked(rows, lane)
    await rows.turns()
    assert [got.webhook_id for got in rows.receiver.got] == [f"{lane}_1-1"]
