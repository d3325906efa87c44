"""Heartbeats are sent exactly when they were asked for: after so long a silence, and never otherwise."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from aiohttp import web

from services.notifier import tables as t
from services.notifier.subscriptions.admission import admit
from services.notifier.subscriptions.channels import EndpointPolicy
from services.notifier.subscriptions.store import SubscriptionStore
from services.notifier.watch.insights import subscriptions
from services.notifier.watch.recovery.resend import cancel, resend
from services.notifier.watch.recovery.skip import skip
from services.notifier.watch.recovery.trail import Order
from services.notifier.watch.recovery.wanted import Wanted, find
from services.principal import LOCAL
from tests.clock import ManualClock
from tests.notifier_store import BASE
from tests.notifying import topical
from tests.watching import Watched, watched


@pytest.fixture
async def at(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Watched]:
    # SQLite's times are the clock's, so that a minute of silence takes no minute.
    async with watched(f"sqlite+aiosqlite:///{tmp_path / 'notifier'}.sqlite", clock=clock) as opened:
        yield opened


@pytest.fixture
async def rows(database_urls: tuple[str, str]) -> AsyncIterator[Watched]:
    async with watched(database_urls[1]) as opened:
        yield opened


def kinds(at: Watched) -> list[str]:
    return [got.kind for got in at.receiver.got]


async def passes(at: Watched, clock: ManualClock, seconds: float) -> None:
    """Let time pass, and take whatever turns become due on the way."""
    for _ in range(int(seconds)):
        await clock.advance(1)
        await at.all_turns()


@pytest.mark.requirement("R-119", "R-090", "R-093", "R-095")
async def test_after_so_long_a_silence_there_is_one_that_carries_nothing(
    at: Watched, clock: ManualClock
) -> None:
    made = await at.subscribe(topic=True, heartbeat=60)
    await at.owe(2, made)
    await at.all_turns()
    at.receiver.got.clear()
    await passes(at, clock, 59)
    assert kinds(at) == []
    await passes(at, clock, 1)
    (beat,) = at.receiver.got
    assert (beat.kind, beat.numbers) == ("heartbeat", [])
    assert beat.parameter("events-since-subscription-start", "valueString") == "2"
    assert beat.parameter("status", "valueCode") == "active"
    assert beat.headers["Authorization"] == "Bearer s3cret"
    await passes(at, clock, 120)
    assert kinds(at) == ["heartbeat"] * 3
    assert len({got.webhook_id for got in at.receiver.got}) == 3


@pytest.mark.requirement("R-119", "R-094")
async def test_any_notification_begins_the_silence_anew_and_no_number_is_spent(
    at: Watched, clock: ManualClock
) -> None:
    made = await at.subscribe(topic=True, heartbeat=60)
    await passes(at, clock, 50)
    await at.owe(1, made)
    await at.all_turns()
    await passes(at, clock, 50)
    assert kinds(at) == ["handshake", "event-notification"]
    await passes(at, clock, 10)
    await at.owe(1, made)
    await at.all_turns()
    assert kinds(at)[2:] == ["heartbeat", "event-notification"]
    assert at.receiver.got[-1].numbers == [2]


@pytest.mark.requirement("R-120")
async def test_nobody_gets_one_who_did_not_ask(at: Watched, clock: ManualClock) -> None:
    await at.subscribe(topic=True)
    await at.subscribe()
    await passes(at, clock, 300)
    assert kinds(at) == ["handshake"]


async def test_one_that_is_not_taken_is_an_operator_s_to_see_and_the_next_one_follows(
    at: Watched, clock: ManualClock
) -> None:
    made = await at.subscribe(topic=True, heartbeat=60)
    at.receiver.statuses(503)
    await passes(at, clock, 60)
    assert (await at.store.lane(made)).said == "answered 503"
    assert (await SubscriptionStore(at.database, clock).read(LOCAL, made)).status == "active"
    await passes(at, clock, 60)
    assert kinds(at) == ["handshake", "heartbeat", "heartbeat"]
    assert (await at.store.lane(made)).said is None


async def test_an_endpoint_that_is_gone_gets_no_more(at: Watched, clock: ManualClock) -> None:
    made = await at.subscribe(topic=True, heartbeat=60)
    at.receiver.answer = lambda _got: web.Response(status=410)
    await passes(at, clock, 200)
    assert kinds(at) == ["handshake", "heartbeat"]
    assert (await SubscriptionStore(at.database, clock).read(LOCAL, made)).status == "off"


async def test_a_running_subscription_may_ask_for_them_and_stop_them_again(
    at: Watched, clock: ManualClock
) -> None:
    made = await at.subscribe(topic=True)
    policy = EndpointPolicy(allow_http=True, allow_private=True)
    store = SubscriptionStore(at.database, clock)
    for heartbeat, expected in ((60, ["handshake", "heartbeat"]), (None, ["handshake", "heartbeat"])):
        asked = topical(at.receiver.url, heartbeat=heartbeat)
        admitted = admit(asked, base_url=BASE, policy=policy, now=clock.now())
        await store.update(LOCAL, made, admitted, "active", None)
        await passes(at, clock, 100)
        assert kinds(at) == expected


JO = Order("jo", "the payer asked for it")


async def resends_are_cancelled(at: Watched, made: str) -> None:
    await at.owe(1, made)
    await at.all_turns()
    await resend(at.database, at.clock, await find(at.database, Wanted(subscription=made)), JO)
    assert await cancel(at.database, at.clock, made, JO) == 1


async def the_last_owed_number_is_skipped(at: Watched, made: str) -> None:
    at.receiver.statuses(503)
    await at.owe(1, made)
    await at.all_turns()
    assert (await skip(at.database, at.clock, made, JO)).owed == 0


async def a_gap_is_stepped_over(at: Watched, made: str) -> None:
    """What a database that was restored has: a number that was never given, behind one that is owed."""
    await at.owe(1, made)
    async with at.database.write() as connection:
        gap = {"subscription_id": made, "first_number": 2, "last_number": 3, "at": at.clock.now()}
        await connection.execute(sa.insert(t.passed_over).values(gap))
        await connection.execute(sa.update(t.counter).values(last_number=3))
    await at.store.set_lane(made, last_number=3)
    await at.all_turns()
    assert (await at.store.lane(made)).next_number == 4


@pytest.mark.requirement("R-119")
@pytest.mark.parametrize(
    "emptied", [resends_are_cancelled, the_last_owed_number_is_skipped, a_gap_is_stepped_over]
)
@pytest.mark.parametrize("heartbeat", [60, None])
async def test_a_lane_that_has_nothing_left_to_send_goes_on_with_its_heartbeats(
    at: Watched,
    clock: ManualClock,
    emptied: Callable[[Watched, str], Awaitable[None]],
    heartbeat: int | None,
) -> None:
    made = await at.subscribe(topic=True, heartbeat=heartbeat)
    await emptied(at, made)
    at.receiver.got.clear()
    await passes(at, clock, 59)
    assert kinds(at) == []
    await passes(at, clock, 61)
    assert kinds(at) == (["heartbeat"] * 2 if heartbeat else [])


@pytest.mark.requirement("R-119")
@pytest.mark.parametrize(
    "emptied", [resends_are_cancelled, the_last_owed_number_is_skipped, a_gap_is_stepped_over]
)
async def test_such_a_lane_is_due_when_the_silence_has_lasted_by_the_time_of_either_database(
    rows: Watched, emptied: Callable[[Watched, str], Awaitable[None]]
) -> None:
    made = await rows.subscribe(topic=True, heartbeat=3600)
    await emptied(rows, made)
    now = await subscriptions.now(rows.database, rows.clock)
    due = (await rows.store.lane(made)).due_at
    assert 0 < (due - now).total_seconds() <= 3600
