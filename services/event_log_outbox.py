"""The event log of one machine: the publisher's outbox, read by position. One partition, number 0."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.event import EventType, ReportEvent
from services.database import Database, UtcDateTime
from services.event_log import Place, PositionUnknownError, Record
from services.wakeup import Wakeup

PARTITION: Final = 0

READ_BYTES: Final = 8 * 1024 * 1024
"""Most bytes of reports taken into memory at once; a single larger one is taken alone."""


def outbox_tables(metadata: sa.MetaData) -> tuple[sa.Table, sa.Table]:
    """Define the outbox and its head in a service's metadata.

    `outbox.number` is given when a row is inserted, under its contract's lock: within a contract it is
    commit order, across contracts it is not, so nobody pages by it. `place_*` is given by the relay to
    committed rows only and is what readers go by.
    """
    outbox = sa.Table(
        "outbox",
        metadata,
        sa.Column(
            "number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True
        ),
        sa.Column("event_id", sa.String(36), nullable=False, unique=True),
        sa.Column("event_type", sa.Text, nullable=False),
        sa.Column("contract", sa.Text, nullable=False),
        sa.Column("report_id", sa.String(64), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("body_version", sa.Integer, nullable=False),  # a deletion carries the last version's bytes
        sa.Column("interaction", sa.String(8), nullable=False),
        sa.Column("accepted_at", UtcDateTime, nullable=False),
        sa.Column("facets", sa.Text, nullable=False),
        sa.Column("previous_facets", sa.Text),
        sa.Column("traceparent", sa.Text),
        sa.Column("place_partition", sa.Integer),
        sa.Column("place_position", sa.BigInteger),
        sa.Index("outbox_report", "report_id", "version"),
        sa.Index("outbox_place", "place_partition", "place_position"),
        sqlite_autoincrement=True,  # a number is never given twice, whatever was pruned
    )
    sa.Index("outbox_unplaced", outbox.c.number, postgresql_where=outbox.c.place_position.is_(None),
             sqlite_where=outbox.c.place_position.is_(None))  # fmt: skip
    head = sa.Table(
        "log_head",
        metadata,
        sa.Column("partition", sa.Integer, primary_key=True),
        sa.Column("next_position", sa.BigInteger, nullable=False),
    )
    return outbox, head


@dataclass(frozen=True, slots=True)
class OutboxRows:
    """Outbox rows as events: the row, and the bytes of the version it names."""

    outbox: sa.Table
    bodies: sa.Table
    """Every version kept: columns `type`, `id`, `version`, `body`."""
    source: str
    """`ce_source` of the events: which publisher this is."""

    def _joined(self) -> sa.Join:
        # Outer, so that a row whose version is gone stops the log loudly instead of being passed over.
        outbox, bodies = self.outbox.c, self.bodies.c
        same_version = sa.and_(
            bodies.type == "MeasureReport",
            bodies.id == outbox.report_id,
            bodies.version == outbox.body_version,
        )
        return self.outbox.outerjoin(self.bodies, same_version)

    def sizes(self, key: sa.Column[Any]) -> sa.Select[int, int]:
        """Return the statement for `key` and bytes of each row; add conditions, order and a limit."""
        body = sa.func.coalesce(sa.func.length(self.bodies.c.body), 0)
        facets = sa.func.length(self.outbox.c.facets)
        return sa.select(key, body + facets).select_from(self._joined())

    def full(self) -> sa.Select[Any]:
        """Return the statement for whole rows; add conditions and an order, then see `event`."""
        return sa.select(self.outbox, self.bodies.c.body).select_from(self._joined())

    def event(self, row: sa.Row[Any]) -> ReportEvent:
        """Rebuild the event of a row of `full`.

        Raises:
            MissingBodyError: the version the row names is not kept.
        """
        if row.body is None:
            raise MissingBodyError(row.number)
        return ReportEvent(
            id=row.event_id,
            type=EventType(row.event_type),
            source=self.source,
            subject=f"MeasureReport/{row.report_id}/_history/{row.version}",
            # Milliseconds, as in a header: the event is the same through either log.
            time=row.accepted_at.replace(microsecond=row.accepted_at.microsecond // 1000 * 1000),
            contract=row.contract,
            interaction=row.interaction,
            facets=orjson.loads(row.facets),
            previous_facets=None if row.previous_facets is None else orjson.loads(row.previous_facets),
            body=row.body,
            traceparent=row.traceparent,
        )


class MissingBodyError(Exception):
    """An outbox row names a version whose bytes are not kept: the publisher's database is damaged."""

    def __init__(self, number: int) -> None:
        """Take the number of the row."""
        super().__init__(f"outbox row {number} names a report version that is not kept")


