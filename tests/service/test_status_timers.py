"""What time alone makes of a Subscription: a month in `error` turns it off, three months off and the rest expires."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from services.notifier import tables as t
from services.notifier.model import LaneState, Status
from services.notifier.subscriptions.admission import admit
from services.notifier.subscriptions.channels import EndpointPolicy
from services.notifier.subscriptions.store import SubscriptionStore
from services.notifier.subscriptions.stored import Stored
from services.notifier.subscriptions.timers import Patience, StatusTimers
from services.principal import LOCAL
from tests.clock import ManualClock
from tests.notifier_store import BASE, NotifierStore, notifier_store
from tests.notifying import topical
from tests.websockets import on_websocket

DAY = 86_400.0


@pytest.fixture
async def store(database_urls: tuple[str, str], clock: ManualClock) -> AsyncIterator[NotifierStore]:
    async with notifier_store(database_urls[1]) as opened:
        opened.clock = clock
        yield opened


def timers(store: NotifierStore, in_error: int = 30, when_off: int = 90, unbound: int = 30) -> StatusTimers:
    return StatusTimers(store.database, store.clock, Patience.of_days(in_error, when_off, unbound))


async def run(store: NotifierStore, **days: int) -> None:
    while await timers(store, **days).step():
        pass


async def into(store: NotifierStore, subscription: str, status: Status, state: LaneState) -> None:
    """Bring a Subscription into a status now, as a failed turn does."""
    async with store.database.write() as connection:
        values = {"status": status, "status_since": store.clock.now(), "error": "answered 500"}
        await connection.execute(
            sa.update(t.subscription).where(t.subscription.c.id == subscription).values(values)
        )
    await store.set_lane(subscription, state=state, due_at=None)


async def look(store: NotifierStore, subscription: str) -> Stored:
    return await SubscriptionStore(store.database, store.clock).read(LOCAL, subscription)


async def trail(store: NotifierStore) -> list[tuple[str, str, str]]:
    async with store.database.read() as connection:
        rows = await connection.execute(sa.select(t.audit).order_by(t.audit.c.id))
        return [(row.client, row.action, row.reason) for row in rows if row.client == "vbpr"]


async def given_up(store: NotifierStore) -> list[tuple[int, str]]:
    async with store.database.read() as connection:
        rows: Any = await connection.execute(sa.select(t.given_up).order_by(t.given_up.c.number))
        return [(row.number, row.reason) for row in rows]


@pytest.mark.parametrize("topic", [False, True])
@pytest.mark.requirement("R-128")
async def test_thirty_days_in_error_turn_it_off_with_everything_still_owed(
    store: NotifierStore, clock: ManualClock, *, topic: bool
) -> None:
    made = await store.subscribe(topic=topic)
    await store.take_in(0, 0, [1, 2], made.id)
    await into(store, made.id, Status.ERROR, LaneState.PARKED)
    await clock.advance(30 * DAY - 1)
    await run(store)
    assert (await look(store, made.id)).status is Status.ERROR

    await clock.advance(2)
    await run(store)
    found = await look(store, made.id)
    assert (found.status, found.error) == (
        Status.OFF,
        "turned off after 30 days in error: answered 500",
    )
    lane = await store.lane(made.id)
    assert (lane.state, lane.due_at, lane.next_number, lane.last_number) == (LaneState.HELD, None, 1, 2)
    assert await store.take_in(0, 2, [3], made.id) == 0, "off: nothing more is numbered"
    assert await trail(store) == [("vbpr", "subscription-off", "turned off after 30 days in error")]


async def on_websocket_since(store: NotifierStore, clock: ManualClock) -> str:
    """Make a Subscription on a websocket, unbound since now by the test's clock; return its id."""
    policy = EndpointPolicy(allow_http=False, allow_private=False)
    asked = admit(on_websocket(), base_url=BASE, policy=policy, now=clock.now())
    made = await SubscriptionStore(store.database, clock).create(LOCAL, asked)
    await store.set_lane(made.id, binding_since=clock.now())
    return made.id


async def test_thirty_days_without_a_client_turn_it_off_with_everything_still_owed(
    store: NotifierStore, clock: ManualClock
) -> None:
    waits, bound = await on_websocket_since(store, clock), await on_websocket_since(store, clock)
    await store.set_lane(bound, state=LaneState.OPEN, holder="a process")
    await store.take_in(0, 0, [1, 2], waits, bound)
    await clock.advance(30 * DAY - 1)
    await run(store)
    assert (await look(store, waits)).status is Status.ACTIVE
    await clock.advance(2)
    await run(store, unbound=0)
    assert (await look(store, waits)).status is Status.ACTIVE, "0: never"
    await run(store)
    found = await look(store, waits)
    assert (found.status, found.error) == (Status.OFF, "turned off after 30 days without a client")
    lane = await store.lane(waits)
    assert (lane.state, lane.next_number, lane.last_number) == (LaneState.HELD, 1, 2)
    assert (await look(store, bound)).status is Status.ACTIVE
    await clock.advance(91 * DAY)
    await run(store)
    assert [number for number, _ in await given_up(store)] == [1, 2]


