"""What the notifier's database promises, on both databases: numbers, the fence, leases and freshness."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from services.notifier.consume.freshness import LiveIndex
from services.notifier.enqueue.enqueue import StalePositionError
from services.notifier.model import Answer, LaneState
from services.notifier.record.recorder import record
from services.notifier.record.turn import Tried, Turn
from services.notifier.record.verdict import Delivered
from services.notifier.send.claims import Claimed, Room, Terms, claim, extend
from services.notifier.send.events import Events
from services.notifier.send.loading import AROUND_BUNDLE, AROUND_REPORT
from services.notifier.send.notices import Notices
from services.notifier.tables import metadata
from services.notifier.wiring import MIGRATIONS
from services.wakeup import Wakeup
from tests.notifier_store import BASE, NotifierStore, event, notifier_store


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[NotifierStore]:
    async with notifier_store(database_url) as opened:
        yield opened


@pytest.fixture
async def other(database_url: str, store: NotifierStore) -> AsyncIterator[NotifierStore]:
    """A second notifier on the same database."""
    async with notifier_store(database_url) as opened:
        yield opened


async def claim_all(store: NotifierStore, lease: float = 90) -> list[Claimed]:
    return await claim(store.database, store.clock, room(10, 10), Terms(lease, 2**20))


def room(fresh: int, retries: int, full: tuple[str, ...] = (), at: int = 100) -> Room:
    return Room(fresh, retries, full, lambda _endpoint: at)


def delivered(claimed: Claimed, batches: int) -> Turn:
    """The turn in which so many of the claimed batches were delivered."""
    turn = Turn(claimed.lane, claimed.channel)
    for batch in claimed.batches[:batches]:
        at = batch.owed[0].event.accepted_at
        turn.tries.append(
            Tried(batch.webhook_id, batch.first, batch.last, at, Answer(200, None, "", 1), Delivered())
        )
        turn.lane = turn.lane.after(Delivered(), batch.first, batch.last)
    return turn


async def test_the_migrated_schema_is_the_one_the_code_knows(store: NotifierStore) -> None:
    assert await MIGRATIONS.drift(store.database, metadata) == []


async def test_numbers_are_gap_free_whoever_gives_them(store: NotifierStore, other: NotifierStore) -> None:
    ids = [(await store.subscribe()).id for _ in range(3)]
    await asyncio.gather(
        store.take_in(0, 0, list(range(100, 110)), *ids),
        other.take_in(1, 0, list(range(200, 210)), *ids),
    )
    for subscription in ids:
        assert await store.numbers(subscription) == list(range(1, 21))


async def test_an_event_read_twice_gets_no_second_number(store: NotifierStore) -> None:
    made = await store.subscribe()
    assert await store.take_in(0, 0, [1, 2, 2], made.id) == 2
    assert await store.take_in(0, 3, [1, 3], made.id) == 1
    assert await store.numbers(made.id) == [1, 2, 3]


async def test_a_reader_that_was_overtaken_commits_nothing(
    store: NotifierStore, other: NotifierStore
) -> None:
    made = await store.subscribe()
    await store.take_in(0, 0, [1], made.id)
    other.at = dict(store.at)
    await other.take_in(0, 1, [2, 3], made.id)
    with pytest.raises(StalePositionError):
        await store.take_in(0, 1, [2, 3, 4], made.id)
    assert await store.numbers(made.id) == [1, 2, 3]


async def test_two_readers_that_begin_a_partition_do_not_both_take_it(
    store: NotifierStore, other: NotifierStore
) -> None:
    made = await store.subscribe()
    await store.take_in(0, 0, [1], made.id)
    with pytest.raises(StalePositionError):
        await other.take_in(0, 0, [1], made.id)
    assert await store.numbers(made.id) == [1]


async def test_a_subscription_made_at_one_notifier_is_matched_by_the_other(
    store: NotifierStore, other: NotifierStore
) -> None:
    """The report is accepted right after the Subscription's 201, and read by the notifier that did not answer it."""
    live = LiveIndex(other.database, BASE)
    await live.refresh()
    assert live.index.match(event(1)) == []
    made = await store.subscribe()
    await live.refresh()
    assert live.index.match(event(1)) == [made.id]


async def test_a_lane_is_claimed_by_one(store: NotifierStore, other: NotifierStore) -> None:
    ids = [(await store.subscribe()).id for _ in range(6)]
    await store.take_in(0, 0, [1], *ids)
    first, second = await asyncio.gather(
        claim(store.database, store.clock, room(3, 0), Terms(90, 2**20)),
        claim(other.database, other.clock, room(6, 0), Terms(90, 2**20)),
    )
    assert sorted(c.lane.subscription for c in [*first, *second]) == sorted(ids)


