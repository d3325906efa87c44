"""How does a row of the outbox become an event, and how large is it? The only place where that is said."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson
import sqlalchemy as sa

from schemas.event import EventType, ReportEvent
from services.event_log_outbox.tables import COPIES, PARTITION


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
        return self.outbox.metadata.tables[COPIES]

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
