"""A publisher's database with outbox rows in it, for tests of what comes after the store step."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import orjson
import sqlalchemy as sa

from schemas.event import EventType, ReportEvent
from services.clock import uuid7_from
from services.database import Connection, Database
from services.database.migrations import on_engine
from services.publisher.store.tables import metadata, outbox, resource_version

SOURCE = "https://publisher.example/fhir"
ACCEPTED = datetime(2026, 3, 1, 12, 0, 0, 123_000, tzinfo=UTC)


BODY = (
    b'{"resourceType":"MeasureReport","id":"r%d","meta":{"versionId":"1"},"status":"complete","type":"summary",'
    b'"measure":"https://payer.example/Measure/c1","period":{"start":"2026-01-01","end":"2026-12-31"},'
    b'"group":[{"measureScore":{"value":4.50}}]}'
)
"""A report of R4's structure; its score has a digit that a float would lose."""


@dataclass
class Outbox:
    """Accepts reports as the store step does, as far as the relay can see it."""

    database: Database
    numbers: itertools.count[int] = field(default_factory=itertools.count)
    accepted: datetime = ACCEPTED
    """When the first was accepted; each one a second after the one before."""

    async def accept(
        self, contract: str, *, within: Connection | None = None, body: bytes | None = None
    ) -> ReportEvent:
        """Store one version and its outbox row, in a transaction of its own or `within` one; return its event."""
        event = self._event(contract, body)
        if within is not None:
            await _insert(within, event)
        else:
            async with self.database.write() as transaction:
                await _insert(transaction, event)
        return event

    def _event(self, contract: str, body: bytes | None) -> ReportEvent:
        number = next(self.numbers)
        return ReportEvent(
            id=uuid7_from(1_700_000_000_000 + number, number.to_bytes(10, "big")),
            type=EventType.SETTLED,
            source=SOURCE,
            subject=f"MeasureReport/r{number}/_history/1",
            time=self.accepted + timedelta(seconds=number),
            contract=contract,
            interaction="create",
            facets={"contract": [contract], "period": [["2026-01-01T00:00:00.000Z", None]]},
            previous_facets={"contract": [contract]} if number % 2 else None,
            body=body or BODY % number,
            traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" if number % 3 else None,
        )

    async def unplaced(self) -> int:
        """Count the rows without a place."""
        async with self.database.read() as connection:
            statement = sa.select(sa.func.count()).where(outbox.c.place_position.is_(None))
            return (await connection.execute(statement)).scalar_one()

    async def places(self) -> dict[str, tuple[int, int]]:
        """Return partition and position of each event that has them, by its id."""
        statement = sa.select(outbox.c.event_id, outbox.c.place_partition, outbox.c.place_position)
        async with self.database.read() as connection:
            rows = await connection.execute(statement.where(outbox.c.place_position.is_not(None)))
            return {event_id: (partition, position) for event_id, partition, position in rows}


async def _insert(transaction: Connection, event: ReportEvent) -> None:
    key = {"id": event.report_id, "version": event.version}
    await transaction.execute(
        sa.insert(resource_version).values(
            **key,
            type="MeasureReport",
            interaction="create",
            last_updated=event.time,
            client="payer",
            body=event.body,
        )
    )
    previous = event.previous_facets
    await transaction.execute(
        sa.insert(outbox).values(
            event_id=event.id,
            event_type=event.type.value,
            contract=event.contract,
            report_id=event.report_id,
            version=event.version,
            body_version=event.version,
            interaction=event.interaction,
            accepted_at=event.time,
            facets=orjson.dumps(event.facets).decode(),
            previous_facets=None if previous is None else orjson.dumps(previous).decode(),
            traceparent=event.traceparent,
        )
    )


@contextlib.asynccontextmanager
async def publisher_outbox(url: str) -> AsyncIterator[Outbox]:
    """Open an empty database and make the publisher's tables in it."""
    database = Database(url)
    try:
        await on_engine(database.url, metadata.create_all)
        yield Outbox(database)
    finally:
        await database.close()
