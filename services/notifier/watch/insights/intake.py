"""How far is the event log read, and what in it could not be? Counts and places, never contents."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from services.database import Database
from services.notifier import tables as t
from services.notifier.watch.insights.views import ConsumerPosition, DeadLetter


async def positions(database: Database) -> Sequence[ConsumerPosition]:
    """Return where each partition is read on."""
    at = t.position.c
    statement = sa.select(at.log, at.partition, at.next_position).order_by(at.log, at.partition)
    async with database.read() as connection:
        return [ConsumerPosition(*row) for row in await connection.execute(statement)]


async def dead_letters(database: Database, at_most: int = 50) -> Sequence[DeadLetter]:
    """Return the records that could not be read, newest first."""
    dead = t.dead_letter.c
    size = sa.func.coalesce(sa.func.length(dead.value), 0)
    statement = sa.select(dead.log, dead.partition, dead.position, dead.reason, dead.at, size)
    async with database.read() as connection:
        rows = await connection.execute(statement.order_by(dead.at.desc()).limit(at_most))
        return [DeadLetter(*row) for row in rows]


async def consumed(database: Database) -> int:
    """Return how many events have been taken in and are kept."""
    async with database.read() as connection:
        return (await connection.execute(sa.select(sa.func.count()).select_from(t.event))).scalar_one()
