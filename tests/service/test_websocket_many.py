"""Several notifiers on one database: a token binds at any of them, and only who has the client sends to it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
import sqlalchemy as sa

from services.notifier import tables as t
from services.notifier.model import LaneState
from tests.conditions import eventually
from tests.notifying import Notifying, notifying, topical
from tests.receiver import receiving
from tests.service.test_websocket import bind, lane, owed, settled, unbound
from tests.websockets import connected, on_websocket, token_for


@contextlib.asynccontextmanager
async def beside(first: Notifying) -> AsyncIterator[Notifying]:
    """Run another notifier on the same database and log."""
    second = Notifying(first.settings, first.clock, first.outbox, first.relay)
    await second.start()
    try:
        yield second
    finally:
        if second.notifier is not None:
            await second.stop()


@pytest.fixture
async def two(shared_postgresql: Any) -> AsyncIterator[tuple[Notifying, Notifying]]:
    names = [shared_postgresql.create_database(), shared_postgresql.create_database()]
    async with (
        notifying(*(shared_postgresql.url(name) for name in names)) as first,
        beside(first) as second,
    ):
        yield first, second
    for name in names:
        shared_postgresql.drop_database(name)


async def fall_silent(at: Notifying) -> None:
    """Have a notifier do nothing any more, as when it is killed or frozen: it says nothing, and unbinds nothing."""
    assert at._lifecycle is not None
    assert at._running is not None
    at._lifecycle.stop()
    await at._running


async def holders(at: Notifying) -> set[str]:
    async with at.database.read() as connection:
        return set((await connection.execute(sa.select(t.holder.c.id))).scalars())


@pytest.mark.requirement("R-163", "R-168")
async def test_a_token_of_one_binds_at_the_other_which_alone_sends(two: tuple[Notifying, Notifying]) -> None:
    first, second = two
    async with receiving() as receiver:
        hook = await first.subscribe(topical(receiver.url))
        made = await first.subscribe(on_websocket(max_count=1))
        token = (await token_for(first, made["id"]))["token"]
        async with connected(second, made=made) as client:
            await client.bind(token)
            await client.until(1)
            for _ in range(15):
                await first.publish("c1")
            await client.until_number(15)
            assert client.numbers == list(range(1, 16))
            await settled(first, made, 15)
            assert second.notifier is not None
            assert (await lane(first, made)).holder == second.notifier._sockets.holder
            await settled(first, hook, 15)
        await unbound(first, made)
        async with first.database.read() as connection:
            tried = t.attempt.c
            rows = await connection.execute(
                sa.select(tried.outcome, sa.func.count())
                .where(tried.subscription_id == made["id"])
                .group_by(tried.outcome)
            )
            assert dict(iter(rows)) == {"delivered": 16}, "the other one never tried"


async def test_a_client_that_goes_from_one_to_the_other_is_told_on(two: tuple[Notifying, Notifying]) -> None:
    first, second = two
    made = await first.subscribe(on_websocket(max_count=1))
    told: list[int] = []
    async with connected(first, made=made) as former:
        await bind(first, former, made)
        await first.publish("c1", "c1")
        await former.until_number(2)
        await settled(first, made, 2)
        async with connected(second, made=made) as newest:
            await bind(second, newest, made)
            await first.publish("c1", "c1")
            await newest.until_number(4)
            told = newest.numbers
            assert await former.closed() == 4001
            assert (await lane(first, made)).state == LaneState.OPEN
            await settled(first, made, 4)
    assert (former.numbers, told) == ([1, 2], [3, 4])


async def test_what_a_dead_one_held_waits_for_its_client_again(two: tuple[Notifying, Notifying]) -> None:
    first, second = two
    made = await first.subscribe(on_websocket(max_count=1))
    async with connected(second, made=made) as client:
        await bind(second, client, made)
        await eventually(lambda: holders(first))
        await fall_silent(second)
        await first.publish("c1", "c1")
        await owed(first, made, 2)
        assert (await lane(first, made)).state == LaneState.OPEN
        async with first.database.write() as connection:
            silent = sa.func.now() - sa.text("interval '1 second'")
            await connection.execute(sa.update(t.holder).values(alive_until=silent))
        await unbound(first, made)
        assert await holders(first) == set()
        async with connected(first, made=made) as again:
            await bind(first, again, made)
            await again.until_number(2)
            assert again.numbers == [1, 2]
            await settled(first, made, 2)
            # It wakes up: what it had is not its own any more, and its client is told so.
            assert second.notifier is not None
            await second.notifier._sockets._compare()
            assert await client.closed() == 4001
            assert (await lane(first, made)).state == LaneState.OPEN


async def test_one_dead_and_not_found_out_yet_keeps_nobody_from_binding(
    two: tuple[Notifying, Notifying],
) -> None:
    first, second = two
    made = await first.subscribe(on_websocket())
    async with connected(second, made=made) as client:
        await bind(second, client, made)
        await fall_silent(second)
        await first.publish("c1", "c1", "c1")
        async with connected(first, made=made) as again:
            await bind(first, again, made)
            await again.until_number(3)
            assert again.numbers == [1, 2, 3]