async def test_a_lease_that_ran_out_is_taken_over_with_the_very_same_batches(
    store: NotifierStore, other: NotifierStore
) -> None:
    made = await store.subscribe(topic=True, max_count=2)
    await store.set_lane(made.id, state=LaneState.OPEN, due_at=None)
    await store.take_in(0, 0, [1, 2, 3], made.id)
    (lost,) = await claim_all(store)
    assert await claim_all(other) == []
    await store.take_in(0, 3, [4, 5], made.id)
    lane = await store.lane(made.id)
    await store.set_lane(made.id, due_at=lane.due_at - timedelta(days=1))
    (taken,) = await claim_all(other)
    assert [(b.first, b.last) for b in lost.batches] == [(1, 2), (3, 3)]
    assert [b.webhook_id for b in taken.batches] == [b.webhook_id for b in lost.batches]

    await record(store.database, store.clock, [delivered(lost, 2)])
    assert (await store.lane(made.id)).next_number == 1, "a claim that ran out records nothing"
    await record(other.database, other.clock, [delivered(taken, 2)])
    assert (await store.lane(made.id)).next_number == 4
    (rest,) = await claim_all(other)
    assert [(b.first, b.last) for b in rest.batches] == [(4, 5)]


async def test_batches_are_bounded_in_bytes_when_they_are_fixed_and_never_after(
    store: NotifierStore, other: NotifierStore
) -> None:
    made = await store.subscribe(topic=True, max_count=5)
    await store.set_lane(made.id, state=LaneState.OPEN, due_at=None)
    await store.take_in(0, 0, list(range(1, 8)), made.id)
    two = AROUND_BUNDLE + 2 * (AROUND_REPORT + len(event(1).body))
    (first,) = await claim(store.database, store.clock, room(10, 10), Terms(90, two))
    assert [(b.first, b.last) for b in first.batches] == [(1, 2), (3, 4), (5, 6), (7, 7)]
    lane = await store.lane(made.id)
    await store.set_lane(made.id, due_at=lane.due_at - timedelta(days=1))
    (taken,) = await claim(other.database, other.clock, room(10, 10), Terms(90, 2**20))
    assert [b.webhook_id for b in taken.batches] == [b.webhook_id for b in first.batches]
    await record(other.database, other.clock, [delivered(taken, 4)])
    await store.take_in(0, 7, list(range(8, 13)), made.id)
    (later,) = await claim(other.database, other.clock, room(10, 10), Terms(90, 2**20))
    assert [(b.first, b.last) for b in later.batches] == [(8, 12)]


async def test_every_lane_carries_its_reports_however_few_events_are_kept_at_hand(
    store: NotifierStore,
) -> None:
    """The last lane is owed what the first one is, and by then that has gone from those at hand."""
    made = [await store.subscribe(topic=True) for _ in range(3)]
    first, between, last = sorted(each.id for each in made)
    for each in made:
        await store.set_lane(each.id, state=LaneState.OPEN, due_at=None)
    await store.take_in(0, 0, [1, 2], first, last)
    await store.take_in(0, 2, list(range(3, 13)), between)
    few = Events(at_most=3 * 2**11)
    claimed = await claim(store.database, store.clock, room(10, 10), Terms(90, 2**20, few))
    carried = {
        each.lane.subscription: [
            (owed.number, owed.event.report) for batch in each.batches for owed in batch.owed
        ]
        for each in claimed
    }
    assert carried[first] == carried[last] == [(number, event(number).body) for number in (1, 2)]
    assert carried[between] == [(number - 2, event(number).body) for number in range(3, 13)]


async def test_a_report_that_is_too_large_for_a_bundle_goes_alone(store: NotifierStore) -> None:
    made = await store.subscribe(topic=True, max_count=5)
    await store.set_lane(made.id, state=LaneState.OPEN, due_at=None)
    await store.take_in(0, 0, [1, 2], made.id)
    (claimed,) = await claim(store.database, store.clock, room(10, 10), Terms(90, AROUND_BUNDLE + 1))
    assert [(b.first, b.last) for b in claimed.batches] == [(1, 1), (2, 2)]


