"""On one machine an event has its place in the log as it is stored, and none overtakes what waits already."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import orjson
import pytest
import sqlalchemy as sa

from benchmarks.statements import counted
from services.clock import SystemClock
from services.database import Database
from services.event_log import EventSource, Record
from services.event_log_outbox.handover import AT_HAND
from services.principal import LOCAL
from services.publisher.derive import kind as kind_of
from services.publisher.emit.again import Wanted, emit_again
from services.publisher.store.model import Write
from services.publisher.store.tables import outbox
from services.publisher.wiring import MIGRATIONS, Publisher, open_embedded_publisher
from services.settings import Settings
from tests.publishing import BASE, PAYER, PROVIDER, Resource, contract, performance


@dataclass
class Embedded:
    """A publisher whose outbox is the log, and the log's reader; no loop runs."""

    publisher: Publisher
    source: EventSource

    async def store(self, resource: Resource) -> None:
        type_ = resource["resourceType"]
        kind = kind_of(resource) if type_ == "MeasureReport" else None
        text = orjson.dumps(resource)
        write = Write(type_, resource["id"], creates=False, text=text, resource=resource, kind=kind)
        await self.publisher.server.writer.write([write], LOCAL)

    async def delete(self, type_: str, id_: str) -> None:
        write = Write(type_, id_, creates=False, text=b"", resource={}, deletes=True)
        await self.publisher.server.writer.write([write], LOCAL)

    async def again(self) -> list[Record]:
        """Return what the database says, from its oldest record on."""
        self.source.seek({0: 0})
        return list(await self.source.read(1000, 0))

    async def read(self) -> list[str]:
        """Return the subjects that the reader finds at once."""
        records = await self.source.read(100, 0)
        return [each.event.subject for each in records if each.event is not None]


@pytest.fixture
async def embedded(publisher_database_url: str) -> AsyncIterator[Embedded]:
    settings = Settings(base_url=BASE, publisher_database_url=publisher_database_url)
    database = Database(publisher_database_url)
    await MIGRATIONS.upgrade(database)
    await database.close()
    publisher, source = await open_embedded_publisher(settings, SystemClock())
    opened = Embedded(publisher, source)
    try:
        for each in (PAYER, PROVIDER, contract()):
            await opened.store(each)
        source.seek({0: 0})
        yield opened
    finally:
        await publisher.close()


async def test_a_reader_is_woken_by_the_commit_and_finds_the_event(embedded: Embedded) -> None:
    reading = asyncio.create_task(embedded.source.read(10, 30))
    await embedded.store(performance())
    async with asyncio.timeout(10):  # sooner than it would look by itself
        (record,) = await reading
    assert record.event is not None
    assert (record.position, record.event.subject) == (0, "MeasureReport/report/_history/1")
    assert not await embedded.publisher.relay.emit()


async def test_places_follow_the_order_of_versions(embedded: Embedded) -> None:
    await asyncio.gather(*(embedded.store(performance(score=score)) for score in range(1, 9)))
    assert await embedded.read() == [f"MeasureReport/report/_history/{n}" for n in range(1, 9)]


async def test_nothing_overtakes_what_waits_for_the_relay(embedded: Embedded) -> None:
    """Rows of a time when the log was another have no place here."""
    await embedded.store(performance(score=1))
    async with embedded.publisher.database.write() as tx:
        await tx.execute(sa.update(outbox).values(place_partition=None, place_position=None))
    embedded.source.seek({0: 0})  # a process that starts later has nothing at hand
    await embedded.store(performance(score=2))
    assert await embedded.read() == []
    while await embedded.publisher.relay.emit():
        pass
    await embedded.store(performance(score=3))
    embedded.source.seek({0: 1})  # the first place was given before, and taken back above
    assert await embedded.read() == [f"MeasureReport/report/_history/{n}" for n in (1, 2, 3)]


async def test_what_was_just_stored_is_not_read_again_and_is_what_would_be_read(embedded: Embedded) -> None:
    assert await embedded.read() == []
    for score in (1, 2):
        await embedded.store(performance(score=score))
    with counted(embedded.publisher.database) as statements:
        handed = list(await embedded.source.read(1, 0)) + list(await embedded.source.read(10, 0))
    assert statements.total() == 0
    assert len(handed) == 2
    assert handed == await embedded.again()


async def test_a_deletion_is_read_and_what_follows_comes_after_it(embedded: Embedded) -> None:
    """Its event carries the bytes of a version that was stored before."""
    assert await embedded.read() == []
    await embedded.store(performance(score=1))
    await embedded.delete("MeasureReport", "report")
    await embedded.store(performance(score=2))
    found = await embedded.read() + await embedded.read()
    assert found == [f"MeasureReport/report/_history/{n}" for n in (1, 2, 3)]


async def test_more_than_is_kept_at_hand_is_read(embedded: Embedded) -> None:
    assert await embedded.read() == []
    count = AT_HAND + 20
    await asyncio.gather(*(embedded.store(performance(score=score)) for score in range(count)))
    found: list[str] = []
    while len(found) < count and (read := await embedded.read()):
        found += read
    assert found == [f"MeasureReport/report/_history/{n}" for n in range(1, count + 1)]


async def test_what_is_emitted_again_is_found_among_what_is_handed_over(embedded: Embedded) -> None:
    assert await embedded.read() == []
    await embedded.store(performance(score=1))
    database, clock = embedded.publisher.database, SystemClock()
    await emit_again(database, clock, Wanted(), actor="me", reason="lost")
    (emit,) = (each for each in embedded.publisher.loops if each.name == "emit")
    while await emit.step():
        pass
    await embedded.store(performance(score=2))
    found = await embedded.read() + await embedded.read()
    assert found == [f"MeasureReport/report/_history/{n}" for n in (1, 1, 2)]