def within(sizes: Iterable[tuple[int, int]], limit: int) -> list[int]:
    """Return the keys of the first rows that stay within `limit` bytes together; the first one always."""
    taken: list[int] = []
    total = 0
    for key, size in sizes:
        total += size
        if taken and total > limit:
            break
        taken.append(key)
    return taken


class OutboxSink:
    """The publisher's end: hands out the next dense positions, in the relay's transaction."""

    def __init__(self, head: sa.Table) -> None:
        """Take the `log_head` table."""
        self._head = head

    async def append(self, transaction: AsyncConnection, events: Sequence[ReportEvent]) -> Sequence[Place]:
        """Return the places of the events; readers see them when the transaction commits.

        The head's row stays locked until then, so places become visible in their order.
        """
        if not events:
            return []
        insert = postgresql.insert if transaction.dialect.name == "postgresql" else sqlite.insert
        count = len(events)
        statement = (
            insert(self._head)
            .values(partition=PARTITION, next_position=count)
            .on_conflict_do_update(
                index_elements=[self._head.c.partition],
                set_={"next_position": self._head.c.next_position + count},
            )
            .returning(self._head.c.next_position)
        )
        end = (await transaction.execute(statement)).scalar_one()
        return [Place(PARTITION, position) for position in range(end - count, end)]

    async def close(self) -> None:
        """Let go of nothing: the database is the publisher's."""


class OutboxSource:
    """The notifier's end, in the publisher's process: reads placed rows, and never writes."""

    def __init__(self, database: Database, rows: OutboxRows, head: sa.Table, wake: Wakeup) -> None:
        """Take the publisher's database and tables, and what the relay sets after each commit."""
        self._database = database
        self._rows = rows
        self._head = head
        self._wake = wake
        self._next: int | None = None

    async def assigned(self) -> frozenset[int]:
        """Return the one partition there is."""
        return frozenset({PARTITION})

    def seek(self, positions: Mapping[int, int]) -> None:
        """Read on from the position of partition 0; without one, from the oldest row kept."""
        self._next = positions.get(PARTITION, 0)

    async def read(self, at_most: int, wait: float) -> Sequence[Record]:
        """Return up to `at_most` records, and at most `READ_BYTES`; waits up to `wait` seconds for the first.

        Raises:
            PositionUnknownError: the position sought is beyond what was ever written.
        """
        records = await self._look(at_most)
        if not records:
            await self._wake.wait(wait)
            records = await self._look(at_most)
        return records

    async def _look(self, at_most: int) -> Sequence[Record]:
        if self._next is None:
            return []
        outbox = self._rows.outbox.c
        here = sa.and_(outbox.place_partition == PARTITION, outbox.place_position >= self._next)
        sizes = self._rows.sizes(outbox.place_position).where(here).order_by(outbox.place_position)
        async with self._database.read() as connection:
            found = (await connection.execute(sizes.limit(at_most))).all()
            positions = within(found, READ_BYTES)
            if not positions:
                self._require_known(await self._end(connection))
                return []
            whole = self._rows.full().where(here, outbox.place_position <= positions[-1])
            rows = (await connection.execute(whole.order_by(outbox.place_position))).all()
        self._next = positions[-1] + 1
        return [Record(PARTITION, row.place_position, self._rows.event(row)) for row in rows]

    def _require_known(self, end: int) -> None:
        if self._next is not None and self._next > end:
            raise PositionUnknownError(PARTITION, self._next, 0, end)

    async def ends(self) -> Mapping[int, int]:
        """Return the position after the newest placed row."""
        async with self._database.read() as connection:
            return {PARTITION: await self._end(connection)}

    async def _end(self, connection: AsyncConnection) -> int:
        statement = sa.select(self._head.c.next_position).where(self._head.c.partition == PARTITION)
        return (await connection.execute(statement)).scalar() or 0

    async def close(self) -> None:
        """Let go of nothing: the database is the publisher's."""
