"""What an operator sees of the rows: written here by the real enqueue, sender and recorder."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from services.event_log import Record
from services.notifier.enqueue.enqueue import Matched, enqueue
from services.notifier.watch.insights import deliveries, intake, reports, subscriptions
from services.notifier.watch.insights.deliveries import Wanted
from services.notifier.watch.insights.views import DeliveryState, SubscriptionView
from tests.notifier_store import LOG, event
from tests.notifying import contract
from tests.watching import HOUR, Watched, watched


@pytest.fixture
async def rows(database_urls: tuple[str, str]) -> AsyncIterator[Watched]:
    async with watched(database_urls[1]) as opened:
        yield opened


async def seen(rows: Watched, subscription: str) -> SubscriptionView:
    view = await subscriptions.subscription(rows.database, subscription)
    assert view is not None
    return view


async def states(rows: Watched, subscription: str) -> dict[int, str]:
    found = await deliveries.deliveries(rows.database, Wanted(subscription=subscription, order="lane"))
    return {each.number: each.state.value for each in found}


async def test_a_failing_lane_says_what_it_owes_since_when_why_and_when_it_is_tried_next(
    rows: Watched,
) -> None:
    rows.receiver.statuses(503)
    failing = await rows.subscribe()
    await rows.owe(3, failing)
    await rows.turns()
    view = await seen(rows, failing)
    assert (view.events, view.owed, view.delivered, view.given_up, view.tries) == (3, 3, 0, 0, 1)
    assert view.oldest_owed_since == event(1).time
    assert (view.failure, view.last_failure) == ("http_5xx", "answered 503")
    assert view.failing_since is not None
    assert view.next_due is not None
    assert view.next_due - view.failing_since == timedelta(seconds=HOUR)
    assert not view.sending


async def test_an_endpoint_that_is_not_there_is_said_in_words(rows: Watched) -> None:
    gone = await rows.subscribe(endpoint="http://127.0.0.1:9/hook")
    await rows.owe(1, gone)
    await rows.turns()
    assert (await seen(rows, gone)).last_failure == "127.0.0.1:9 refuses connections"


async def test_once_it_answers_nothing_is_owed_and_nothing_is_said_to_fail(rows: Watched) -> None:
    rows.receiver.statuses(500)
    lane = await rows.subscribe()
    await rows.owe(2, lane)
    await rows.turns()
    await rows.again(lane)
    view = await seen(rows, lane)
    assert (view.owed, view.delivered, view.tries) == (0, 2, 0)
    assert (view.failing_since, view.last_failure, view.next_due, view.oldest_owed_since) == (None,) * 4


async def test_the_oldest_owed_is_the_one_at_the_cursor(rows: Watched) -> None:
    lane = await rows.subscribe()
    await rows.owe(1, lane)
    await rows.turns()
    later = replace(event(2), time=event(2).time + timedelta(hours=1))
    await rows.take_in((later, (lane,)))
    assert (await seen(rows, lane)).oldest_owed_since == event(1).time + timedelta(hours=1)


async def test_a_leased_lane_is_being_sent_and_has_no_next(rows: Watched) -> None:
    lane = await rows.subscribe()
    await rows.owe(1, lane)
    assert len(await rows.lease()) == 1
    view = await seen(rows, lane)
    assert view.sending
    assert view.next_due is None


async def test_the_overview_adds_up_and_puts_what_fails_first(rows: Watched) -> None:
    ids = sorted([await rows.subscribe(), await rows.subscribe(), await rows.subscribe()])
    await rows.owe(2, *ids)
    await rows.turns()
    rows.receiver.statuses(500)
    await rows.owe(1, ids[2])
    await rows.turns()
    deleted = await rows.subscribe()
    await rows.delete(deleted)
    overview = await subscriptions.overview(rows.database, rows.clock)
    totals = overview.totals
    assert (totals.subscriptions, totals.events, totals.owed, totals.delivered) == (3, 7, 1, 6)
    assert (totals.given_up, totals.failing, totals.dead_letters) == (0, 1, 0)
    assert [view.id for view in overview.subscriptions] == [ids[2], ids[0], ids[1]]
    bounded = await subscriptions.overview(rows.database, rows.clock, at_most=1)
    assert ([view.id for view in bounded.subscriptions], bounded.totals) == ([ids[2]], totals)


async def test_the_batch_at_the_head_retries_and_what_stands_behind_it_is_owed(rows: Watched) -> None:
    lane = await rows.subscribe(topic=True, max_count=2)
    await rows.owe(1, lane)
    await rows.turns()
    rows.receiver.statuses(200, 500)
    await rows.owe(5, lane)
    await rows.turns()
    assert await states(rows, lane) == {
        1: "delivered", 2: "delivered", 3: "delivered", 4: "retrying", 5: "retrying", 6: "owed",
    }  # fmt: skip
    for state in DeliveryState:
        found = await deliveries.deliveries(rows.database, Wanted(state=state, subscription=lane))
        expected = [number for number, of in (await states(rows, lane)).items() if of == state.value]
        assert sorted(each.number for each in found) == expected


async def test_a_failed_handshake_makes_no_notification_retry(rows: Watched) -> None:
    rows.receiver.statuses(500)
    lane = await rows.subscribe(topic=True)
    await rows.owe(2, lane)
    assert (await seen(rows, lane)).last_failure == "answered 500"
    assert await states(rows, lane) == {1: "owed", 2: "owed"}
    (tried,) = await deliveries.attempts(rows.database, lane, 10)
    assert (tried.first_number, tried.last_number, tried.said) == (0, 0, "answered 500")


async def test_when_the_schedule_has_run_out_the_lane_is_parked(rows: Watched) -> None:
    rows.receiver.statuses(500, 500, 500)
    lane = await rows.subscribe()
    await rows.owe(2, lane)
    await rows.turns()
    await rows.again(lane)
    await rows.again(lane)
    assert await states(rows, lane) == {1: "parked", 2: "parked"}
    view = await seen(rows, lane)
    assert (view.status, view.lane, view.tries) == ("error", "parked", 3)


async def test_what_was_refused_for_good_is_given_up_with_its_reason(rows: Watched) -> None:
    rows.receiver.statuses(422, 422, 422)
    lane = await rows.subscribe()
    await rows.owe(2, lane)
    await rows.turns()
    await rows.again(lane)
    await rows.again(lane)
    await rows.turns()
    assert await states(rows, lane) == {1: "given_up", 2: "delivered"}
    view = await seen(rows, lane)
    assert (view.events, view.owed, view.delivered, view.given_up) == (2, 0, 1, 1)
    (lost,) = await deliveries.deliveries(rows.database, Wanted(state=DeliveryState.GIVEN_UP))
    assert lost.last_failure == "refused 3 times: answered 422: it does not accept this content"
    assert (lost.tries, lost.next_due) == (3, None)


async def test_a_deleted_subscription_keeps_its_ledger(rows: Watched) -> None:
    lane = await rows.subscribe()
    await rows.owe(1, lane)
    await rows.turns()
    await rows.owe(2, lane)
    await rows.delete(lane)
    assert await states(rows, lane) == {1: "delivered", 2: "given_up", 3: "given_up"}
    view = await seen(rows, lane)
    assert (view.status, view.events, view.owed, view.delivered, view.given_up) == ("deleted", 3, 0, 1, 2)
    assert (await subscriptions.overview(rows.database, rows.clock)).subscriptions == []
    everything = await subscriptions.overview(rows.database, rows.clock, deleted=True)
    assert [each.id for each in everything.subscriptions] == [lane]


async def test_one_delivery_tells_its_whole_story(rows: Watched) -> None:
    rows.receiver.statuses(200, 503, 404)
    lane = await rows.subscribe()
    other = await rows.subscribe(endpoint="http://127.0.0.1:9/hook")
    await rows.owe(2, lane)
    await rows.owe(1, other)
    await rows.turns()
    await rows.again(lane)
    await rows.again(lane)
    story = await deliveries.delivery(rows.database, lane, 2)
    assert story is not None
    assert [(tried.outcome, tried.status, tried.said) for tried in story.attempts] == [
        ("retry", 503, "answered 503"),
        ("retry", 404, "answered 404: there is nothing at this URL"),
        ("delivered", 200, "answered 200"),
    ]
    assert {tried.webhook_id for tried in story.attempts} == {f"{lane}_2-2"}
    assert (story.event.event_id, story.event.partition, story.event.position) == (event(2).id, 0, 1)
    assert story.delivery.state is DeliveryState.DELIVERED
    assert story.delivery.tries == 3
    assert story.delivery.last_failure == "answered 404: there is nothing at this URL"
    assert story.delivery.first_tried == story.attempts[0].at
    assert story.delivery.last_tried == story.attempts[2].at
    assert await deliveries.delivery(rows.database, lane, 3) is None


async def test_every_number_of_a_batch_counts_the_batch_s_tries(rows: Watched) -> None:
    lane = await rows.subscribe(topic=True, max_count=50)
    rows.receiver.statuses(500)
    await rows.owe(50, lane)
    await rows.turns()
    await rows.again(lane)
    found = await deliveries.deliveries(rows.database, Wanted(subscription=lane, order="lane"))
    assert [(each.number, each.tries, each.state.value) for each in found] == [
        (number, 2, "delivered") for number in range(1, 51)
    ]


async def test_lists_are_newest_first_or_in_lane_order_and_bounded(rows: Watched) -> None:
    first, second = sorted([await rows.subscribe(), await rows.subscribe()])
    await rows.owe(3, first, second)
    newest = await deliveries.deliveries(rows.database, Wanted(at_most=3))
    assert [(each.subscription, each.number) for each in newest] == [(first, 3), (second, 3), (first, 2)]
    lane = await deliveries.deliveries(rows.database, Wanted(order="lane", at_most=4))
    assert [(each.subscription, each.number) for each in lane] == [
        (first, 1), (first, 2), (first, 3), (second, 1),
    ]  # fmt: skip
    assert await deliveries.deliveries(rows.database, Wanted(contract=contract("c2"))) == []
    assert len(await deliveries.deliveries(rows.database, Wanted(contract=contract("c1")))) == 6


async def test_where_is_the_report_for_this_contract(rows: Watched) -> None:
    failing, told = sorted([await rows.subscribe(), await rows.subscribe()])
    await rows.take_in(
        (event(1, "north-2025"), (told,)), (event(2, "north-2026"), (told,)), (event(3, "south"), ())
    )
    await rows.turns()
    rows.receiver.statuses(500)
    await rows.take_in((event(4, "north-2026"), (failing, told)))
    await rows.store.set_lane(told, due_at=None)
    await rows.turns()

    found, several = await reports.search(rows.database, contract("north-2026") + "|1.0")
    assert several == []
    assert [(trail.event.report, trail.event.version) for trail in found] == [
        ("MeasureReport/r4", 1), ("MeasureReport/r2", 1),
    ]  # fmt: skip
    assert [(each.subscription, each.number, each.state.value) for each in found[0].deliveries] == [
        (failing, 1, "retrying"), (told, 3, "owed"),
    ]  # fmt: skip

    assert await reports.search(rows.database, "NORTH") == (
        [],
        [contract("north-2025"), contract("north-2026")],
    )
    ((unmatched,), _) = await reports.search(rows.database, "south")
    assert (unmatched.event.report, unmatched.deliveries) == ("MeasureReport/r3", [])
    for asked in ("r2", "MeasureReport/r2"):
        ((trail,), _) = await reports.search(rows.database, asked)
        assert trail.event.contract == contract("north-2026")
    for nothing in ("", "%", "_", "r9"):
        assert await reports.search(rows.database, nothing) == ([], [])


async def test_the_log_is_shown_by_its_positions_and_by_what_could_not_be_read(rows: Watched) -> None:
    poison = Record(2, 7, None, "ce_type is unknown", (("ce_type", b"x"),), b"12345")
    await enqueue(
        rows.database, rows.clock, LOG, {}, [Matched(poison, ()), Matched(Record(4, 0, event(1)), ())]
    )
    assert [(at.log, at.partition, at.next_position) for at in await intake.positions(rows.database)] == [
        (LOG, 2, 8), (LOG, 4, 1),
    ]  # fmt: skip
    (dead,) = await intake.dead_letters(rows.database)
    assert (dead.partition, dead.position, dead.reason, dead.size) == (2, 7, "ce_type is unknown", 5)
    assert await intake.consumed(rows.database) == 1
    assert (await subscriptions.overview(rows.database, rows.clock)).totals.dead_letters == 1
