"""A classic Subscription that moves while its endpoint fails: what it is owed is tried where it is now, at once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from services.notifier.subscriptions.admission import admit
from services.notifier.subscriptions.channels import EndpointPolicy
from services.notifier.subscriptions.store import SubscriptionStore
from services.principal import LOCAL
from tests.notifier_store import BASE
from tests.notifying import classic
from tests.receiver import Received, Receiver, receiving
from tests.watching import Watched, watched

POLICY = EndpointPolicy(allow_http=True, allow_private=True)


@pytest.fixture
async def rows(database_urls: tuple[str, str]) -> AsyncIterator[Watched]:
    async with watched(database_urls[1]) as opened:
        yield opened


@pytest.fixture
async def elsewhere() -> AsyncIterator[Receiver]:
    async with receiving() as opened:
        yield opened


async def change(rows: Watched, made: str, asked: dict[str, Any], *, patched: bool) -> None:
    """Send the Subscription back as it was read, `active`, but for its channel."""
    store = SubscriptionStore(rows.database, rows.clock)
    admitted = admit({**asked, "status": "active"}, base_url=BASE, policy=POLICY, now=rows.clock.now())
    if patched:
        before = await store.read(LOCAL, made)
        assert await store.replace_version(LOCAL, made, admitted, "active", before.version) is not None
    else:
        await store.update(LOCAL, made, admitted, "active", None)


@pytest.mark.parametrize("patched", [False, True])
async def test_what_is_owed_is_tried_at_the_new_endpoint_at_once(
    rows: Watched, elsewhere: Receiver, *, patched: bool
) -> None:
    made = await rows.subscribe()
    rows.receiver.statuses(503, 503)
    await rows.owe(2, made)
    await rows.turns()
    await rows.again(made)
    assert (await rows.store.lane(made)).retry == 2
    assert await rows.lease() == [], "it waits for hours"

    await change(rows, made, classic(elsewhere.url), patched=patched)
    lane = await rows.store.lane(made)
    assert (lane.retry, lane.failure, lane.failing_since) == (0, None, None)
    await rows.all_turns()
    assert [got.webhook_id for got in elsewhere.got] == [f"{made}_{n}-{n}" for n in (1, 2)]
    assert len(rows.receiver.got) == 2
    assert (await SubscriptionStore(rows.database, rows.clock).read(LOCAL, made)).status == "active"


async def test_a_change_of_something_else_leaves_the_schedule_as_it_is(rows: Watched) -> None:
    made = await rows.subscribe()
    rows.receiver.statuses(503)
    await rows.owe(1, made)
    await rows.turns()
    before = await rows.store.lane(made)
    await change(rows, made, {**classic(rows.receiver.url), "reason": "another"}, patched=False)
    after = await rows.store.lane(made)
    assert (after.retry, after.due_at) == (1, before.due_at)
    assert await rows.lease() == []


async def test_a_try_that_is_under_way_at_the_old_endpoint_does_not_put_the_new_one_off(
    rows: Watched, elsewhere: Receiver
) -> None:
    made = await rows.subscribe()
    await rows.owe(1, made)

    async def meanwhile(_got: Received) -> web.Response:
        await change(rows, made, classic(elsewhere.url), patched=False)
        return web.Response(status=503)

    rows.receiver.answer = meanwhile
    await rows.all_turns()
    assert [got.webhook_id for got in elsewhere.got] == [f"{made}_1-1"]
