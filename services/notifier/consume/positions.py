"""Where each partition is read on: kept in the database, moved by enqueue together with the effect."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from services.database import Connection
from services.notifier.tables import position

FROM_OLDEST: Final = -1
"""The position of a partition that an operator has told us to read from its oldest record on."""


@dataclass(frozen=True, slots=True)
class Kept:
    """Where one partition is read on, and what was read right before."""

    next_position: int
    last_event: str | None


async def load(connection: Connection, log_name: str, *, lock: bool = False) -> dict[int, Kept]:
    """Return the position of each partition of the log that has one; the others were never read."""
    statement = (
        sa.select(position.c.partition, position.c.next_position, position.c.last_event)
        .where(position.c.log == log_name)
        .order_by(position.c.partition)
    )
    rows = await connection.execute(statement.with_for_update() if lock else statement)
    return {row.partition: Kept(row.next_position, row.last_event) for row in rows}
