"""A lane is due at a time of day: what becomes of that when the clock was wrong?"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import sqlalchemy as sa

from services.notifier.send.jumps import ClockJumps
from tests.clock import ManualClock
from tests.notifier_store import NotifierStore, notifier_store

HOUR, DAY = 3600.0, 86_400.0


@pytest.fixture
async def store(database_urls: tuple[str, str], clock: ManualClock) -> AsyncIterator[NotifierStore]:
    async with notifier_store(database_urls[1]) as opened:
        opened.clock = clock
        yield opened


async def test_what_was_put_off_by_a_clock_days_ahead_is_due_at_once_and_ordinary_waits_stay(
    store: NotifierStore,
) -> None:
    """Found at the start too, whoever wrote it; the time is the database's own where it keeps one."""
    async with store.database.read() as connection:
        now = (await connection.execute(sa.select(store.database.now(store.clock)))).scalar_one()
    late, ordinary = (await store.subscribe()).id, (await store.subscribe()).id
    await store.set_lane(late, due_at=now + timedelta(days=3), resend_due_at=now + timedelta(days=3))
    await store.set_lane(ordinary, due_at=now + timedelta(hours=6))
    await ClockJumps(store.database, store.clock).step()
    lane = await store.lane(late)
    assert lane.due_at <= now + timedelta(minutes=1)
    assert lane.resend_due_at <= now + timedelta(minutes=1)
    assert (await store.lane(ordinary)).due_at == now + timedelta(hours=6)


async def test_a_schedule_with_longer_waits_is_respected(store: NotifierStore) -> None:
    subscription = (await store.subscribe()).id
    due = store.clock.now() + timedelta(days=36_500)
    await store.set_lane(subscription, due_at=due)
    await ClockJumps(store.database, store.clock, longest=40_000 * DAY).step()
    assert (await store.lane(subscription)).due_at == due


@pytest.mark.parametrize("database_urls", ["sqlite"], indirect=True)
async def test_waits_move_back_with_the_clock_that_they_go_by(
    store: NotifierStore, clock: ManualClock
) -> None:
    jumps = ClockJumps(store.database, clock)
    await jumps.step()
    subscription = (await store.subscribe()).id
    await store.set_lane(subscription, due_at=clock.now() + timedelta(minutes=5))
    clock.jump(-2 * HOUR)
    await jumps.step()
    assert (await store.lane(subscription)).due_at == clock.now() + timedelta(minutes=5)
    await clock.advance(30)
    await jumps.step()
    clock.jump(HOUR)
    await jumps.step()
    due = (await store.lane(subscription)).due_at
    assert due == clock.now() + timedelta(minutes=5) - timedelta(hours=1, seconds=30), "tried early"
