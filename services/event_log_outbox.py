"""The event log of one machine: the publisher's outbox, read by position. One partition, number 0.

An event that is emitted again stands at a further place, as it would in Kafka: its first place is never taken
away, so no reader can miss it because it moved.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace
from typing import Any, Final, NamedTuple

import orjson
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from schemas.event import EventType, ReportEvent
from services.database import Connection, Database, UtcDateTime
from services.event_log import Place, PositionUnknownError, Record
from services.wakeup import Wakeup

PARTITION: Final = 0

READ_BYTES: Final = 8 * 1024 * 1024
"""Most bytes of reports taken into memory at once; a single larger one is taken alone."""

AT_HAND: Final = 500
"""Most rows kept in memory for the reader."""

_Number = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_COPIES: Final = "outbox_copy"


def outbox_tables(metadata: sa.MetaData) -> tuple[sa.Table, sa.Table, sa.Table]:
    """Define the outbox, its head and its copies in a service's metadata.

    `outbox.number` is given when a row is inserted, under its contract's lock: within a contract it is
    commit order, across contracts it is not, so nobody pages by it. `place_*` is given by the relay to
    committed rows only and is what readers go by. A copy is a row's further appearance in the log: asked for
    by an operator, its place given by the relay, gone when the row is.
    """
    outbox = sa.Table(
        "outbox",
        metadata,
        sa.Column("number", _Number, primary_key=True, autoincrement=True),
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
        sa.Column("oldest_position", sa.BigInteger, nullable=False, server_default="0"),
    )
    copies = sa.Table(
        _COPIES,
        metadata,
        sa.Column("id", _Number, primary_key=True, autoincrement=True),
        sa.Column("number", _Number, sa.ForeignKey("outbox.number", ondelete="CASCADE"), nullable=False),
        sa.Column("place_partition", sa.Integer),
        sa.Column("place_position", sa.BigInteger),
        sa.Index("outbox_copy_number", "number"),
        sa.Index("outbox_copy_place", "place_partition", "place_position"),
    )
    sa.Index("outbox_copy_unplaced", copies.c.number, unique=True,  # asked for twice, it goes once
             postgresql_where=copies.c.place_position.is_(None),
             sqlite_where=copies.c.place_position.is_(None))  # fmt: skip
    return outbox, head, copies


@dataclass(frozen=True, slots=True)
class OutboxRows:
    """Outbox rows as events: the row, and the bytes of the version it names."""

    outbox: sa.Table
    bodies: sa.Table
    """Every version kept: columns `type`, `id`, `version`, `body`."""
    source: str
    """`ce_source` of the events: which publisher this is."""

    @property
    def copies(self) -> sa.Table:
        """The further appearances of its rows: `outbox_tables` defines both together."""
        return self.outbox.metadata.tables[_COPIES]

    def _joined(self) -> sa.Join:
        return self.outbox.outerjoin(self.bodies, self._same_version())

    def _same_version(self) -> sa.ColumnElement[bool]:
        # Joined outer, so that a row whose version is gone stops the log loudly instead of being passed over.
        outbox, bodies = self.outbox.c, self.bodies.c
        return sa.and_(
            bodies.type == "MeasureReport",
            bodies.id == outbox.report_id,
            bodies.version == outbox.body_version,
        )

    def _size(self) -> sa.ColumnElement[int]:
        body = sa.func.coalesce(sa.func.length(self.bodies.c.body), 0)
        return body + sa.func.length(self.outbox.c.facets)

    def sizes(self, key: sa.Column[Any]) -> sa.Select[int, int]:
        """Return the statement for `key` and bytes of each row; add conditions, order and a limit."""
        return sa.select(key, self._size()).select_from(self._joined())

    def copy_sizes(self, *keys: sa.ColumnElement[Any]) -> sa.Select[Any]:
        """Return the same for the copies of rows."""
        of = self.copies.join(self.outbox, self.copies.c.number == self.outbox.c.number)
        return sa.select(*keys, self._size()).select_from(of.outerjoin(self.bodies, self._same_version()))

    def places(self) -> sa.Select[Any]:
        """Return the statement for up to `at_most` places from `start` on, in order: position, number if a copy, bytes."""
        first, again = self.outbox.c, self.copies.c
        start, at_most = (
            sa.bindparam("start", type_=sa.BigInteger),
            sa.bindparam("at_most", type_=sa.BigInteger),
        )
        here = sa.and_(first.place_partition == PARTITION, first.place_position >= start)
        rows = (
            sa.select(
                first.place_position.label("position"),
                sa.cast(sa.null(), sa.BigInteger).label("copy_of"),
                self._size().label("size"),
            )
            .select_from(self._joined())
            .where(here)
            .order_by(first.place_position)
        )
        copies = (
            self.copy_sizes(again.place_position, again.number)
            .where(again.place_partition == PARTITION, again.place_position >= start)
            .order_by(again.place_position)
        )
        # Each side has its own limit, so that each follows its own index and stops there.
        both = sa.union_all(
            sa.select(rows.limit(at_most).subquery()), sa.select(copies.limit(at_most).subquery())
        ).subquery()
        return sa.select(both).order_by(both.c.position).limit(at_most)

    def full(self) -> sa.Select[Any]:
        """Return the statement for whole rows; add conditions and an order, then see `event`."""
        return sa.select(self.outbox, self.bodies.c.body).select_from(self._joined())

    def event(self, row: Any) -> ReportEvent:
        """Rebuild the event of a row of `full`, or of one that was just stored: whatever has the columns by name.

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

    async def append(self, transaction: Connection, events: Sequence[ReportEvent]) -> Sequence[Place]:
        """Return the places of the events; readers see them when the transaction commits."""
        return await self.next(transaction, len(events)) if events else []

    async def next(self, transaction: Connection, count: int) -> Sequence[Place]:
        """Return the next places, so many, one at least.

        The head's row stays locked until the transaction ends, so places become visible in their order.
        """
        rows = await transaction.execute(_advance(transaction.dialect.name, self._head), {"count": count})
        end: int = rows.scalar_one()
        return [Place(PARTITION, position) for position in range(end - count, end)]

    async def close(self) -> None:
        """Let go of nothing: the database is the publisher's."""


