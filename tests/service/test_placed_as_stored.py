"""On one machine an event has its place in the log as it is stored, and none overtakes what waits already."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import orjson
import pytest
import sqlalchemy as sa

from services.clock import SystemClock
from services.database import Database
from services.event_log import EventSource
from services.principal import LOCAL
from services.publisher.derive import kind as kind_of
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
    await embedded.store(performance(score=2))
    assert await embedded.read() == []
    while await embedded.publisher.relay.emit():
        pass
    await embedded.store(performance(score=3))
    embedded.source.seek({0: 1})  # the first place was given before, and taken back above
    assert await embedded.read() == [f"MeasureReport/report/_history/{n}" for n in (1, 2, 3)]
