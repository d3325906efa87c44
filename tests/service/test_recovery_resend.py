"""Sending again: under the numbers it had, beside what is owed, and whatever becomes of it, the lane goes on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from aiohttp import web

from services.clock import SystemClock
from services.notifier import tables as t
from services.notifier.record.lane import AHEAD
from services.notifier.watch.insights import deliveries, subscriptions
from services.notifier.watch.recovery.resend import PendingResends, cancel, pending, resend
from services.notifier.watch.recovery.trail import Order, RecoveryRefusedError
from services.notifier.watch.recovery.wanted import Found, Wanted, find
from tests.notifier_store import event
from tests.notifying import contract
from tests.receiver import Received
from tests.watching import HOUR, Watched, watched

JO = Order("jo", "the clinic lost its database")


@pytest.fixture
async def rows(database_urls: tuple[str, str]) -> AsyncIterator[Watched]:
    async with watched(database_urls[1]) as opened:
        yield opened


async def again(rows: Watched, order: Order = JO, **wanted: Any) -> Found:
    found = await find(rows.database, Wanted(**wanted))
    await resend(rows.database, rows.clock, found, order)
    return found


def numbers(rows: Watched) -> list[str]:
    return [got.webhook_id.partition("_")[2] for got in rows.receiver.events()]


async def due_in(rows: Watched, lane: str) -> float | None:
    view = await subscriptions.subscription(rows.database, lane)
    assert view is not None
    if view.next_due is None:
        return None
    return (view.next_due - await subscriptions.now(rows.database, rows.clock)).total_seconds()


async def later(rows: Watched, lane: str) -> None:
    """Let the wait of the resends run out, as time would, and take a turn."""
    now = await subscriptions.now(rows.database, rows.clock)
    await rows.store.set_lane(lane, resend_due_at=now)
    await rows.again(lane)


async def given_up(rows: Watched, lane: str) -> dict[int, str]:
    columns = (t.given_up.c.number, t.given_up.c.reason)
    async with rows.database.read() as connection:
        found = await connection.execute(sa.select(*columns).where(t.given_up.c.subscription_id == lane))
        return {row[0]: row[1] for row in found}


async def test_delivered_numbers_go_again_with_the_very_bytes_and_ids_they_had(rows: Watched) -> None:
    lane = await rows.subscribe()
    await rows.owe(3, lane)
    await rows.all_turns()
    first = list(rows.receiver.got)
    found = await again(rows, subscription=lane, first=2, last=3)
    assert (found.count, found.owed, found.off) == (2, 0, 0)
    await rows.all_turns()
    sent = rows.receiver.got[3:]
    assert [(got.webhook_id, got.body, got.path) for got in sent] == [
        (got.webhook_id, got.body, got.path) for got in first[1:]
    ]
    assert await pending(rows.database) == []
    view = await subscriptions.subscription(rows.database, lane)
    assert view is not None
    assert (view.events, view.owed, view.delivered, view.given_up) == (3, 0, 3, 0)
    assert view.next_due is None
    await rows.owe(1, lane)
    await rows.all_turns()
    assert numbers(rows) == ["1-1", "2-2", "3-3", "2-2", "3-3", "4-4"]


async def test_a_number_of_a_batch_goes_again_alone_under_its_own_number(rows: Watched) -> None:
    lane = await rows.subscribe(topic=True, max_count=5)
    await rows.owe(5, lane)
    await rows.all_turns()
    await again(rows, subscription=lane, first=4, last=4)
    await rows.all_turns()
    assert numbers(rows) == ["1-5", "4-4"]
    assert rows.receiver.got[-1].numbers == [4]


async def test_what_is_owed_goes_first_and_a_long_replay_lets_it_through(rows: Watched) -> None:
    lane = await rows.subscribe()
    await rows.owe(20, lane)
    await rows.all_turns()
    await again(rows, subscription=lane)
    await rows.turns()
    await rows.owe(2, lane)
    await rows.turns()
    sent = numbers(rows)[20:]
    assert sent.index("21-21") < sent.index("22-22") <= 9, (
        "first copies wait for a few of the replay, not for all"
    )
    await rows.all_turns()
    assert [each for each in numbers(rows)[20:] if each not in {"21-21", "22-22"}] == [
        f"{n}-{n}" for n in range(1, 21)
    ]


@pytest.mark.parametrize("owed", [0, 5, 12, 15, 16, 17, 24, 40])
async def test_what_is_sent_again_counts_among_the_sixteen_that_a_lane_may_be_ahead_of_its_record(
    rows: Watched, owed: int
) -> None:
    lane = await rows.subscribe()
    await rows.owe(20, lane)
    await rows.all_turns()
    ahead: list[int] = []

    async def count(_got: Received) -> web.Response:
        ahead.append(len(rows.receiver.got) - len(await rows.store.attempts(lane)))
        return web.Response()

    rows.receiver.answer = count
    await again(rows, subscription=lane)
    await rows.owe(owed, lane)
    await rows.all_turns()
    assert max(ahead) <= AHEAD
    assert sorted(numbers(rows)[20:]) == sorted(f"{n}-{n}" for n in [*range(1, 21), *range(21, 21 + owed)])
    assert numbers(rows)[20 : 20 + owed] == [f"{n}-{n}" for n in range(21, 21 + owed)], (
        "what is owed goes first"
    )


async def test_a_lane_sends_one_request_at_a_time_also_when_it_sends_again(rows: Watched) -> None:
    lane = await rows.subscribe()
    await rows.owe(2, lane)
    await rows.all_turns()
    await rows.owe(1, lane)
    (held,) = await rows.lease()
    await again(rows, subscription=lane)
    assert await rows.lease() == [], "leased: whoever holds it sends again when it has recorded"
    assert [batch.first for batch in held.batches] == [3]
    await rows.store.set_lane(lane, due_at=rows.clock.now() - timedelta(seconds=1))  # its holder died
    await rows.all_turns()
    assert numbers(rows) == ["1-1", "2-2", "3-3", "1-1", "2-2"]


async def test_asked_for_while_its_lane_is_being_sent_for_it_goes_when_that_is_recorded(
    rows: Watched,
) -> None:
    lane = await rows.subscribe()
    await rows.owe(1, lane)
    await rows.all_turns()
    await rows.owe(1, lane)

    async def meanwhile(_got: Received) -> web.Response:
        rows.receiver.answer = lambda _request: web.Response()
        await again(rows, subscription=lane, first=1, last=1)
        return web.Response()

    rows.receiver.answer = meanwhile
    await rows.turns()
    assert numbers(rows) == ["1-1", "2-2"]
    await rows.turns()
    assert numbers(rows) == ["1-1", "2-2", "1-1"]


async def test_an_endpoint_that_fails_a_resend_gets_it_later_and_what_is_owed_at_once(rows: Watched) -> None:
    lane = await rows.subscribe()
    await rows.owe(1, lane)
    await rows.all_turns()
    rows.receiver.answer = lambda got: web.Response(status=500 if got.webhook_id.endswith("_1-1") else 200)
    await again(rows, subscription=lane)
    await rows.all_turns()
    assert HOUR - 60 < (await due_in(rows, lane) or 0) <= HOUR
    await rows.owe(1, lane)
    await rows.all_turns()
    assert numbers(rows) == ["1-1", "1-1", "2-2"]
    view = await subscriptions.subscription(rows.database, lane)
    assert view is not None
    assert (view.status, view.lane, view.failing_since, view.tries) == ("active", "open", None, 0)
    (waiting,) = await pending(rows.database)
    assert (waiting.numbers, waiting.tries) == (1, 1)
    rows.receiver.statuses()
    await later(rows, lane)
    assert numbers(rows)[3:] == ["1-1"]
    assert await pending(rows.database) == []


async def test_one_that_is_never_taken_keeps_no_other_back_and_is_given_up(rows: Watched) -> None:
    lane = await rows.subscribe()
    await rows.owe(3, lane)
    await rows.all_turns()
    rows.receiver.answer = lambda got: web.Response(status=500 if got.webhook_id.endswith("_1-1") else 200)
    await again(rows, subscription=lane)
    await rows.turns()
    await later(rows, lane)
    assert numbers(rows)[3:] == ["1-1", "2-2", "3-3", "1-1"]
    await later(rows, lane)
    assert await pending(rows.database) == []
    assert await rows.lease() == []
    story = await deliveries.delivery(rows.database, lane, 1)
    assert story is not None
    assert story.delivery.state == "delivered", "it was delivered once, and stays so"
    assert [tried.outcome for tried in story.attempts] == ["delivered", "retry", "retry", "given_up"]


async def test_a_number_that_was_given_up_is_delivered_once_it_is_taken(rows: Watched) -> None:
    lane = await rows.subscribe()
    rows.receiver.answer = lambda got: web.Response(status=422 if got.webhook_id.endswith("_2-2") else 200)
    await rows.owe(3, lane)
    await rows.all_turns()
    await rows.again(lane)
    await rows.again(lane)
    await rows.all_turns()
    assert list(await given_up(rows, lane)) == [2]
    found = await again(rows, state="given_up")
    assert found.numbers == {lane: [2]}
    for _ in range(3):
        await later(rows, lane)
    assert await given_up(rows, lane) == {
        2: "sent again 3 times, and never taken: answered 422: it does not accept this content"
    }
    assert await pending(rows.database) == []
    rows.receiver.statuses()
    await again(rows, state="given_up")
    await rows.all_turns()
    assert await given_up(rows, lane) == {}
    view = await subscriptions.subscription(rows.database, lane)
    assert view is not None
    assert (view.delivered, view.given_up) == (3, 0)


async def test_gone_for_good_ends_a_resend_and_leaves_the_subscription_alone(rows: Watched) -> None:
    lane = await rows.subscribe()
    await rows.owe(1, lane)
    await rows.all_turns()
    rows.receiver.statuses(410)
    await again(rows, subscription=lane)
    await rows.all_turns()
    view = await subscriptions.subscription(rows.database, lane)
    assert view is not None
    assert (view.status, view.lane) == ("active", "open")
    assert await pending(rows.database) == []


async def test_a_parked_lane_sends_again_when_its_client_has_put_it_right(rows: Watched) -> None:
    lane = await rows.subscribe(topic=True)
    await rows.owe(1, lane)
    await rows.all_turns()
    rows.receiver.statuses(500, 500, 500)
    await rows.owe(1, lane)
    await rows.turns()
    await rows.again(lane)
    await rows.again(lane)
    await again(rows, subscription=lane)
    assert await rows.lease() == []
    (waiting,) = await pending(rows.database)
    assert waiting.next_due is None
    now = await subscriptions.now(rows.database, rows.clock)
    # As a client's `requested` makes it.
    await rows.store.set_lane(lane, state="handshake", due_at=now, retry=0)
    async with rows.database.write() as connection:
        asked = sa.update(t.subscription).where(t.subscription.c.id == lane)
        await connection.execute(asked.values(status="requested"))
    await rows.all_turns()
    assert numbers(rows)[-2:] == ["2-2", "1-1"]


async def test_what_retention_has_removed_is_no_longer_asked_for(rows: Watched) -> None:
    lane = await rows.subscribe()
    await rows.owe(2, lane)
    await rows.all_turns()
    await again(rows, subscription=lane)
    async with rows.database.write() as connection:
        await connection.execute(sa.delete(t.event).where(t.event.c.report_id == "r1"))
    await rows.all_turns()
    assert numbers(rows) == ["1-1", "2-2", "2-2"]
    assert await pending(rows.database) == []
    assert await due_in(rows, lane) is None


async def test_cancelled_it_is_sent_no_more(rows: Watched) -> None:
    lane, other = await rows.subscribe(), await rows.subscribe()
    await rows.owe(2, lane, other)
    await rows.all_turns()
    await again(rows)
    assert [(each.subscription, each.numbers) for each in await pending(rows.database)] == [
        (name, 2) for name in sorted((lane, other))
    ]
    assert await cancel(rows.database, rows.clock, lane, JO) == 2
    before = len(rows.receiver.got)
    await rows.all_turns()
    assert {got.webhook_id.partition("_")[0] for got in rows.receiver.got[before:]} == {other}
    assert await cancel(rows.database, rows.clock, None, JO) == 0
    await rows.owe(1, lane)
    await rows.all_turns()
    assert rows.receiver.got[-1].webhook_id == f"{lane}_3-3"


async def test_every_filter_finds_what_it_says_and_a_count_changes_nothing(rows: Watched) -> None:
    lane, other = await rows.subscribe(), await rows.subscribe(topic=True)
    in_2025 = {
        "contract": [contract("c2")],
        "period": [["2025-01-01T00:00:00.000Z", "2026-01-01T00:00:00.000Z"]],
    }
    in_2026 = {
        "contract": [contract("c1")],
        "period": [["2026-01-01T00:00:00.000Z", "2027-01-01T00:00:00.000Z"]],
    }
    await rows.take_in(
        (_with(event(1, "c2"), in_2025), (lane, other)),
        (_with(event(2, "c1"), in_2026), (lane,)),
    )
    await rows.all_turns()
    between = await subscriptions.now(rows.database, rows.clock)
    rows.receiver.statuses(500)
    await rows.owe(2, lane)  # the first of them fails, the second waits behind it
    await rows.all_turns()

    async def found(**wanted: Any) -> dict[str, list[int]]:
        return {name: list(of) for name, of in (await find(rows.database, Wanted(**wanted))).numbers.items()}

    both = {lane: [1, 2], other: [1]}
    assert await found() == both
    assert (await find(rows.database, Wanted())).owed == 2
    assert await found(subscription=other) == {other: [1]}
    assert await found(contract=contract("c2") + "|1.0") == {lane: [1], other: [1]}
    assert await found(first=2) == {lane: [2]}
    assert await found(last=1) == {lane: [1], other: [1]}
    assert await found(period="2025") == {lane: [1], other: [1]}
    assert await found(period="ge2026-01-01") == {lane: [2]}
    assert await found(since=between) == {}
    assert await found(until=between) == both
    assert await found(state="given_up") == {}
    assert await found(state="delivered") == both
    with pytest.raises(RecoveryRefusedError, match="That period cannot be asked for"):
        await found(period="last year")
    await rows.delete(other)
    gone = await find(rows.database, Wanted(subscription=other))
    assert (gone.count, gone.off) == (0, 1)
    assert await pending(rows.database) == []
    assert await audited(rows) == []


async def test_the_audit_trail_says_who_why_and_what(rows: Watched) -> None:
    lane = await rows.subscribe()
    await rows.owe(3, lane)
    await rows.all_turns()
    await again(rows, subscription=lane, first=2)
    await cancel(rows.database, rows.clock, lane, Order("ann", "not needed"))
    assert await audited(rows) == [
        ("delivery-resend", "jo", f"Subscription/{lane}", "numbers 2 to 3: the clinic lost its database"),
        ("resend-cancel", "ann", f"Subscription/{lane}", "numbers 2 to 3: not needed"),
    ]
    with pytest.raises(RecoveryRefusedError, match="A reason is needed"):
        Order("jo", " ")


async def test_a_request_says_when_it_came_and_how_it_fares(rows: Watched) -> None:
    lane = await rows.subscribe()
    await rows.owe(1, lane)
    await rows.all_turns()
    rows.receiver.statuses(503)
    await again(rows, subscription=lane)
    await rows.all_turns()
    (found,) = await pending(rows.database)
    now = SystemClock().now()
    assert isinstance(found, PendingResends)
    assert (found.subscription, found.first, found.last, found.tries) == (lane, 1, 1, 1)
    assert abs((now - found.requested).total_seconds()) < 60
    assert found.next_due is not None
    assert found.next_due > now


async def audited(rows: Watched) -> list[tuple[str, ...]]:
    columns = (t.audit.c.action, t.audit.c.client, t.audit.c.subject, t.audit.c.reason)
    async with rows.database.read() as connection:
        of = t.audit.c.action.in_(["delivery-resend", "resend-cancel"])
        found = await connection.execute(sa.select(*columns).where(of).order_by(t.audit.c.id))
        return [tuple(row) for row in found]


def _with(made: Any, facets: dict[str, Any]) -> Any:
    from dataclasses import replace

    return replace(made, facets=facets)
