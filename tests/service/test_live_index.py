"""A new process knows every Subscription before it matches, however many there are, and then only what changes."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import sqlalchemy as sa

from services.notifier import tables as t
from services.notifier.consume.freshness import LiveIndex
from tests.notifier_store import BASE, NotifierStore, event, notifier_store

MANY = 4_100


@pytest.fixture
async def store(database_urls: tuple[str, str]) -> AsyncIterator[NotifierStore]:
    async with notifier_store(database_urls[1]) as opened:
        yield opened


async def test_all_are_read_in_parts_and_then_only_what_changed(store: NotifierStore) -> None:
    made = await store.subscribe()
    async with store.database.write() as connection:
        row = dict((await connection.execute(sa.select(t.subscription))).mappings().one())
        # Half of them share a revision, as an import might leave them.
        rows = [
            {**row, "id": f"s{number:05}", "revision": 2 if number < MANY // 2 else number}
            for number in range(MANY)
        ]
        await connection.execute(sa.insert(t.subscription), rows)
        await connection.execute(sa.update(t.revision).values(value=MANY))
    live = LiveIndex(store.database, BASE)
    await live.refresh()
    assert len(live.index) == MANY + 1
    assert len(live.index.match(event(1))) == MANY + 1
    later = await store.subscribe()
    assert later.id not in live.index
    statements: list[str] = []
    store.database.observers.append(lambda text, _values, _many: statements.append(text))
    await live.refresh()
    assert later.id in live.index
    assert made.id in live.index
    await live.refresh()
    assert len(statements) == 3  # revision and change; then the revision alone