@cache
def _advance(dialect: str, head: sa.Table) -> sa.Executable:
    insert = postgresql.insert if dialect == "postgresql" else sqlite.insert
    count: sa.BindParameter[int] = sa.bindparam("count", type_=head.c.next_position.type)
    return (
        insert(head)
        .values(partition=PARTITION, next_position=count)
        .on_conflict_do_update(
            index_elements=[head.c.partition], set_={"next_position": head.c.next_position + count}
        )
        .returning(head.c.next_position)
    )


@dataclass(frozen=True, slots=True)
class _Statements:
    """What the reader asks, made once: each read would spend most of its time on making them."""

    places: sa.Select[Any]
    between: sa.Select[Any]
    numbered: sa.Select[Any]
    kept: sa.Select[Any]
    """From where to where the log is kept."""

    @classmethod
    def over(cls, rows: OutboxRows, head: Any) -> _Statements:
        outbox = rows.outbox.c
        here = outbox.place_position.between(sa.bindparam("first"), sa.bindparam("last"))
        return cls(
            rows.places(),
            rows.full().where(outbox.place_partition == PARTITION, here),
            rows.full().where(outbox.number.in_(sa.bindparam("numbers", expanding=True))),
            sa.select(head.oldest_position, head.next_position).where(head.partition == PARTITION),
        )


class Placed(NamedTuple):
    """A row as it was stored, with its place."""

    row: Mapping[str, Any]
    """Its columns, but for the number, which only the database knows."""
    body: bytes | None
    """The bytes of the version it names; `None`: they were stored before."""


class Appended(Wakeup):
    """What has come into the log, for its reader in the same process: a wake-up, and the rows just committed.

    The rows only save asking for them. Whoever appends without handing over sets it, and the reader asks the database;
    so it does when rows do not go on just where it stands, or were too many to be kept.
    """

    def __init__(self) -> None:
        """Start with nothing, as if there were more elsewhere."""
        super().__init__()
        self._rows: deque[Placed] = deque()
        self._bytes = 0
        self.elsewhere = True
        """There may be more in the log than was handed over since the reader last asked the database."""

    def set(self) -> None:
        """Have the reader ask the database."""
        self.elsewhere = True
        super().set()

    def hand(self, placed: Iterable[Placed]) -> None:
        """Hand rows over, in the order of their places. Only once they are committed: they are read at once."""
        for each in placed:
            if each.body is None:
                self.elsewhere = True
                continue
            self._rows.append(each)
            self._bytes += _size(each)
        if len(self._rows) > AT_HAND or self._bytes > READ_BYTES:
            self.forget()
        super().set()

    def forget(self) -> None:
        """Keep nothing at hand: the reader asks the database."""
        self._rows.clear()
        self._bytes = 0
        self.elsewhere = True

    def take(self, start: int, at_most: int) -> list[Placed]:
        """Return the rows from this position on, without a gap; none when the one that stands there is not at hand."""
        while self._rows and _position(self._rows[0]) < start:
            self._drop()
        taken: list[Placed] = []
        while self._rows and len(taken) < at_most and _position(self._rows[0]) == start + len(taken):
            taken.append(self._drop())
        if taken and not self._rows and not self.elsewhere:
            self._event.clear()  # that was all there was to wake for
        return taken

    def _drop(self) -> Placed:
        first = self._rows.popleft()
        self._bytes -= _size(first)
        return first