async def test_a_parked_lane_that_fails_again_is_no_younger_for_it(
    store: NotifierStore, clock: ManualClock
) -> None:
    """The recorder writes `error` at every failed try of a parked classic head."""
    from services.notifier.model import Answer, Failure
    from services.notifier.record.recorder import record
    from services.notifier.record.turn import Tried, Turn
    from services.notifier.record.verdict import Park
    from services.notifier.send.claims import Room, Terms, claim

    made = await store.subscribe()
    await store.take_in(0, 0, [1], made.id)
    await into(store, made.id, Status.ERROR, LaneState.PARKED)
    since = clock.now()
    await clock.advance(29 * DAY)
    await store.set_lane(made.id, due_at=since - timedelta(days=3650))
    (claimed,) = await claim(store.database, clock, Room(1, 1, (), lambda _endpoint: 1), Terms(90, 2**20))
    turn = Turn(claimed.lane, claimed.channel, status=Status.ERROR, wait=6 * 3600)
    failed = Answer(500, Failure.HTTP_5XX, "answered 500", 3)
    turn.tries.append(Tried("w", 1, 1, clock.now(), failed, Park(6 * 3600)))
    await record(store.database, clock, [turn])
    assert (await look(store, made.id)).version == 2, "the try was recorded"
    await clock.advance(2 * DAY)
    await run(store)
    assert (await look(store, made.id)).status is Status.OFF


async def test_ninety_days_off_give_the_rest_up_as_expired(store: NotifierStore, clock: ManualClock) -> None:
    made, other = await store.subscribe(), await store.subscribe()
    await store.take_in(0, 0, [1, 2, 3], made.id, other.id)
    await store.set_lane(made.id, next_number=2)
    await into(store, made.id, Status.OFF, LaneState.HELD)
    await clock.advance(89 * DAY)
    await run(store)
    assert await given_up(store) == []

    await clock.advance(2 * DAY)
    await run(store)
    reason = "expired: the subscription was off for 90 days"
    assert await given_up(store) == [(2, reason), (3, reason)]
    lane = await store.lane(made.id)
    assert (lane.next_number, lane.last_number) == (4, 3)
    assert (await look(store, made.id)).status is Status.OFF
    assert await trail(store) == [("vbpr", "delivery-expire", f"numbers 2 to 3: {reason}")]
    assert (await store.lane(other.id)).next_number == 1, "one that is not off keeps what it is owed"
    await run(store)
    assert len(await trail(store)) == 1, "nothing is left to expire"


async def test_the_days_off_are_counted_from_the_day_it_was_turned_off(
    store: NotifierStore, clock: ManualClock
) -> None:
    made = await store.subscribe()
    await store.take_in(0, 0, [1], made.id)
    await into(store, made.id, Status.ERROR, LaneState.PARKED)
    seen = []
    for _ in range(14):
        await clock.advance(10 * DAY)
        await run(store)
        seen.append(((await look(store, made.id)).status.value, len(await given_up(store))))
    # Looked at every ten days: after forty in error it is off, and after more than ninety more nothing is owed.
    assert seen == [("error", 0)] * 3 + [("off", 0)] * 10 + [("off", 1)]


async def test_a_client_that_comes_back_in_time_keeps_what_it_is_owed(
    store: NotifierStore, clock: ManualClock
) -> None:
    made = await store.subscribe(topic=True)
    await store.take_in(0, 0, [1], made.id)
    await into(store, made.id, Status.OFF, LaneState.HELD)
    await clock.advance(89 * DAY)
    asked = admit(
        topical("http://127.0.0.1:9/hook"),
        base_url=BASE,
        policy=EndpointPolicy(allow_http=True, allow_private=True),
        now=clock.now(),
    )
    await SubscriptionStore(store.database, clock).update(LOCAL, made.id, asked, "requested", None)
    await clock.advance(400 * DAY)
    await run(store)
    assert (await look(store, made.id)).status is Status.REQUESTED
    assert await given_up(store) == []


async def test_zero_days_wait_for_ever(store: NotifierStore, clock: ManualClock) -> None:
    made, gone = await store.subscribe(), await store.subscribe()
    await store.take_in(0, 0, [1], made.id, gone.id)
    await into(store, made.id, Status.ERROR, LaneState.PARKED)
    await into(store, gone.id, Status.OFF, LaneState.HELD)
    await clock.advance(9000 * DAY)
    await run(store, in_error=0, when_off=0)
    assert (await look(store, made.id)).status is Status.ERROR
    assert await given_up(store) == []


async def test_what_many_owe_expires_in_parts(store: NotifierStore, clock: ManualClock) -> None:
    made = await store.subscribe()
    for start in range(0, 6_000, 1_000):
        await store.take_in(0, start, list(range(start, start + 1_000)), made.id)
    await into(store, made.id, Status.OFF, LaneState.HELD)
    await clock.advance(91 * DAY)
    assert await timers(store).step() is True
    assert (await store.lane(made.id)).next_number == 5_001
    await run(store)
    assert len(await given_up(store)) == 6_000
    assert (await store.lane(made.id)).next_number == 6_001


@pytest.mark.requirement("R-077")
async def test_at_its_end_a_subscription_is_turned_off_and_owed_nothing_more(
    store: NotifierStore, clock: ManualClock
) -> None:
    made, other = await store.subscribe(topic=True), await store.subscribe(topic=True)
    asked = admit(
        {**topical("http://127.0.0.1:9/hook"), "end": (clock.now() + timedelta(hours=1)).isoformat()},
        base_url=BASE,
        policy=EndpointPolicy(allow_http=True, allow_private=True),
        now=clock.now(),
    )
    await SubscriptionStore(store.database, clock).update(LOCAL, made.id, asked, "requested", None)
    await store.take_in(0, 0, [1, 2], made.id, other.id)
    await clock.advance(3599)
    await run(store)
    assert (await look(store, made.id)).status is Status.REQUESTED
    await clock.advance(1)
    await run(store)
    found = await look(store, made.id)
    assert (found.status, found.error) == (Status.OFF, "it has reached its end")
    reason = "the subscription has reached its end"
    assert await given_up(store) == [(1, reason), (2, reason)]
    await store.take_in(0, 2, [3], made.id, other.id)
    assert (await store.numbers(made.id), await store.numbers(other.id)) == ([1, 2], [1, 2, 3])
    assert (await look(store, other.id)).status is Status.REQUESTED