async def test_what_was_sent_of_a_lane_is_recorded_while_it_goes_on(
    store: NotifierStore, other: NotifierStore
) -> None:
    made = await store.subscribe()
    await store.take_in(0, 0, list(range(1, 31)), made.id)
    (claimed,) = await claim_all(store)
    assert len(claimed.batches) == 30, "nobody else waits"
    so_far = handed_in(delivered(claimed, 8))
    assert await record(store.database, store.clock, [so_far]) == [so_far]
    lane = await store.lane(made.id)
    assert (lane.next_number, lane.claim_id) == (9, claimed.lane.claim)
    assert await claim_all(other) == [], "the lease holds"
    assert await record(store.database, store.clock, [so_far]) == [so_far], "an answer that was lost"
    assert (await store.lane(made.id)).next_number == 9
    assert len(await store.attempts(made.id)) == 8, "and what was recorded before is not recorded again"

    await store.set_lane(made.id, due_at=lane.due_at - timedelta(days=1))
    (taken,) = await claim_all(other)
    assert [b.first for b in taken.batches] == list(range(9, 31))
    rest = delivered(replace(claimed, lane=so_far.lane, batches=claimed.batches[8:]), 8)
    assert await record(store.database, store.clock, [handed_in(rest)]) == [], "a claim that ran out"
    assert (await store.lane(made.id)).next_number == 9


def handed_in(turn: Turn) -> Turn:
    turn.goes_on = asyncio.get_running_loop().create_future()
    return turn


async def test_a_turn_that_ended_early_leaves_the_rest_of_its_plan(store: NotifierStore) -> None:
    made = await store.subscribe(topic=True, max_count=2)
    await store.set_lane(made.id, state=LaneState.OPEN, due_at=None)
    await store.take_in(0, 0, [1, 2, 3, 4, 5], made.id)
    (claimed,) = await claim_all(store)
    await record(store.database, store.clock, [delivered(claimed, 1)])
    await store.take_in(0, 5, [6], made.id)
    (again,) = await claim_all(store)
    assert [(b.first, b.last) for b in again.batches] == [(3, 4), (5, 5)]


async def test_first_attempts_are_claimed_however_many_retries_are_due(store: NotifierStore) -> None:
    failed = [(await store.subscribe()).id for _ in range(5)]
    await store.take_in(0, 0, [1], *failed)
    for subscription in failed:
        await store.set_lane(subscription, retry=1)
    fresh = await store.subscribe()
    await store.take_in(0, 1, [2], fresh.id)
    claimed = await claim(store.database, store.clock, room(1, 1), Terms(90, 2**20))
    assert [c.lane.subscription for c in claimed if c.lane.retry == 0] == [fresh.id]
    assert len(claimed) == 2


async def test_an_endpoint_that_has_no_room_is_passed_over(store: NotifierStore) -> None:
    busy = [(await store.subscribe()).id for _ in range(5)]
    await store.take_in(0, 0, [1], *busy)
    calm = await store.subscribe(endpoint="http://127.0.0.1:10/hook")
    await store.take_in(0, 1, [2], calm.id)
    claimed = await claim(
        store.database, store.clock, room(6, 0, full=("http://127.0.0.1:9",)), Terms(90, 2**20)
    )
    assert [c.lane.subscription for c in claimed] == [calm.id]


async def test_an_endpoint_gets_no_more_lanes_at_a_time_than_it_has_room_for(store: NotifierStore) -> None:
    ids = [(await store.subscribe()).id for _ in range(5)]
    await store.take_in(0, 0, [1], *ids)
    first = await claim(store.database, store.clock, room(5, 0, at=2), Terms(90, 2**20))
    rest = await claim(store.database, store.clock, room(5, 0), Terms(90, 2**20))
    assert (len(first), len(rest)) == (2, 3)


async def test_a_heartbeat_keeps_a_lease_and_finds_out_when_it_is_lost(
    store: NotifierStore, other: NotifierStore
) -> None:
    made = await store.subscribe()
    await store.take_in(0, 0, [1], made.id)
    (mine,) = await claim_all(store, lease=90)
    before = (await store.lane(made.id)).due_at
    assert await extend(store.database, store.clock, [mine], lease=900) == {made.id}
    assert (await store.lane(made.id)).due_at > before + timedelta(seconds=700)
    await store.set_lane(made.id, due_at=before - timedelta(days=1))
    await claim_all(other)
    assert await extend(store.database, store.clock, [mine], lease=90) == set()


@pytest.mark.postgresql
async def test_what_one_notifier_enqueues_wakes_the_others(postgresql_url: str) -> None:
    async with notifier_store(postgresql_url) as store:
        wake = Wakeup()
        notices = Notices(store.database, wake)
        await notices.listen()
        await wake.wait(0)
        made = await store.subscribe()
        await store.take_in(0, 0, [1], made.id)
        async with asyncio.timeout(5):
            await wake.wait(60)
        await notices.close()
