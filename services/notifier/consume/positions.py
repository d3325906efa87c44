"""Where each partition is read on: kept in the database, moved by enqueue together with the effect."""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa

from services.database import Database
from services.notifier.tables import position


async def load(database: Database, log_name: str, partitions: Iterable[int]) -> dict[int, int]:
    """Return the next position of each partition that has one; the others were never read."""
    async with database.read() as connection:
        rows = await connection.execute(
            sa.select(position.c.partition, position.c.next_position).where(
                position.c.log == log_name, position.c.partition.in_(list(partitions))
            )
        )
        return {row.partition: row.next_position for row in rows}
