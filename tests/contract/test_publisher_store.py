"""What the publisher's store promises on both databases: the schema it was migrated to, and who goes first."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from decimal import Decimal
from typing import Any

import orjson
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from services.database import Connection, Database, DatabaseStateError
from services.principal import LOCAL, Principal
from services.publisher.derive import kind as kind_of
from services.publisher.store import locks
from services.publisher.store.index import sortable
from services.publisher.store.model import Effect, Write, Written
from services.publisher.store.tables import metadata, outbox, report
from services.publisher.store.write import Writer
from services.publisher.wiring import MIGRATIONS
from tests.conditions import eventually
from tests.publishing import (
    OTHER_PROVIDER,
    PAYER,
    PROVIDER,
    Publishing,
    Resource,
    contract,
    contract_url,
    performance,
    publishing,
    quality,
)


@pytest.fixture
async def publisher(database_url: str) -> AsyncIterator[Publishing]:
    async with publishing(database_url) as opened:
        await opened.prepare()
        yield opened


def _write(resource: Resource, *, creates: bool = False) -> Write:
    return Write(
        resource["resourceType"],
        resource["id"],
        creates=creates,
        text=orjson.dumps(resource),
        resource=resource,
        kind=kind_of(resource) if resource["resourceType"] == "MeasureReport" else None,
        where="Bundle.entry[0].resource",
    )


async def _store(publisher: Publishing, *resources: Resource, principal: Principal = LOCAL) -> list[Written]:
    writer: Writer = publisher.publisher.server.writer
    return await writer.write([_write(each) for each in resources], principal)


async def test_the_migrated_schema_is_the_one_the_code_names(database_url: str) -> None:
    database = Database(database_url)
    try:
        with pytest.raises(DatabaseStateError, match="vbpr migrate"):
            await MIGRATIONS.require_head(database)
        await MIGRATIONS.upgrade(database)
        await MIGRATIONS.upgrade(database)
        await MIGRATIONS.require_head(database)
        differences = [
            each
            for each in await MIGRATIONS.drift(database, metadata)
            if "publisher_version" not in str(each)
        ]
        assert differences == []
    finally:
        await database.close()


async def test_parent_and_child_stored_at_once_never_miss_each_other(publisher: Publishing) -> None:
    """Each would overlook the other's uncommitted row, and the child would wait for ever."""
    for turn in range(8):
        period = {"start": f"20{turn:02d}-01-01", "end": f"20{turn:02d}-12-31"}
        child, parent = f"child-{turn}", performance(f"parent-{turn}", lists=[f"child-{turn}"], period=period)
        await asyncio.gather(_store(publisher, quality(child)), _store(publisher, parent))
    async with publisher.database.read() as tx:
        waiting = await tx.execute(sa.select(report.c.id).where(report.c.waits))
        assert waiting.scalars().all() == []
    order = [event.subject for event in await publisher.emitted()]
    assert len(order) == 16
    for turn in range(8):
        assert order.index(f"parent-{turn}/1") < order.index(f"child-{turn}/1")


@pytest.mark.postgresql
async def test_number_order_is_commit_order_within_a_contract(postgresql_url: str) -> None:
    """A transaction that has drawn its number keeps others of its contract from drawing one until it commits."""
    async with publishing(postgresql_url) as publisher:
        await publisher.prepare()
        await publisher.put(contract("two"))
        held: Connection
        async with publisher.database.write() as held:
            await locks.take(held, [locks.lock(locks.Rank.CONTRACT, contract_url())])
            same = asyncio.create_task(_store(publisher, performance("same")))
            await eventually(
                lambda: _blocked(publisher.database), what="a transaction waiting for the contract"
            )
            await _store(publisher, performance("other", measure=contract_url("two")))
            assert [event.subject for event in await publisher.emitted()] == ["other/1"]
            assert not same.done()
        await same
        assert [event.subject for event in await publisher.emitted()] == ["other/1", "same/1"]


async def _blocked(database: Database) -> bool:
    async with database.read() as tx:
        found = await tx.exec_driver_sql(
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory'"
        )
        return bool(found.scalar_one())


async def test_many_writers_of_one_contract_number_their_versions_in_order(publisher: Publishing) -> None:
    await asyncio.gather(*(_store(publisher, performance(score=score)) for score in range(1, 13)))
    events = await publisher.emitted()
    assert [event.subject for event in events] == [f"report/{n}" for n in range(1, 13)]
    for earlier, later in itertools.pairwise(events):
        assert later.previous == earlier.facets


async def test_transactions_that_share_everything_in_opposite_order_both_finish(
    publisher: Publishing,
) -> None:
    await _store(publisher, contract("two"))
    forth = [
        performance(f"r{n}", measure=contract_url("one" if n % 2 else "two"), lists=[f"q{n}"])
        for n in range(6)
    ]
    for number, each in enumerate(forth):
        each["period"] = {"start": f"20{number:02d}-01-01", "end": f"20{number:02d}-12-31"}
    children = [quality(f"q{n}") for n in range(6)]
    back = [{**each, "date": "2026-03-03"} for each in reversed(forth)]
    await asyncio.gather(
        _store(publisher, *forth), _store(publisher, *reversed(children)), _store(publisher, *back, *children)
    )
    async with publisher.database.read() as tx:
        assert (await tx.execute(sa.select(sa.func.count()).where(report.c.waits))).scalar_one() == 0
    events = await publisher.emitted()
    assert len({event.id for event in events}) == len(events)
    assert {event.subject for event in events} == {
        *(f"r{n}/{v}" for n in range(6) for v in (1, 2)),
        *(f"q{n}/1" for n in range(6)),
    }


