"""The publisher's end: it gives the next places, in the transaction that stores or relays the events."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from schemas.event import ReportEvent
from services.database import Connection
from services.event_log import Place
from services.event_log_outbox.tables import PARTITION


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
