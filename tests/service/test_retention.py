"""What a notifier keeps, and what goes: by age, and never what is owed, to be sent again, or needed to know a copy."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from services.event_log import Record
from services.notifier import tables as t
from services.notifier.enqueue.enqueue import Matched, enqueue
from services.notifier.retention import sweeps
from services.notifier.subscriptions.admission import admit
from services.notifier.subscriptions.channels import EndpointPolicy
from services.notifier.subscriptions.store import SubscriptionStore
from services.principal import LOCAL
from services.retention import AT_ONCE, REST, Pruner
from services.settings import Settings
from tests.clock import ManualClock
from tests.notifier_store import BASE, LOG, NotifierStore, event, notifier_store
from tests.notifying import classic

DAY = 86_400.0
SETTINGS = Settings(
    keep_events_days=400,
    keep_event_ids_days=800,
    keep_attempts_days=90,
    keep_dead_letters_days=90,
    keep_audit_days=2000,
)


@pytest.fixture
async def store(database_urls: tuple[str, str], clock: ManualClock) -> AsyncIterator[NotifierStore]:
    async with notifier_store(database_urls[1]) as opened:
        opened.clock = clock
        yield opened


def pruner(store: NotifierStore, settings: Settings = SETTINGS) -> Pruner:
    return Pruner(store.database, store.clock, sweeps(settings))


async def count(store: NotifierStore, table: sa.Table) -> int:
    async with store.database.read() as connection:
        return (await connection.execute(sa.select(sa.func.count()).select_from(table))).scalar_one()


async def read(store: NotifierStore, position: int, number: int, *subscriptions: str, days: float = 0) -> int:
    """Take in an event accepted so many days after the others; return how many numbers it got."""
    accepted = replace(event(number), time=event(number).time + timedelta(days=days))
    matched = Matched(Record(0, position, accepted), subscriptions)
    done = await enqueue(store.database, store.clock, LOG, store.at, [matched])
    store.at |= done.positions
    return done.notifications


async def settle(store: NotifierStore, subscription: str, number: int) -> None:
    """Have everything up to a number delivered."""
    await store.set_lane(subscription, next_number=number + 1)


async def keep(store: NotifierStore, table: sa.Table, **values: Any) -> None:
    async with store.database.write() as connection:
        await connection.execute(sa.insert(table).values(values))


async def attempt(store: NotifierStore, subscription: str, number: int) -> None:
    await keep(
        store, t.attempt, subscription_id=subscription, webhook_id="w", first_number=number, last_number=number,
        at=store.clock.now(), milliseconds=1, outcome="delivered",
    )  # fmt: skip


async def test_what_was_settled_goes_with_its_event_and_the_id_still_knows_a_copy(
    store: NotifierStore, clock: ManualClock
) -> None:
    made = await store.subscribe()
    await store.take_in(0, 0, [1, 2], made.id)
    await settle(store, made.id, 2)
    await keep(store, t.given_up, subscription_id=made.id, number=1, reason="refused 3 times", at=clock.now())
    await clock.advance(399 * DAY)
    await pruner(store).run_dry()
    assert await store.numbers(made.id) == [1, 2]

    await clock.advance(2 * DAY)
    await store.take_in(0, 2, [3], made.id)
    await pruner(store).run_dry()
    assert await store.numbers(made.id) == [3], "numbers go on, whatever was removed"
    assert (await count(store, t.event), await count(store, t.given_up)) == (1, 0)
    assert await store.take_in(0, 3, [1, 2], made.id) == 0, "a copy gets no second number"


async def test_what_is_owed_stays_however_old_it_is(store: NotifierStore, clock: ManualClock) -> None:
    ahead, behind = (await store.subscribe()).id, (await store.subscribe()).id
    await store.take_in(0, 0, [1, 2, 3], ahead, behind)
    await settle(store, ahead, 3)
    await settle(store, behind, 1)
    await clock.advance(4000 * DAY)
    await pruner(store).run_dry()
    assert await store.numbers(ahead) == []
    assert await store.numbers(behind) == [2, 3]
    assert await count(store, t.event) == 2


async def test_what_is_to_be_sent_again_stays(store: NotifierStore, clock: ManualClock) -> None:
    made = await store.subscribe()
    await store.take_in(0, 0, [1, 2], made.id)
    await settle(store, made.id, 2)
    await keep(
        store, t.resend, subscription_id=made.id, number=1, requested_at=clock.now(), client="op", reason="asked",
        tries=0,
    )  # fmt: skip
    await clock.advance(401 * DAY)
    await pruner(store).run_dry()
    assert await store.numbers(made.id) == [1]
    assert await count(store, t.event) == 1


async def test_what_was_owed_to_a_deleted_subscription_goes(store: NotifierStore, clock: ManualClock) -> None:
    made = await store.subscribe()
    await store.take_in(0, 0, [1], made.id)
    await SubscriptionStore(store.database, clock).delete(LOCAL, made.id)
    await clock.advance(401 * DAY)
    await pruner(store).run_dry()
    assert (await count(store, t.notification), await count(store, t.given_up)) == (0, 0)


async def test_an_event_too_old_to_be_known_from_a_copy_is_listed_and_gets_no_number(
    store: NotifierStore, clock: ManualClock
) -> None:
    made = await store.subscribe()
    await read(store, 0, 1, made.id)
    await settle(store, made.id, 1)
    await clock.advance(801 * DAY)
    await read(store, 1, 2, made.id, days=801)  # something of these days, so that 800 days ago is long past
    await pruner(store).run_dry()

    assert await read(store, 2, 1, made.id) == 0, "a copy of what was delivered"
    assert await read(store, 3, 3, made.id, days=0.5) == 0, "accepted before the floor: nobody can tell"
    assert await read(store, 4, 4, made.id, days=2) == 1, "accepted after it, and never seen: new"
    async with store.database.read() as connection:
        dead = (await connection.execute(sa.select(t.dead_letter).order_by(t.dead_letter.c.position))).all()
    assert [(row.position, row.value) for row in dead] == [(2, event(1).body), (3, event(3).body)]
    assert "accepted before the oldest event id" in dead[0].reason
    assert event(3).id in dead[1].headers


async def test_a_clock_that_jumps_ahead_does_not_raise_the_floor(
    store: NotifierStore, clock: ManualClock
) -> None:
    made = await store.subscribe()
    await store.take_in(0, 0, [1], made.id)
    clock.jump(5000 * DAY)
    await pruner(store).run_dry()
    assert await store.take_in(0, 1, [1], made.id) == 0
    assert await store.take_in(0, 2, [2], made.id) == 1
    assert await count(store, t.dead_letter) == 0


async def test_tries_dead_letters_and_the_audit_trail_go_by_their_own_age(
    store: NotifierStore, clock: ManualClock
) -> None:
    made = await store.subscribe()  # leaves an audit row
    for position in range(2):
        await attempt(store, made.id, position + 1)
        letter = Matched(Record(0, position, None, "no event", (("k", b"v"),), b"?"), ())
        store.at |= (await enqueue(store.database, clock, LOG, store.at, [letter])).positions
        await clock.advance(60 * DAY)
    await pruner(store).run_dry()
    assert [await count(store, table) for table in (t.attempt, t.dead_letter, t.audit)] == [1, 1, 1]
    await clock.advance(1990 * DAY)
    await pruner(store).run_dry()
    assert [await count(store, table) for table in (t.attempt, t.dead_letter, t.audit)] == [0, 0, 0]


async def test_zero_days_keep_everything(store: NotifierStore, clock: ManualClock) -> None:
    made = await store.subscribe()
    await store.take_in(0, 0, [1], made.id)
    await settle(store, made.id, 1)
    await attempt(store, made.id, 1)
    await clock.advance(9000 * DAY)
    for_ever = Settings(
        keep_events_days=0,
        keep_event_ids_days=0,
        keep_attempts_days=0,
        keep_dead_letters_days=0,
        keep_audit_days=0,
    )
    assert await pruner(store, for_ever).run_dry() == 0
    assert await store.numbers(made.id) == [1]


async def test_one_round_removes_a_bounded_number_of_rows_and_the_next_ones_the_rest(
    store: NotifierStore, clock: ManualClock
) -> None:
    made = await store.subscribe()
    total = 2 * AT_ONCE + AT_ONCE // 2
    async with store.database.write() as connection:
        rows = [
            {
                "subscription_id": made.id, "webhook_id": "w", "first_number": number, "last_number": number,
                "at": clock.now(), "milliseconds": 1, "outcome": "delivered",
            }
            for number in range(total)
        ]  # fmt: skip
        await connection.execute(sa.insert(t.attempt), rows)
    await clock.advance(91 * DAY)
    pruning = pruner(store)
    left = []
    for _ in range(3):
        await pruning.round()
        left.append(await count(store, t.attempt))
    assert left == [total - AT_ONCE, total - 2 * AT_ONCE, 0]
    assert await pruning.round() is False


async def test_a_table_rests_once_nothing_in_it_is_past_its_time(
    store: NotifierStore, clock: ManualClock
) -> None:
    made = await store.subscribe()
    await attempt(store, made.id, 1)
    await clock.advance(90 * DAY - 1)
    pruning = pruner(store)
    assert await pruning.round() is False
    await clock.advance(REST - 1)
    assert await pruning.round() is False
    assert await count(store, t.attempt) == 1, "it rests"
    await clock.advance(2)
    await pruning.round()
    assert await count(store, t.attempt) == 0


async def test_an_old_event_that_reached_many_goes_in_parts(store: NotifierStore, clock: ManualClock) -> None:
    made = [(await store.subscribe()).id for _ in range(12)]
    await store.take_in(0, 0, list(range(1, 101)), *made)
    for subscription in made:
        await settle(store, subscription, 100)
    await clock.advance(401 * DAY)
    pruning = pruner(store)
    left = []
    for _ in range(3):
        await pruning.round()
        left.append((await count(store, t.notification), await count(store, t.event)))
    assert left == [(1200 - AT_ONCE, 100), (1200 - 2 * AT_ONCE, 100), (0, 0)], (
        "an event stays as long as something refers to it"
    )


async def test_former_versions_of_a_subscription_go_and_the_one_it_is_at_stays(
    store: NotifierStore, clock: ManualClock
) -> None:
    policy = EndpointPolicy(allow_http=True, allow_private=True)
    asked = admit(classic("http://127.0.0.1:9/hook"), base_url=BASE, policy=policy, now=clock.now())
    made, other = await store.subscribe(), await store.subscribe()
    subscriptions = SubscriptionStore(store.database, clock)
    await subscriptions.update(LOCAL, made.id, asked, "active", None)
    await subscriptions.delete(LOCAL, other.id)
    assert await count(store, t.subscription_version) == 4
    await clock.advance(10 * DAY)
    kept = SETTINGS.model_copy(update={"keep_subscription_versions_days": 11})
    await pruner(store, kept).run_dry()
    assert await count(store, t.subscription_version) == 4
    await clock.advance(2 * DAY)
    await pruner(store, kept).run_dry()
    async with store.database.read() as connection:
        left = await connection.execute(sa.select(t.subscription_version))
        assert {(row.subscription_id, row.version) for row in left} == {(made.id, 2), (other.id, 2)}