def _position(placed: Placed) -> int:
    position: int = placed.row["place_position"]
    return position


def _size(placed: Placed) -> int:
    return len(placed.body or b"") + len(placed.row["facets"])


class OutboxSource:
    """The notifier's end, in the publisher's process: reads placed rows, and never writes."""

    def __init__(self, database: Database, rows: OutboxRows, head: sa.Table, wake: Appended) -> None:
        """Take the publisher's database and tables, and what is told of each commit."""
        self._database = database
        self._rows = rows
        self._statements = _Statements.over(rows, head.c)
        self.wake = wake
        self._next: int | None = None
        self._drained = False
        """Nothing was left at the last look, so the next one waits to be woken, unless there is more elsewhere."""
        self._sought: int | None = None
        """What `seek` asked for, until it is known to be there; -1: the oldest row kept."""
        self.needed_from = 0
        """The first position that may still be asked for: what was read last may have to be read again."""

    async def assigned(self) -> frozenset[int]:
        """Return the one partition there is."""
        return frozenset({PARTITION})

    def seek(self, positions: Mapping[int, int]) -> None:
        """Read on from the position of partition 0; without one, from the oldest row kept."""
        self._sought = positions.get(PARTITION, -1)
        self._next = None
        self._drained = False
        self.wake.forget()

    async def read(self, at_most: int, wait: float) -> Sequence[Record]:
        """Return up to `at_most` records, and at most `READ_BYTES`; waits up to `wait` seconds for the first.

        Raises:
            PositionUnknownError: the position sought is beyond what was ever written, or is kept no more.
        """
        if self._next is not None:
            self.needed_from = self._next
        if records := self._at_hand(at_most):
            return records
        if not self._drained or self.wake.elsewhere:
            records = await self._look(at_most)
        if not records:
            await self.wake.wait(wait)
            records = self._at_hand(at_most) or await self._look(at_most)
        return records

    def _at_hand(self, at_most: int) -> Sequence[Record]:
        """Return what goes on where this reads on, of what was handed over."""
        if self._next is None:
            return []
        start = self._next
        taken = self.wake.take(start, at_most)
        events = [self._rows.event(SimpleNamespace(**each.row, body=each.body)) for each in taken]
        self._next = start + len(taken)
        return [Record(PARTITION, position, event) for position, event in enumerate(events, start)]

    async def _look(self, at_most: int) -> Sequence[Record]:
        self._drained = False
        self.wake.elsewhere = False  # whatever comes from here on may be missed by this look
        async with self._database.glance() as connection:
            if self._sought is not None:
                self._next = await self._known(connection, self._sought)
                self._sought = None
            if self._next is None:
                return []
            found = await self._places(connection, self._next, at_most)
            positions = within(((row.position, row.size) for row in found), READ_BYTES)
            if not positions:
                await self._known(connection, self._next)
                self._drained = True
                return []
            events = await self._events(connection, found[: len(positions)])
        self._next = positions[-1] + 1
        self._drained = len(positions) == len(found) < at_most
        return [Record(PARTITION, position, events[position]) for position in positions]

    async def _places(self, connection: Connection, start: int, at_most: int) -> Sequence[Any]:
        rows = await connection.execute(self._statements.places, {"start": start, "at_most": at_most})
        found: Sequence[Any] = rows.all()
        return found

    async def _events(self, connection: Connection, places: Sequence[Any]) -> dict[int, ReportEvent]:
        """Return the events at these places, by position."""
        here = {"first": places[0].position, "last": places[-1].position}
        rows = await connection.execute(self._statements.between, here)
        events = {row.place_position: self._rows.event(row) for row in rows}
        copies = {place.position: place.copy_of for place in places if place.copy_of is not None}
        if copies:
            numbered = {"numbers": sorted(set(copies.values()))}
            rows = await connection.execute(self._statements.numbered, numbered)
            known = {row.number: self._rows.event(row) for row in rows}
            events |= {position: known[number] for position, number in copies.items()}
        return events

    async def _known(self, connection: Connection, sought: int) -> int:
        """Return where to read on; nothing from there on is ever missing, for it is dense."""
        row = (await connection.execute(self._statements.kept)).one_or_none()
        oldest, end = (0, 0) if row is None else row
        if sought != -1 and not oldest <= sought <= end:
            raise PositionUnknownError(PARTITION, sought, oldest, end)
        return oldest if sought == -1 else sought

    async def ends(self) -> Mapping[int, int]:
        """Return the position after the newest placed row."""
        async with self._database.glance() as connection:
            row = (await connection.execute(self._statements.kept)).one_or_none()
            return {PARTITION: 0 if row is None else row.next_position}

    async def close(self) -> None:
        """Let go of nothing: the database is the publisher's."""