async def test_nothing_of_a_failed_transaction_is_left(publisher: Publishing) -> None:
    before = await publisher.counts()
    with pytest.raises(Exception, match="urn:x:none"):
        await _store(
            publisher,
            {**PROVIDER, "id": "new"},
            performance("good"),
            performance("bad", measure="urn:x:none"),
        )
    assert await publisher.counts() == before


PAYER_CLIENT = Principal("client-a", "payer", frozenset({"Organization/payer"}))
OTHER_CLIENT = Principal("client-b", "payer", frozenset({"Organization/other-provider"}))
PROVIDER_CLIENT = Principal("client-c", "provider", frozenset({"Organization/provider"}))


@pytest.mark.parametrize(
    ("principal", "allowed"), [(PAYER_CLIENT, True), (OTHER_CLIENT, False), (LOCAL, True)]
)
async def test_only_its_owner_and_an_operator_write_a_resource(
    publisher: Publishing, principal: Principal, *, allowed: bool
) -> None:
    mine = {**OTHER_PROVIDER, "id": "mine"}
    await _store(publisher, mine, principal=PAYER_CLIENT)
    changed = {**mine, "name": "Changed"}
    if allowed:
        (written,) = await _store(publisher, changed, principal=principal)
        assert written.effect is Effect.UPDATED
    else:
        with pytest.raises(Exception, match="another payer"):
            await _store(publisher, changed, principal=principal)


async def test_a_provider_writes_nothing(publisher: Publishing) -> None:
    with pytest.raises(Exception, match="may read and subscribe"):
        await _store(publisher, performance(), principal=PROVIDER_CLIENT)


async def test_the_contract_of_a_payer_is_closed_to_others_from_the_start(publisher: Publishing) -> None:
    await _store(publisher, contract("theirs"), principal=OTHER_CLIENT)
    with pytest.raises(Exception, match="Organization/payer"):
        await _store(publisher, performance(measure=contract_url("theirs")), principal=PAYER_CLIENT)


async def test_the_same_content_of_two_clients_is_two_resources(publisher: Publishing) -> None:
    writer = publisher.publisher.server.writer
    effects = []
    for client, id_ in ((PAYER_CLIENT, "a"), (OTHER_CLIENT, "b"), (PAYER_CLIENT, "c")):
        (written,) = await writer.write([_write({**PAYER, "id": id_}, creates=True)], client)
        effects.append((written.effect, written.stored.id))
    assert effects == [(Effect.CREATED, "a"), (Effect.CREATED, "b"), (Effect.UNCHANGED, "a")]


@pytest.mark.parametrize("resource", [performance(), quality()], ids=["performance", "quality"])
async def test_a_report_takes_few_statements(publisher: Publishing, resource: Resource) -> None:
    """Each is a round trip, or a change of thread: what a report costs, whatever its size."""
    said: list[str] = []
    publisher.database.observers.append(lambda text, *_: said.append(text))
    await publisher.put(resource)
    first = len(said)
    await publisher.put({**resource, "date": "2026-03-04"})
    assert 5 < first <= 16, said
    assert 5 < len(said) - first <= 17, said[first:]


async def test_every_write_is_in_the_audit(publisher: Publishing) -> None:
    await _store(publisher, performance(), principal=LOCAL)
    await _store(publisher, performance(score=4), principal=LOCAL)
    async with publisher.database.read() as tx:
        rows: Sequence[Any] = (
            await tx.exec_driver_sql("SELECT client, action, subject FROM audit ORDER BY id DESC LIMIT 2")
        ).all()
    assert [tuple(row) for row in rows] == [
        ("local", "update", "MeasureReport/report/_history/2"),
        ("local", "create", "MeasureReport/report/_history/1"),
    ]


async def test_the_body_of_every_event_is_the_stored_version(publisher: Publishing) -> None:
    await _store(publisher, quality())
    await _store(publisher, performance(lists=["eyes"]))
    async with publisher.database.read() as tx:
        rows = (await tx.execute(sa.select(outbox.c.report_id, outbox.c.body_version))).all()
    for row in rows:
        read = await publisher.get(f"/MeasureReport/{row.report_id}/_history/{row.body_version}")
        assert read.json["id"] == row.report_id


@given(st.lists(st.decimals(allow_nan=False, allow_infinity=False, places=None), min_size=2, max_size=12))
def test_numbers_sort_as_text_as_they_do_as_numbers(numbers: list[Decimal]) -> None:
    by_text = sorted(numbers, key=sortable)
    assert [Decimal(each) for each in by_text] == sorted(numbers)
    for one in numbers:
        for other in numbers:
            assert (sortable(one) == sortable(other)) == (one == other)
